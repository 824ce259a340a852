"""Everything recorded from the official packages: hashes, signatures, bodies, headers, amounts."""

import json
from collections.abc import Callable

import pytest
from strongroom_enclave.signer import eip712
from strongroom_enclave.signer.amounts import Amounts
from strongroom_enclave.signer.auth import ApiCredential
from strongroom_enclave.signer.clob import OrderType, RequestBuilder
from strongroom_enclave.signer.contracts import Exchange
from strongroom_enclave.signer.keccak import keccak256
from strongroom_enclave.signer.orders import Account, SignatureType
from strongroom_wire.frames import Intent, Kind

from tests.enclave.signer import replay_v1
from tests.enclave.signer.http import parse
from tests.enclave.signer.recorded import (
    Case,
    account_of,
    amounts_of,
    exchange_of,
    key_of,
    order_of,
    recorded,
    section,
    unhex,
)
from tests.enclave.signer.strategies import Terms

Record = Callable[[str, str | int], None]
OUR_TYPES = {
    "OrderV1": replay_v1.ORDER_V1_TYPE,
    "OrderV2V3": eip712.ORDER_TYPE,
    "TypedDataSign": eip712.TYPED_DATA_SIGN_TYPE,
    "ClobAuth": eip712.CLOB_AUTH_TYPE,
    "EIP712Domain": eip712.DOMAIN_TYPE,
    "EIP712DomainAuth": eip712.DOMAIN_TYPE_NO_CONTRACT,
}


@pytest.mark.parametrize(("name", "case"), recorded("typeHashes"))
def test_type_hashes(name: str, case: Case, record_vector_case: Record) -> None:
    assert OUR_TYPES[name] == case["type"].encode()
    assert keccak256(OUR_TYPES[name]) == unhex(case["hash"])
    record_vector_case("polymarket/typeHashes", name)


@pytest.mark.parametrize(("name", "case"), recorded("domains"))
def test_domain_separators(name: str, case: Case, record_vector_case: Record) -> None:
    expected = unhex(case["domainSeparator"])
    contract = unhex(case["verifyingContract"])
    texts = ("Polymarket CTF Exchange", case["version"])
    assert eip712.domain_separator(*texts, case["chainId"], contract) == expected
    assert eip712.checksum_address(contract) == case["verifyingContract"]
    ours = {exchange.domain_separator for exchange in Exchange}
    assert (expected in ours) is (case["version"] != "1")
    record_vector_case("polymarket/domains", name)


def test_the_table_holds_exactly_the_recorded_v2_and_v3_contracts(vectors: object) -> None:
    roles = {"standard": "v2", "negRisk": "v2-neg-risk", "exchangeV3": "v3"}
    expected = {
        (case["chainId"], roles[case["role"]], unhex(case["verifyingContract"]))
        for case in section("domains")
        if case["version"] != "1"
    }
    assert {(e.chain_id, e.label, e.address) for e in Exchange} == expected
    for chain_id, label, address in expected:
        assert Exchange.named(chain_id, label).address == address


@pytest.mark.parametrize(("name", "case"), recorded("orders"))
def test_orders(name: str, case: Case, record_vector_case: Record) -> None:
    if case["exchangeVersion"] == "1":
        _replay_v1(case)
    else:
        _sign(case)
    record_vector_case("polymarket/orders", name)


def _replay_v1(case: Case) -> None:
    domain = replay_v1.domain_v1(case["chainId"], case["verifyingContract"])
    secret = {key["address"]: key["privateKey"] for key in section("keys").values()}
    assert domain == unhex(case["domainSeparator"])
    assert replay_v1.struct_hash_v1(case["message"]) == unhex(case["structHash"])
    signed = replay_v1.sign_v1(case["message"], domain, unhex(secret[case["signingAddress"]]))
    assert signed == (unhex(case["orderHash"]), case["signature"])
    _amounts_agree(case)


def _sign(case: Case) -> None:
    order, key, exchange = (
        order_of(case["message"]),
        key_of(case["signingAddress"]),
        exchange_of(case),
    )
    account = account_of(key, order)
    assert exchange.domain_separator == unhex(case["domainSeparator"])
    assert order.struct_hash() == unhex(case["structHash"])
    if order.signature_type is SignatureType.POLY_1271:
        nested = eip712.typed_data_sign_hash(order.struct_hash(), exchange.chain_id, order.signer)
        assert nested == unhex(case["typedDataSignHash"])
        assert exchange.digest(nested) == unhex(case["digest"])
    else:
        assert exchange.digest(order.struct_hash()) == unhex(case["digest"])
    signed = key.sign_order(order, exchange, account)
    assert signed.order_hash == unhex(case["orderHash"])
    assert signed.signature == case["signature"]
    if not case["inputs"]:
        return
    _amounts_agree(case)
    inputs, credential = case["inputs"], _credential()
    terms = Terms(OrderType[inputs["orderType"]], inputs["expiration"], inputs["postOnly"])
    request = RequestBuilder("clob.polymarket.com", account, credential).post(
        [(signed, terms.intent)], 1
    )
    assert parse(request).body.decode() == case["postBody"]


