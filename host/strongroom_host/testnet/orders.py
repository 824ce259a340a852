"""Order requests as they arrive, and as they are after every field was understood.

The body is hostile: integers come as canonical decimal strings below 2**256 (the salt alone as a
JSON number below 2**53), addresses as 0x-hex, bytes32 as 0x-hex, and nothing may be left over.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

import msgspec

from strongroom_host.testnet.contracts import Address, address_from
from strongroom_host.testnet.errors import (
    InvalidOrderId,
    InvalidOrderPayload,
    OrderVersionMismatch,
    TooManyOrders,
)

__all__ = [
    "MAX_BATCH",
    "MAX_CANCELS",
    "Order",
    "OrderRequest",
    "OrderType",
    "Side",
    "order_id_from",
    "parse_cancel",
    "parse_cancels",
    "parse_order",
    "parse_orders",
]

MAX_BATCH: Final = 15
MAX_CANCELS: Final = 3000
_SALT_LIMIT: Final = 1 << 53
_UINT256_LIMIT: Final = 1 << 256
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)
_BYTES32: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_SIGNATURE: Final = re.compile(r"0x(?:[0-9a-fA-F]{2}){65,2048}", re.ASCII)


class Side(enum.Enum):
    """The side of an order; the value is the signed uint8."""

    BUY = 0
    SELL = 1


class OrderType(enum.Enum):
    """How long an order may live. Not part of the signed struct."""

    GTC = "GTC"
    GTD = "GTD"
    FOK = "FOK"
    FAK = "FAK"

    @property
    def rests(self) -> bool:
        """Whether an unmatched rest goes onto the book."""
        return self in (OrderType.GTC, OrderType.GTD)


@dataclass(frozen=True, slots=True)
class Order:
    """The eleven signed fields of an order (exchange versions 2 and 3)."""

    salt: int
    maker: Address
    signer: Address
    token_id: int
    maker_amount: int
    taker_amount: int
    side: Side
    signature_type: int
    timestamp_ms: int
    metadata: bytes
    builder: bytes


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order, its signature, and the fields around it that only the HMAC covers."""

    order: Order
    signature: bytes
    owner: str
    order_type: OrderType
    expiration_s: int
    post_only: bool


class _UntrustedOrder(msgspec.Struct, forbid_unknown_fields=True):
    salt: int
    maker: str
    signer: str
    tokenId: str
    makerAmount: str
    takerAmount: str
    side: str
    expiration: str
    signatureType: int
    signature: str
    timestamp: str | None = None
    metadata: str | None = None
    builder: str | None = None
    # Fields of the dead V1 order: known, so that its sender is told what is wrong.
    taker: str | None = None
    nonce: str | None = None
    feeRateBps: str | None = None


class _UntrustedRequest(msgspec.Struct, forbid_unknown_fields=True):
    order: _UntrustedOrder
    owner: str
    orderType: str
    deferExec: bool = False
    postOnly: bool = False


class _UntrustedCancel(msgspec.Struct, forbid_unknown_fields=True):
    orderID: str


def _uint(text: str, limit: int = _UINT256_LIMIT) -> int:
    if _DECIMAL.fullmatch(text) is None or int(text) >= limit:
        raise InvalidOrderPayload(expected=f"a decimal below {limit}", actual=text)
    return int(text)


def _bytes32(text: str) -> bytes:
    if _BYTES32.fullmatch(text) is None:
        raise InvalidOrderPayload(expected="0x and 64 hex digits", actual=text)
    return bytes.fromhex(text[2:])


def _address(text: str) -> Address:
    try:
        return address_from(text)
    except ValueError as error:
        raise InvalidOrderPayload(expected=str(error), actual=text) from error


