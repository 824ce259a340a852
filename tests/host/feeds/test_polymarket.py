from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from strongroom_host.feeds.core import RESYNC, Timing
from strongroom_host.feeds.errors import BadFeed, Reason
from strongroom_host.feeds.polymarket import Polymarket
from strongroom_host.feeds.polymarket_messages import Level, book_hash
from strongroom_host.ring.tick import Flag, Kind, Side, Status, Tick

from tests.host.feeds.sinks import ListSink

ONE, TWO = "1" * 77, "2" * 77
SECOND = 10**9


def book(
    token: str = ONE,
    bids: Sequence[tuple[str, str]] = ((".48", "30"), ("0.49", "20")),
    asks: Sequence[tuple[str, str]] = (("0.53", "60"), ("0.52", "25.5")),
    at: int = 1000,
    **more: object,
) -> dict[str, object]:
    return {
        "event_type": "book",
        "asset_id": token,
        "market": "0xabc",
        "bids": [{"price": price, "size": size} for price, size in bids],
        "asks": [{"price": price, "size": size} for price, size in asks],
        "timestamp": str(at),
        "hash": "",
        **more,
    }


def hashed(message: dict[str, object], last: str = "0.5") -> dict[str, object]:
    """A book message with everything in it, and the hash that belongs to it."""
    facts = {"min_order_size": "5", "tick_size": "0.01", "neg_risk": False}
    sides = [
        [Level(level["price"], level["size"]) for level in message[side]]  # type: ignore[attr-defined]
        for side in ("bids", "asks")
    ]
    made = book_hash(
        "0xabc",
        str(message["asset_id"]),
        str(message["timestamp"]),
        *sides,
        min_order_size="5",
        tick_size="0.01",
        neg_risk=False,
        last_trade_price=last,
    )
    return {**message, **facts, "last_trade_price": last, "hash": made}


def change(
    *levels: tuple[str, str, str], at: int = 2000, token: str = ONE, **more: object
) -> dict[str, object]:
    entries = [
        {"asset_id": token, "side": side, "price": price, "size": size, **more}
        for side, price, size in levels
    ]
    return {
        "event_type": "price_change",
        "market": "0xabc",
        "price_changes": entries,
        "timestamp": str(at),
    }


def trade(price: str = "0.5", size: str = "7", at: int = 2000, **more: object) -> dict[str, object]:
    return {
        "event_type": "last_trade_price",
        "asset_id": ONE,
        "market": "0xabc",
        "price": price,
        "size": size,
        "side": "BUY",
        "fee_rate_bps": "0",
        "transaction_hash": "0x" + "ab" * 32,
        "timestamp": str(at),
        **more,
    }


class Channel:
    """A feed of two tokens whose connections are hands in a test."""

    def __init__(self, *tokens: str, timing: Timing | None = None) -> None:
        self.sink = ListSink()
        self.now = SECOND
        self.feed = Polymarket(
            1, self.sink, tokens or (ONE,), first_epoch=40, timing=timing or Timing()
        )

    def open(self, connection: int = 0) -> list[dict[str, object]]:
        self.feed.opened(connection, self.now)
        texts, self.feed.outbox = self.feed.outbox, []
        return [json.loads(text) for number, text in texts if number == connection]

    def say(self, *messages: object, connection: int = 0) -> list[Tick]:
        """What the venue sends, and the ticks that come of it."""
        for message in messages:
            self.now += 1_000_000
            text = message if isinstance(message, str) else json.dumps(message)
            self.feed.received(connection, text, self.now)
        return self.sink.take()

    def based(self) -> Channel:
        self.open()
        self.say([book()])
        return self

    @property
    def refused(self) -> dict[Reason, int]:
        return dict(self.feed.counters.refused)


def shown(ticks: Sequence[Tick]) -> list[tuple[Kind, int, int, int]]:
    return [(Kind(tick.kind), tick.side, tick.price, tick.size) for tick in ticks]


