"""Does this signature prove that the maker wanted this order on this exchange?

Signature types 0, 1 and 2: 65 bytes by the EOA named as `signer`, which is (0) the maker itself or
owns the (1) proxy or (2) Safe that is the maker. Type 3: maker and signer are the deposit wallet,
and the wire form is

    r||s||v (65) || exchange domain separator (32) || order struct hash (32) || type string || 00ba

by the wallet's owner; or that, by a session key, inside

    abi.encode(bytes32 sessionSigner, bytes32 0, bytes inner) || 6492 x 16
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom_host.testnet.contracts import Address, Deployment, Exchange, address_from
from strongroom_host.testnet.eip712 import (
    ORDER_TYPE,
    MalformedSignature,
    digest,
    order_message,
    recover,
    wallet_order_message,
)
from strongroom_host.testnet.errors import (
    InvalidSignature,
    MakerNotAllowed,
    OrderVersionMismatch,
    WrongOrderSigner,
)
from strongroom_host.testnet.orders import Order
from strongroom_host.testnet.wallets import WalletKind, Wallets

__all__ = ["SESSION_MAGIC", "Authorised", "authorise", "order_hash"]

SESSION_MAGIC: Final = bytes.fromhex("6492" * 16)
_TYPE_TAIL: Final = ORDER_TYPE + len(ORDER_TYPE).to_bytes(2, "big")
_WIRE_LENGTH: Final = 65 + 32 + 32 + len(_TYPE_TAIL)


@dataclass(frozen=True, slots=True)
class Authorised:
    """An order that its maker's key signed: the venue's order id, and that key."""

    order_id: bytes
    signed_by: Address


def order_hash(order: Order, exchange: Exchange, chain_id: int) -> bytes:
    """The EIP-712 digest of `order`, which is the order id of every signature type."""
    return digest(order_message(order, exchange, chain_id))


def authorise(
    order: Order,
    signature: bytes,
    exchange: Exchange,
    contracts: Deployment,
    wallets: Wallets,
    now_s: int,
) -> Authorised:
    """Prove that a key entitled to trade for `order.maker` signed `order` for `exchange`.

    Raises:
        MakerNotAllowed: the maker is not an account of the order's signature type.
        WrongOrderSigner: `signer` does not own, or for type 3 is not, the maker.
        OrderVersionMismatch: a genuine signature, but for another exchange version.
        InvalidSignature: anything else.
    """
    kind = WalletKind(order.signature_type)
    if wallets.kind_of(order.maker) is not kind:
        raise MakerNotAllowed(order.maker)
    expected = order.maker if kind is WalletKind.DEPOSIT else wallets.owner_of(order.maker)
    if order.signer != expected:
        raise WrongOrderSigner(expected=expected, actual=order.signer)
    try:
        key = _verify(order, signature, exchange, contracts.chain_id, wallets, now_s)
    except InvalidSignature:
        for other in contracts.all:
            if other.version != exchange.version and _signed_for(
                order, signature, other, contracts.chain_id, wallets, now_s
            ):
                raise OrderVersionMismatch(
                    expected=exchange.version, actual=other.version
                ) from None
        raise
    return Authorised(order_hash(order, exchange, contracts.chain_id), key)


def _signed_for(
    order: Order,
    signature: bytes,
    exchange: Exchange,
    chain_id: int,
    wallets: Wallets,
    now_s: int,
) -> bool:
    try:
        _verify(order, signature, exchange, chain_id, wallets, now_s)
    except InvalidSignature:
        return False
    return True


def _verify(
    order: Order,
    signature: bytes,
    exchange: Exchange,
    chain_id: int,
    wallets: Wallets,
    now_s: int,
) -> Address:
    try:
        if WalletKind(order.signature_type) is not WalletKind.DEPOSIT:
            signer = recover(order_message(order, exchange, chain_id), signature)
            if signer != order.signer:
                raise InvalidSignature(expected=order.signer, actual=signer)
            return signer
        if signature.endswith(SESSION_MAGIC):
            claimed, inner = _unwrap_session(signature)
            signer = _verify_wallet(order, inner, exchange, chain_id)
            session = wallets.session_key(order.maker, signer)
            if signer != claimed:
                raise InvalidSignature(expected=claimed, actual=signer)
            if session is None or not session.trades_clob(now_s):
                raise InvalidSignature(expected="a live session key", actual=signer)
            return signer
        signer = _verify_wallet(order, signature, exchange, chain_id)
        if signer != wallets.owner_of(order.maker):
            raise InvalidSignature(expected=wallets.owner_of(order.maker), actual=signer)
        return signer
    except MalformedSignature as error:
        raise InvalidSignature(actual=str(error)) from error


def _verify_wallet(order: Order, wire: bytes, exchange: Exchange, chain_id: int) -> Address:
    if len(wire) != _WIRE_LENGTH:
        raise InvalidSignature(expected=_WIRE_LENGTH, actual=len(wire))
    plain = order_message(order, exchange, chain_id)
    separator, contents, tail = wire[65:97], wire[97:129], wire[129:]
    if separator != plain.header:
        raise InvalidSignature(expected=plain.header.hex(), actual=separator.hex())
    if contents != plain.body:
        raise InvalidSignature(expected=plain.body.hex(), actual=contents.hex())
    if tail != _TYPE_TAIL:
        raise InvalidSignature(expected="the Order type string and its length")
    return recover(wallet_order_message(order, exchange, chain_id), wire[:65])


def _unwrap_session(signature: bytes) -> tuple[Address, bytes]:
    """Session signer and inner signature; only the one canonical ABI encoding is taken."""
    payload = signature[: -len(SESSION_MAGIC)]
    head, tail = payload[:128], payload[128:]
    if len(head) != 128 or any(head[:12]) or any(head[32:64]):
        raise InvalidSignature(expected="an address word and a zero word")
    offset, length = int.from_bytes(head[64:96], "big"), int.from_bytes(head[96:128], "big")
    if offset != 96 or length != _WIRE_LENGTH or len(tail) != -(-length // 32) * 32:
        raise InvalidSignature(expected=(96, _WIRE_LENGTH), actual=(offset, length))
    if any(tail[length:]):
        raise InvalidSignature(expected="zero padding")
    return address_from("0x" + head[12:32].hex()), tail[:length]
