"""What a venue's answers mean for an order. Hostile input: only what is certain counts.

An order is *accepted* when a 200 names its very hash, *rejected* when a 4xx says so in the venue's
own JSON; everything else leaves it *unknown*. A refusal as a duplicate proves the opposite of a
rejection, namely that the venue has the order.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from strongroom_host.venue.connection import VenueResponse

__all__ = ["OrderFate", "Standing", "Verdict", "read_order", "read_placement", "read_trades"]

_REFUSING: Final = frozenset({400, 401, 403, 404, 422, 425, 429})
_DETAIL: Final = 300
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises; the last where an answer is nested beyond measure."""


class Verdict(enum.Enum):
    """What the answer to a placement proves about one order."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class Standing(enum.Enum):
    """What the answer to a query proves about one order."""

    OPEN = "open"
    FILLED = "filled"
    """Matched and done with; a fill-and-kill order perhaps in part."""
    CLOSED = "closed"
    """Known to the venue and off the book before it was filled: cancelled, expired."""
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class OrderFate:
    """The verdict on one order and the venue's words for it, cut to a printable length."""

    order_hash: bytes
    verdict: Verdict
    detail: str


class _Entry(msgspec.Struct):
    success: bool
    orderID: str = ""
    status: str = ""
    errorMsg: str = ""


class _Error(msgspec.Struct):
    error: str


class _Order(msgspec.Struct):
    id: str
    status: str


class _MakerOrder(msgspec.Struct):
    order_id: str


class _Trade(msgspec.Struct):
    taker_order_id: str
    maker_orders: list[_MakerOrder] = []


class _Trades(msgspec.Struct):
    data: list[_Trade]
    next_cursor: str


def _hex(order_hash: bytes) -> str:
    return "0x" + order_hash.hex()


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:_DETAIL])


def read_placement(
    response: VenueResponse, order_hashes: Sequence[bytes], *, batch: bool
) -> tuple[OrderFate, ...]:
    """The fate of each order in the request that `response` answers."""
    if response.status == 200:
        entries = _entries(response.body, batch=batch)
        if entries is None or len(entries) != len(order_hashes):
            return _all(order_hashes, Verdict.UNKNOWN, "the answer is not the venue's JSON")
        return tuple(map(_fate, order_hashes, entries))
    try:
        refusal = msgspec.json.decode(response.body, type=_Error).error
    except _UNREADABLE:
        refusal = ""
    detail = f"{response.status} {refusal}".strip()
    certain = response.status in _REFUSING and refusal and not _duplicate(refusal)
    return _all(order_hashes, Verdict.REJECTED if certain else Verdict.UNKNOWN, detail)


def _entries(body: bytes, *, batch: bool) -> list[_Entry] | None:
    try:
        if batch:
            return msgspec.json.decode(body, type=list[_Entry])
        return [msgspec.json.decode(body, type=_Entry)]
    except _UNREADABLE:
        return None


def _fate(order_hash: bytes, entry: _Entry) -> OrderFate:
    if entry.success and entry.errorMsg == "" and entry.orderID.lower() == _hex(order_hash):
        return OrderFate(order_hash, Verdict.ACCEPTED, _clean(entry.status))
    # A refusal names no order, or this one; naming another means the answer is not about it.
    names_ours = entry.orderID.lower() in ("", _hex(order_hash))
    if not entry.success and entry.errorMsg and names_ours and not _duplicate(entry.errorMsg):
        return OrderFate(order_hash, Verdict.REJECTED, _clean(entry.errorMsg))
    return OrderFate(order_hash, Verdict.UNKNOWN, _clean(entry.errorMsg or "contradictory answer"))


def _duplicate(text: str) -> bool:
    return "duplicate" in text.lower()


def _all(order_hashes: Sequence[bytes], verdict: Verdict, detail: str) -> tuple[OrderFate, ...]:
    return tuple(OrderFate(item, verdict, _clean(detail)) for item in order_hashes)


def read_order(response: VenueResponse, order_hash: bytes) -> Standing:
    """What an answer to ``GET /data/order/{hash}`` proves about that order."""
    if response.status == 404:
        try:
            text = msgspec.json.decode(response.body, type=_Error).error.lower()
        except _UNREADABLE:
            return Standing.UNKNOWN
        return Standing.ABSENT if "order" in text and "not found" in text else Standing.UNKNOWN
    if response.status != 200:
        return Standing.UNKNOWN
    if response.body.strip() == b"null":
        return Standing.ABSENT
    try:
        order = msgspec.json.decode(response.body, type=_Order)
    except _UNREADABLE:
        return Standing.UNKNOWN
    if order.id.lower() != _hex(order_hash):
        return Standing.UNKNOWN
    status = order.status.upper().removeprefix("ORDER_STATUS_")
    if status == "LIVE":
        return Standing.OPEN
    if status == "MATCHED":
        return Standing.FILLED
    if status.startswith("CANCELED") or status in ("INVALID", "EXPIRED"):
        return Standing.CLOSED
    return Standing.UNKNOWN


def read_trades(response: VenueResponse, order_hash: bytes) -> bool | None:
    """Whether ``GET /data/trades`` shows a fill of the order.

    None when the answer proves nothing: an error, or more pages than the one that was asked for.
    """
    if response.status != 200:
        return None
    try:
        page = msgspec.json.decode(response.body, type=_Trades)
    except _UNREADABLE:
        return None
    wanted = _hex(order_hash)
    for trade in page.data:
        makers = [maker.order_id.lower() for maker in trade.maker_orders]
        if wanted in (trade.taker_order_id.lower(), *makers):
            return True
    return False if page.next_cursor == "LTE=" else None
