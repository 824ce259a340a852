"""The testnet's books behind links that fail: what the feed shows is the venue's book, or it
says so."""

from __future__ import annotations

import asyncio
import json
import random
from functools import partial

import pytest
from strongroom_host.feed_venues.frames import CLOSE, TEXT, frame
from strongroom_host.feed_venues.polymarket import PolymarketVenue
from strongroom_host.feeds.core import Timing
from strongroom_host.feeds.endpoints import Endpoint
from strongroom_host.feeds.polymarket import Polymarket
from strongroom_host.ring.tick import Flag, Kind, Side, Status, Tick
from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.config import default_config
from strongroom_host.testnet.orders import Side as OrderSide
from strongroom_host.testnet.server import unix_ms

from tests.host.feed_venues.runs import CALM, QUICK, keeping, until
from tests.host.feeds.sinks import ListSink


class Books:
    """What a consumer knows of the books from ticks alone, as `feeds/README.md` tells it."""

    def __init__(self) -> None:
        self.levels: dict[int, dict[tuple[int, int], int]] = {}
        self._epoch: int | None = None
        self._picturing: set[int] = set()

    def take(self, ticks: list[Tick]) -> None:
        for tick in ticks:
            if tick.epoch != self._epoch:
                self.levels, self._epoch = {}, tick.epoch
                self._picturing.clear()
            if tick.kind != Kind.LEVEL:
                if tick.flags & Flag.LAST:
                    self._picturing.discard(tick.instrument)
                continue
            if tick.flags & Flag.SNAPSHOT and tick.instrument not in self._picturing:
                self.levels[tick.instrument] = {}
                self._picturing.add(tick.instrument)
            levels = self.levels.setdefault(tick.instrument, {})
            if tick.size:
                levels[tick.side, tick.price] = tick.size
            else:
                levels.pop((tick.side, tick.price), None)
            if tick.flags & Flag.LAST:
                self._picturing.discard(tick.instrument)


class Day:
    def __init__(self, venue: PolymarketVenue, timing: Timing = CALM) -> None:
        self.venue, self.sink, self.books = venue, ListSink(), Books()
        self.tokens = list(venue.clob.markets)
        self.feed = Polymarket(
            1, self.sink, [str(token) for token in self.tokens], first_epoch=1, timing=timing
        )
        self.endpoint = Endpoint(venue.url)
        self.statuses: list[Status] = []

    async def move(self, steps: int = 1) -> None:
        for _ in range(steps):
            self.venue.do(self.venue.step)
            await asyncio.sleep(0.002)

    async def up(self, connections: int = 2) -> None:
        await until(lambda: len(self.venue.links) == connections, "all connected")
        await until(
            lambda: all(link.heard for link in list(self.venue.links)), "all have subscribed"
        )
        for _ in range(2000):
            if len(self.feed.merge.covering()) == connections:
                return
            await self.move()
        raise AssertionError("they never come to overlap")

    def equal(self) -> bool:
        """Whether a consumer's books are the venue's now."""
        self.statuses += self.sink.statuses()
        self.books.take(self.sink.take())
        return self.books.levels == self.venue.do(self._truth)

    def _truth(self) -> dict[int, dict[tuple[int, int], int]]:
        sides = {OrderSide.BUY: Side.BUY, OrderSide.SELL: Side.SELL}
        return {
            self.tokens.index(token) + 1: {
                (int(shown), price * 10**4): shares * 100
                for side, shown in sides.items()
                for price, shares in book.levels(side)
            }
            for token, book in self.venue.clob.books.items()
        }

    async def settled(self) -> None:
        await until(self.equal, "the books are equal")


def venue() -> PolymarketVenue:
    return PolymarketVenue(Clob(default_config(80002), unix_ms, bytes(32)), seed=3)


@pytest.mark.parametrize("connections", [1, 2])
def test_the_books_are_followed_exactly(connections: int) -> None:
    async def run() -> None:
        with venue() as there:
            day = Day(there)
            async with keeping(day.feed, day.endpoint, connections=connections):
                await day.up(connections)
                for _ in range(10):
                    await day.move(10)
                    await day.settled()
                assert day.statuses == [Status.CONNECTED]
                assert day.feed.counters.checked_books > 50
                assert not day.feed.counters.suspicions
                assert not day.feed.counters.refused

    asyncio.run(run())


