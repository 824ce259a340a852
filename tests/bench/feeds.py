"""Feeds: a message decoded into ticks, and delivered from a server's write to the published tick.

Delivery is over loopback from a server in a process of its own that sends a trade every 250 us,
one client after another: ours reads, checks, decodes and publishes; plain picows, websockets and
aiohttp only hand over the text. All run on uvloop. aiohttp has an environment of its own
(.tools/bench_peers.py).
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs

import msgspec
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_connect,
    ws_create_server,
)
from strongroom_host.feed_venues.bitcoin import make_transaction
from strongroom_host.feeds.binance import Binance
from strongroom_host.feeds.bitcoin import Bitcoin
from strongroom_host.feeds.core import Timing
from strongroom_host.feeds.endpoints import Endpoint
from strongroom_host.feeds.keeper import Keeper
from strongroom_host.feeds.loops import loop_factory
from strongroom_host.feeds.polymarket import Polymarket
from strongroom_host.feeds.polymarket_messages import read_events
from strongroom_host.ring.tick import RECORD
from websockets.asyncio.client import connect

__all__ = ["rows"]

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "build/bench-peers/bin/python"
TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
SUBSCRIBE = '{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}'
WARM = 500
ROUNDS = 4
PAUSE_US = 250
PATIENCE_S = 60
"""Of one measurement, which takes a second or two: a machine that does something else takes longer,
and a connection that broke never ends."""
T = TypeVar("T")


class Packed:
    """A sink that does what a ring does with a tick, short of the ring: 64 bytes in place."""

    def __init__(self) -> None:
        self.slots = bytearray(64 * 512)
        self.count = 0

    def publish(
        self,
        kind: int,
        side: int,
        feed: int,
        flags: int,
        instrument: int,
        epoch: int,
        number: int,
        price: int,
        size: int,
        received_ns: int,
        venue_ns: int,
        detail: int,
    ) -> int:
        self.count += 1
        RECORD.pack_into(
            self.slots,
            (self.count & 511) << 6,
            self.count,
            received_ns,
            venue_ns,
            price,
            size,
            instrument,
            epoch,
            number,
            kind,
            side,
            feed,
            flags,
            detail,
        )
        return self.count

    def instrument(self, _name: str) -> int:
        return 1


class Stamped(Packed):
    """Notes how old each trade is when it is published; its size is when it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.ages = array("q")
        self.first_ns = self.last_ns = 0

    def publish(self, *fields: int) -> int:
        made = super().publish(*fields)
        if fields[8]:
            now = time.monotonic_ns()
            self.first_ns, self.last_ns = self.first_ns or now, now
            self.ages.append(now - fields[8])
        return made


def rows(messages: int = 10_000) -> list[dict[str, object]]:
    """Returns the table; times in us, rates in messages per second."""
    table = [*decoding(messages)]
    with server() as port:
        each = messages // ROUNDS
        jobs: dict[str, Callable[[], Sequence[int]]] = {
            "published tick, ours": lambda: asyncio_run(lambda: feed_ages(port, each)),
            "plain picows, text only": lambda: asyncio_run(lambda: picows_ages(port, each)),
            "websockets, text only": lambda: asyncio_run(lambda: websockets_ages(port, each)),
        }
        if PEERS.exists():
            jobs["aiohttp, text only"] = lambda: aiohttp_ages(port, each)
        ages = {name: array("q") for name in jobs}
        for _ in range(ROUNDS):  # in turns: what else the machine does meets all of them
            for name, measure in jobs.items():
                ages[name].extend(measure())
        figures = {name: quantiles(found) for name, found in ages.items()}
        mine = figures["published tick, ours"]["p50"]
        for name, found in figures.items():
            table.append({"name": f"write -> {name}", "unit": "us", **found})
            if found["p50"] != mine:
                ratio = round(mine / found["p50"], 2)
                table[-1] |= {"peer": "ours / this", "peer_value": mine, "ratio": ratio}
        rate = asyncio_run(lambda: feed_rate(port, 5 * messages))
        bare = asyncio_run(lambda: picows_rate(port, 5 * messages))
        table.append(
            {
                "name": "burst, ours (decoded and published)",
                "unit": "msg/s",
                "value": round(rate),
                "peer": "plain picows, text only",
                "peer_value": round(bare),
                "ratio": round(rate / bare, 2),
            }
        )
    return table


# --- decoding -------------------------------------------------------------------------------------


