"""Ticks to orders at a venue that checks everything, through the loop as it runs."""

import time
from dataclasses import replace

import pytest
from strongroom_host.enclave_client.errors import ChannelBroken
from strongroom_host.latency.stages import PARTS, Stage
from strongroom_host.latency.stats import Counter
from strongroom_host.log.keeper_client import KeeperUnreachable
from strongroom_host.ring.tick import Kind, Status
from strongroom_host.store import Journal, OrderState
from strongroom_host.strategy.port import Cancel, CancelAll, OrderType, Outcome, Reason
from strongroom_host.testnet import Fault, FaultKind
from strongroom_host.testnet.orders import Side as HouseSide
from strongroom_host.trading.ending import end_session
from strongroom_host.trading.errors import RingEnded
from strongroom_host.trading.gate import Held
from strongroom_wire.errors import Code, Rule

from tests.host.trading.world import World, buy

GTC = OrderType.GTC


def test_a_tick_becomes_a_fill_at_the_venue(world: World) -> None:
    world.decide(buy())
    world.run(lambda: bool(world.strategy.events))
    (event,) = world.strategy.events
    assert (event.number, event.outcome) == (1, Outcome.FILLED)
    assert event.filled == 10_000_000
    assert event.cash == -6_100_000  # asks begin at 0.61
    assert event.open == 0
    assert world.submissions() == {event.order_hash: 1}
    assert world.journal.get(event.order_hash).state is OrderState.ACCEPTED
    stages = world.figures.stages
    timed = (*PARTS, Stage.SIGNED, Stage.OUT, Stage.ANSWER)
    assert {stage.name: stages[stage].total() for stage in timed} == {s.name: 1 for s in timed}
    kinds = [line["record"] for line in world.lines()]
    assert kinds == ["session", "decision", "answer", "event"]
    assert world.lines()[1]["inputs_digest"] == bytes(range(32)).hex()


def test_the_hash_is_on_the_disk_before_the_first_byte_leaves(world: World) -> None:
    begin, seen = world.outlet.begin, list[OrderState]()

    def look(request: bytes, deadline_ns: int) -> object:
        if request.startswith(b"POST /order "):
            seen.extend(entry.state for entry in world.journal.entries())
        return begin(request, deadline_ns)

    world.outlet.begin = look  # type: ignore[method-assign, assignment]
    world.decide(buy())
    world.run(lambda: bool(world.strategy.events))
    assert seen == [OrderState.SENT]


def test_what_rests_is_told_and_its_fill_when_it_comes(world: World) -> None:
    world.decide(buy("0.60", "5", GTC))
    world.run(lambda: "LIVE" in world.strategy.outcomes())
    world.server.clob.house_order(world.token, HouseSide.SELL, 6000, 2_000_000, rests=False)
    world.run(lambda: "FILLED" in world.strategy.outcomes())
    filled = world.strategy.events[-1]
    assert (filled.filled, filled.cash, filled.open) == (2_000_000, -1_200_000, 3_000_000)
    world.decide(Cancel(filled.order_hash, Reason.REQUOTE, bytes(32)))
    world.run(lambda: "CANCELLED" in world.strategy.outcomes())
    assert world.strategy.outcomes() == ["LIVE", "FILLED", "CANCELLED"]
    assert world.journal.get(filled.order_hash).state is OrderState.CLOSED
    assert not world.path.book.open


def test_cancel_all_takes_back_everything(world: World) -> None:
    world.decide(buy("0.55", "5", GTC))
    world.run(lambda: "LIVE" in world.strategy.outcomes())
    world.decide(buy("0.54", "5", GTC))
    world.run(lambda: world.strategy.outcomes().count("LIVE") == 2)
    world.decide(CancelAll(Reason.GAP, bytes(32)))
    world.run(lambda: world.strategy.outcomes().count("CANCELLED") == 2)
    assert {event.number for event in world.strategy.events} == {1, 2}


def test_a_denial_is_told_with_its_rule_and_nothing_is_sent(world: World) -> None:
    world.signer.deny = (Rule.ORDER_NOTIONAL, 25_000_000, 61_000_000)
    world.decide(buy(size="100"))
    world.run(lambda: bool(world.strategy.events))
    (event,) = world.strategy.events
    assert (event.outcome, event.code) == (Outcome.DENIED, Rule.ORDER_NOTIONAL)
    assert world.count(Counter.SENT) == 0
    assert not world.journal.entries()
    said = [item for item in world.loop.said if item.answered]
    assert said[0].answered is not None
    assert (said[0].answered.limit, said[0].answered.actual) == (25_000_000, 61_000_000)
    assert world.lines()[2]["rule"] == "ORDER_NOTIONAL"


