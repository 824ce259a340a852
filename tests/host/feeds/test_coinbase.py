from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.feeds.coinbase import Coinbase, iso_ns
from strongroom_host.feeds.core import RESYNC
from strongroom_host.feeds.errors import BadFeed, Reason, Refused
from strongroom_host.ring.tick import Flag, Kind, Side, Status, Tick

from tests.host.feeds.sinks import ListSink

SECOND = 10**9
EARLIEST, LATEST = datetime(1970, 1, 1), datetime(2262, 1, 1)  # noqa: DTZ001
AT = "2026-11-21T14:00:00.123456789Z"


def trades(*numbers: int, kind: str = "update", product: str = "BTC-USD") -> dict[str, object]:
    return {
        "type": kind,
        "trades": [
            {
                "trade_id": str(number),
                "product_id": product,
                "price": "60000.01",
                "size": "0.5",
                "side": "BUY",
                "time": AT,
            }
            for number in numbers
        ],
    }


def levels(*changed: tuple[str, str, str], kind: str = "update") -> dict[str, object]:
    return {
        "type": kind,
        "product_id": "BTC-USD",
        "updates": [
            {"side": side, "event_time": AT, "price_level": price, "new_quantity": size}
            for side, price, size in changed
        ],
    }


def ticker(bid: str = "60000", ask: str = "60001", product: str = "BTC-USD") -> dict[str, object]:
    best = {
        "product_id": product,
        "best_bid": bid,
        "best_bid_quantity": "1",
        "best_ask": ask,
        "best_ask_quantity": "2",
    }
    return {"type": "update", "tickers": [best]}


class Stream:
    """A feed whose connections are hands in a test; each has its own count of messages."""

    def __init__(self, *, books: bool = False, depth: int = 100) -> None:
        self.sink, self.now = ListSink(), SECOND
        self.feed = Coinbase(3, self.sink, ["BTC-USD"], first_epoch=9, books=books, depth=depth)
        self.numbers: dict[int, int] = {}

    def open(self, connection: int = 0) -> list[str]:
        self.numbers[connection] = 0
        self.feed.opened(connection, self.now)
        texts, self.feed.outbox = self.feed.outbox, []
        return [json.loads(text)["channel"] for number, text in texts if number == connection]

    def say(self, channel: str, *events: object, connection: int = 0, skip: int = 0) -> list[Tick]:
        self.now += 1_000_000
        self.numbers[connection] += skip
        message = {
            "channel": channel,
            "client_id": "",
            "timestamp": AT,
            "sequence_num": self.numbers[connection],
            "events": events,
        }
        self.numbers[connection] += 1
        self.feed.received(connection, json.dumps(message), self.now)
        return self.sink.take()


def numbers(ticks: Sequence[Tick]) -> list[int]:
    return [tick.detail for tick in ticks if tick.kind == Kind.TRADE]


def test_trades_of_a_message_come_latest_first_and_are_turned_round() -> None:
    stream = Stream()
    assert stream.open() == ["heartbeats", "market_trades", "ticker"]
    assert stream.say("subscriptions", {"subscriptions": {"ticker": ["BTC-USD"]}}) == []
    ticks = stream.say("market_trades", trades(7, 6, 5))
    assert ticks[0].detail == Status.CONNECTED
    assert numbers(ticks) == [5, 6, 7]
    tick = ticks[1]
    assert (tick.price, tick.size, tick.side) == (60_000_01000000, 5 * 10**7, Side.SELL)
    seconds = int(datetime(2026, 11, 21, 14, tzinfo=UTC).timestamp())
    assert tick.venue_ns == seconds * SECOND + 123_456_789


def test_trades_of_before_are_no_trades_now() -> None:
    stream = Stream()
    stream.open()
    assert numbers(stream.say("market_trades", trades(3, 2, 1, kind="snapshot"))) == []


