"""The market channel, read by the official client's own models and checked by its own hash."""

from __future__ import annotations

import json
from typing import Any

import pytest
from polymarket._internal.streams.clob.market_protocol import (
    MarketServerState,
    build_initial_frame,
    build_subscribe_update,
    build_unsubscribe_update,
    parse_events,
)
from py_clob_client_v2.utilities import (
    generate_orderbook_summary_hash,
    parse_raw_orderbook_summary,
)
from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.market_channel import MarketChannel
from strongroom_host.testnet.mover import Mover
from strongroom_host.testnet.orders import Side

from tests.host.testnet.traders import Clock, Trader, clob


class Client:
    """A session and what it was sent."""

    def __init__(self, channel: MarketChannel, *tokens: int, custom: bool = False) -> None:
        self.texts: list[str] = []
        self.session = channel.attach(self.texts.append)
        if tokens:
            state = MarketServerState(tuple(map(str, tokens)), custom)
            self.session.heard(json.dumps(build_initial_frame(state)))

    def take(self) -> list[dict[str, Any]]:
        texts, self.texts[:] = list(self.texts), []
        found: list[dict[str, Any]] = []
        for text in texts:
            read = json.loads(text)
            found += read if isinstance(read, list) else [read]
        _, dropped = parse_events(found)
        assert dropped == 0, "the official client takes every one"
        return found


@pytest.fixture
def venue() -> Clob:
    return clob(Clock())


def first(venue: Clob) -> int:
    return venue.config.markets[0].tokens[0]


def true_hash(book: dict[str, Any]) -> str:
    summary = parse_raw_orderbook_summary(book)
    return str(generate_orderbook_summary_hash(summary))


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["event_type"] for message in messages]


def test_a_subscription_begins_with_the_books(venue: Clob) -> None:
    channel = MarketChannel(venue)
    venue.house_order(first(venue), Side.BUY, 4000, 20_000_000)
    (book,) = Client(channel, first(venue)).take()
    assert book["event_type"] == "book"
    assert book["bids"] == [{"price": "0.4", "size": "20"}]
    assert book["hash"] == true_hash(book)


def test_an_order_is_a_change_with_the_hash_of_the_book_after_it(venue: Clob) -> None:
    channel, token = MarketChannel(venue), first(venue)
    client = Client(channel, token)
    client.take()
    Trader.funded(venue, 5).place(token, "BUY", 0.4, 20.0)
    (change,) = client.take()
    (entry,) = change["price_changes"]
    assert change["event_type"] == "price_change"
    assert (entry["price"], entry["size"], entry["side"]) == ("0.4", "20", "BUY")
    assert (entry["best_bid"], entry["best_ask"]) == ("0.4", "1")
    (book,) = Client(channel, token).take()
    assert entry["hash"] == book["hash"] == true_hash(book)


def test_a_trade_is_a_print_a_change_and_a_book(venue: Clob) -> None:
    channel, token = MarketChannel(venue), first(venue)
    client = Client(channel, token)
    venue.house_order(token, Side.SELL, 5000, 30_000_000)
    client.take()
    Trader.funded(venue, 5).place(token, "BUY", 0.5, 20.0)
    messages = client.take()
    assert kinds(messages) == ["last_trade_price", "price_change", "book"]
    trade, change, book = messages
    assert (trade["price"], trade["size"], trade["side"]) == ("0.5", "20", "BUY")
    assert change["price_changes"][0]["size"] == "10"
    assert book["last_trade_price"] == "0.5"
    assert change["price_changes"][0]["hash"] == book["hash"]


def test_a_cancelled_order_is_a_level_of_nothing(venue: Clob) -> None:
    channel, token = MarketChannel(venue), first(venue)
    placed = venue.house_order(token, Side.BUY, 4000, 20_000_000)
    client = Client(channel, token)
    client.take()
    venue.house_cancel(placed.order_id)
    (change,) = client.take()
    assert change["price_changes"][0]["size"] == "0"


def test_best_prices_come_to_those_who_asked_for_custom_features(venue: Clob) -> None:
    channel, token = MarketChannel(venue), first(venue)
    plain, custom = Client(channel, token), Client(channel, token, custom=True)
    plain.take()
    custom.take()
    venue.house_order(token, Side.BUY, 4000, 20_000_000)
    assert kinds(plain.take()) == ["price_change"]
    best = custom.take()[-1]
    assert (best["event_type"], best["best_bid"], best["spread"]) == ("best_bid_ask", "0.4", "0.6")


def test_subscriptions_are_added_and_taken_away(venue: Clob) -> None:
    channel = MarketChannel(venue)
    one, two = venue.config.markets[0].tokens
    client = Client(channel, one)
    client.take()
    client.session.heard(
        json.dumps(build_subscribe_update([str(one), str(two)], custom_feature_enabled=False))
    )
    assert [book["asset_id"] for book in client.take()] == [str(two)], "no second dump of the first"
    client.session.heard(json.dumps(build_unsubscribe_update([str(one), str(two)])))
    venue.house_order(one, Side.BUY, 4000, 20_000_000)
    assert client.take() == []
    client.session.close()
    assert not channel.sessions


def test_pings_and_nonsense() -> None:
    client = Client(MarketChannel(clob()))
    for text in ("PING", "{", '{"operation":"dance"}', '{"assets_ids":["x"]}', "[]"):
        client.session.heard(text)
    assert client.texts[0] == "PONG"
    assert client.texts[1:] == ['{"error":"INVALID OPERATION"}'] * 4


def test_a_walk_can_be_repeated_and_is_told_step_by_step() -> None:
    heard = []
    for _ in range(2):
        venue = clob(Clock())
        token = first(venue)
        channel, mover = MarketChannel(venue), Mover(venue, 5)
        client = Client(channel, token)
        for _ in range(60):
            mover.step()
        messages = client.take()
        for message in messages:
            message.pop("transaction_hash", None)
        heard.append(messages)
        best_bid, best_ask = venue.books[token].best(Side.BUY), venue.books[token].best(Side.SELL)
        assert best_bid is not None
        assert best_ask is not None
        assert best_bid < best_ask
        assert kinds(messages).count("last_trade_price") > 3
    assert heard[0] == heard[1]


def test_the_house_keeps_to_ticks_and_lots(venue: Clob) -> None:
    token = first(venue)
    for price, shares in ((0, 10_000), (10_000, 10_000), (4050, 10_000), (4000, 1), (4000, 0)):
        with pytest.raises(ValueError, match="ticks and in lots"):
            venue.house_order(token, Side.BUY, price, shares)
