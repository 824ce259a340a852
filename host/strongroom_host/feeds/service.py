"""All feeds of a process: made from their configuration, run on one loop, stopped together."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from strongroom_host.errors import HostError
from strongroom_host.feeds.binance import Binance
from strongroom_host.feeds.bitcoin import Bitcoin
from strongroom_host.feeds.coinbase import Coinbase
from strongroom_host.feeds.config import FEED_IDS, FeedsConfig, parse_address, satoshi
from strongroom_host.feeds.errors import BadFeed, FeedUnavailable
from strongroom_host.feeds.keeper import Keeper
from strongroom_host.feeds.metrics import Counted, serve_metrics, status_line
from strongroom_host.feeds.polymarket import Polymarket
from strongroom_host.ring.sink import TickSink

__all__ = ["Running", "make_feeds", "run_feeds"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class _Keeps(Protocol):
    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Running:
    """A feed, what keeps it, and the latest failure of each of its connections."""

    feed: Counted
    keeper: _Keeps
    said: Mapping[int, HostError | str] | Mapping[int, str]

    @property
    def line(self) -> str:
        """Its state in one line."""
        return status_line(self.feed, self.said)


def make_feeds(config: FeedsConfig, sink: TickSink, first_epoch: int) -> list[Running]:
    """The feeds that are configured.

    Raises:
        BadFeed: none is, or one cannot be as it is configured.
        BadPin: a pin is none, or the file of roots cannot be read.
        FeedUnavailable: pyzmq is missing, for Bitcoin.
    """
    timing = config.timing.timing()
    made: list[Running] = []
    if (poly := config.polymarket) is not None:
        poly_feed = Polymarket(
            FEED_IDS["polymarket"], sink, poly.tokens, first_epoch=first_epoch, timing=timing
        )
        keeper = Keeper(poly_feed, poly.endpoint(), connections=poly.connections)
        made.append(Running(poly_feed, keeper, keeper.said))
    if (binance := config.binance) is not None:
        binance_feed = Binance(
            FEED_IDS["binance"],
            sink,
            binance.symbols,
            trades=binance.trades,
            first_epoch=first_epoch,
            timing=timing,
        )
        keeper = Keeper(binance_feed, binance.endpoint(), connections=binance.connections)
        made.append(Running(binance_feed, keeper, keeper.said))
    if (coinbase := config.coinbase) is not None:
        coinbase_feed = Coinbase(
            FEED_IDS["coinbase"],
            sink,
            coinbase.products,
            books=coinbase.books,
            depth=coinbase.depth,
            first_epoch=first_epoch,
            timing=timing,
        )
        keeper = Keeper(coinbase_feed, coinbase.endpoint(), connections=coinbase.connections)
        made.append(Running(coinbase_feed, keeper, keeper.said))
    if (bitcoin := config.bitcoin) is not None:
        if not bitcoin.addresses:
            raise BadFeed("a Bitcoin feed needs nodes", expected="tcp://HOST:PORT of zmqpubrawtx")
        try:
            from strongroom_host.feeds.zmq_keeper import ZmqKeeper
        except ModuleNotFoundError as error:
            raise FeedUnavailable(
                "a Bitcoin node is listened to with pyzmq, which is missing",
                remedy="install the extra `trading`",
            ) from error
        bitcoin_feed = Bitcoin(
            FEED_IDS["bitcoin"],
            sink,
            least=satoshi(bitcoin.least_btc),
            mempool=bitcoin.mempool,
            first_epoch=first_epoch,
            timing=timing,
        )
        zmq_keeper = ZmqKeeper(bitcoin_feed, bitcoin.addresses)
        made.append(Running(bitcoin_feed, zmq_keeper, zmq_keeper.said))
    if not made:
        raise BadFeed(
            "no feed is configured",
            remedy="give --polymarket, --binance, --coinbase or --bitcoin, or a --config file",
        )
    return made


async def run_feeds(
    running: list[Running],
    *,
    metrics: str = "",
    ready: Callable[[], None] | None = None,
    say: Callable[[str], None] | None = None,
    every_s: float = 30.0,
) -> None:
    """Run until SIGTERM or SIGINT; then close the connections.

    Args:
        running: The feeds.
        metrics: HOST:PORT of the page of counters; empty for none.
        ready: Called once, when the first tick of any feed is out.
        say: Takes each feed's line, every `every_s` seconds.
        every_s: See `say`.

    Raises:
        BadFeed: the address for metrics is none.
        FeedUnavailable: it cannot be listened on.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    server = None
    if metrics:
        try:
            server = await serve_metrics([item.feed for item in running], *parse_address(metrics))
        except OSError as error:
            raise FeedUnavailable(f"cannot listen on {metrics}", actual=error) from error
    tasks = [asyncio.create_task(item.keeper.run()) for item in running]
    if say is not None:
        tasks.append(asyncio.create_task(_tell(running, say, every_s)))
    if ready is not None:
        tasks.append(asyncio.create_task(_announce(running, ready)))
    stopped = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except BaseExceptionGroup as group:
        failed = group.exceptions[0]
        raise failed from group
    finally:
        for task in (stopped, *tasks):
            task.cancel()
        await asyncio.gather(stopped, *tasks, return_exceptions=True)
        if server is not None:
            server.close()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _announce(running: list[Running], ready: Callable[[], None]) -> None:
    while not any(item.feed.lane.published for item in running):
        await asyncio.sleep(0.02)
    ready()
    await asyncio.get_running_loop().create_future()  # the end of a task would be the end of all


async def _tell(running: list[Running], say: Callable[[str], None], every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        for item in running:
            say(item.line)