def test_best_prices_are_published_when_they_change() -> None:
    stream = Stream()
    stream.open()
    ticks = stream.say("ticker", ticker())[1:]
    assert [(tick.kind, tick.price, tick.size) for tick in ticks] == [
        (Kind.BEST_BID, 60_000 * 10**8, 10**8),
        (Kind.BEST_ASK, 60_001 * 10**8, 2 * 10**8),
    ]
    assert [tick.kind for tick in stream.say("ticker", ticker(ask="60002"))] == [Kind.BEST_ASK]


def test_a_hole_in_the_count_ends_the_epoch() -> None:
    stream = Stream()
    stream.open()
    stream.say("market_trades", trades(1))
    ticks = stream.say("market_trades", trades(4), skip=2)
    assert [(tick.epoch, tick.kind) for tick in ticks] == [(10, Kind.STATUS), (10, Kind.TRADE)]
    assert stream.feed.counters.skipped == 2
    assert stream.feed.counters.lost == 2


def test_a_hole_in_a_quiet_channel_shows_at_the_next_heartbeat() -> None:
    stream = Stream()
    stream.open()
    stream.say("market_trades", trades(1))
    beat = {"current_time": "", "heartbeat_counter": "3049"}
    ticks = stream.say("heartbeats", beat, skip=1)
    assert [(tick.epoch, tick.kind) for tick in ticks] == [(10, Kind.STATUS)]


def test_what_one_connection_skips_the_other_brings() -> None:
    stream = Stream()
    stream.open(0)
    stream.open(1)
    stream.say("market_trades", trades(1))
    stream.say("market_trades", trades(1), connection=1)
    assert stream.say("market_trades", trades(3), skip=1) == []
    assert numbers(stream.say("market_trades", trades(2), connection=1)) == [2]
    assert numbers(stream.say("market_trades", trades(3), connection=1)) == [3]
    assert stream.feed.merge.covering() == [0, 1]
    assert stream.feed.lane.epoch == 9


def test_an_old_message_is_not_taken() -> None:
    stream = Stream()
    stream.open()
    stream.say("market_trades", trades(1))
    stream.say("market_trades", trades(2))
    stream.numbers[0] = 1
    assert stream.say("market_trades", trades(2)) == []
    assert stream.feed.counters.stale == 1


@pytest.mark.parametrize("huge", [False, True])
def test_a_connection_that_counts_anew_is_not_deaf_for_ever(huge: bool) -> None:
    """Every message would be an old one from there on, and nothing would say so."""
    stream = Stream()
    stream.open()
    stream.say("market_trades", trades(1), skip=(1 << 62) if huge else 1000)
    before = stream.say("market_trades", trades(2))[0].epoch
    stream.numbers[0] = 0
    for number in range(63):
        assert stream.say("market_trades", trades(3 + number)) == []
    assert stream.feed.endings == []
    stream.say("market_trades", trades(70))
    assert stream.feed.endings == [(0, "numbered_anew")]
    stream.feed.closed(0, "numbered_anew", stream.now)
    stream.open()
    after = stream.say("market_trades", trades(71))
    assert numbers(after) == [71]
    assert after[-1].epoch != before


def test_echoes_in_between_end_nothing() -> None:
    stream = Stream()
    stream.open()
    for number in range(1, 200):
        stream.say("market_trades", trades(number))
        stream.numbers[0] -= 1
        assert stream.say("market_trades", trades(number)) == []
    assert stream.feed.endings == []
    assert stream.feed.counters.breaks == 0