def test_a_snapshot_is_levels_and_then_the_best_of_both_sides() -> None:
    channel = Channel()
    (asked,) = channel.open()
    assert asked == {
        "type": "market",
        "assets_ids": [ONE],
        "custom_feature_enabled": True,
        "initial_dump": True,
    }
    ticks = channel.say([book()])
    assert shown(ticks) == [
        (Kind.STATUS, 0, 0, 0),
        (Kind.LEVEL, Side.BUY, 48_000_000, 30 * 10**8),
        (Kind.LEVEL, Side.BUY, 49_000_000, 20 * 10**8),
        (Kind.LEVEL, Side.SELL, 53_000_000, 60 * 10**8),
        (Kind.LEVEL, Side.SELL, 52_000_000, 25_50000000),
        (Kind.BEST_BID, Side.BUY, 49_000_000, 20 * 10**8),
        (Kind.BEST_ASK, Side.SELL, 52_000_000, 25_50000000),
    ]
    assert ticks[0].detail == Status.CONNECTED
    assert all(tick.flags & Flag.SNAPSHOT for tick in ticks[1:])
    assert [bool(tick.flags & Flag.LAST) for tick in ticks[1:]] == [False] * 5 + [True]
    assert {tick.venue_ns for tick in ticks[1:]} == {1_000_000_000}
    assert channel.sink.names == [f"polymarket:{ONE}"]
    assert {tick.epoch for tick in ticks} == {40}


def test_an_empty_book_is_said_to_be_empty() -> None:
    channel = Channel()
    channel.open()
    ticks = channel.say([book(bids=(), asks=())])
    assert shown(ticks)[1:] == [
        (Kind.LEVEL, Side.NONE, 0, 0),
        (Kind.BEST_BID, Side.BUY, 0, 0),
        (Kind.BEST_ASK, Side.SELL, 0, 0),
    ]


def test_changes_are_levels_and_the_bests_that_moved() -> None:
    channel = Channel().based()
    ticks = channel.say(change(("BUY", "0.50", "5"), best_bid="0.5", best_ask="0.52"))
    assert shown(ticks) == [
        (Kind.LEVEL, Side.BUY, 50_000_000, 5 * 10**8),
        (Kind.BEST_BID, Side.BUY, 50_000_000, 5 * 10**8),
    ]
    assert [tick.flags for tick in ticks] == [0, Flag.DERIVED | Flag.LAST]
    ticks = channel.say(change(("BUY", ".48", "31"), at=2001))
    assert shown(ticks) == [(Kind.LEVEL, Side.BUY, 48_000_000, 31 * 10**8)]
    assert ticks[0].flags == Flag.LAST
    ticks = channel.say(change(("BUY", "0.5", "0"), ("SELL", "0.52", "0"), at=2002))
    assert shown(ticks) == [
        (Kind.LEVEL, Side.BUY, 50_000_000, 0),
        (Kind.LEVEL, Side.SELL, 52_000_000, 0),
        (Kind.BEST_BID, Side.BUY, 49_000_000, 20 * 10**8),
        (Kind.BEST_ASK, Side.SELL, 53_000_000, 60 * 10**8),
    ]


def test_trades_tick_sizes_and_resolutions() -> None:
    channel = Channel().based()
    (tick,) = channel.say(trade())
    assert (tick.kind, tick.side, tick.price, tick.size) == (
        Kind.TRADE,
        Side.BUY,
        50_000_000,
        7 * 10**8,
    )
    assert tick.detail == 0xABABABABABABABAB
    (tick,) = channel.say(
        {
            "event_type": "tick_size_change",
            "asset_id": ONE,
            "old_tick_size": "0.01",
            "new_tick_size": "0.001",
            "timestamp": "3000",
        }
    )
    assert (tick.kind, tick.detail) == (Kind.TICK_SIZE, 100_000)
    resolved = {"event_type": "market_resolved", "market": "0xabc", "timestamp": "4000"}
    (tick,) = channel.say({**resolved, "assets_ids": [TWO, ONE], "winning_asset_id": ONE})
    assert (tick.kind, tick.detail, tick.price) == (Kind.STATUS, Status.MARKET_RESOLVED, 10**8)
    assert channel.say("PONG", {"event_type": "new_market", "id": "1", "market": "0x"}) == []
    assert channel.refused == {}


def test_a_book_after_a_trade_is_what_differs() -> None:
    channel = Channel().based()
    ticks = channel.say(book(bids=[("0.48", "30")], at=2500))
    assert shown(ticks) == [
        (Kind.LEVEL, Side.BUY, 49_000_000, 0),
        (Kind.BEST_BID, Side.BUY, 48_000_000, 30 * 10**8),
    ]
    assert channel.say(book(bids=[("0.48", "30")], at=2600)) == []


