"""A relay in a thread, and clients of it."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator

from strongroom_host.relay import ClientLimits, RelayClient
from strongroom_host.relay.dialing import Venue
from strongroom_host.relay.server import Relay, RelayLimits

from tests.host.relay.upstreams import Upstream
from tests.host.relay.world import HOST, PSK

__all__ = ["Numbers", "client_of", "relay_to", "running", "until"]


class Numbers:
    """Numbers for one client of one test."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def next(self) -> int:
        return next(self._numbers)


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@contextlib.contextmanager
def running(venue: Venue, limits: RelayLimits | None = None) -> Iterator[Relay]:
    log: list[str] = []
    with Relay(PSK, venue, ("127.0.0.1", 0), log=log.append, limits=limits) as relay:
        thread = threading.Thread(target=relay.run, daemon=True)
        thread.start()
        try:
            until(lambda: relay.ready > 0)
            yield relay
        finally:
            relay.stop()
            thread.join(timeout=20)
            assert not thread.is_alive()


@contextlib.contextmanager
def relay_to(upstream: Upstream, limits: RelayLimits | None = None) -> Iterator[Relay]:
    venue = Venue(HOST, 443, upstream.context(), (upstream.address,))
    with running(venue, limits) as relay:
        yield relay


def client_of(
    address: tuple[str, int], limits: ClientLimits | None = None, host: str = HOST
) -> RelayClient:
    return RelayClient(
        address, PSK, Numbers(), host=host, limits=limits, client_id=b"bot" * 5 + b"-"
    )
