"""A spot venue on its worst days: a trade is seen once, or an epoch ends where it is missing."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from functools import partial

import pytest
from strongroom_host.errors import BadInput
from strongroom_host.feed_venues.binance import BinanceVenue
from strongroom_host.feed_venues.frames import CLOSE, PING, TEXT, frame
from strongroom_host.feed_venues.server import Link
from strongroom_host.feeds.binance import Binance
from strongroom_host.feeds.core import Timing
from strongroom_host.feeds.endpoints import Endpoint
from strongroom_host.feeds.errors import Reason
from strongroom_host.feeds.keeper import Keeper
from strongroom_host.ring.tick import Kind, Status

from tests.host.feed_venues.runs import (
    CALM,
    IMPATIENT,
    QUICK,
    assert_no_silent_gap,
    best_is,
    keeping,
    until,
)
from tests.host.feeds.sinks import ListSink


class Day:
    """A venue, a feed of it, and what is asked of both."""

    def __init__(self, venue: BinanceVenue, timing: Timing = CALM) -> None:
        self.venue, self.sink = venue, ListSink()
        self.feed = Binance(2, self.sink, ["BTCUSDT"], first_epoch=7, timing=timing)
        self.endpoint = Endpoint(venue.url)

    async def up(self, connections: int = 2) -> None:
        """All connections stand and are known to cover."""
        await until(lambda: self._subscribed() == connections, "all subscribed")
        while len(self.feed.merge.covering()) < connections:
            await self.trade()

    def _subscribed(self) -> int:
        return self.venue.do(lambda: sum(bool(link.heard) for link in self.venue.links))

    async def trade(self, count: int = 1) -> None:
        for _ in range(count):
            self.venue.do(self.venue.trade)
            await asyncio.sleep(0.002)

    async def settled(self) -> None:
        """The latest trade has come, or the next one has."""
        for _ in range(400):
            await self.trade()
            latest = self.venue.truth[-1].number
            await asyncio.sleep(0.01)
            if any(t.detail == latest for t in self.sink.of(Kind.TRADE)):
                return
        raise AssertionError("the feed has not come back")

    def seen(self) -> tuple[int, int]:
        """How many trades were seen and are missing, if the promise was kept."""
        truth = self.venue.do(lambda: [made.number for made in self.venue.truth])
        return assert_no_silent_gap(self.sink.ticks, truth)

    def link(self, at: int = 0) -> Link:
        return self.venue.links[at]


@pytest.mark.parametrize("connections", [1, 2])
def test_a_quiet_day_misses_nothing(connections: int) -> None:
    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue)
            async with keeping(day.feed, day.endpoint, connections=connections):
                await day.up(connections)
                await day.trade(50)
                await day.settled()
                assert day.seen()[1] == 0
                assert day.sink.statuses() == [Status.CONNECTED]
                last = venue.truth[-1]
                assert best_is(day.sink.ticks, Kind.BEST_BID) == (last.price - 1) * 10**6
                tick = day.sink.of(Kind.TRADE)[-1]
                assert (tick.price, tick.size) == (last.price * 10**6, last.size * 1000)
                assert tick.side == (2 if last.buyer_made else 1)
                assert tick.epoch == 7

    asyncio.run(run())


HARMS: dict[str, Callable[[Link], None]] = {
    "cut": Link.cut,
    "code": lambda link: link.raw(frame(CLOSE, b"\x03\xe9bye")),
    "no code": lambda link: link.raw(frame(CLOSE)),
    "garbage": lambda link: link.raw(b"\xff" * 40),
    "not utf-8": lambda link: link.raw(frame(TEXT, b"\xc3\x28")),
    "stall": lambda link: setattr(link.faults, "stalled", True),
}


def test_of_two_connections_one_may_end_in_any_way() -> None:
    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue, QUICK)
            async with keeping(day.feed, day.endpoint):
                for how, harm in HARMS.items():
                    await day.up()
                    link = day.link()
                    venue.do(harm, link)
                    await day.trade(20)
                    await until(partial(getattr, link, "closed"), f"{how}: the connection ends")
                await day.up()
                venue.do(venue.spoil, "skip", 3, day.link())
                await day.trade(20)
                await day.up()
                await day.settled()
                assert day.seen()[1] == 0
                assert day.sink.statuses() == [Status.CONNECTED], "no epoch ended"
                counters = day.feed.counters
                assert counters.breaks == counters.lost == 0
                ends = {"cut", "closed_1001", "closed_without_code", "protocol_error", "not_utf8"}
                assert ends <= set(counters.closed)
                assert {"silent", "behind"} & set(counters.closed)
                assert counters.skipped
                assert set(counters.refused) == {Reason.NOT_UTF8}

    asyncio.run(run())


def test_both_connections_lost_at_once_is_said_and_counted() -> None:
    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue)
            async with keeping(day.feed, day.endpoint):
                await day.up()
                venue.do(venue.cut_all)
                for _ in range(9):
                    venue.do(venue.trade)
                await until(lambda: Status.RESUMED in day.sink.statuses(), "back")
                await day.settled()
                seen, missing = day.seen()
                assert missing >= 9
                assert day.feed.counters.lost == missing, "the missing trades are counted exactly"
                assert day.sink.statuses() == [Status.CONNECTED, Status.LOST, Status.RESUMED]
                assert 0 < day.feed.counters.recovery_ns < 5e9
                assert day.feed.counters.recoveries == 1
                assert seen

    asyncio.run(run())


def test_what_both_skip_ends_the_epoch() -> None:
    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue)
            async with keeping(day.feed, day.endpoint):
                await day.up()
                venue.do(venue.trade, lost=True)
                await day.settled()
                assert day.seen()[1] == 1
                assert day.feed.counters.breaks == 1
                assert day.feed.counters.lost == 1

    asyncio.run(run())


def test_a_venue_that_stalls_silently_is_left_within_the_limit() -> None:
    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue, QUICK)
            async with keeping(day.feed, day.endpoint):
                await day.up()
                begun = time.monotonic()
                venue.do(venue.spoil, "stalled", 1)
                await day.trade(10)
                await until(lambda: Status.RESUMED in day.sink.statuses(), "back")
                assert time.monotonic() - begun < QUICK.silence + 30
                await day.settled()
                assert day.sink.statuses()[1:] == [Status.STALLED, Status.LOST, Status.RESUMED]
                assert day.seen()[1] == day.feed.counters.lost >= 10
                assert day.feed.counters.closed["silent"] >= 1

    asyncio.run(run())


@pytest.mark.parametrize("fault", ["split", "fragment", "repeat", "hold", "delay_s"])
def test_messages_in_pieces_twice_late_or_out_of_order(fault: str) -> None:
    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue)
            async with keeping(day.feed, day.endpoint):
                await day.up()
                value = {"split": 1, "fragment": 3, "repeat": 40, "hold": 10, "delay_s": 0.003}
                venue.do(venue.spoil, fault, value[fault], day.link())
                await day.trade(40)
                venue.do(venue.spoil, fault, value[fault], day.link(-1))
                await day.trade(40)
                venue.do(venue.spoil, fault, 0)
                await day.trade(20)
                await day.settled()
                _, missing = day.seen()
                if fault != "hold":  # both out of order at once is a hole until it is filled
                    assert missing == 0
                    assert day.feed.counters.breaks == 0

    asyncio.run(run())


def test_frames_split_at_every_byte_read_the_same() -> None:
    text = '{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":%d,"p":"1","q":"2",'
    text += '"T":1700000000000,"m":true}}'

    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue)
            async with keeping(day.feed, day.endpoint, connections=1):
                await day.up(1)
                first, link, sent = 5000, day.link(), 0
                whole = frame(TEXT, (text % (first + 1)).encode())
                for at in range(1, len(whole)):
                    sent += 1
                    data = frame(TEXT, (text % (first + sent)).encode())
                    venue.do(link.raw, data[:at], data[at:])
                await until(lambda: len(day.sink.of(Kind.TRADE)) >= sent, "all of them")
                numbers = [tick.detail for tick in day.sink.of(Kind.TRADE)][-sent:]
                assert numbers == [first + n for n in range(1, sent + 1)]
                assert not day.feed.counters.refused

    asyncio.run(run())


def test_unreadable_messages_are_counted_and_cost_no_feed() -> None:
    bad = {
        Reason.MALFORMED: [
            "{",
            "[]",
            "null",
            '{"stream":"x","data":{"t":"a"}}',
            "\x00",
            "[" * 5000,
        ],
        Reason.UNKNOWN_TYPE: ['{"stream":"x","data":{"e":"24hrTicker","s":"BTCUSDT"}}', "{}"],
        Reason.NOT_ASKED_FOR: ['{"stream":"x","data":{"e":"trade","s":"ETHUSDT","t":1}}'],
        Reason.INEXACT: [
            '{"data":{"e":"trade","s":"BTCUSDT","t":%d,"p":"1.123456789","q":"1","m":true}}'
        ],
        Reason.OUT_OF_RANGE: [
            '{"data":{"e":"trade","s":"BTCUSDT","t":%d,"p":"1e9","q":"1","m":true}}'.replace(
                "1e9", "9" * 12
            )
        ],
        Reason.VENUE_ERROR: ['{"error":{"code":2,"msg":"no"},"id":4}'],
        Reason.OVERSIZED: ['{"stream":"' + "x" * 5000 + '"}'],
    }

    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue)
            async with keeping(day.feed, day.endpoint, max_message=4096) as keeper:
                await day.up()
                accepted = venue.accepted
                for reason, texts in bad.items():
                    for text in texts:
                        if "%d" in text:
                            venue.do(venue.trade, lost=True)
                            text %= venue.truth[-1].number
                        venue.do(day.link().raw, frame(TEXT, text.encode()))
                        await day.trade(2)
                    counted = day.feed.counters.refused
                    for _ in texts:
                        await until(partial(counted.__getitem__, reason), reason.name)
                await day.settled()
                day.seen()
                assert venue.accepted == accepted, "no connection ended for it"
                assert not keeper.said

    asyncio.run(run())


def test_a_connection_that_only_answers_pings_is_left() -> None:
    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue, QUICK)
            async with keeping(day.feed, day.endpoint):
                await day.up()
                link = day.link()
                venue.do(venue.spoil, "skip", 10**6, link)
                for _ in range(200):
                    await day.trade(5)
                    if link.closed:
                        break
                assert day.feed.counters.closed["behind"] == 1
                await day.up()
                await day.settled()
                assert day.seen()[1] == 0
                assert day.sink.statuses() == [Status.CONNECTED]

    asyncio.run(run())


class Full(ListSink):
    """A sink that takes a few ticks."""

    def publish(self, *fields: int) -> int:
        if len(self.ticks) > 5:
            raise BadInput("no more")
        return super().publish(*fields)


def test_a_sink_that_takes_no_more_ends_the_feed_and_is_not_taken_for_the_venue() -> None:
    async def run() -> None:
        with BinanceVenue(every_s=0.002) as venue:
            feed = Binance(2, Full(), ["BTCUSDT"], first_epoch=1, timing=CALM)
            keeper = Keeper(feed, Endpoint(venue.url), patience=IMPATIENT)
            async with asyncio.timeout(10):
                await keeper.run()

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(run())
    assert caught.group_contains(BadInput, match="no more")


def test_nobody_is_followed_elsewhere() -> None:
    async def run() -> None:
        with BinanceVenue() as venue, BinanceVenue(every_s=0.001) as elsewhere:
            venue.moved_to = elsewhere.url
            day = Day(venue)
            async with keeping(day.feed, day.endpoint) as keeper:
                await until(lambda: day.feed.counters.closed["handshake"] >= 2, "tries")
                assert "302" in str(keeper.said[0])
            assert elsewhere.accepted == 0
            assert day.sink.ticks == []

    asyncio.run(run())


def test_a_message_beyond_all_bounds_ends_its_connection_alone() -> None:
    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue)
            async with keeping(day.feed, day.endpoint, max_message=4096):
                await day.up()
                link = day.link()
                venue.do(link.raw, frame(TEXT, b"x" * 100_000))
                await day.trade(10)
                await until(lambda: link.closed, "it is ended")
                await until(lambda: day.feed.counters.closed["oversized"], "for its size")
                await day.settled()
                assert day.seen()[1] == 0
                assert day.feed.counters.refused[Reason.OVERSIZED] == 1

    asyncio.run(run())


def test_pings_are_answered_with_their_payload() -> None:
    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue)
            async with keeping(day.feed, day.endpoint, connections=1):
                await day.up(1)
                venue.do(day.link().raw, frame(PING, b"1795271958000"))
                await until(
                    lambda: "pong b'1795271958000'" in day.link().heard, "the ping is answered"
                )

    asyncio.run(run())


def test_an_announced_shutdown_is_not_waited_for() -> None:
    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue)
            async with keeping(day.feed, day.endpoint, connections=1):
                await day.up(1)
                venue.do(venue.shutdown_soon)
                await until(lambda: day.feed.counters.closed["venue_shutdown"] == 1, "left")
                await until(lambda: venue.accepted == 2, "and connected again")
                await day.settled()
                day.seen()

    asyncio.run(run())


def test_a_venue_that_is_away_is_tried_again_and_again() -> None:
    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue)
            async with keeping(day.feed, day.endpoint):
                await day.up()
                venue.refusing = True
                venue.do(venue.cut_all)
                await day.trade(5)
                await until(lambda: day.feed.counters.closed["handshake"] >= 3, "tries")
                venue.refusing = False
                await day.settled()
                assert day.seen()[1] == day.feed.counters.lost

    asyncio.run(run())


def harm_at_random(chance: random.Random, venue: BinanceVenue) -> None:
    if not venue.links:
        return
    link = chance.choice(venue.links)
    harms: list[Callable[[], None]] = [
        link.cut,
        partial(venue.spoil, "skip", 2, link),
        partial(venue.spoil, "repeat", 3, link),
        partial(venue.spoil, "split", chance.choice((0, 1, 7)), link),
        partial(venue.spoil, "fragment", chance.choice((0, 5)), link),
        partial(venue.spoil, "delay_s", chance.choice((0, 0.002)), link),
        partial(link.raw, frame(TEXT, b"{")),
        partial(link.raw, frame(TEXT, b"\xc3\x28")),
    ]
    chance.choice(harms)()


def test_a_long_bad_day() -> None:
    """Faults at random on both links while trades go on; then a quiet hour in which all is well."""
    chance = random.Random(11)  # noqa: S311

    async def run() -> None:
        with BinanceVenue() as venue:
            day = Day(venue, QUICK)
            async with keeping(day.feed, day.endpoint):
                await day.up()
                for _ in range(15_000 if os.environ.get("STRONGROOM_SOAK") else 150):
                    await day.trade(chance.randint(1, 4))
                    venue.do(harm_at_random, chance, venue)
                venue.do(venue.cut_all)
                await day.settled()
                await day.up()
                await day.settled()
                seen, missing = day.seen()
                assert seen > 20
                assert missing == day.feed.counters.lost
                assert day.feed.counters.breaks >= 1

    asyncio.run(run())
