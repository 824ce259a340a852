"""The same loop with the relay between: one shape, and the dead man's switches."""

import itertools
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from strongroom_host.latency.stages import Stage
from strongroom_host.latency.stats import Counter
from strongroom_host.relay import HeldState, RelayClient
from strongroom_host.relay.dialing import Venue
from strongroom_host.relay.heartbeats import Heartbeats
from strongroom_host.relay.server import Relay
from strongroom_host.sequences import Sequences
from strongroom_host.store import OrderState
from strongroom_host.strategy.port import OrderType, Outcome
from strongroom_host.testnet import Fault, FaultKind, TestnetServer, default_config
from strongroom_host.testnet.config import Windows
from strongroom_host.trading.alive import Alive, AliveLimits
from strongroom_host.trading.ending import end_session

from tests.host.trading.world import HOST, World, buy

GTC = OrderType.GTC
PSK = secrets.token_bytes(32)
QUICK = AliveLimits(fire_after_s=3.0, beat_s=0.1, renew_s=15.0, valid_s=30.0)
"""Seconds of silence, which a busy machine does not fall into between two beats."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestnetServer]:
    config = replace(default_config(80002), windows=Windows(heartbeat_s=4))
    with TestnetServer(config, tmp_path_factory.mktemp("testnet")) as running:
        yield running


@pytest.fixture(scope="module")
def relay(server: TestnetServer) -> Iterator[Relay]:
    venue = Venue(HOST, 443, server.client_context(), [(server.host, server.port)])
    with Relay(PSK, venue, ("127.0.0.1", 0), log=lambda _: None) as running:
        thread = threading.Thread(target=running.run)
        thread.start()
        yield running
        running.stop()
        thread.join()


@pytest.fixture
def world(server: TestnetServer, relay: Relay, tmp_path: Path) -> Iterator[World]:
    with Sequences.open(tmp_path / "sequences") as sequences:
        client = RelayClient(
            relay.address,
            PSK,
            sequences.block("relay"),
            host=HOST,
            client_id=secrets.token_bytes(16),
        )
        client.open()
        made = World(server, tmp_path, outlet=client)
        yield made
        made.close()
        server.faults.clear()


def client_of(world: World) -> RelayClient:
    assert isinstance(world.outlet, RelayClient)
    return world.outlet


def state_of(world: World, awaited: HeldState) -> HeldState | None:
    """What the relay says of the deposit, once it says what is awaited or has had its time."""
    client = client_of(world)
    for _ in range(600):
        if client.held(0) is awaited:
            break
        client.pump(0.05)
    return client.held(0)


def alive(world: World, limits: AliveLimits = QUICK) -> Alive:
    path, writer = world.path, world.writer
    client = client_of(world)
    heartbeats = Heartbeats(
        lambda beat: path.sign(writer.heartbeat(beat), "heartbeat"), client, 200_000_000
    )
    return Alive(
        heartbeats,
        client,
        lambda: path.sign(writer.cancel_all(), "cancel"),
        world.figures,
        limits,
    )


def test_an_order_goes_through_the_relay_and_is_filled(world: World) -> None:
    world.decide(buy())
    world.run(lambda: bool(world.strategy.events))
    (event,) = world.strategy.events
    assert (event.outcome, event.filled) == (Outcome.FILLED, 10_000_000)
    assert world.submissions() == {event.order_hash: 1}
    stages = world.figures.stages
    assert {stages[stage].total() for stage in (Stage.RELAY, Stage.UPSTREAM, Stage.ANSWER)} == {1}


def test_upstream_lost_mid_order_is_reconciled_and_not_sent_again(world: World) -> None:
    world.server.faults.arm(Fault(FaultKind.DROP_AFTER))
    world.decide(buy())
    world.run(lambda: "FILLED" in world.strategy.outcomes())
    assert world.strategy.outcomes()[0] == "UNKNOWN"
    assert list(world.submissions().values()) == [1]
    assert world.journal.entries()[0].state is OrderState.FILLED


def test_while_the_host_lives_nothing_is_cancelled_and_its_end_takes_the_cancel_back(
    world: World,
) -> None:
    keeping = alive(world)
    world.loop.timed = (keeping,)
    world.decide(buy("0.55", "5", GTC))
    until = time.monotonic() + 5  # longer than either switch waits
    world.run(lambda: "LIVE" in world.strategy.outcomes() and time.monotonic() > until)
    assert world.strategy.outcomes() == ["LIVE"]
    assert not keeping.trouble
    assert world.count(Counter.HEARTBEATS) > 2
    assert end_session(world.loop, 10.0) == ()
    assert world.strategy.outcomes() == ["LIVE", "CANCELLED"]
    keeping.end()
    assert state_of(world, HeldState.NONE) is HeldState.NONE


@pytest.mark.parametrize("switch", ["relay", "venue"])
def test_a_host_that_falls_silent_has_its_orders_cancelled(world: World, switch: str) -> None:
    limits = QUICK if switch == "relay" else replace(QUICK, fire_after_s=60.0)
    world.loop.timed = (alive(world, limits),)
    world.decide(buy("0.55", "5", GTC))
    world.run(lambda: "LIVE" in world.strategy.outcomes() and world.count(Counter.HEARTBEATS) > 0)
    (order_hash,) = world.path.book.open
    orders = world.server.clob.orders
    assert orders[order_hash].status.value == "LIVE"
    for _ in itertools.repeat(None, 600):  # nobody turns the loop any more
        time.sleep(0.1)
        if orders[order_hash].status.value != "LIVE":
            break
    assert orders[order_hash].status.value.startswith("CANCEL")
    client_of(world).beat(0, 60.0)  # asks what became of the deposit
    expected = HeldState.SENT if switch == "relay" else HeldState.HELD
    assert state_of(world, expected) is expected