def test_the_second_connection_repeats_and_is_dropped() -> None:
    channel = Channel().based()
    channel.open(1)
    assert channel.say([book(at=1500)], connection=1) == [], "a second picture shows nothing new"
    first = channel.say(trade(), change(("BUY", "0.48", "1"), at=2001))
    assert len(first) == 2
    assert channel.say(trade(), change(("BUY", "0.48", "1"), at=2001), connection=1) == []
    assert channel.feed.merge.covering() == [0, 1]
    assert len(channel.say(trade(at=2002), connection=1)) == 1
    assert channel.say(trade(at=2002)) == []


def test_two_equal_prints_are_two_and_their_echoes_none() -> None:
    channel = Channel().based()
    channel.open(1)
    channel.say([book(at=1500)], connection=1)
    assert len(channel.say(trade(), trade())) == 2
    assert channel.say(trade(), trade(), connection=1) == []


def test_a_level_that_goes_and_comes_back_within_a_millisecond_is_back() -> None:
    channel = Channel().based()
    channel.open(1)
    steps = [change(("BUY", "0.47", size), at=2000) for size in ("10", "20", "10")]
    sizes = [tick.size for step in steps for tick in channel.say(step)]
    assert sizes == [10 * 10**8, 20 * 10**8, 10 * 10**8]
    assert [channel.say(step, connection=1) for step in steps] == [[], [], []]  # its echoes
    channel.say(change(("BUY", "0.46", "1"), at=2001))
    assert channel.say(steps[1]) == []  # equal, and older than the newest: an echo


def test_a_true_hash_passes_and_a_wrong_one_ends_the_epoch() -> None:
    channel = Channel()
    channel.open()
    ticks = channel.say([hashed(book())])
    assert channel.feed.counters.checked_books == 1
    assert ticks[-1].epoch == 40
    wrong = {**hashed(book(at=3000)), "hash": "0" * 40}
    ticks = channel.say(wrong)
    assert [(tick.epoch, tick.detail) for tick in ticks][-1] == (41, Status.BOOK_MISMATCH)
    assert channel.feed.counters.suspicions == {"book_hash": 1}
    assert channel.feed.endings == [(0, RESYNC)]


def test_a_hash_that_cannot_be_made_is_no_reason_for_doubt() -> None:
    channel = Channel()
    channel.open()
    channel.say([{**book(), "hash": "0" * 40}])
    facts = {"min_order_size": "5", "tick_size": "0.01", "neg_risk": False}
    channel.say({**book(at=1001), **facts, "hash": "0" * 40})
    assert not channel.feed.counters.suspicions
    assert channel.feed.counters.checked_books == 0


def made_hash(bids: Sequence[tuple[str, str]], at: int) -> str:
    return str(hashed(book(bids=bids, at=at))["hash"])


def test_hashes_beside_changes_count_once_one_was_the_books() -> None:
    channel = Channel()
    channel.open()
    channel.say([hashed(book())])
    bids = [("0.48", "31"), ("0.49", "20")]
    channel.say(change(("BUY", "0.48", "31"), at=2000, hash=made_hash(bids, 2000)))
    assert channel.feed.counters.checked_books == 2
    ticks = channel.say(change(("BUY", "0.48", "32"), at=2001, hash="0" * 40))
    assert ticks[-1].detail == Status.BOOK_MISMATCH
    assert channel.feed.counters.suspicions == {"change_hash": 1}


def test_hashes_beside_changes_that_are_something_else_are_left_alone() -> None:
    channel = Channel()
    channel.open()
    channel.say([hashed(book())])
    for n in range(40):
        channel.say(change(("BUY", "0.48", str(n + 1)), at=2000 + n, hash=f"{n:040x}"))
    assert not channel.feed.counters.suspicions
    assert len(channel.sink.statuses()) == 0
    assert channel.feed.lane.epoch == 40


def test_best_prices_that_contradict_the_book_end_the_epoch() -> None:
    channel = Channel().based()
    ticks = channel.say(change(("BUY", "0.48", "1"), best_bid="0.51", best_ask="0.52"))
    assert ticks[-1].detail == Status.BOOK_MISMATCH
    assert channel.feed.counters.suspicions == {"best": 1}
    assert channel.feed.endings == [(0, RESYNC)]


