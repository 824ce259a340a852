"""Whatever ends trading, what is open is taken back, or named."""

import gc
from collections.abc import Iterator

import pytest
from strongroom_host.enclave_client.errors import ChannelBroken
from strongroom_host.store import OrderState
from strongroom_host.strategy.port import Cancel, OrderEvent, OrderType, Reason
from strongroom_host.trading.ending import trade_until_stopped
from strongroom_host.trading.errors import SessionUnclear
from strongroom_host.venue import NotSent

from tests.host.trading.world import World, buy

GTC = OrderType.GTC


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.fixture
def resting(world: World) -> bytes:
    """The hash of an order that rests at the venue."""
    world.decide(buy("0.55", "5", GTC))
    world.run(lambda: "LIVE" in world.strategy.outcomes())
    (order_hash,) = world.path.book.open
    world.loop.stop = False
    return order_hash


class Settled:
    """Counts how often it was said that nothing is open."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def stop_at_once(world: World) -> None:
    world.loop.stop = True


def test_one_that_is_stopped_leaves_nothing_open(world: World, resting: bytes) -> None:
    settled = Settled()
    stop_at_once(world)
    trade_until_stopped(world.loop, settled, 10.0)
    assert world.journal.get(resting).state is OrderState.CLOSED
    assert settled.times == 1


def test_a_strategy_that_raises_leaves_nothing_open_and_its_error_comes_after(
    world: World, resting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(_: object) -> object:
        raise ZeroDivisionError("a strategy's own")

    monkeypatch.setattr(world.strategy, "on_tick", wrong)
    world.ticks.add()
    settled = Settled()
    with pytest.raises(ZeroDivisionError, match="a strategy's own"):
        trade_until_stopped(world.loop, settled, 10.0)
    assert world.journal.get(resting).state is OrderState.CLOSED
    assert (settled.times, world.strategy.outcomes()) == (1, ["LIVE", "CANCELLED"])


def test_a_strategy_that_raises_at_what_the_end_brings_is_told_on(
    world: World, resting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.decide(buy("0.54", "5", GTC))
    world.run(lambda: world.strategy.outcomes().count("LIVE") == 2)
    hashes, told = set(world.path.book.open), list[OrderEvent]()

    def wrong(event: OrderEvent) -> None:
        told.append(event)
        raise ValueError(f"at {event.order_hash.hex()}")

    monkeypatch.setattr(world.strategy, "on_order_event", wrong)
    stop_at_once(world)
    settled = Settled()
    with pytest.raises(ValueError, match=r"^at ") as raised:
        trade_until_stopped(world.loop, settled, 10.0)
    assert str(raised.value) == f"at {told[0].order_hash.hex()}"
    assert {event.order_hash for event in told} == hashes >= {resting}
    assert {world.journal.get(each).state for each in hashes} == {OrderState.CLOSED}
    assert settled.times == 1


def test_a_venue_that_is_out_of_reach_at_the_end_is_said_with_the_orders(
    world: World, resting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(_request: bytes, _deadline_ns: int) -> object:
        raise NotSent("no way to the venue")

    monkeypatch.setattr(world.outlet, "begin", unreachable)
    stop_at_once(world)
    settled = Settled()
    with pytest.raises(SessionUnclear) as ended:
        trade_until_stopped(world.loop, settled, 0.2)
    assert ended.value.exit_status == 4
    assert ended.value.actual == f"0x{resting.hex()}"
    assert ended.value.__cause__ is None
    assert settled.times == 0


def test_an_enclave_that_is_gone_does_not_hide_what_is_open(world: World, resting: bytes) -> None:
    world.signer.broken = ChannelBroken("gone")
    world.decide(buy())
    settled = Settled()
    with pytest.raises(SessionUnclear) as ended:
        trade_until_stopped(world.loop, settled, 10.0)
    assert f"0x{resting.hex()}" in str(ended.value.actual)
    assert isinstance(ended.value.__cause__, ChannelBroken)
    assert settled.times == 0


def test_an_enclave_that_is_gone_is_said_where_nothing_is_open(world: World) -> None:
    world.signer.broken = ChannelBroken("gone")
    world.decide(Cancel(bytes(32), Reason.REQUOTE, bytes(32)), buy())
    with pytest.raises(ChannelBroken):
        trade_until_stopped(world.loop, Settled(), 10.0)


def test_a_disk_that_is_full_does_not_hide_what_is_open(
    world: World, resting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(_request: bytes, _deadline_ns: int) -> object:
        raise NotSent("no way to the venue")

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(world.outlet, "begin", unreachable)
    monkeypatch.setattr(world.loop.decisions, "flush", full)
    stop_at_once(world)
    settled = Settled()
    with pytest.raises(SessionUnclear) as ended:
        trade_until_stopped(world.loop, settled, 0.2)
    assert ended.value.actual == f"0x{resting.hex()}"
    assert isinstance(ended.value.__cause__, OSError)
    assert settled.times == 0
