"""The relay's thread, turned by hand: when it sleeps, and what it sees to first."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from strongroom_host.relay import RelayClient
from strongroom_host.relay.dialing import Venue
from strongroom_host.relay.frames_v2 import MAGIC
from strongroom_host.relay.server import Relay, RelayLimits
from strongroom_host.relay.upstream import PoolLimits

from tests.host.relay.relays import client_of
from tests.host.relay.upstreams import Upstream, upstream
from tests.host.relay.world import HOST, PSK, order

SECOND = 1_000_000_000


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Upstream]:
    with upstream(tmp_path / "venue") as server:
        yield server


class Turned:
    """A relay and a client in one thread; `timeouts` has how long the relay would have slept."""

    def __init__(self, relay: Relay, client: RelayClient) -> None:
        self.relay, self.client = relay, client
        self.timeouts: list[float] = []
        self._wait = relay._poller.wait

    def turn(self) -> None:
        self._wait(0.01)
        self.relay._tick(time.monotonic_ns())
        self.client.pump()

    def turn_until(self, condition: Callable[[], object]) -> None:
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until, "it did not happen"
            self.turn()

    def run(self, *steps: Callable[[], object]) -> None:
        """Runs the relay's own loop; before it waits, the next step is done."""
        left = list(steps)

        def wait(timeout_s: float) -> bool:
            self.timeouts.append(timeout_s)
            if not left:
                self.relay.stop()
            else:
                left.pop(0)()
            return self._wait(1.0)

        self.relay._poller.wait = wait  # type: ignore[method-assign]
        self.relay.run()


@pytest.fixture
def turned(venue: Upstream, request: pytest.FixtureRequest) -> Iterator[Turned]:
    limits = RelayLimits(
        pool=PoolLimits(connections=1), awake_s=getattr(request, "param", 0.0), drain_s=0.0
    )
    to = Venue(HOST, 443, venue.context(), (venue.address,))
    with Relay(PSK, to, ("127.0.0.1", 0), log=lambda _: None, limits=limits) as relay:
        made = Turned(relay, client_of(relay.address))
        made.turn_until(lambda: relay.ready)
        pending = made.client.begin(order(1), time.monotonic_ns() + 5 * SECOND)
        made.turn_until(lambda: pending.done)
        assert pending.result().status == 200
        yield made
        made.client.close()


def test_what_the_venue_closed_in_the_same_moment_takes_no_request(
    turned: Turned, venue: Upstream
) -> None:
    """The datagram is there first, and is seen to last: so the order waits for a connection."""
    [held] = turned.relay._pool._idle
    turned.turn()  # nothing is ready: so from here on, what is ready first is found first
    pending = turned.client.begin(order(2), time.monotonic_ns() + 5 * SECOND)
    venue.cut_all()
    assert select.select([turned.relay._socket], [], [], 60)[0]
    assert select.select([held.tls], [], [], 60)[0]
    turned.turn_until(lambda: pending.done)
    assert pending.result().status == 200
    assert venue.received == [order(1), order(2)]


def ping(turned: Turned) -> Callable[[], None]:
    return lambda: turned.client._talk().ping(time.monotonic_ns())


def forge(turned: Turned) -> Callable[[], None]:
    session = turned.client._talk().session
    forged = MAGIC + b"\x04" + session + (1 << 40).to_bytes(8, "big") + bytes(100)
    return lambda: turned.client._line.send(forged)


@pytest.mark.parametrize("turned", [3600.0], indirect=True)
def test_an_authentic_packet_keeps_it_awake_and_a_forged_one_does_not(turned: Turned) -> None:
    turned.run(forge(turned), ping(turned), lambda: None)
    before, forged, *pinged = turned.timeouts
    assert min(before, forged) > 0
    assert pinged == [0.0, 0.0]
    assert turned.relay.counters.named()["refused"]["forged"] == 1


def test_without_that_it_sleeps_at_once(turned: Turned) -> None:
    turned.run(ping(turned), ping(turned))
    assert len(turned.timeouts) == 3
    assert min(turned.timeouts) > 0


@pytest.mark.parametrize("turned", [math.inf], indirect=True)
def test_with_infinity_it_never_sleeps(turned: Turned) -> None:
    turned.run(ping(turned), ping(turned))
    assert turned.timeouts == [0.0, 0.0, 0.0]