@pytest.mark.parametrize("fault", ["cut", "no code", "stall"])
def test_one_connection_lost_is_nothing_lost(fault: str) -> None:
    async def run() -> None:
        with venue() as there:
            day = Day(there, QUICK)
            async with keeping(day.feed, day.endpoint):
                await day.up()
                link = there.links[0]
                if fault == "cut":
                    there.do(link.cut)
                elif fault == "stall":
                    there.do(there.spoil, "stalled", 1, link)
                else:
                    there.do(link.raw, frame(CLOSE))
                await day.move(50)
                await day.settled()
                await until(partial(getattr, link, "closed"), "it ends")
                await day.up()
                await day.settled()
                assert day.statuses == [Status.CONNECTED]

    asyncio.run(run())


def lose_an_order(there: PolymarketVenue, token: int) -> None:
    """An order far from all others rests, and no link says so."""
    for link in there.links:
        link.faults.stalled = True
    there.clob.house_order(token, OrderSide.BUY, 100, 7_000_000)
    for link in there.links:
        link.faults.stalled = False


@pytest.mark.parametrize("connections", [1, 2])
def test_a_change_that_no_connection_brings_is_noticed(connections: int) -> None:
    """The venue numbers nothing; the state tells, as long as it differs from what was shown."""

    async def run() -> None:
        with venue() as there:
            day = Day(there)
            async with keeping(day.feed, day.endpoint, connections=connections):
                await day.up(connections)
                await day.move(30)
                await day.settled()
                before = day.feed.counters.breaks
                there.do(lose_an_order, there, day.tokens[0])
                await day.move(60)
                await day.settled()
                assert day.feed.counters.breaks > before
                assert Status.BOOK_MISMATCH in day.statuses
                assert day.feed.counters.suspicions
                assert day.feed.counters.resubscribed >= 1

    asyncio.run(run())


def test_an_outage_ends_in_fresh_books() -> None:
    async def run() -> None:
        with venue() as there:
            day = Day(there)
            async with keeping(day.feed, day.endpoint):
                await day.up()
                there.do(there.cut_all)
                await day.move(20)
                await until(lambda: day.feed.counters.recoveries, "it comes back")
                await day.move(20)
                await day.settled()
                assert day.statuses[:3] == [Status.CONNECTED, Status.LOST, Status.RESUMED]
                assert 0 < day.feed.counters.recovery_ns < 5e9

    asyncio.run(run())


def test_events_that_no_book_makes() -> None:
    async def run() -> None:
        with venue() as there:
            day = Day(there)
            async with keeping(day.feed, day.endpoint):
                await day.up()
                token = str(day.tokens[0])
                step = {"old_tick_size": "0.01", "new_tick_size": "0.001", "asset_id": token}
                ends = {"assets_ids": [token], "winning_asset_id": token}
                for kind, more in (("tick_size_change", step), ("market_resolved", ends)):
                    event = {"event_type": kind, "market": "0x", "timestamp": "1", **more}
                    there.do(there.say, json.dumps(event))
                await until(lambda: day.sink.of(Kind.TICK_SIZE), "the tick size")
                await until(lambda: Status.MARKET_RESOLVED in day.sink.statuses(), "the end")
                await asyncio.sleep(0.05)
                assert len(day.sink.of(Kind.TICK_SIZE)) == 1
                assert day.sink.statuses().count(Status.MARKET_RESOLVED) == 1

    asyncio.run(run())


def harm(chance: random.Random, there: PolymarketVenue) -> None:
    if not there.links:
        return
    link = chance.choice(there.links)
    faults = {"skip": 3, "repeat": 2, "split": 3, "fragment": 50, "hold": 1}
    match chance.randrange(7):
        case 0:
            link.cut()
        case 1:
            link.raw(frame(TEXT, b'{"event_type":"book"}'))
        case other:
            fault = list(faults)[other - 2]
            there.spoil(fault, chance.choice((0, faults[fault])), link)


def test_a_long_bad_day() -> None:
    """Faults at random on both links while books move; after it, the books are right."""
    chance = random.Random(23)  # noqa: S311

    async def run() -> None:
        with venue() as there:
            day = Day(there, QUICK)
            async with keeping(day.feed, day.endpoint):
                await day.up()
                for _ in range(60):
                    await day.move(chance.randint(1, 5))
                    there.do(harm, chance, there)
                for _ in range(200):
                    await day.move(5)
                    await asyncio.sleep(0.02)
                    if day.equal():
                        break
                await day.settled()

    asyncio.run(run())