def test_a_refusal_that_is_no_rule_is_a_denial_with_its_code(world: World) -> None:
    world.signer.refuse = Code.BAD_AMOUNT
    world.decide(buy())
    world.run(lambda: bool(world.strategy.events))
    assert world.strategy.events[0].code == Code.BAD_AMOUNT


def test_the_kill_switch_ends_orders_and_cancels_what_rests(world: World) -> None:
    world.decide(buy("0.55", "5", GTC))
    world.run(lambda: "LIVE" in world.strategy.outcomes())
    world.signer.deny = (Rule.KILL_SWITCH, 0, 0)
    world.decide(buy())
    world.run(lambda: "CANCELLED" in world.strategy.outcomes())
    world.decide(buy())
    world.run(lambda: world.count(Counter.HELD) == 1)
    assert world.loop.said[-1].held is Held.KILLED or world.loop.said[-2].held is Held.KILLED
    assert world.count(Counter.SENT) == 1


def test_an_answer_that_never_comes_is_asked_for_and_never_sent_again(world: World) -> None:
    world.server.faults.arm(Fault(FaultKind.DROP_AFTER))
    world.decide(buy())
    world.run(lambda: "FILLED" in world.strategy.outcomes())
    assert world.strategy.outcomes()[0] == "UNKNOWN"
    (event,) = (event for event in world.strategy.events if event.outcome is Outcome.FILLED)
    assert event.filled == 10_000_000
    assert list(world.submissions().values()) == [1]
    assert world.count(Counter.RECONCILED) == 1
    assert world.journal.get(event.order_hash).state is OrderState.FILLED


def test_an_order_that_was_lost_on_the_way_ends_as_absent(world: World) -> None:
    world.server.faults.arm(Fault(FaultKind.DROP_BEFORE))
    world.decide(buy())
    world.run(lambda: "NOT_SENT" in world.strategy.outcomes())
    assert world.strategy.outcomes() == ["UNKNOWN", "NOT_SENT"]
    assert world.journal.entries()[0].state is OrderState.ABSENT


def test_while_an_outcome_is_unknown_the_market_is_left_alone(world: World) -> None:
    world.server.faults.arm(Fault(FaultKind.DELAY_BEFORE, seconds=0.5))
    world.decide(buy())
    world.decide(buy())
    world.run(lambda: world.count(Counter.HELD) == 1)
    assert world.count(Counter.SENT) == 1
    assert any(item.held is Held.BUSY for item in world.loop.said)
    world.run(lambda: "FILLED" in world.strategy.outcomes())
    world.decide(buy())
    world.run(lambda: world.strategy.outcomes().count("FILLED") == 2)


def test_a_refusal_by_the_venue_is_told(world: World) -> None:
    world.decide(buy("0.30", "1", GTC))  # below the market's least size
    world.run(lambda: bool(world.strategy.events))
    assert (world.strategy.events[0].outcome, world.strategy.events[0].code) == (
        Outcome.REFUSED,
        400,
    )


@pytest.mark.parametrize("status", [Status.LOST, Status.STALLED, Status.BOOK_MISMATCH])
def test_a_feed_that_is_down_stops_new_orders_until_it_is_back(
    world: World, status: Status
) -> None:
    world.ticks.add(Kind.STATUS, detail=int(status))
    world.decide(buy())
    world.strategy.plan.appendleft(())
    world.run(lambda: world.count(Counter.HELD) == 1)
    assert world.count(Counter.SENT) == 0
    world.strategy.plan.append(())
    world.ticks.add(Kind.STATUS, detail=int(Status.RESUMED))
    world.decide(buy())
    world.run(lambda: world.count(Counter.SENT) == 1)


def test_a_resolved_market_is_left_alone(world: World) -> None:
    world.strategy.plan.append(())
    world.ticks.add(Kind.STATUS, detail=int(Status.MARKET_RESOLVED))
    world.decide(buy())
    world.run(lambda: world.count(Counter.HELD) == 1)
    assert any(item.held is Held.RESOLVED for item in world.loop.said)


def test_a_tick_that_is_late_moves_nothing(world: World) -> None:
    world.decide(buy(), age_s=1.0)
    world.run(lambda: world.count(Counter.HELD) == 1)
    assert any(item.held is Held.LATE for item in world.loop.said)


