"""Own fills, page by page, as a venue's ``GET /data/trades`` lists them; and open orders likewise.

Hostile input: a page that cannot be understood in full is refused, because a fill that is passed
over is exactly what somebody who trades with a stolen key would like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from strongroom_host.errors import HostError
from strongroom_host.venue.connection import VenueResponse

__all__ = ["END", "Fill", "PagesUnreadable", "TradesUnclear", "own_fills", "own_open_orders"]

END: Final = "LTE="
"""The cursor that the venue gives with the last page."""
_MAX_PAGES: Final = 100_000
_Page = TypeVar("_Page")
_Item = TypeVar("_Item")


class PagesUnreadable(HostError):
    """The venue's answer is no page, or its pages do not come to an end."""


class TradesUnclear(HostError):
    """A trade does not say which of its orders was ours."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One own order in one trade. Amounts and price are the venue's words; `matched_s` is Unix
    seconds, 0 where the venue gives none."""

    trade_id: str
    order_hash: bytes
    taker: bool
    matched_s: int
    market: str
    size: str
    price: str


class _MakerOrder(msgspec.Struct):
    order_id: str
    maker_address: str = ""
    matched_amount: str = ""
    price: str = ""


class _Trade(msgspec.Struct):
    id: str
    taker_order_id: str
    maker_address: str = ""
    trader_side: str = ""
    maker_orders: list[_MakerOrder] = []
    market: str = ""
    size: str = ""
    price: str = ""
    match_time: str = ""


class _Order(msgspec.Struct):
    id: str


class _Trades(msgspec.Struct):
    data: list[_Trade]
    next_cursor: str


class _Orders(msgspec.Struct):
    data: list[_Order]
    next_cursor: str


def own_fills(ask: Callable[[bytes], VenueResponse]) -> list[Fill]:
    """Every own order in every own trade, newest first; taker and maker sides.

    Pages shift while trades are added: what moves to a later page comes twice and is taken once,
    and nothing is left out.

    Args:
        ask: Returns the venue's answer to a signed query of the page at a cursor.

    Raises:
        PagesUnreadable: an answer is no page.
        TradesUnclear: a trade names none of its orders as ours.
    """
    found: dict[tuple[str, bytes, bool], Fill] = {}
    for trade in _pages(ask, _Trades, lambda page: (page.data, page.next_cursor)):
        for fill in _fills(trade):
            found.setdefault((fill.trade_id, fill.order_hash, fill.taker), fill)
    return list(found.values())


def own_open_orders(ask: Callable[[bytes], VenueResponse]) -> set[bytes]:
    """The hashes of all own orders that rest at the venue.

    Raises:
        PagesUnreadable: an answer is no page.
    """
    orders = _pages(ask, _Orders, lambda page: (page.data, page.next_cursor))
    return {_hash(order.id, "an open order") for order in orders}


def _pages(
    ask: Callable[[bytes], VenueResponse],
    kind: type[_Page],
    parts: Callable[[_Page], tuple[list[_Item], str]],
) -> Iterator[_Item]:
    cursor, seen = "", {END}
    for _ in range(_MAX_PAGES):
        answer = ask(cursor.encode())
        try:
            page = msgspec.json.decode(answer.body, type=kind) if answer.status == 200 else None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise PagesUnreadable("the venue's answer is no page", actual=error) from error
        if page is None:
            words = answer.body[:300].decode("utf-8", "replace")
            raise PagesUnreadable(
                "the venue does not list what is ours",
                expected="status 200",
                actual=f"{answer.status} {words}",
            )
        items, following = parts(page)
        yield from items
        if following == END:
            return
        if following in seen or not following.isascii():
            raise PagesUnreadable("the venue's pages lead back to one that was read", actual=cursor)
        seen.add(following)
        cursor = following
    raise PagesUnreadable("the venue's pages do not end", expected=f"at most {_MAX_PAGES}")


def _fills(trade: _Trade) -> Iterator[Fill]:
    """The own orders in a trade. `maker_address` of the trade itself is the account that asked."""
    ours, matched = trade.maker_address.lower(), trade.match_time
    matched_s = int(matched) if matched.isascii() and matched.isdigit() else 0
    found = 0
    if trade.trader_side.upper() == "TAKER":
        found += 1
        order = _hash(trade.taker_order_id, f"trade {trade.id}")
        yield Fill(trade.id, order, True, matched_s, trade.market, trade.size, trade.price)
    for maker in trade.maker_orders:
        if ours and maker.maker_address.lower() == ours:
            found += 1
            order = _hash(maker.order_id, f"trade {trade.id}")
            amounts = maker.matched_amount or trade.size, maker.price or trade.price
            yield Fill(trade.id, order, False, matched_s, trade.market, *amounts)
    if not found:
        raise TradesUnclear(
            f"trade {trade.id[:80]!r} does not say which of its orders was ours",
            expected="trader_side TAKER, or a maker order of the account's own address",
            actual=f"{trade.trader_side[:20]!r}, {len(trade.maker_orders)} maker orders",
        )


def _hash(text: str, what: str) -> bytes:
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise PagesUnreadable(f"{what} has no order hash", actual=text[:100])
    return value