def test_books_begin_with_the_best_levels_of_a_snapshot() -> None:
    stream = Stream(books=True, depth=2)
    assert stream.open()[-1] == "level2"
    assert stream.say("market_trades", trades(1)) == [], "not before the book is there"
    picture = levels(
        ("bid", "1", "5"),
        ("bid", "3", "5"),
        ("bid", "2", "5"),
        ("offer", "6", "5"),
        ("offer", "4", "5"),
        ("offer", "5", "5"),
        kind="snapshot",
    )
    ticks = stream.say("l2_data", picture)[1:]
    assert [(tick.side, tick.price // 10**8) for tick in ticks] == [(1, 3), (1, 2), (2, 4), (2, 5)]
    assert [bool(tick.flags & Flag.LAST) for tick in ticks] == [False] * 3 + [True]
    (tick,) = stream.say("l2_data", levels(("bid", "1", "0")))
    assert (tick.kind, tick.price, tick.size) == (Kind.LEVEL, 10**8, 0)
    assert numbers(stream.say("market_trades", trades(2))) == [2]


def test_a_hole_in_a_book_has_it_shown_anew() -> None:
    stream = Stream(books=True)
    stream.open()
    stream.say("l2_data", levels(("bid", "1", "5"), kind="snapshot"))
    ticks = stream.say("l2_data", levels(("bid", "1", "6")), skip=1)
    assert [tick.epoch for tick in ticks] == [10, 10]
    assert stream.feed.endings == [(0, RESYNC)]
    stream.feed.closed(0, RESYNC, stream.now)
    stream.open()
    ticks = stream.say("l2_data", levels(("bid", "1", "7"), kind="snapshot"))
    assert [(tick.kind, tick.detail) for tick in ticks][:2] == [
        (Kind.STATUS, Status.LOST),
        (Kind.STATUS, Status.RESUMED),
    ]
    assert ticks[-1].flags == Flag.SNAPSHOT | Flag.LAST


def test_an_empty_book_is_said_to_be_empty() -> None:
    stream = Stream(books=True)
    stream.open()
    tick = stream.say("l2_data", levels(kind="snapshot"))[-1]
    assert (tick.kind, tick.side, tick.size, tick.flags) == (Kind.LEVEL, 0, 0, 3)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("", Reason.MALFORMED),
        ("[]", Reason.MALFORMED),
        ("{}", Reason.MALFORMED),
        ({"type": "error", "message": "no"}, Reason.VENUE_ERROR),
        ({"channel": "candles", "sequence_num": 1}, Reason.UNKNOWN_TYPE),
        ({"channel": "market_trades", "sequence_num": 1, "events": 5}, Reason.MALFORMED),
        (
            {"channel": "market_trades", "sequence_num": 1, "events": [trades(2, product="X")]},
            Reason.NOT_ASKED_FOR,
        ),
        (
            {"channel": "ticker", "timestamp": AT, "sequence_num": 1, "events": [ticker("1e3")]},
            Reason.MALFORMED,
        ),
        (
            {"channel": "ticker", "timestamp": "now", "sequence_num": 1, "events": [{}]},
            Reason.MALFORMED,
        ),
    ],
)
def test_what_cannot_be_taken_is_counted(message: object, reason: Reason) -> None:
    stream = Stream()
    stream.open()
    stream.say("market_trades", trades(1))
    text = message if isinstance(message, str) else json.dumps(message)
    stream.feed.received(0, text, stream.now)
    assert stream.feed.counters.refused == {reason: 1}
    assert (stream.feed.lane.epoch == 9) == (not reason.loses)


@given(st.datetimes(EARLIEST, LATEST), st.integers(0, 9))
def test_times_are_read_to_the_nanosecond(moment: datetime, places: int) -> None:
    exact = int(moment.replace(microsecond=0, tzinfo=UTC).timestamp()) * SECOND
    fraction = f"{moment.microsecond:06d}789"[:places]
    text = moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}" if places else "") + "Z"
    assert iso_ns(text) == exact + int(fraction.ljust(9, "0") or 0)


@pytest.mark.parametrize(
    "text",
    ["", "Z", "2026-11-21 14:00:00Z", "2026-11-21T14:00:00", "2026-13-21T14:00:00Z"]
    + ["2026-11-21T14:00:00.Z", "2026-11-21T14:00:00.1234567890Z", "2026-11-21T14:00:00,5Z"],
)
def test_other_texts_are_no_times(text: str) -> None:
    with pytest.raises(Refused):
        iso_ns(text)


def test_a_feed_needs_products() -> None:
    for products in ([], ["BTC/USD"], [""]):
        with pytest.raises(BadFeed):
            Coinbase(3, ListSink(), products, first_epoch=0)
