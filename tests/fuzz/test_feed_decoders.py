"""Hostile messages into every feed: nothing comes out of a decoder, and every tick is one.

A decoder may refuse and count, publish, or end the epoch. It may not raise, and what it publishes
is within every field's range and numbered without a hole (`ListSink` looks).
"""

import contextlib
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.errors import HostError
from strongroom_host.feed_venues.bitcoin import make_transaction
from strongroom_host.feeds.binance import Binance
from strongroom_host.feeds.bitcoin import Bitcoin
from strongroom_host.feeds.bitcoin_transaction import read_transaction
from strongroom_host.feeds.coinbase import Coinbase
from strongroom_host.feeds.core import Feed
from strongroom_host.feeds.polymarket import Polymarket
from strongroom_host.pins import subject_public_key_info

from tests.fuzz.effort import examples
from tests.fuzz.mutations import mutated
from tests.host.feeds import test_coinbase, test_polymarket
from tests.host.feeds.sinks import ListSink
from tests.host.feeds.test_bitcoin import FIRST

pytestmark = pytest.mark.timeout(3600)  # a soak may take its time
FUZZ = examples(1)

POLYMARKET: list[object] = [
    [test_polymarket.hashed(test_polymarket.book())],
    test_polymarket.book(at=3000),
    test_polymarket.change(("BUY", "0.48", "1"), best_bid="0.49", best_ask="0.52", hash="00"),
    test_polymarket.trade(),
    {"event_type": "tick_size_change", "asset_id": test_polymarket.ONE, "new_tick_size": "0.001"},
    {"event_type": "best_bid_ask", "asset_id": test_polymarket.ONE, "best_bid": None},
    {"event_type": "market_resolved", "assets_ids": [test_polymarket.ONE]},
]
BINANCE: list[object] = [
    {"result": None, "id": 1},
    {
        "stream": "btcusdt@trade",
        "data": {"e": "trade", "s": "BTCUSDT", "t": 5, "p": "1.5", "q": "2", "T": 17, "m": True},
    },
    {"data": {"u": 7, "s": "BTCUSDT", "b": "1", "B": "2", "a": "3", "A": "4"}},
    {"data": {"e": "serverShutdown", "E": 1}},
]
COINBASE: list[object] = [
    {"channel": kind, "timestamp": test_coinbase.AT, "sequence_num": number, "events": [event]}
    for number, (kind, event) in enumerate(
        [
            ("l2_data", test_coinbase.levels(("bid", "1", "2"), kind="snapshot")),
            ("l2_data", test_coinbase.levels(("offer", "2", "0"))),
            ("market_trades", test_coinbase.trades(3, 2)),
            ("ticker", test_coinbase.ticker()),
            ("heartbeats", {"heartbeat_counter": "1"}),
        ]
    )
]


def polymarket() -> Feed[str, Any]:
    return Polymarket(1, ListSink(), [test_polymarket.ONE], first_epoch=0)


def binance() -> Feed[str, Any]:
    return Binance(2, ListSink(), ["BTCUSDT"], first_epoch=0)


def coinbase() -> Feed[str, Any]:
    return Coinbase(3, ListSink(), ["BTC-USD"], first_epoch=0, books=True)


FEEDS: dict[str, tuple[Callable[[], Feed[str, Any]], list[object]]] = {
    "polymarket": (polymarket, POLYMARKET),
    "binance": (binance, BINANCE),
    "coinbase": (coinbase, COINBASE),
}


def feed_with(make: Callable[[], Feed[str, Any]], texts: Sequence[str]) -> Feed[str, Any]:
    feed = make()
    for connection in (0, 1):
        feed.opened(connection, 1)
    for at, text in enumerate(texts):
        feed.received(at % 2, text, 10**9 + at)
        feed.overdue(10**9 + at)
    feed.closed(0, "cut", 2 * 10**9)
    return feed


@st.composite
def spoiled_texts(draw: st.DrawFn, messages: Sequence[object]) -> list[str]:
    """A few of a venue's messages, some of them spoiled byte by byte."""
    texts = []
    for message in draw(st.lists(st.sampled_from(messages), max_size=6)):
        text = json.dumps(message)
        if draw(st.booleans()):
            text = draw(mutated(text.encode())).decode("utf-8", "ignore")
        texts.append(text)
    return texts


@pytest.mark.parametrize("name", FEEDS)
@FUZZ
@given(data=st.data())
def test_spoiled_messages(name: str, data: st.DataObject) -> None:
    make, messages = FEEDS[name]
    feed_with(make, data.draw(spoiled_texts(messages)))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.sampled_from(["0.5", "1", "-1", "1e5", "0.123456789", "BUY", "book", "trade", ""]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@st.composite
def refilled(draw: st.DrawFn, value: object) -> object:
    """A message with other values in some of its places."""
    if draw(st.integers(0, 9)) == 0:
        return draw(JSON)
    if isinstance(value, dict):
        return {key: draw(refilled(item)) for key, item in value.items()}
    if isinstance(value, list):
        return [draw(refilled(item)) for item in value]
    return value


@pytest.mark.parametrize("name", FEEDS)
@FUZZ
@given(data=st.data())
def test_messages_with_other_values(name: str, data: st.DataObject) -> None:
    make, messages = FEEDS[name]
    chosen = data.draw(st.lists(st.sampled_from(messages), max_size=4))
    feed_with(make, [json.dumps(data.draw(refilled(message))) for message in chosen])


@pytest.mark.parametrize("name", FEEDS)
@FUZZ
@given(text=st.text(max_size=200))
def test_any_text(name: str, text: str) -> None:
    feed = feed_with(FEEDS[name][0], [text])
    assert feed.counters.messages == 1


@FUZZ
@given(parts=st.lists(st.binary(max_size=80), max_size=4))
def test_any_parts_of_a_node(parts: list[bytes]) -> None:
    feed = Bitcoin(4, ListSink(), first_epoch=0, least=0, mempool=True)
    feed.opened(0, 1)
    feed.received(0, parts, 2)
    feed.received(0, [b"rawtx", *parts], 3)
    feed.received(0, [b"sequence", b"".join(parts), bytes(4)], 4)


MADE = make_transaction(random.Random(1), (1, 2, 3), inputs=2).data  # noqa: S311


@pytest.mark.parametrize("good", [FIRST, MADE], ids=["legacy", "segwit"])
@FUZZ
@given(data=st.data())
def test_spoiled_transactions(good: bytes, data: st.DataObject) -> None:
    spoiled = data.draw(mutated(good))
    with contextlib.suppress(HostError):
        read = read_transaction(spoiled)
        assert len(read.txid) == 32
        assert all(value >= 0 for value in read.values)
        assert spoiled == good or read.txid != read_transaction(good).txid or read.segwit


@FUZZ
@given(data=st.binary(max_size=300))
def test_any_certificate(data: bytes) -> None:
    with contextlib.suppress(HostError):
        subject_public_key_info(data)
