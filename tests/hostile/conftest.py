"""Boots for hostile tests: one to share within a module, and as many more as a test asks for."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.hostile.driver import Boot, Desk, Enclave
from tests.hostile.venue import Venue

Start = Callable[..., Boot]


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Removes the folders of all boots at the end of the run."""
    yield
    for folder in Enclave.folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


@pytest.fixture(scope="module")
def venue_of() -> Iterator[Callable[[Boot], Venue]]:
    """Starts the venue of a boot's desk where that boot looks for its proxy."""
    with ExitStack() as stack:

        def start(boot: Boot) -> Venue:
            venue = Venue(boot.enclave.run / "egress.sock", boot.desk.venue)
            stack.callback(venue.close)
            return venue

        yield start


@pytest.fixture(scope="module")
def start(venue_of: Callable[[Boot], Venue]) -> Iterator[Start]:
    """Starts and configures an enclave for a desk, with a venue; ends it with the module."""
    with ExitStack() as stack:

        def begin(desk: Desk, state: Path | None = None, clock: Path | None = None) -> Boot:
            boot = stack.enter_context(Enclave(state, clock=clock)).configure(desk)
            venue_of(boot)
            return boot

        yield begin


@pytest.fixture(scope="module")
def ready(start: Start, desk: Desk) -> Boot:
    """The module's own boot: the first key is generated, permitted and enrolled."""
    return start(desk).make_ready()
