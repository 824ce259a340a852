"""Orders through the relay to the testnet: placed, lost on the way, reconciled; heartbeats."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from strongroom_host.relay import ClientLimits, Heartbeats, RelayClient, Timing
from strongroom_host.relay.dialing import Venue
from strongroom_host.relay.messages import HeldState
from strongroom_host.relay.server import Relay, RelayLimits
from strongroom_host.relay.upstream import PoolLimits
from strongroom_host.store import OrderState, Reconciliation
from strongroom_host.testnet import Fault, FaultKind, Mode, TestnetServer, default_config

from tests.host.relay.network import TO_CLIENT, Network, network
from tests.host.relay.relays import client_of, running, until
from tests.host.store.test_desk import Desk, http

MS = 1_000_000
HOST = "clob.testnet"
LIMITS = ClientLimits(
    lifetime_s=1.0,
    answer_s=2.0,
    timing=Timing(first_ns=20 * MS, longest_ns=100 * MS, poll_ns=50 * MS),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestnetServer]:
    config = default_config(80002)
    config = replace(config, windows=replace(config.windows, heartbeat_s=4))
    with TestnetServer(config, tmp_path_factory.mktemp("testnet")) as made:
        yield made


@pytest.fixture(scope="module")
def relay(server: TestnetServer) -> Iterator[Relay]:
    venue = Venue(HOST, 443, server.client_context(), ((server.host, server.port),))
    limits = RelayLimits(pool=PoolLimits(connections=2, answer_ns=1_000 * MS))
    with running(venue, limits) as made:
        yield made


@pytest.fixture
def wire(relay: Relay) -> Iterator[Network]:
    with network(relay.address) as made:
        yield made


@pytest.fixture
def client(wire: Network) -> Iterator[RelayClient]:
    with client_of(wire.address, LIMITS, host=HOST) as made:
        yield made


@pytest.fixture
def desk(server: TestnetServer, client: RelayClient, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(server, tmp_path)
    made.venue.close()
    made.venue = client  # type: ignore[assignment]  # what a desk needs of a venue, it is
    yield made
    made.journal.close()
    server.faults.clear()
    server.clob.mode = Mode.NORMAL


def test_accepted_rejected_and_batched(desk: Desk) -> None:
    assert desk.place(desk.signed()) == [OrderState.ACCEPTED]
    assert desk.place(desk.signed(desk.body(size=1))) == [OrderState.REJECTED]
    batch = desk.signed(*(desk.body(price=0.3 + number / 100) for number in range(12)))
    assert len(batch.request) > 5_000, "several datagrams"
    assert desk.place(batch) == [OrderState.ACCEPTED] * 12


@pytest.mark.parametrize(
    ("kind", "at_venue", "settled"),
    [
        (FaultKind.DROP_AFTER, True, OrderState.OPEN),
        (FaultKind.STATUS_AFTER, True, OrderState.OPEN),
        (FaultKind.TRUNCATE, True, OrderState.OPEN),
        (FaultKind.DROP_BEFORE, False, OrderState.ABSENT),
    ],
)
def test_tls_lost_in_mid_order_is_reconciled_and_not_doubled(
    desk: Desk, server: TestnetServer, kind: FaultKind, at_venue: bool, settled: OrderState
) -> None:
    request = desk.signed()
    server.faults.arm(Fault(kind))
    assert desk.place(request) == [OrderState.UNKNOWN]
    assert desk.at_venue(request) is at_venue
    assert desk.reconcile(request) == (Reconciliation.SETTLED, settled)
    assert server.clob.submissions[request.order_hashes[0]] == (1 if at_venue else 0)


def test_an_answer_lost_on_the_way_back_is_fetched(
    desk: Desk, server: TestnetServer, wire: Network, client: RelayClient
) -> None:
    client.open()
    lost = iter([True] * 4)
    wire.fate = lambda direction, data: (
        [] if direction == TO_CLIENT and next(lost, False) else [(0.0, data)]
    )
    request = desk.signed()
    assert desk.place(request) == [OrderState.ACCEPTED]
    assert server.clob.submissions[request.order_hashes[0]] == 1


def test_a_relay_that_falls_silent_leaves_an_order_to_be_reconciled(
    desk: Desk, server: TestnetServer, wire: Network, client: RelayClient
) -> None:
    client.open()
    wire.fate = lambda direction, data: [] if direction == TO_CLIENT else [(0.0, data)]
    request = desk.signed()
    assert desk.place(request) == [OrderState.UNKNOWN]
    wire.fate = lambda _direction, data: [(0.0, data)]
    assert desk.reconcile(request) == (Reconciliation.SETTLED, OrderState.OPEN)
    assert server.clob.submissions[request.order_hashes[0]] == 1


def test_what_never_left_may_be_placed_again(
    desk: Desk, server: TestnetServer, wire: Network, client: RelayClient
) -> None:
    wire.fate = lambda _direction, _data: []
    client._keeper.patience_ns = 200 * MS
    request = desk.signed()
    assert desk.place(request) == [OrderState.UNSENT]
    wire.fate = lambda _direction, data: [(0.0, data)]
    assert desk.place(request) == [OrderState.ACCEPTED]
    assert server.clob.submissions[request.order_hashes[0]] == 1


def heartbeats(desk: Desk, client: RelayClient, period_ms: int = 150) -> Heartbeats:
    def sign(identity: str) -> bytes:
        body = b'{"heartbeat_id":"%s"}' % identity.encode()
        return http(desk.trader, "POST", "/v1/heartbeats", body)

    return Heartbeats(sign, client, period_ms * MS)


def turn(beats: Heartbeats, client: RelayClient, until: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not until():
        assert time.monotonic() < ends, "it does not happen"
        beats.turn(time.monotonic_ns())
        client.pump(0.02)


def answered(beats: Heartbeats, times: int = 1) -> Callable[[], bool]:
    """Whether so many more beats were answered than by now."""
    before = beats.state.answered
    return lambda: beats.state.answered >= before + times


def test_orders_live_while_the_host_beats_and_go_when_it_stops(
    desk: Desk, server: TestnetServer, client: RelayClient
) -> None:
    """The venue's window is four seconds here."""
    beats = heartbeats(desk, client)
    turn(beats, client, answered(beats))
    request = desk.signed()
    assert desk.place(request) == [OrderState.ACCEPTED]
    ends = time.monotonic() + 5
    turn(beats, client, lambda: time.monotonic() > ends)
    assert beats.state.answered > 3
    assert beats.state.failures == 0
    assert desk.reconcile(request)[1] is OrderState.OPEN
    stored = server.clob.orders[request.order_hashes[0]]
    until(lambda: "CANCEL" in str(stored.status).upper())
    assert desk.reconcile(request)[1] is OrderState.CLOSED


