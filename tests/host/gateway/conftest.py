"""A gateway over real HTTP, on a database that also holds what must never be had through it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.host.gateway.world import World, filled_database, running
from tests.host.record_store.databases import Database, Server, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with server() as started:
        yield started


@pytest.fixture
def database(postgres: Server) -> Database:
    return postgres.fresh()


@pytest.fixture(scope="session")
def filled(postgres: Server) -> Database:
    return filled_database(postgres)


@pytest.fixture
def start(filled: Database, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Returns how to start a gateway with some options."""
    with ExitStack() as stack:
        numbers = count()

        def started(**options: Any) -> World:
            folder = tmp_path / f"gateway{next(numbers)}"
            return stack.enter_context(running(filled, folder, **options))

        yield started


@pytest.fixture
def world(start: Callable[..., World]) -> World:
    return start()


@pytest.fixture
def now_ms() -> int:
    return time.time_ns() // 1_000_000
