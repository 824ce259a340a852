"""Three independent implementations sign the same orders: two official clients and eth-account."""

import json
from typing import Any

from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st
from polymarket._internal.actions.orders.post import build_post_order_request
from polymarket._internal.actions.orders.typed_data import (
    build_order_signature,
    build_order_typed_data,
)
from polymarket._internal.actions.orders.types import UnsignedOrder
from polymarket._internal.l1_auth import sign_api_key_auth
from polymarket._internal.wallet import wrap_deposit_wallet_signature
from polymarket.models.clob.orders import SignedOrder as PolymarketSignedOrder
from py_clob_client_v2.headers.headers import create_level_1_headers
from py_clob_client_v2.order_utils import ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderDataV2
from py_clob_client_v2.order_utils.model.side import Side as ClobSide
from py_clob_client_v2.order_utils.model.signature_type_v2 import SignatureTypeV2
from py_clob_client_v2.signer import Signer
from strongroom_enclave.signer.eip712 import checksum_address
from strongroom_enclave.signer.keys import SigningKey
from strongroom_enclave.signer.orders import SignatureType

from tests.enclave.signer.http import parse
from tests.enclave.signer.strategies import Situation, situations


def secret_hex(s: Situation) -> str:
    return f"0x{s.secret:064x}"


def unsigned(s: Situation) -> UnsignedOrder:
    """Return the order as polymarket-client holds it."""
    order = s.order
    fields: dict[str, Any] = {
        "builder": "0x" + order.builder.hex(),
        "chain_id": s.exchange.chain_id,
        "exchange_address": checksum_address(s.exchange.address),
        "expiration": s.terms.expiration,
        "maker": checksum_address(order.maker),
        "maker_amount": order.maker_amount,
        "metadata": "0x" + order.metadata.hex(),
        "order_type": s.terms.order_type.name,
        "salt": order.salt,
        "side": order.side.name,
        "signature_type": int(order.signature_type),
        "signer": checksum_address(order.signer),
        "taker_amount": order.taker_amount,
        "timestamp": order.timestamp,
        "token_id": str(order.token_id),
        "protocol_version": s.exchange.label[1],
    }
    return UnsignedOrder(**fields)


@given(situations())
def test_py_clob_client_v2_signs_the_same(s: Situation) -> None:
    order = s.order
    builder = ExchangeOrderBuilderV2(
        checksum_address(s.exchange.address),
        s.exchange.chain_id,
        Signer(secret_hex(s), s.exchange.chain_id),
        generate_salt=lambda: str(order.salt),
        domain_version=s.exchange.label[1],
    )
    data = OrderDataV2(
        maker=checksum_address(order.maker),
        signer=checksum_address(order.signer),
        tokenId=str(order.token_id),
        makerAmount=str(order.maker_amount),
        takerAmount=str(order.taker_amount),
        side=ClobSide(int(order.side)),
        signatureType=SignatureTypeV2(int(order.signature_type)),
        # A falsy timestamp makes the client take its own clock; "0" is not falsy.
        timestamp=str(order.timestamp),
        metadata="0x" + order.metadata.hex(),
        builder="0x" + order.builder.hex(),
        expiration=str(s.terms.expiration),
    )
    theirs = builder.build_signed_order(data)
    without_session = s.key.sign_order(order, s.exchange, _owner(s))
    assert without_session.signature == theirs.signature
    typed = builder.build_order_typed_data(builder.build_order(data))
    assert "0x" + without_session.order_hash.hex() == builder.build_order_hash(typed)