def test_beats_go_on_from_the_id_that_the_venue_expects(
    desk: Desk, server: TestnetServer, client: RelayClient, wire: Network
) -> None:
    beats = heartbeats(desk, client)
    turn(beats, client, answered(beats, 2))
    server.faults.arm(Fault(FaultKind.DROP_AFTER, path="/v1/heartbeats"))
    # The answer with the next id is lost.
    turn(beats, client, lambda: beats.state.failures > 0)
    turn(beats, client, answered(beats))
    another = heartbeats(desk, client)
    turn(another, client, answered(another))
    assert "another id" in another.state.trouble


def test_a_dead_host_has_its_orders_cancelled_by_the_relay(
    desk: Desk, server: TestnetServer, client: RelayClient
) -> None:
    request = desk.signed()
    assert desk.place(request) == [OrderState.ACCEPTED]
    cancel = http(desk.trader, "DELETE", "/cancel-all")
    client.deposit(0, cancel, fire_after_s=3, valid_s=60)
    while client.held(0) is not HeldState.HELD:
        client.pump(0.02)
    stored = server.clob.orders[request.order_hashes[0]]
    assert desk.reconcile(request)[1] is OrderState.OPEN
    until(lambda: "CANCEL" in str(stored.status).upper())
    assert desk.reconcile(request)[1] is OrderState.CLOSED