def _amounts_agree(case: Case) -> None:
    message = case["message"]
    expected = Amounts(int(message["makerAmount"]), int(message["takerAmount"]))
    assert amounts_of(case["inputs"]) == expected


@pytest.mark.parametrize(("name", "case"), recorded("sessionKey"))
def test_session_keys(name: str, case: Case, record_vector_case: Record) -> None:
    recorded_order = next(o for o in section("orders") if o["name"] == case["order"])
    order, key = order_of(recorded_order["message"]), key_of(case["sessionSigner"])
    exchange = exchange_of(recorded_order)
    assert order.maker == unhex(case["wallet"])
    unwrapped = key.sign_order(order, exchange, account_of(key, order))
    assert unwrapped.signature == case["innerSignature"]
    wrapped = key.sign_order(order, exchange, account_of(key, order, session=True))
    assert wrapped.signature == case["signature"]
    assert wrapped.order_hash == unwrapped.order_hash
    record_vector_case("polymarket/sessionKey", name)


@pytest.mark.parametrize(("name", "case"), recorded("amounts"))
def test_amounts(name: str, case: Case, record_vector_case: Record) -> None:
    assert case["kind"] == "limit"
    ours = amounts_of(case)
    assert ours == (int(case["decimalMaker"]), int(case["decimalTaker"]))
    floats = (int(case["makerAmount"]), int(case["takerAmount"]))
    assert (ours == floats) is case["floatEqualsDecimal"]
    record_vector_case("polymarket/amounts", name)


@pytest.mark.parametrize(("name", "case"), recorded("l1"))
def test_l1_headers(name: str, case: Case, record_vector_case: Record) -> None:
    key = key_of(case["address"])
    digest = eip712.clob_auth_digest(key.address, case["chainId"], case["timestamp"], case["nonce"])
    assert digest == unhex(case["digest"])
    headers = key.sign_clob_auth(case["chainId"], case["timestamp"], case["nonce"])
    assert headers == case["headers"]
    record_vector_case("polymarket/l1", name)


@pytest.mark.parametrize(("name", "case"), recorded("l2"))
def test_l2_headers(name: str, case: Case, record_vector_case: Record) -> None:
    """Each recorded request, built whole: line, headers and body equal the official client's."""
    key = key_of(case["headers"]["POLY_ADDRESS"])
    account = Account(key.address, SignatureType.EOA, key.address)
    headers = case["headers"]
    credential = ApiCredential(headers["POLY_API_KEY"], case["secret"], headers["POLY_PASSPHRASE"])
    builder = RequestBuilder("clob.polymarket.com", account, credential)
    time, body = case["timestamp"], json.loads(case["body"] or "null")
    match case["method"], case["path"]:
        case "GET", "/data/orders":
            request = builder.other(Intent(Kind.QUERY_OPEN, 0, time, 0))
        case "POST", "/order":
            message = {**body["order"], "side": 0 if body["order"]["side"] == "BUY" else 1}
            signed = key.sign_order(order_of(message), Exchange.POLYGON_V2, account)
            request = builder.post([(signed, Terms(OrderType[body["orderType"]]).intent)], time)
        case "DELETE", "/order":
            request = builder.other(Intent(Kind.CANCEL, 0, time, 0, (), unhex(body["orderID"])))
        case "DELETE", "/cancel-all":
            request = builder.other(Intent(Kind.CANCEL_ALL, 0, time, 0))
        case "POST", "/v1/heartbeats":
            beat = body["heartbeat_id"].encode()
            request = builder.other(Intent(Kind.HEARTBEAT, 0, time, 0, (), beat))
        case other:
            pytest.fail(f"a recorded request this enclave cannot build: {other}")
    built = parse(request)
    assert (built.method, built.target) == (case["method"], case["path"])
    assert built.body.decode() == (case["body"] or "")
    assert {name: built.headers[name.lower()] for name in headers} == headers
    record_vector_case("polymarket/l2", name)


@pytest.mark.parametrize(("name", "case"), recorded("hmac"))
def test_hmac(name: str, case: Case, record_vector_case: Record) -> None:
    credential = ApiCredential("key", case["secret"], "passphrase")
    request = (int(case["timestamp"]), case["method"], case["path"], case["body"])
    assert credential.l2_signature(*request) == case["signature"]
    record_vector_case("polymarket/hmac", name)


def _credential() -> ApiCredential:
    return ApiCredential("00000000-0000-0000-0000-000000000000", "A" * 43 + "=", "passphrase-0")
