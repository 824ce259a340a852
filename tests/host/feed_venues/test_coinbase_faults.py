"""Numbered envelopes behind links that fail: every trade is seen once, or an epoch ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial

from strongroom_host.feed_venues.coinbase import CoinbaseVenue
from strongroom_host.feed_venues.frames import TEXT, frame
from strongroom_host.feeds.coinbase import Coinbase
from strongroom_host.feeds.core import Timing
from strongroom_host.feeds.endpoints import Endpoint
from strongroom_host.ring.tick import Kind, Status

from tests.host.feed_venues.runs import CALM, QUICK, assert_no_silent_gap, keeping, until
from tests.host.feed_venues.test_polymarket_faults import Books
from tests.host.feeds.sinks import ListSink


class Day:
    def __init__(self, venue: CoinbaseVenue, *, books: bool = False, timing: Timing = CALM) -> None:
        self.venue, self.sink = venue, ListSink()
        self.feed = Coinbase(3, self.sink, ["BTC-USD"], first_epoch=1, books=books, timing=timing)
        self.endpoint = Endpoint(venue.url)

    async def trade(self, count: int = 1) -> None:
        for _ in range(count):
            self.venue.do(self.venue.trade)
            self.venue.do(self.venue.change)
            await asyncio.sleep(0.002)

    async def up(self, connections: int = 2) -> None:
        await until(lambda: len(self.venue.links) == connections, "all connected")
        for _ in range(2000):
            if len(self.feed.merge.covering()) == connections:
                return
            await self.trade()
        raise AssertionError("they never come to overlap")

    async def settled(self) -> None:
        for _ in range(400):
            await self.trade()
            latest = self.venue.truth[-1].number
            await asyncio.sleep(0.01)
            if any(tick.detail == latest for tick in self.sink.of(Kind.TRADE)):
                return
        raise AssertionError("the feed has not come back")

    def seen(self) -> tuple[int, int]:
        truth = self.venue.do(lambda: [made.number for made in self.venue.truth])
        return assert_no_silent_gap(self.sink.ticks, truth)


def test_of_two_connections_one_may_skip_or_go() -> None:
    async def run() -> None:
        with CoinbaseVenue(beats_s=0.05) as venue:
            day = Day(venue)
            async with keeping(day.feed, day.endpoint):
                for n in range(3):
                    await day.up()
                    venue.do(venue.spoil, "skip", n + 1, venue.links[n % 2])
                    await day.trade(10)
                    await day.up()
                    venue.do(venue.links[n % 2].cut)
                    await day.trade(10)
                await day.up()
                await day.settled()
                assert day.seen()[1] == 0
                assert day.sink.statuses() == [Status.CONNECTED]
                assert day.feed.counters.skipped >= 6

    asyncio.run(run())


def test_what_both_skip_is_counted() -> None:
    async def run() -> None:
        with CoinbaseVenue(beats_s=0.05) as venue:
            day = Day(venue, timing=QUICK)
            async with keeping(day.feed, day.endpoint):
                await day.up()
                venue.do(venue.spoil, "stalled", 1)
                venue.do(venue.trade)
                venue.do(venue.spoil, "stalled", 0)
                await day.settled()
                assert day.seen()[1] == 1 == day.feed.counters.lost
                assert day.feed.counters.breaks >= 1

    asyncio.run(run())


def test_books_are_followed_and_had_anew_after_a_hole() -> None:
    async def run() -> None:
        with CoinbaseVenue(beats_s=0.05) as venue:
            day, books = Day(venue, books=True), Books()

            def truth() -> dict[tuple[int, int], int]:
                sides = {"bid": 1, "offer": 2}
                return {
                    (sides[side], price * 10**6): size
                    for (side, price), size in venue.books["BTC-USD"].items()
                }

            def equal() -> bool:
                books.take(day.sink.take())
                return books.levels.get(1) == venue.do(truth)

            async with keeping(day.feed, day.endpoint):
                await day.up()
                await day.trade(30)
                await until(equal, "the books are equal")
                venue.do(venue.spoil, "skip", 3)
                await day.trade(30)
                await until(equal, "the books are equal again")
                assert day.feed.counters.breaks
                venue.do(venue.cut_all)
                await day.trade(30)
                await until(equal, "after an outage, too")

    asyncio.run(run())


def harm(chance: random.Random, venue: CoinbaseVenue) -> None:
    if not venue.links:
        return
    link = chance.choice(venue.links)
    harms: list[Callable[[], None]] = [
        link.cut,
        partial(venue.spoil, "skip", 2, link),
        partial(venue.spoil, "repeat", 2, link),
        partial(venue.spoil, "hold", 1, link),
        partial(venue.spoil, "split", chance.choice((0, 5)), link),
        partial(link.raw, frame(TEXT, b"{}")),
    ]
    chance.choice(harms)()


def test_a_long_bad_day() -> None:
    chance = random.Random(4)  # noqa: S311

    async def run() -> None:
        with CoinbaseVenue(beats_s=0.05) as venue:
            day = Day(venue)
            async with keeping(day.feed, day.endpoint):
                await day.up()
                for _ in range(100):
                    await day.trade(chance.randint(1, 4))
                    venue.do(harm, chance, venue)
                venue.do(venue.cut_all)
                await day.settled()
                await day.up()
                await day.settled()
                seen, missing = day.seen()
                assert seen > 20
                assert missing == day.feed.counters.lost

    asyncio.run(run())