def test_a_book_that_knows_of_another_trade_shows_that_one_was_missed() -> None:
    channel = Channel()
    channel.open()
    channel.say([hashed(book())])
    channel.say(trade("0.49"))
    channel.say(hashed(book(at=3000), last="0.49"))
    assert not channel.feed.counters.suspicions
    ticks = channel.say(hashed(book(at=3001), last="0.51"))
    assert [tick.detail for tick in ticks] == [Status.BOOK_MISMATCH]
    assert channel.feed.counters.suspicions == {"trade": 1}


def test_a_book_that_differs_from_what_changes_told_shows_that_one_was_missed() -> None:
    channel = Channel()
    channel.open()
    channel.say([hashed(book())])
    bids = [("0.48", "31"), ("0.49", "20")]
    channel.say(change(("BUY", "0.48", "31"), at=2000, hash=made_hash(bids, 2000)))
    ticks = channel.say(hashed(book(bids=[("0.48", "30"), ("0.49", "20")], at=2001)))
    assert [tick.kind for tick in ticks] == [Kind.LEVEL, Kind.STATUS]
    assert channel.feed.counters.suspicions == {"unexplained": 1}


@pytest.mark.parametrize(("best_bid", "best_ask"), [("0", "1"), ("", ""), ("0", "0")])
def test_no_best_price_is_written_in_several_ways(best_bid: str, best_ask: str) -> None:
    channel = Channel()
    channel.open()
    channel.say([book(bids=[("0.4", "1")], asks=())])
    channel.say(change(("BUY", "0.4", "0"), best_bid=best_bid, best_ask=best_ask))
    assert not channel.feed.counters.suspicions


def test_three_false_alarms_in_a_row_silence_a_check() -> None:
    channel = Channel(timing=Timing(resubscribe=0.001)).based()
    for n in range(5):
        channel.say(change(("BUY", "0.48", str(n + 1)), at=2000 + 10 * n, best_bid="0.3"))
        channel.feed.endings.clear()
        channel.feed.closed(0, RESYNC, channel.now)
        channel.open()
        bids = [("0.48", str(n + 1)), ("0.49", "20")]
        channel.say([book(bids=bids, at=2005 + 10 * n)])
    assert channel.feed.counters.suspicions == {"best": 5}
    assert channel.feed.counters.false_alarms == {"best": 3}
    assert channel.feed.counters.resubscribed == 3


def test_a_true_alarm_makes_the_check_count_again() -> None:
    channel = Channel(timing=Timing(resubscribe=0.001)).based()
    for n in range(5):
        channel.now += 10 * SECOND
        channel.say(change(("BUY", "0.48", str(n + 1)), at=2000 + 10 * n, best_bid="0.3"))
        channel.feed.closed(0, RESYNC, channel.now)
        channel.open()
        channel.say([book(bids=[("0.3", str(n + 1))], at=2005 + 10 * n)])
    assert channel.feed.counters.suspicions == {"best": 5}
    assert not channel.feed.counters.false_alarms["best"]
    assert channel.feed.counters.resubscribed == 5


def test_what_is_older_than_the_book_is_out_of_order() -> None:
    channel = Channel().based()
    channel.say(change(("BUY", "0.48", "2"), at=2001))
    ticks = channel.say(change(("BUY", "0.48", "1"), at=2000))
    assert [tick.detail for tick in ticks] == [Status.BOOK_MISMATCH]
    assert channel.feed.counters.suspicions == {"order": 1}


def test_the_hole_of_a_lost_connection_is_an_epoch_and_a_fresh_book() -> None:
    channel = Channel().based()
    channel.feed.closed(0, "cut", channel.now)
    (lost,) = channel.sink.take()
    assert (lost.detail, lost.epoch) == (Status.LOST, 40)
    channel.open()
    assert channel.sink.take() == [], "nothing is said until the venue sends"
    ticks = channel.say([book(at=9000)])
    assert (ticks[0].detail, ticks[0].epoch, ticks[0].number) == (Status.RESUMED, 41, 0)
    assert all(tick.flags & Flag.SNAPSHOT for tick in ticks[1:])
    assert channel.feed.counters.recoveries == 1


