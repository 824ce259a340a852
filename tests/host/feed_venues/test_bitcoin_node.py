"""A node's ZMQ notifications over real sockets: gaps, restarts, full queues, silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from strongroom_host.feed_venues.bitcoin import BitcoinPublisher
from strongroom_host.feeds.bitcoin import Bitcoin
from strongroom_host.feeds.core import Timing
from strongroom_host.feeds.errors import BadFeed
from strongroom_host.feeds.zmq_keeper import ZmqKeeper
from strongroom_host.ring.tick import Kind, Status

from tests.host.feed_venues.runs import until
from tests.host.feeds.sinks import ListSink

BTC = 10**8


class Listening:
    def __init__(self, *, mempool: bool = False, silence: float = 30.0) -> None:
        self.sink = ListSink()
        self.feed = Bitcoin(
            4,
            self.sink,
            first_epoch=1,
            least=10 * BTC,
            mempool=mempool,
            timing=Timing(silence=silence),
        )

    @property
    def txids(self) -> list[str]:
        return [f"{tick.detail:016x}" for tick in self.sink.of(Kind.TRANSFER)]


@asynccontextmanager
async def keeping(there: Listening, *addresses: str, queue: int = 1000) -> AsyncIterator[ZmqKeeper]:
    keeper = ZmqKeeper(there.feed, addresses, queue=queue, longest_delay_s=0.2)
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def heard(there: Listening, node: BitcoinPublisher) -> None:
    """A subscription takes a moment to arrive; nothing of before counts."""
    while there.feed.merge.connections == 0:
        node.transfer(BTC)
        await asyncio.sleep(0.005)


def test_large_transfers_arrive_and_small_ones_do_not() -> None:
    async def run() -> None:
        with BitcoinPublisher() as node:
            there = Listening(mempool=True)
            async with keeping(there, node.address):
                await heard(there, node)
                made = [node.transfer(amount * BTC) for amount in (5, 10, 500, 1)]
                await until(lambda: len(there.txids) == 2, "both")
                assert there.txids == [one.txid.hex()[:16] for one in made[1:3]]
                assert there.sink.of(Kind.TRANSFER)[1].size == 500 * BTC
                assert there.feed.counters.skipped == 0
                assert not there.feed.counters.refused

    asyncio.run(run())


def test_a_lost_notification_ends_the_epoch() -> None:
    async def run() -> None:
        with BitcoinPublisher() as node:
            there = Listening()
            async with keeping(there, node.address):
                await heard(there, node)
                for lost in (False, True, True, False):
                    node.transfer(20 * BTC, lost=lost)
                await until(lambda: len(there.txids) == 2, "both")
                first, second = there.sink.of(Kind.TRANSFER)
                assert second.epoch == first.epoch + 1
                assert there.feed.counters.skipped == 2

    asyncio.run(run())


def test_a_node_that_is_started_anew_is_found_again() -> None:
    async def run() -> None:
        there = Listening()
        with BitcoinPublisher() as node:
            address = node.address
            async with keeping(there, address):
                await heard(there, node)
                node.close()
                await until(lambda: Status.LOST in there.sink.statuses(), "the loss is said")
                with BitcoinPublisher(seed=2, port=int(address.rpartition(":")[2])) as again:
                    while Status.RESUMED not in there.sink.statuses():
                        again.transfer(20 * BTC)
                        await asyncio.sleep(0.01)
                assert there.sink.statuses()[:3] == [
                    Status.CONNECTED,
                    Status.LOST,
                    Status.RESUMED,
                ]
                assert there.feed.counters.closed["disconnected"] >= 1

    asyncio.run(run())


def test_a_queue_that_overflows_shows_in_the_count() -> None:
    async def run() -> None:
        with BitcoinPublisher(queue=5) as node:
            there = Listening()
            async with keeping(there, node.address, queue=5):
                await heard(there, node)
                sent = 4000  # while the loop is busy elsewhere, for all it knows
                for _ in range(sent):
                    node.transfer(20 * BTC)
                await asyncio.sleep(0.1)
                before = len(there.txids)
                while there.txids[-1:] != [node.truth[-1].txid.hex()[:16]]:
                    node.transfer(20 * BTC)
                    await asyncio.sleep(0.01)
                assert before < sent
                made = len(node.truth)
                assert there.feed.transactions + there.feed.counters.skipped <= made
                large = [one for one in node.truth if one.largest >= 20 * BTC]
                assert len(large) == len(there.txids) + there.feed.counters.skipped
                epochs = {tick.epoch for tick in there.sink.ticks}
                assert len(epochs) > 1

    asyncio.run(run())


def test_a_silent_node_is_connected_to_again() -> None:
    async def run() -> None:
        with BitcoinPublisher() as node:
            there = Listening(silence=0.3)
            async with keeping(there, node.address):
                await heard(there, node)
                await until(lambda: there.feed.counters.closed["silent"], "silence is noticed")
                assert there.sink.statuses()[1:3] == [Status.STALLED, Status.LOST]
                while Status.RESUMED not in there.sink.statuses():
                    node.transfer(20 * BTC)
                    await asyncio.sleep(0.01)

    asyncio.run(run())


def test_two_nodes_are_one_feed() -> None:
    async def run() -> None:
        with BitcoinPublisher() as one, BitcoinPublisher() as two:
            there = Listening()
            async with keeping(there, one.address, two.address):
                for _ in range(400):
                    if len(there.feed.merge.covering()) == 2:
                        break
                    one.transfer(20 * BTC)  # of the same seed: they relay the same transactions
                    two.transfer(20 * BTC)
                    await asyncio.sleep(0.01)
                one.close()
                before = len(there.txids)
                for _ in range(5):
                    two.transfer(20 * BTC)
                await until(lambda: len(there.txids) >= before + 5, "the other one goes on")
                assert len(set(there.txids)) == len(there.txids), "none twice"
                assert there.sink.statuses() == [Status.CONNECTED]

    asyncio.run(run())


def test_other_addresses_are_refused() -> None:
    for address in ("127.0.0.1:28332", "http://a:1", ""):
        with pytest.raises(BadFeed, match="node's address"):
            ZmqKeeper(Listening().feed, [address])

    async def run() -> None:
        async with keeping(Listening(), "tcp://nonsense") as keeper:
            await keeper.run()

    with pytest.raises((BadFeed, ExceptionGroup)):
        asyncio.run(run())
