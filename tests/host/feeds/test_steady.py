"""A feed that runs on keeps nothing of what it was sent: memory after many messages is as before.

Decoding makes objects for the time of a message, as any reader of JSON does; a tick is written in
place. Here: none of that is kept, and none of it is left to the garbage collector.
"""

from __future__ import annotations

import gc
import random
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from strongroom_host.feed_venues.bitcoin import make_transaction
from strongroom_host.feeds.binance import Binance
from strongroom_host.feeds.bitcoin import Bitcoin
from strongroom_host.feeds.coinbase import Coinbase
from strongroom_host.feeds.core import Feed, Timing
from strongroom_host.feeds.polymarket import Polymarket
from strongroom_host.ring.sink import TickSink
from strongroom_host.ring.writer import RingWriter

M = TypeVar("M")
E = TypeVar("E")
TOKEN = "7132104567925221259462638553270691275033"
WINDOW = 4096
"""Events that are remembered, to know them again: many fewer here than live, where it takes longer
until that is full and goes through the same sizes again and again."""
MESSAGES = 3 * WINDOW
PATIENT = Timing(skew=1e9)


@pytest.fixture(autouse=True)
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for venue in (Binance, Bitcoin, Coinbase, Polymarket):
        monkeypatch.setattr(venue, "window", WINDOW)


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TickSink:
    monkeypatch.setenv("STRONGROOM_RING_DIR", str(tmp_path))
    return RingWriter.create(f"steady-{secrets.token_hex(4)}")


def grown(feed: Feed[M, E], message: Callable[[int], M]) -> tuple[int, int]:
    """How many blocks of memory more there are after as many messages again, each brought by two
    connections; and how many objects only a collection would have freed."""
    number = 0

    def run(count: int) -> None:
        nonlocal number
        for _ in range(count):
            number += 1
            said = message(number)
            feed.received(0, said, number)
            feed.received(1, said, number)

    gc.collect()
    gc.disable()
    try:
        run(MESSAGES)
        before = sys.getallocatedblocks()
        run(MESSAGES)
        blocks = sys.getallocatedblocks() - before
        return blocks, gc.collect()
    finally:
        gc.enable()


def check(feed: Feed[M, E], message: Callable[[int], M]) -> None:
    for connection in (0, 1):
        feed.opened(connection, 0)
    feed.outbox.clear()
    published = feed.lane.published
    blocks, garbage = grown(feed, message)
    assert feed.lane.published - published >= 2 * MESSAGES, "it took none of it"
    assert not feed.counters.refused
    assert feed.counters.breaks == 0
    assert abs(blocks) < MESSAGES // 200
    assert garbage == 0


def test_binance(sink: TickSink) -> None:
    def message(number: int) -> str:
        if number % 2:
            return (
                f'{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1795271958001,"s":"BTCUSDT",'
                f'"t":{number // 2},"p":"60000.{number % 90:02d}","q":"0.{1 + number % 80:03d}",'
                f'"T":1795271958000,"m":true,"M":true}}}}'
            )
        return (
            f'{{"stream":"btcusdt@bookTicker","data":{{"u":{number},"s":"BTCUSDT",'
            f'"b":"60000.{number % 91:02d}","B":"1","a":"60001.{number % 91:02d}","A":"2"}}}}'
        )

    check(Binance(2, sink, ["BTCUSDT"], first_epoch=0, timing=PATIENT), message)


def test_coinbase(sink: TickSink) -> None:
    def message(number: int) -> str:
        trade = {
            "product_id": "BTC-USD",
            "trade_id": str(number),
            "price": f"60000.{number % 90:02d}",
            "size": f"0.{1 + number % 80:03d}",
            "side": "BUY",
            "time": "2026-11-21T17:00:00.123456Z",
        }
        event = {"type": "update", "trades": [trade]}
        said = {"channel": "market_trades", "sequence_num": number, "events": [event]}
        return msgspec.json.encode(said).decode()

    check(Coinbase(3, sink, ["BTC-USD"], first_epoch=0, timing=PATIENT), message)


def test_polymarket(sink: TickSink) -> None:
    levels = [{"price": f"0.{20 + n}", "size": "100"} for n in range(20)]
    book = {
        "event_type": "book",
        "asset_id": TOKEN,
        "market": "0x" + "ab" * 32,
        "bids": levels,
        "asks": [{"price": f"0.{60 + n}", "size": "100"} for n in range(20)],
        "timestamp": "1790000000000",
    }

    def message(number: int) -> str:
        stamp = str(1790000000000 + number)
        if number == 1:
            return msgspec.json.encode(book).decode()
        if number % 2 == 0:  # many, since the last 4096 prints are remembered as well
            trade = {
                "event_type": "last_trade_price",
                "asset_id": TOKEN,
                "price": "0.5",
                "side": "BUY",
                "size": "7",
                "timestamp": stamp,
            }
            return msgspec.json.encode(trade).decode()
        price = f"0.{40 + number % 9}"
        change = {"asset_id": TOKEN, "price": price, "size": str(number % 50), "side": "BUY"}
        said = {
            "event_type": "price_change",
            "market": book["market"],
            "price_changes": [change],
            "timestamp": stamp,
        }
        return msgspec.json.encode(said).decode()

    check(Polymarket(1, sink, [TOKEN], first_epoch=0, timing=PATIENT), message)


def test_bitcoin(sink: TickSink) -> None:
    chance = random.Random(1)  # noqa: S311  test data

    def message(number: int) -> tuple[bytes, bytes, bytes]:
        made = make_transaction(chance, (1, 2), inputs=1).data
        return b"rawtx", made, number.to_bytes(4, "little")

    check(Bitcoin(4, sink, first_epoch=0, least=0, timing=PATIENT), message)