def decoding(count: int) -> Iterator[dict[str, object]]:
    """One message after another, already received."""
    sink = Packed()
    poly = Polymarket(1, sink, [TOKEN], first_epoch=0)
    poly.opened(0, 1)
    poly.received(0, json.dumps([book()]), 1)
    changes = [change(n) for n in range(count + WARM)]
    mine = timed(lambda n: poly.received(0, changes[n], n + 2), count)
    bare = quantiles(timed(lambda n: read_events(changes[n]), count))
    peer = {"peer": "msgspec, typed, same message", "peer_value": bare["p50"]}
    size = len(changes[0])
    figures = quantiles(mine)
    yield {
        "name": f"price_change of {size} bytes -> 2 to 3 ticks, book checked",
        "unit": "us",
        **figures,
        **peer,
        "ratio": round(figures["p50"] / bare["p50"], 2),
    }
    spot = Binance(2, sink, ["BTCUSDT"], first_epoch=0)
    spot.opened(0, 1)
    trades = [trade(n, n * 1000) for n in range(1, count + WARM + 1)]
    figures = quantiles(timed(lambda n: spot.received(0, trades[n], n + 2), count))
    yield {"name": f"trade of {len(trades[0])} bytes -> tick", "unit": "us", **figures}
    node = Bitcoin(4, sink, first_epoch=0, least=0)
    node.opened(0, 1)
    chance = random.Random(1)  # noqa: S311
    made = [make_transaction(chance, (1, 2), inputs=2).data for _ in range(500)]
    parts = [
        (b"rawtx", made[n % 500], n.to_bytes(4, "little")) for n in range(min(count, 5000) + WARM)
    ]
    times = timed(lambda n: node.received(0, parts[n], n + 2), min(count, 5000))
    name = f"transaction of {len(made[0])} bytes, txid included"
    yield {"name": name, "unit": "us", **quantiles(times)}


def book() -> dict[str, object]:
    return {
        "event_type": "book",
        "asset_id": TOKEN,
        "market": "0x" + "ab" * 32,
        "bids": [{"price": f"0.{20 + n}", "size": "100"} for n in range(25)],
        "asks": [{"price": f"0.{50 + n}", "size": "100"} for n in range(25)],
        "timestamp": "1790000000000",
        "hash": "",
    }


def change(number: int) -> str:
    entries = [
        {
            "asset_id": token,
            "price": "0.44",
            "size": str(100 + number % 977),
            "side": side,
            "hash": f"{number:040x}",
            "best_bid": best_bid,
            "best_ask": best_ask,
        }
        for token, side, best_bid, best_ask in (
            (TOKEN, "BUY", "0.44", "0.5"),
            (TOKEN[::-1], "SELL", "0.5", "0.56"),
        )
    ]
    body = {
        "market": "0x" + "ab" * 32,
        "price_changes": entries,
        "timestamp": str(1790000000001 + number),
        "event_type": "price_change",
    }
    return msgspec.json.encode(body).decode()


def trade(number: int, sent_ns: int) -> str:
    """A combined stream's trade whose size tells when it was sent."""
    size = f"{sent_ns // 10**8}.{sent_ns % 10**8:08d}"
    return (
        '{"stream":"btcusdt@trade","data":{"e":"trade","E":1795271958001,"s":"BTCUSDT","t":'
        f'{number},"p":"60000.12000000","q":"{size}","T":1795271958000,"m":true,"M":true}}}}'
    )


def timed(job: Callable[[int], object], count: int) -> array[int]:
    clock = time.perf_counter_ns
    times = array("q", bytes(8 * count))
    for n in range(WARM):
        job(n)
    for n in range(count):
        begun = clock()
        job(WARM + n)
        times[n] = clock() - begun
    return times


def quantiles(times: Sequence[int]) -> dict[str, float]:
    ordered = sorted(times)
    last = len(ordered) - 1
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "p9999": 0.9999}
    return {name: round(ordered[round(last * at)] / 1e3, 2) for name, at in shares.items()}


# --- delivery -------------------------------------------------------------------------------------


def asyncio_run(make: Callable[[], Coroutine[None, None, T]]) -> T:
    async def patiently() -> T:
        async with asyncio.timeout(PATIENCE_S):
            return await make()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(patiently())


def url(port: int, count: int, pause_us: int) -> str:
    return f"ws://127.0.0.1:{port}/stream?count={count}&pause={pause_us}"


async def kept(sink: Packed, port: int, count: int, pause_us: int) -> None:
    """A feed over one connection, until it has published `count` trades."""
    # The trades' own time stands still.
    feed = Binance(2, sink, ["BTCUSDT"], first_epoch=0, timing=Timing(skew=1e6))
    endpoint = Endpoint(url(port, count, pause_us))
    task = asyncio.create_task(Keeper(feed, endpoint, connections=1).run())
    while sink.count < count:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def feed_ages(port: int, count: int) -> Sequence[int]:
    sink = Stamped()
    await kept(sink, port, count + WARM, PAUSE_US)
    return sink.ages[WARM:]


