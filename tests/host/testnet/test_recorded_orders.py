"""Every recorded V2 and V3 order passes the validator; every tampered one fails."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from strongroom_host.testnet.app import build_app
from strongroom_host.testnet.auth import ApiKey, Authenticator
from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.config import TestnetConfig, default_config
from strongroom_host.testnet.contracts import Exchange, address_from, deployment
from strongroom_host.testnet.eip712 import clob_auth_message, digest
from strongroom_host.testnet.errors import (
    ApiError,
    InvalidSignature,
    MakerNotAllowed,
    OrderVersionMismatch,
    WrongOrderSigner,
)
from strongroom_host.testnet.faults import Connections, Faults
from strongroom_host.testnet.markets import Market, terms_of
from strongroom_host.testnet.orders import Order, OrderRequest, OrderType, Side, parse_order
from strongroom_host.testnet.signatures import Authorised, authorise
from strongroom_host.testnet.wallets import WalletKind, Wallets, authorize_calldata

from tests.host.testnet.traders import Clock, Trader, encode, sign

NOW_S = 1_790_000_000
OWNER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
SESSION = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
OWNER_SECRET = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"


@pytest.fixture(scope="module")
def recorded(vectors: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((vectors / "polymarket" / "vectors.json").read_text())
    return data


@pytest.fixture(scope="module")
def live_orders(recorded: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in recorded["orders"] if item["exchangeVersion"] != "1"]


def request_of(vector: dict[str, Any]) -> OrderRequest:
    """The recorded request body, or one made of the recorded message (one vector has no body)."""
    if vector["postBody"]:
        return parse_order(vector["postBody"].encode())
    message = dict(vector["message"])
    message |= {
        "salt": int(message["salt"]),
        "side": Side(message["side"]).name,
        "expiration": "0",
        "signature": vector["signature"],
    }
    return parse_order(encode({"order": message, "owner": "", "orderType": "GTC"}))


def registry(vector: dict[str, Any]) -> Wallets:
    wallets = Wallets(vector["chainId"])
    kind = WalletKind(vector["message"]["signatureType"])
    owner = address_from(vector["signingAddress"])
    wallets.register(address_from(vector["message"]["maker"]), kind, owner)
    return wallets


def judge(vector: dict[str, Any], order: Order, signature: bytes) -> Authorised:
    contracts = deployment(vector["chainId"])
    exchange = Exchange(vector["exchangeVersion"], address_from(vector["verifyingContract"]))
    return authorise(order, signature, exchange, contracts, registry(vector), NOW_S)


def test_every_recorded_order_verifies_with_its_recorded_hash(
    live_orders: list[dict[str, Any]],
) -> None:
    for vector in live_orders:
        request = request_of(vector)
        proven = judge(vector, request.order, request.signature)
        assert proven.order_id.hex() == vector["orderHash"][2:], vector["name"]
        assert proven.signed_by == vector["signingAddress"], vector["name"]
    assert len(live_orders) == 21


ANY_REFUSAL = (InvalidSignature, OrderVersionMismatch, MakerNotAllowed, WrongOrderSigner)
STRANGER = address_from("0x" + "5a" * 20)
TAMPERED = {
    "salt": lambda o: replace(o, salt=o.salt + 1),
    "maker": lambda o: replace(o, maker=STRANGER),
    "signer": lambda o: replace(o, signer=STRANGER),
    "token_id": lambda o: replace(o, token_id=o.token_id ^ 1),
    "maker_amount": lambda o: replace(o, maker_amount=o.maker_amount + 1),
    "taker_amount": lambda o: replace(o, taker_amount=o.taker_amount - 1),
    "side": lambda o: replace(o, side=Side(1 - o.side.value)),
    "signature_type": lambda o: replace(o, signature_type=(o.signature_type + 1) % 4),
    "timestamp_ms": lambda o: replace(o, timestamp_ms=o.timestamp_ms + 1),
    "metadata": lambda o: replace(o, metadata=bytes(31) + b"\x01"),
    "builder": lambda o: replace(o, builder=b"\x01" + bytes(31)),
}


@pytest.mark.parametrize("field", TAMPERED)
def test_no_signed_field_may_change(live_orders: list[dict[str, Any]], field: str) -> None:
    for vector in live_orders:
        request = request_of(vector)
        with pytest.raises(ANY_REFUSAL):
            judge(vector, TAMPERED[field](request.order), request.signature)


def test_no_byte_of_a_signature_may_change(live_orders: list[dict[str, Any]]) -> None:
    one_of_each_type = {item["message"]["signatureType"]: item for item in live_orders}
    assert sorted(one_of_each_type) == [0, 1, 3]
    for vector in one_of_each_type.values():
        request = request_of(vector)
        for position in range(0, len(request.signature), 7):
            broken = bytearray(request.signature)
            broken[position] ^= 0x01
            with pytest.raises(ANY_REFUSAL):
                judge(vector, request.order, bytes(broken))
        for cut in (request.signature[:-1], request.signature + b"\x00"):
            with pytest.raises(InvalidSignature):
                judge(vector, request.order, cut)


def test_the_twin_of_a_signature_with_high_s_is_refused(
    live_orders: list[dict[str, Any]],
) -> None:
    group_order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    vector = next(item for item in live_orders if item["message"]["signatureType"] == 0)
    request = request_of(vector)
    r, s, v = request.signature[:32], request.signature[32:64], request.signature[64]
    twin = r + (group_order - int.from_bytes(s, "big")).to_bytes(32, "big") + bytes([55 - v])
    with pytest.raises(InvalidSignature):
        judge(vector, request.order, twin)


def test_recovery_ids_are_27_and_28(live_orders: list[dict[str, Any]]) -> None:
    vector = next(item for item in live_orders if item["message"]["signatureType"] == 0)
    request = request_of(vector)
    judge(vector, request.order, request.signature)
    bare = request.signature[:64] + bytes([request.signature[64] - 27])
    with pytest.raises(InvalidSignature):
        judge(vector, request.order, bare)


def test_neg_risk_and_standard_are_not_exchangeable(live_orders: list[dict[str, Any]]) -> None:
    seen = 0
    for vector in live_orders:
        if vector["exchangeVersion"] != "2":
            continue
        request = request_of(vector)
        contracts = deployment(vector["chainId"])
        other = (
            contracts.v2
            if vector["verifyingContract"] == contracts.v2_neg_risk.contract
            else contracts.v2_neg_risk
        )
        with pytest.raises(InvalidSignature):
            authorise(request.order, request.signature, other, contracts, registry(vector), NOW_S)
        seen += 1
    assert seen == 17


def test_the_market_chooses_the_recorded_exchange(live_orders: list[dict[str, Any]]) -> None:
    for vector in live_orders:
        if not vector["inputs"]:
            continue  # a unit-test vector of the client's, on a token id that no market can have
        contracts = deployment(vector["chainId"])
        chosen = contracts.exchange_for(
            int(vector["message"]["tokenId"]), neg_risk=vector["inputs"]["negRisk"]
        )
        assert (chosen.contract, chosen.version) == (
            vector["verifyingContract"],
            vector["exchangeVersion"],
        )


def test_v1_bodies_are_of_the_wrong_version(recorded: dict[str, Any]) -> None:
    old = [item for item in recorded["orders"] if item["exchangeVersion"] == "1"]
    assert len(old) == 16
    for vector in old:
        with pytest.raises(OrderVersionMismatch):
            parse_order(vector["postBody"].encode())


def test_the_recorded_session_key_signs_while_it_is_authorised(
    recorded: dict[str, Any], live_orders: list[dict[str, Any]]
) -> None:
    session = recorded["sessionKey"][0]
    vector = next(item for item in live_orders if item["name"] == session["order"])
    venue = Clob(default_config(137), Clock(), bytes(32))
    owner = Trader(venue, OWNER_SECRET, WalletKind.DEPOSIT, address_from(session["wallet"]))
    venue.open_account(owner.maker, WalletKind.DEPOSIT, owner.address)
    order = parse_order(vector["postBody"].encode()).order
    signature = bytes.fromhex(session["signature"][2:])
    key = address_from(session["sessionSigner"])

    def check(now_s: int, wire: bytes = signature) -> Authorised:
        contracts = venue.contracts
        return authorise(order, wire, contracts.v2, contracts, venue.wallets, now_s)

    with pytest.raises(InvalidSignature):
        check(NOW_S)
    venue.execute(owner.batch(authorize_calldata(key, NOW_S + 60)), {key: frozenset({"CLOB"})})
    assert check(NOW_S).signed_by == key
    with pytest.raises(InvalidSignature):
        check(NOW_S + 60)
    with pytest.raises(InvalidSignature):  # the key's plain wire signature, without its envelope
        check(NOW_S, bytes.fromhex(session["innerSignature"][2:]))
    for position in (
        0,
        12,
        31,
        63,
        95,
        127,
        140,
        len(signature) - 40,
        len(signature) - 34,
        len(signature) - 1,
    ):
        broken = bytearray(signature)
        broken[position] ^= 0x80
        with pytest.raises(InvalidSignature):
            check(NOW_S, bytes(broken))


def test_recorded_l1_headers_authenticate(recorded: dict[str, Any]) -> None:
    for vector in recorded["l1"]:
        message = clob_auth_message(
            address_from(vector["address"]),
            str(vector["timestamp"]),
            vector["nonce"],
            vector["chainId"],
        )
        assert digest(message).hex() == vector["digest"][2:]
        auth = Authenticator(bytes(32), vector["chainId"], l1_skew_s=0, l2_skew_s=0)
        assert auth.l1(vector["headers"], vector["timestamp"]) == (vector["address"], 23)


def vector_key(vector: dict[str, Any]) -> ApiKey:
    headers = vector["headers"]
    return ApiKey(
        key=headers["POLY_API_KEY"],
        secret=vector["secret"],
        passphrase=headers["POLY_PASSPHRASE"],
        address=address_from(headers["POLY_ADDRESS"]),
        nonce=0,
    )


def test_recorded_l2_headers_authenticate_their_request_only(recorded: dict[str, Any]) -> None:
    for vector in recorded["l2"]:
        auth = Authenticator(bytes(32), 137, l1_skew_s=0, l2_skew_s=0)
        auth.adopt(vector_key(vector))
        body = (vector["body"] or "").encode()
        at = vector["timestamp"]
        auth.l2(vector["headers"], vector["method"], vector["path"], body, at)
        for method, path, content in (
            ("PUT", vector["path"], body),
            (vector["method"], vector["path"] + "x", body),
            (vector["method"], vector["path"], body + b" "),
        ):
            with pytest.raises(ApiError):
                auth.l2(vector["headers"], method, path, content, at)


def test_recorded_amounts_lie_on_the_grid(recorded: dict[str, Any]) -> None:
    token = 71321045679252212594626385532706912750332728571942532289631379312455583992563
    for row in recorded["amounts"]:
        market = Market("0x" + "00" * 32, (token, token + 1), row["tick"], min_shares=1)
        order_type = OrderType.GTC if row["kind"] == "limit" else OrderType.FAK
        for maker, taker in (
            (row["makerAmount"], row["takerAmount"]),
            (row["decimalMaker"], row["decimalTaker"]),
        ):
            order = Order(
                salt=1,
                maker=STRANGER,
                signer=STRANGER,
                token_id=token,
                maker_amount=int(maker),
                taker_amount=int(taker),
                side=Side[row["side"]],
                signature_type=0,
                timestamp_ms=0,
                metadata=bytes(32),
                builder=bytes(32),
            )
            terms = terms_of(order, "0x", order_type, market)
            assert terms.price % market.rule.tick == 0


def test_the_recorded_request_is_taken_in_byte_for_byte(recorded: dict[str, Any]) -> None:
    """The whole server: recorded headers and body, on the recorded second."""
    vector = next(
        item for item in recorded["l2"] if item["path"] == "/order" and item["method"] == "POST"
    )
    order = parse_order(vector["body"].encode()).order
    market = Market("0x" + "11" * 32, (order.token_id, order.token_id + 1), "0.01")
    clock = Clock(vector["timestamp"] * 1000)
    venue = Clob(TestnetConfig(137, (market,)), clock, bytes(32))
    venue.auth.adopt(vector_key(vector))
    venue.open_account(order.maker, WalletKind.EOA, order.maker, funds=order.maker_amount)
    app = build_app(venue, Faults(), Connections(), "admin")

    async def post(content: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="https://t") as client:
            return await client.post("/order", content=content, headers=vector["headers"])

    spaced = asyncio.run(post(vector["body"].replace('"GTC"', ' "GTC"')))
    assert (spaced.status_code, spaced.json()) == (
        401,
        {"error": "Unauthorized/Invalid api key"},
    )
    answer = asyncio.run(post(vector["body"]))
    assert answer.json()["success"] is True
    assert answer.json()["status"] == "live"
    again = asyncio.run(post(vector["body"]))
    assert again.status_code == 400
    assert again.json()["error"].endswith("is invalid. Duplicated.")


def test_signing_helper_agrees_with_the_recorded_key() -> None:
    message = clob_auth_message(address_from(OWNER), "1", 0, 137)
    assert len(sign(message, OWNER_SECRET)) == 65
    assert address_from(SESSION) == SESSION