@given(situations())
def test_polymarket_client_signs_and_posts_the_same(s: Situation) -> None:
    order = unsigned(s)
    account = EthAccount.from_key(secret_hex(s))
    raw = "0x" + account.sign_typed_data(full_message=build_order_typed_data(order)).signature.hex()
    signature = build_order_signature(order, raw)
    if s.account.signature_type is SignatureType.POLY_1271:
        signature = wrap_deposit_wallet_signature(
            signer=account.address,
            signer_type="SESSION_KEY" if s.account.session else "OWNER",
            signature=signature,
        )
    assert s.signed.signature == signature
    names = PolymarketSignedOrder.__dataclass_fields__.keys() - {"signature", "post_only"}
    theirs = PolymarketSignedOrder(
        **{name: getattr(order, name) for name in names},
        signature=signature,
        post_only=s.terms.post_only,
    )
    path, payload = build_post_order_request(theirs, owner_api_key=s.credential.api_key)
    ours = parse(s.builder.post([(s.signed, s.terms.intent)], 1))
    expected = {"postOnly": False, **payload, "deferExec": s.terms.defer_exec}
    assert ours.target == path
    assert json.loads(ours.body) == expected


@given(situations())
def test_eth_account_signs_the_same(s: Situation) -> None:
    order = s.order
    fields = [
        ("salt", "uint256"), ("maker", "address"), ("signer", "address"), ("tokenId", "uint256"),
        ("makerAmount", "uint256"), ("takerAmount", "uint256"), ("side", "uint8"),
        ("signatureType", "uint8"), ("timestamp", "uint256"), ("metadata", "bytes32"),
        ("builder", "bytes32"),
    ]  # fmt: skip
    values = [getattr(order, name) for name in order.__struct_fields__]
    message: dict[str, Any] = {
        name: checksum_address(value) if kind == "address" else value
        for (name, kind), value in zip(fields, values, strict=True)
    }
    domain = {
        "name": "Polymarket CTF Exchange",
        "version": s.exchange.label[1],
        "chainId": s.exchange.chain_id,
        "verifyingContract": checksum_address(s.exchange.address),
    }
    types: dict[str, Any] = {"Order": [{"name": name, "type": kind} for name, kind in fields]}
    if s.account.signature_type is SignatureType.POLY_1271:
        nested = [
            ("contents", "Order"), ("name", "string"), ("version", "string"),
            ("chainId", "uint256"), ("verifyingContract", "address"), ("salt", "bytes32"),
        ]  # fmt: skip
        types["TypedDataSign"] = [{"name": name, "type": kind} for name, kind in nested]
        message = {
            "contents": message,
            "name": "DepositWallet",
            "version": "1",
            "chainId": s.exchange.chain_id,
            "verifyingContract": checksum_address(order.signer),
            "salt": bytes(32),
        }
    signable = encode_typed_data(domain, types, message)
    theirs = EthAccount.sign_message(signable, private_key=secret_hex(s)).signature
    ours = bytes.fromhex(s.signed.signature[2:])
    start = 128 if s.account.session else 0
    assert ours[start : start + 65] == theirs


@given(situations(), st.integers(1, 2**63), st.integers(0, 2**53))
def test_logins_are_the_same(s: Situation, timestamp: int, nonce: int) -> None:
    chain_id = s.exchange.chain_id
    ours = s.key.sign_clob_auth(chain_id, timestamp, nonce)
    signer = Signer(secret_hex(s), chain_id)
    assert ours == create_level_1_headers(signer, nonce, timestamp)
    theirs = sign_api_key_auth(
        EthAccount.from_key(secret_hex(s)), chain_id=chain_id, timestamp=timestamp, nonce=nonce
    )
    assert (ours["POLY_ADDRESS"], ours["POLY_SIGNATURE"]) == (theirs.address, theirs.signature)


@given(st.integers(1, 2**200))
def test_addresses_and_their_spelling_are_the_same(number: int) -> None:
    key = SigningKey(number.to_bytes(32, "big"))
    assert checksum_address(key.address) == EthAccount.from_key(f"0x{number:064x}").address


def _owner(s: Situation) -> Any:
    """Return the account without session key: py-clob-client-v2 has none."""
    account = s.account
    return type(account)(account.key, account.signature_type, account.maker)