def test_events_that_a_fresh_snapshot_holds_already_are_not_repeated() -> None:
    channel = Channel().based()
    channel.open(1)
    channel.say([book(at=1500)], connection=1)
    channel.say(trade(at=1600))
    channel.say(trade(at=1600), connection=1)
    channel.feed.closed(0, "cut", channel.now)
    channel.say(change(("BUY", "0.48", "9"), best_bid="0.3", at=1700), connection=1)
    assert channel.feed.lane.epoch == 41
    channel.open(0)
    channel.say([book(bids=[("0.47", "1")], at=2000)])
    # The other one is behind: what it brings of before the snapshot must not undo it.
    assert channel.say(change(("BUY", "0.46", "5"), at=1900), connection=1) == []
    assert len(channel.say(change(("BUY", "0.46", "6"), at=2100), connection=1)) == 1


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("{", Reason.MALFORMED),
        ('"PING"', Reason.MALFORMED),
        ("[1]", Reason.MALFORMED),
        ("[" * 3000, Reason.MALFORMED),
        ({"event_type": "book"}, Reason.MALFORMED),
        ({"event_type": 5}, Reason.MALFORMED),
        (change(("HOLD", "0.4", "1")), Reason.MALFORMED),
        (change(("BUY", "x", "1")), Reason.MALFORMED),
        (change(("BUY", "0.4", "1.0000000001")), Reason.INEXACT),
        (change(("BUY", "0.4", "99999999999999")), Reason.OUT_OF_RANGE),
        ({**change(("BUY", "0.4", "1")), "timestamp": "soon"}, Reason.MALFORMED),
        (trade(side="NONE"), Reason.MALFORMED),
        (trade(price="-1"), Reason.MALFORMED),
        (book(bids=[("a", "1")], at=5000), Reason.MALFORMED),
        ({"error": "INVALID OPERATION"}, Reason.VENUE_ERROR),
    ],
)
def test_what_cannot_be_taken_ends_the_epoch_and_nothing_else(
    message: object, reason: Reason
) -> None:
    channel = Channel().based()
    ticks = channel.say(message)
    assert channel.refused == {reason: 1}
    assert [(tick.kind, tick.epoch) for tick in ticks] == [(Kind.STATUS, 41)]
    assert len(channel.say(trade(at=8000))) == 1


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"event_type": "weather", "sun": 1}, Reason.UNKNOWN_TYPE),
        (book(TWO), Reason.NOT_ASKED_FOR),
        ({**trade(), "asset_id": TWO}, Reason.NOT_ASKED_FOR),
    ],
)
def test_what_is_of_no_concern_is_counted_and_ends_nothing(message: object, reason: Reason) -> None:
    channel = Channel().based()
    assert channel.say(message) == []
    assert channel.refused == {reason: 1}
    assert channel.feed.lane.epoch == 40
    assert channel.say(change(("BUY", "0.1", "1"), token=TWO)) == []


def test_of_a_message_with_a_part_that_is_not_understood_the_rest_is() -> None:
    channel = Channel().based()
    ticks = channel.say([{"event_type": "weather"}, trade(), {"event_type": "news"}])
    assert [tick.kind for tick in ticks] == [Kind.TRADE]
    assert channel.refused == {Reason.UNKNOWN_TYPE: 2}


def test_a_feed_needs_tokens() -> None:
    for tokens in ((), ("0x12",), ("1" * 79,), ("",)):
        with pytest.raises(BadFeed):
            Polymarket(1, ListSink(), tokens, first_epoch=0)


def test_resubscribing_takes_longer_the_oftener_it_is_needed() -> None:
    channel = Channel(timing=Timing(resubscribe=1.0)).based()
    asked: list[int] = []
    for n in range(400):
        channel.now += SECOND // 10
        bids = [("0.3", str(n + 1))]
        channel.say(change(("BUY", "0.48", str(n + 1)), at=2000 + 10 * n, best_bid="0.2"))
        channel.feed.overdue(channel.now)
        if channel.feed.counters.resubscribed > len(asked):
            asked.append(channel.now)
            channel.feed.closed(0, RESYNC, channel.now)
            channel.open()
            channel.say([book(bids=bids, at=2005 + 10 * n)])
    gaps = [(b - a) / SECOND for a, b in pairwise(asked)]
    assert len(asked) >= 3
    assert gaps[0] >= 1
    assert all(b > 1.5 * a for a, b in pairwise(gaps))