def test_ticks_of_the_past_move_nothing(world: World) -> None:
    """As when a ring replays a tape, or this machine's clock is off."""
    world.decide(buy(), venue_ns=time.time_ns() - 6_000_000_000)
    world.run(lambda: world.count(Counter.HELD) == 1)
    assert any(item.held is Held.CLOCK for item in world.loop.said)
    world.decide(buy(), venue_ns=time.time_ns())
    world.run(lambda: world.count(Counter.SENT) == 1)


def test_when_no_tick_comes_any_more_what_rests_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.decide(buy("0.55", "5", GTC))
    world.run(lambda: "LIVE" in world.strategy.outcomes())
    monkeypatch.setattr("strongroom_host.trading.loop._SILENCE_NS", 50_000_000)
    world.run(lambda: "CANCELLED" in world.strategy.outcomes())
    assert world.count(Counter.CANCELS) == 1


def test_a_gap_is_told_before_the_tick_and_may_cancel(world: World) -> None:
    world.decide(buy("0.55", "5", GTC))
    world.run(lambda: "LIVE" in world.strategy.outcomes())
    world.strategy.on_missed = (CancelAll(Reason.GAP, bytes(32)),)
    world.ticks.add(gap=17)
    world.run(lambda: "CANCELLED" in world.strategy.outcomes())
    assert world.strategy.gaps == [17]
    assert (world.count(Counter.GAPS), world.count(Counter.MISSED)) == (1, 17)
    assert [line["missed"] for line in world.lines() if line["record"] == "gap"] == [17]


def test_no_more_than_so_many_orders_in_a_second(world: World) -> None:
    world.gate.limits = type(world.gate.limits)(per_second=2)
    for _ in range(4):
        world.decide(buy())
        world.run(lambda: not world.ticks._waiting and not world.path.under_way)
    assert world.count(Counter.SENT) <= 3
    assert any(item.held is Held.RATE for item in world.loop.said)


def test_a_market_that_is_not_traded_gets_no_order(world: World) -> None:
    world.decide(replace(buy(), instrument=9))
    world.run(lambda: world.count(Counter.HELD) == 1)
    assert not world.signer.asked


def test_a_new_tick_size_is_used_from_then_on(world: World) -> None:
    world.strategy.plan.append(())
    world.ticks.add(Kind.TICK_SIZE, detail=100_000)  # 0.001
    world.decide(buy())
    world.run(lambda: bool(world.signer.asked))
    assert world.signer.asked[0].orders[0].tick == 4


def test_without_the_enclave_nothing_leaves_and_the_loop_says_so(world: World) -> None:
    world.signer.broken = ChannelBroken("gone")
    world.decide(buy())
    with pytest.raises(ChannelBroken):
        world.loop.run()
    assert not world.journal.entries()


def test_what_the_keeper_does_not_keep_is_not_sent(world: World) -> None:
    def refuse(entries: object) -> None:
        raise KeeperUnreachable("no answer")

    world.path._kept = refuse
    world.decide(buy())
    world.run(lambda: bool(world.strategy.events))
    assert world.strategy.outcomes() == ["NOT_SENT"]
    assert "not sent: not kept in the log" in world.path.withheld
    assert world.journal.entries()[0].state is OrderState.UNSENT
    world.path._kept = None
    world.decide(buy())
    world.run(lambda: "FILLED" in world.strategy.outcomes())


def test_the_end_takes_back_what_rests_and_waits_for_the_rest(world: World) -> None:
    world.decide(buy("0.55", "5", GTC))
    world.run(lambda: "LIVE" in world.strategy.outcomes())
    world.server.faults.arm(Fault(FaultKind.DELAY_AFTER, seconds=0.3))
    world.decide(buy())
    world.run(lambda: world.count(Counter.SENT) == 2)
    assert end_session(world.loop, 10.0) == ()
    assert sorted(world.strategy.outcomes()) == ["CANCELLED", "FILLED", "LIVE"]
    assert not world.path.under_way
    assert {line["record"] for line in world.lines()} == {"session", "decision", "answer", "event"}


def test_the_next_life_takes_back_what_the_last_one_left(world: World) -> None:
    world.decide(buy("0.55", "5", GTC))
    world.run(lambda: "LIVE" in world.strategy.outcomes())
    (left,) = world.path.book.open
    world.journal.close()  # as after a kill: nothing was ended
    again = World(world.server, world.folder, trader=world.trader)
    assert again.path.take_over() == 1
    again.run(lambda: not again.path.under_way)
    assert world.server.clob.orders[left].status.value.startswith("CANCEL")
    again.close()
    world.journal = Journal(world.folder / "journal.db")  # to be closed with the rest


def test_a_ring_that_ended_is_said(world: World) -> None:
    world.ticks.closed = True
    with pytest.raises(RingEnded, match="feed"):
        world.loop.run()