def _request(raw: _UntrustedRequest) -> OrderRequest:
    fields = raw.order
    if fields.timestamp is None and fields.nonce is not None and fields.feeRateBps is not None:
        raise OrderVersionMismatch(expected="2 or 3", actual="1")
    if fields.taker is not None or fields.nonce is not None or fields.feeRateBps is not None:
        raise InvalidOrderPayload(expected="no V1 fields in a V2 order")
    if fields.timestamp is None or fields.metadata is None or fields.builder is None:
        raise InvalidOrderPayload(expected="timestamp, metadata and builder")
    if not 0 <= fields.salt < _SALT_LIMIT:
        # A JSON number beyond 2**53 is not the same integer in every parser on the way.
        raise InvalidOrderPayload(expected="a salt below 2**53", actual=fields.salt)
    if fields.signatureType not in (0, 1, 2, 3):
        raise InvalidOrderPayload(expected="signatureType 0 to 3", actual=fields.signatureType)
    if _SIGNATURE.fullmatch(fields.signature) is None:
        raise InvalidOrderPayload(expected="a 0x-hex signature of 65 to 2048 bytes")
    try:
        side, order_type = Side[fields.side], OrderType(raw.orderType)
    except (KeyError, ValueError) as error:
        raise InvalidOrderPayload(expected="a known side and orderType", actual=error) from error
    order = Order(
        salt=fields.salt,
        maker=_address(fields.maker),
        signer=_address(fields.signer),
        token_id=_uint(fields.tokenId),
        maker_amount=_uint(fields.makerAmount),
        taker_amount=_uint(fields.takerAmount),
        side=side,
        signature_type=fields.signatureType,
        timestamp_ms=_uint(fields.timestamp, 1 << 63),
        metadata=_bytes32(fields.metadata),
        builder=_bytes32(fields.builder),
    )
    if order.maker_amount == 0 or order.taker_amount == 0:
        raise InvalidOrderPayload(expected="amounts above zero")
    return OrderRequest(
        order=order,
        signature=bytes.fromhex(fields.signature[2:]),
        owner=raw.owner,
        order_type=order_type,
        expiration_s=_uint(fields.expiration, 1 << 63),
        post_only=raw.postOnly,
    )


def parse_order(body: bytes) -> OrderRequest:
    """The order request of a ``POST /order`` body.

    Raises:
        InvalidOrderPayload: not exactly such a body.
        OrderVersionMismatch: a well-formed V1 order.
    """
    try:
        raw = msgspec.json.decode(body, type=_UntrustedRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidOrderPayload(actual=str(error)) from error
    return _request(raw)


def parse_orders(body: bytes) -> tuple[OrderRequest | InvalidOrderPayload, ...]:
    """The order requests of a ``POST /orders`` body; a bad entry does not spoil its neighbours.

    Raises:
        InvalidOrderPayload: no array of objects, or an empty one.
        OrderVersionMismatch: an entry is a well-formed V1 order.
        TooManyOrders: more than `MAX_BATCH` entries.
    """
    try:
        items = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidOrderPayload(actual=str(error)) from error
    if not items:
        raise InvalidOrderPayload(expected="at least one order")
    if len(items) > MAX_BATCH:
        raise TooManyOrders(len(items), MAX_BATCH)
    parsed: list[OrderRequest | InvalidOrderPayload] = []
    for item in items:
        try:
            parsed.append(parse_order(bytes(item)))
        except InvalidOrderPayload as error:
            parsed.append(error)
    return tuple(parsed)


def order_id_from(text: str) -> bytes:
    """The 32-byte order hash written as 0x-hex.

    Raises:
        InvalidOrderId: any other text.
    """
    if _BYTES32.fullmatch(text) is None:
        raise InvalidOrderId(text)
    return bytes.fromhex(text[2:])


def parse_cancel(body: bytes) -> bytes:
    """The order hash of a ``DELETE /order`` body.

    Raises:
        InvalidOrderPayload: not ``{"orderID": ...}``.
        InvalidOrderId: the id is no order hash.
    """
    try:
        return order_id_from(msgspec.json.decode(body, type=_UntrustedCancel).orderID)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidOrderPayload(actual=str(error)) from error


def parse_cancels(body: bytes) -> tuple[bytes, ...]:
    """The order hashes of a ``DELETE /orders`` body.

    Raises:
        InvalidOrderPayload: not an array of strings.
        TooManyOrders: more than `MAX_CANCELS` ids.
        InvalidOrderId: an id is no order hash.
    """
    try:
        items = msgspec.json.decode(body, type=list[str])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidOrderPayload(actual=str(error)) from error
    if len(items) > MAX_CANCELS:
        raise TooManyOrders(len(items), MAX_CANCELS)
    return tuple(order_id_from(item) for item in items)
