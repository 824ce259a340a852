"""Traders for the tests: they sign with the official client's builder and send exact bytes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from dataclasses import dataclass, field, replace
from typing import Any

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from py_clob_client_v2.order_builder.builder import ROUNDING_CONFIG, OrderBuilder
from py_clob_client_v2.order_utils import ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils import Side as ClientSide
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderDataV2, order_to_json_v2
from py_clob_client_v2.signer import Signer
from strongroom_host.testnet.auth import ApiKey
from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.config import TestnetConfig, default_config
from strongroom_host.testnet.contracts import Address, address_from
from strongroom_host.testnet.eip712 import batch_message
from strongroom_host.testnet.orders import OrderRequest, parse_order
from strongroom_host.testnet.records import Placement
from strongroom_host.testnet.wallets import Batch, WalletKind

NOW_MS = 1_790_000_000_000
MASTER = bytes(32)


class Clock:
    """A clock that stands still until told."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def forward(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


def config(**changes: Any) -> TestnetConfig:
    """The default markets on Amoy, without house liquidity unless asked for."""
    return replace(default_config(80002), **{"seeds": (), **changes})


def clob(clock: Clock | None = None, **changes: Any) -> Clob:
    return Clob(config(**changes), clock or Clock(), MASTER)


_salts = itertools.count(1)


@dataclass
class Trader:
    """A key, the wallet it trades for, and its API key at one venue."""

    venue: Clob
    secret: str
    kind: WalletKind = WalletKind.EOA
    wallet: Address | None = None
    api: ApiKey = field(init=False)

    def __post_init__(self) -> None:
        self.account = Account.from_key(self.secret)
        self.address = address_from(self.account.address)
        self.maker = self.wallet or self.address
        self.api = self.venue.auth.create(self.address, 0)

    @classmethod
    def funded(
        cls,
        venue: Clob,
        number: int,
        kind: WalletKind = WalletKind.EOA,
        funds: int = 10_000_000_000,
    ) -> Trader:
        trader = cls(venue, "0x" + number.to_bytes(32, "big").hex(), kind)
        if kind is not WalletKind.EOA:
            made = hashlib.sha256(f"{kind} {number}".encode()).digest()[:20]
            trader.wallet = trader.maker = address_from("0x" + made.hex())
        venue.open_account(trader.maker, kind, trader.address, funds=funds)
        return trader

    def body(
        self,
        token: int,
        side: str,
        price: float,
        size: float,
        *,
        order_type: str = "GTC",
        market_order: bool = False,
        expiration: int = 0,
        post_only: bool = False,
        version: str | None = None,
        contract: str | None = None,
        session: bool = False,
        salt: int | None = None,
        timestamp_ms: int | None = None,
        chain_id: int | None = None,
        maker_amount: int | None = None,
        taker_amount: int | None = None,
    ) -> dict[str, Any]:
        """A signed ``POST /order`` body; `size` is cash for a market BUY."""
        market = self.venue.markets[token]
        exchange = self.venue.contracts.exchange_for(token, neg_risk=market.neg_risk)
        chain = chain_id or self.venue.config.chain_id
        signer = Signer(self.secret, chain)
        builder = OrderBuilder(signer, signature_type=self.kind.value, funder=self.maker)
        rounding = ROUNDING_CONFIG[market.tick_size]
        compute = builder.get_market_order_amounts if market_order else builder.get_order_amounts
        _, making, taking = compute(side, size, price, rounding)
        data = OrderDataV2(
            maker=self.maker,
            tokenId=str(token),
            makerAmount=str(maker_amount or making),
            takerAmount=str(taker_amount or taking),
            side=ClientSide[side],
            signer=builder._v2_order_signer(),
            signatureType=self.kind.value,
            timestamp=str(timestamp_ms or self.venue.now_ms),
            expiration=str(expiration),
        )
        signed = ExchangeOrderBuilderV2(
            contract or exchange.contract,
            chain,
            signer,
            generate_salt=lambda: str(salt or next(_salts)),
            domain_version=version or exchange.version,
        ).build_signed_order(data)
        if session:
            signed.signature = wrap_session(self.address, signed.signature)
        body: dict[str, Any] = order_to_json_v2(signed, self.api.key, order_type, post_only)
        return body

    def request(self, token: int, side: str, price: float, size: float, **how: Any) -> OrderRequest:
        return parse_order(encode(self.body(token, side, price, size, **how)))

    def place(self, token: int, side: str, price: float, size: float, **how: Any) -> Placement:
        return self.venue.place(self.request(token, side, price, size, **how), self.api)

    def l2(
        self, method: str, path: str, body: bytes = b"", *, at_s: int | None = None
    ) -> dict[str, str]:
        """L2 headers by this file's own HMAC, over the path without its query."""
        timestamp = str(self.venue.now_s if at_s is None else at_s)
        text = f"{timestamp}{method}{path.partition('?')[0]}".encode() + body
        mac = hmac.new(base64.urlsafe_b64decode(self.api.secret), text, hashlib.sha256).digest()
        return {
            "POLY_ADDRESS": self.address,
            "POLY_SIGNATURE": base64.urlsafe_b64encode(mac).decode(),
            "POLY_TIMESTAMP": timestamp,
            "POLY_API_KEY": self.api.key,
            "POLY_PASSPHRASE": self.api.passphrase,
        }

    def batch(
        self, *calldata: bytes, nonce: int | None = None, signer: str | None = None, **changes: Any
    ) -> Batch:
        """A wallet batch signed by this trader's key (or `signer`)."""
        batch = Batch(
            wallet=self.maker,
            nonce=self.venue.wallets.nonce_of(self.maker) if nonce is None else nonce,
            deadline_s=self.venue.now_s + 600,
            calls=tuple((self.maker, 0, data) for data in calldata),
            signature=b"",
        )
        batch = replace(batch, **changes)
        message = batch_message(
            batch.wallet, batch.nonce, batch.deadline_s, batch.calls, self.venue.config.chain_id
        )
        return replace(batch, signature=sign(message, signer or self.secret))


def sign(message: SignableMessage, secret: str) -> bytes:
    return bytes(Account.sign_message(message, secret).signature)


def encode(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def wrap_session(address: str, signature: str) -> str:
    """The session-key envelope, encoded here by hand."""
    inner = bytes.fromhex(signature[2:])
    padded = inner + bytes(-len(inner) % 32)
    words = bytes(12) + bytes.fromhex(address[2:]) + bytes(32)
    words += (96).to_bytes(32, "big") + len(inner).to_bytes(32, "big")
    return "0x" + (words + padded + bytes.fromhex("6492" * 16)).hex()


def clob_auth_headers(
    secret: str, *, timestamp: int, nonce: int, chain_id: int, message: str | None = None
) -> dict[str, str]:
    """L1 headers, typed data spelled out here."""
    account = Account.from_key(secret)
    typed = encode_typed_data(
        {"name": "ClobAuthDomain", "version": "1", "chainId": chain_id},
        {
            "ClobAuth": [
                {"name": "address", "type": "address"},
                {"name": "timestamp", "type": "string"},
                {"name": "nonce", "type": "uint256"},
                {"name": "message", "type": "string"},
            ]
        },
        {
            "address": account.address,
            "timestamp": str(timestamp),
            "nonce": nonce,
            "message": message or "This message attests that I control the given wallet",
        },
    )
    return {
        "POLY_ADDRESS": account.address,
        "POLY_SIGNATURE": "0x" + sign(typed, secret).hex(),
        "POLY_TIMESTAMP": str(timestamp),
        "POLY_NONCE": str(nonce),
    }