async def feed_rate(port: int, count: int) -> float:
    sink = Stamped()
    await kept(sink, port, count, 0)
    return count * 1e9 / (sink.last_ns - sink.first_ns)


class Bare(WSListener):
    """Takes the text of each frame, and nothing more."""

    def __init__(self) -> None:
        self.ages = array("q")
        self.seen = self.first_ns = self.last_ns = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        text = frame.get_payload_as_utf8_text()
        now = time.monotonic_ns()
        if '"q":"' in text:
            self.seen += 1
            self.first_ns, self.last_ns = self.first_ns or now, now
            self.ages.append(now - sent_ns(text))


def sent_ns(text: str) -> int:
    """When a trade was sent, out of its size."""
    at = text.index('"q":"') + 5
    return int(text[at : text.index('"', at)].replace(".", ""))


async def bare_listener(port: int, count: int, pause_us: int) -> Bare:
    transport, made = await ws_connect(Bare, url(port, count, pause_us))
    transport.send(WSMsgType.TEXT, SUBSCRIBE.encode())
    assert isinstance(made, Bare)
    while made.seen < count:
        await asyncio.sleep(0.01)
    transport.disconnect()
    return made


async def picows_ages(port: int, count: int) -> Sequence[int]:
    return (await bare_listener(port, count + WARM, PAUSE_US)).ages[WARM:]


async def picows_rate(port: int, count: int) -> float:
    made = await bare_listener(port, count, 0)
    return count * 1e9 / (made.last_ns - made.first_ns)


async def websockets_ages(port: int, count: int) -> Sequence[int]:
    ages = array("q")
    async with connect(url(port, count + WARM, PAUSE_US), compression=None) as peer:
        await peer.send(SUBSCRIBE)
        while len(ages) < count + WARM:
            text = str(await peer.recv())
            now = time.monotonic_ns()
            if '"q":"' in text:
                ages.append(now - sent_ns(text))
    return ages[WARM:]


AIOHTTP = """
import array, asyncio, sys, time
import aiohttp, uvloop

async def main(url, ask, count):
    ages = array.array("q")
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, compress=0) as peer:
            await peer.send_str(ask)
            while len(ages) < count:
                text = (await peer.receive()).data
                now = time.monotonic_ns()
                at = text.find('"q":"') + 5
                if at > 4:
                    ages.append(now - int(text[at:text.index('"', at)].replace(".", "")))
    sys.stdout.buffer.write(ages.tobytes())

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def aiohttp_ages(port: int, count: int) -> Sequence[int]:
    total = count + WARM
    command = [str(PEERS), "-c", AIOHTTP, url(port, total, PAUSE_US), SUBSCRIBE, str(total)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_S)
    ages = array("q", done.stdout)
    return ages[WARM:]


@contextmanager
def server() -> Iterator[int]:
    """The server's port; it is a process of its own, which ends with its stdin."""
    command = [sys.executable, str(Path(__file__).resolve()), "serve"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("no pipes")
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(10)


class Sender(WSListener):
    """Answers the first text with a stream of trades."""

    def __init__(self, count: int, pause_us: int) -> None:
        self._count, self._pause_ns = count, pause_us * 1000
        self._task: asyncio.Task[None] | None = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT and self._task is None:
            transport.send(WSMsgType.TEXT, b'{"result":null,"id":1}')
            self._task = asyncio.get_running_loop().create_task(self._stream(transport))
        elif frame.msg_type == WSMsgType.CLOSE:
            # Unanswered, websockets and aiohttp would wait for ten seconds each time.
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    async def _stream(self, transport: WSTransport) -> None:
        await asyncio.sleep(0.1)
        clock, due = time.monotonic_ns, time.monotonic_ns()
        for number in range(1, self._count + 1):
            due += self._pause_ns
            while (now := clock()) < due:
                pass
            transport.send(WSMsgType.TEXT, trade(number, now).encode())
            if not self._pause_ns and number % 64 == 0:
                await asyncio.sleep(0)


def sender(request: WSUpgradeRequest) -> Sender:
    asked = parse_qs(request.path.decode().partition("?")[2])
    return Sender(int(asked["count"][0]), int(asked["pause"][0]))


async def serve() -> None:
    listening = await ws_create_server(sender, "127.0.0.1", 0)
    sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve())
