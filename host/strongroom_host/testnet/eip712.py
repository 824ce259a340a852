"""EIP-712 messages of the CLOB and signer recovery, by eth-account alone.

The testnet judges what our enclave signs, so it must not share a line with it: every type is
declared here and hashed by eth-account's encoder.
"""

from __future__ import annotations

from typing import Final

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.crypto import keccak

from strongroom_host.testnet.contracts import Address, Exchange, address_from
from strongroom_host.testnet.orders import Order

__all__ = [
    "ORDER_TYPE",
    "MalformedSignature",
    "WalletCall",
    "batch_message",
    "clob_auth_message",
    "digest",
    "order_message",
    "recover",
    "wallet_order_message",
]

_CLOB_AUTH_TEXT: Final = "This message attests that I control the given wallet"
_SECP256K1_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0

_ORDER_FIELDS: Final = (
    ("salt", "uint256"),
    ("maker", "address"),
    ("signer", "address"),
    ("tokenId", "uint256"),
    ("makerAmount", "uint256"),
    ("takerAmount", "uint256"),
    ("side", "uint8"),
    ("signatureType", "uint8"),
    ("timestamp", "uint256"),
    ("metadata", "bytes32"),
    ("builder", "bytes32"),
)
_NESTED_FIELDS: Final = (
    ("contents", "Order"),
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
)
ORDER_TYPE: Final = (
    "Order(" + ",".join(f"{kind} {name}" for name, kind in _ORDER_FIELDS) + ")"
).encode()
"""The type string that a POLY_1271 signature carries (186 bytes)."""

WalletCall = tuple[Address, int, bytes]
"""Target, value and calldata of one call in a deposit-wallet batch."""


class MalformedSignature(ValueError):
    """Not 65 bytes r||s||v with v 27 or 28 and low s, or no key recovers."""


def _members(fields: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for name, kind in fields]


_ORDER_MEMBERS: Final = _members(_ORDER_FIELDS)
_NESTED_MEMBERS: Final = _members(_NESTED_FIELDS)


def digest(message: SignableMessage) -> bytes:
    """The 32 bytes that the signature covers."""
    return keccak(b"\x19" + message.version + message.header + message.body)


def recover(message: SignableMessage, signature: bytes) -> Address:
    """The address whose key made `signature` over `message`.

    High-s signatures are refused as the contracts refuse them: otherwise every signature has a
    twin that authorises the same order.

    Raises:
        MalformedSignature: wrong length, v, s, or no curve point.
    """
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise MalformedSignature("expected 65 bytes ending in 27 or 28")
    if int.from_bytes(signature[32:64], "big") > _SECP256K1_HALF_ORDER:
        raise MalformedSignature("s is in the upper half of the group order")
    try:
        return address_from(Account.recover_message(message, signature=signature))
    except Exception as error:  # eth-keys raises several unrelated types here
        raise MalformedSignature(str(error)) from error


def clob_auth_message(
    address: Address, timestamp: str, nonce: int, chain_id: int
) -> SignableMessage:
    """The L1 ClobAuth message: the claim to control `address` at `timestamp` (Unix seconds)."""
    return encode_typed_data(
        {"name": "ClobAuthDomain", "version": "1", "chainId": chain_id},
        {
            "ClobAuth": _members(
                (
                    ("address", "address"),
                    ("timestamp", "string"),
                    ("nonce", "uint256"),
                    ("message", "string"),
                )
            )
        },
        {
            "address": address,
            "timestamp": timestamp,
            "nonce": nonce,
            "message": _CLOB_AUTH_TEXT,
        },
    )


def _exchange_domain(exchange: Exchange, chain_id: int) -> dict[str, object]:
    return {
        "name": "Polymarket CTF Exchange",
        "version": exchange.version,
        "chainId": chain_id,
        "verifyingContract": exchange.contract,
    }


def _order_data(order: Order) -> dict[str, object]:
    return {
        "salt": order.salt,
        "maker": order.maker,
        "signer": order.signer,
        "tokenId": order.token_id,
        "makerAmount": order.maker_amount,
        "takerAmount": order.taker_amount,
        "side": order.side.value,
        "signatureType": order.signature_type,
        "timestamp": order.timestamp_ms,
        "metadata": order.metadata,
        "builder": order.builder,
    }


def order_message(order: Order, exchange: Exchange, chain_id: int) -> SignableMessage:
    """The order as types 0 to 2 sign it; its digest is the order hash of all types."""
    return encode_typed_data(
        _exchange_domain(exchange, chain_id), {"Order": _ORDER_MEMBERS}, _order_data(order)
    )


def wallet_order_message(order: Order, exchange: Exchange, chain_id: int) -> SignableMessage:
    """The nested TypedDataSign that a deposit wallet's key signs for `order` (ERC-7739 shape)."""
    return encode_typed_data(
        _exchange_domain(exchange, chain_id),
        {"TypedDataSign": _NESTED_MEMBERS, "Order": _ORDER_MEMBERS},
        {
            "contents": _order_data(order),
            "name": "DepositWallet",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": order.signer,
            "salt": bytes(32),
        },
    )


def batch_message(
    wallet: Address, nonce: int, deadline: int, calls: tuple[WalletCall, ...], chain_id: int
) -> SignableMessage:
    """The deposit wallet's own `Batch`: what its owner signs to make the wallet call something."""
    return encode_typed_data(
        {
            "name": "DepositWallet",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": wallet,
        },
        {
            "Call": _members((("target", "address"), ("value", "uint256"), ("data", "bytes"))),
            "Batch": _members(
                (
                    ("wallet", "address"),
                    ("nonce", "uint256"),
                    ("deadline", "uint256"),
                    ("calls", "Call[]"),
                )
            ),
        },
        {
            "wallet": wallet,
            "nonce": nonce,
            "deadline": deadline,
            "calls": [
                {"target": target, "value": value, "data": data} for target, value, data in calls
            ],
        },
    )
