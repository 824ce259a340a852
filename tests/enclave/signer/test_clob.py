"""Requests: what an HTTP and a JSON parser read is what was asked for, and nothing else fits in."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strongroom_enclave.signer import errors
from strongroom_enclave.signer.auth import ApiCredential
from strongroom_enclave.signer.clob import (
    MAX_CANCELS,
    MAX_ORDERS,
    Endpoint,
    OrderType,
    RequestBuilder,
    Terms,
)
from strongroom_enclave.signer.contracts import Exchange
from strongroom_enclave.signer.eip712 import checksum_address
from strongroom_enclave.signer.orders import Account, SignatureType

from tests.enclave.signer.http import parse
from tests.enclave.signer.strategies import SECRET, Situation, situations, terms, words32
from tests.enclave.signer.test_keys import EOA, KEY, WALLET, an_order

BUILDER = RequestBuilder("clob.polymarket.com", EOA, ApiCredential("key", SECRET, "phrase"))
times = st.integers(0, 2**64 - 1)
HEADERS = [
    "host", "user-agent", "accept", "content-type", "connection", "poly_address", "poly_api_key",
    "poly_passphrase", "poly_signature", "poly_timestamp",
]  # fmt: skip


def check(request: bytes, endpoint: Endpoint, time: int) -> object:
    """Verify a request as a server would, with its own HMAC, and return its JSON body."""
    parsed = parse(request)
    path = parsed.target.partition("?")[0]
    assert parsed.method == endpoint.value[0]
    assert path.startswith(endpoint.value[1])
    assert b"'" not in request
    headers = parsed.headers
    assert list(headers) == HEADERS + ["content-length"] * bool(parsed.body)
    assert headers["poly_timestamp"] == str(time)
    assert headers["connection"] == "keep-alive"
    message = f"{time}{parsed.method}{path}".encode() + parsed.body
    mac = hmac.new(SECRET, message, hashlib.sha256).digest()
    assert headers["poly_signature"] == base64.urlsafe_b64encode(mac).decode()
    if not parsed.body:
        return None
    body = json.loads(parsed.body)
    assert json.dumps(body, separators=(",", ":")).encode() == parsed.body
    return body


def posted(s: Situation, owner: str) -> dict[str, object]:
    """Return what the JSON of one posted order must say."""
    order, account = s.order, s.account
    return {
        "order": {
            "salt": order.salt,
            "maker": checksum_address(account.maker),
            "signer": checksum_address(account.signer),
            "tokenId": str(order.token_id),
            "makerAmount": str(order.maker_amount),
            "takerAmount": str(order.taker_amount),
            "side": order.side.name,
            "expiration": str(s.terms.expiration),
            "signatureType": int(order.signature_type),
            "timestamp": str(order.timestamp),
            "metadata": "0x" + order.metadata.hex(),
            "builder": "0x" + order.builder.hex(),
            "signature": s.signed.signature,
        },
        "owner": owner,
        "orderType": s.terms.order_type.name,
        "deferExec": s.terms.defer_exec,
        "postOnly": s.terms.post_only,
    }


@given(situations(), times)
def test_one_order(s: Situation, time: int) -> None:
    request = s.builder.post([(s.signed, s.terms)], time)
    body = check(request, Endpoint.POST_ORDER, time)
    assert body == posted(s, s.credential.api_key)
    headers = parse(request).headers
    assert headers["poly_address"] == checksum_address(s.key.address)
    assert headers["poly_api_key"] == s.credential.api_key
    assert headers["poly_passphrase"] == s.credential.passphrase


@given(situations(), st.lists(terms(), min_size=2, max_size=MAX_ORDERS), times)
def test_a_batch(s: Situation, many: list[Terms], time: int) -> None:
    each = [s._replace(terms=t) for t in many]
    body = check(s.builder.post([(s.signed, t) for t in many], time), Endpoint.POST_ORDERS, time)
    assert body == [posted(one, s.credential.api_key) for one in each]


@given(st.lists(words32, min_size=1, max_size=5), times)
@example([bytes([1]) * 32] * MAX_CANCELS, 0)
def test_cancels(hashes: list[bytes], time: int) -> None:
    single = len(hashes) == 1
    body = check(
        BUILDER.cancel(hashes, time),
        Endpoint.CANCEL_ORDER if single else Endpoint.CANCEL_ORDERS,
        time,
    )
    ids = ["0x" + h.hex() for h in hashes]
    assert body == ({"orderID": ids[0]} if single else ids)


@given(words32, st.integers(0, 2**256 - 1), times)
def test_the_other_requests(word: bytes, token: int, time: int) -> None:
    assert check(BUILDER.cancel_all(time), Endpoint.CANCEL_ALL, time) is None
    market = check(BUILDER.cancel_market(word, token, time), Endpoint.CANCEL_MARKET, time)
    assert market == {"market": "0x" + word.hex(), "asset_id": str(token)}
    order = BUILDER.get_order(word, time)
    assert check(order, Endpoint.GET_ORDER, time) is None
    assert parse(order).target == f"/data/order/0x{word.hex()}"


@pytest.mark.parametrize("cursor", ["", "MA==", "LTE=", "a/b+c-d_e=="])
def test_pages(cursor: str) -> None:
    escaped = cursor.replace("+", "%2B")
    target = f"?next_cursor={escaped}" if cursor else ""
    for get, endpoint in (
        (BUILDER.get_orders, Endpoint.GET_ORDERS),
        (BUILDER.get_trades, Endpoint.GET_TRADES),
    ):
        request = get(cursor, 5)
        assert check(request, endpoint, 5) is None
        assert parse(request).target == endpoint.value[1] + target
        # The query is outside the HMAC, as the venue has it.
        signatures = {parse(r).headers["poly_signature"] for r in (request, get("", 5))}
        assert len(signatures) == 1


@pytest.mark.parametrize("beat", ["", "0d5e7f8a-0000-4000-8000-00000000000f"])
def test_heartbeats(beat: str) -> None:
    body = check(BUILDER.heartbeat(beat, 9), Endpoint.HEARTBEAT, 9)
    assert body == {"heartbeat_id": beat}


EVIL = [
    "a\r\nX-Evil: 1", "a\n", "a\r", " ", "a b", 'a"', "a'", "a\\", "a\0", "ä", "\u2028", "a&b=c",
    "a#b", "a?b", "a%0d%0a", "a{", "x" * 300, None, 7, b"a",
]  # fmt: skip


@pytest.mark.parametrize("text", EVIL)
@pytest.mark.parametrize(
    "build",
    [
        lambda text: RequestBuilder(text, EOA, ApiCredential("key", SECRET, "p")),
        lambda text: BUILDER.get_orders(text, 1),
        lambda text: BUILDER.get_trades(text, 1),
        lambda text: BUILDER.heartbeat(text, 1),
    ],
    ids=["host", "orders cursor", "trades cursor", "heartbeat"],
)
def test_no_text_can_carry_a_header_a_quote_or_another_parameter(
    build: Callable[[object], object], text: object
) -> None:
    with pytest.raises(errors.TextMalformed):
        build(text)


@pytest.mark.parametrize(
    "host", ["", "-a", "a-", "A", "a:", "a:123456", "a:80:80", "a/b", "u@a", "[::1]"]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(errors.TextMalformed):
        RequestBuilder(host, EOA, ApiCredential("key", SECRET, "p"))


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80), times)
def test_only_our_errors_come_out_and_the_head_keeps_its_shape(
    host: str, cursor: str, beat: str, time: int
) -> None:
    builds: tuple[Callable[[], bytes], ...] = (
        lambda: RequestBuilder(host, EOA, ApiCredential("key", SECRET, "p")).cancel_all(time),
        lambda: BUILDER.get_orders(cursor, time),
        lambda: BUILDER.heartbeat(beat, time),
    )
    for build in builds:
        try:
            request = build()
        except errors.SignerError:
            continue
        parsed = parse(request)
        assert list(parsed.headers)[: len(HEADERS)] == HEADERS
        assert request.split(b"\r\n\r\n")[0].count(b"\r\n") == len(parsed.headers)


@pytest.mark.parametrize("time", [-1, 2**64, 1.5, "1", "1\r\nX: y", None, True])
def test_a_time_that_is_no_integer_is_refused(time: int) -> None:
    with pytest.raises(errors.FieldOutOfRange):
        BUILDER.cancel_all(time)


@pytest.mark.parametrize("word", [b"", bytes(31), bytes(33), "0x" + "00" * 32, bytearray(32), None])
def test_what_is_no_hash_is_refused(word: bytes) -> None:
    builds: tuple[Callable[[], bytes], ...] = (
        lambda: BUILDER.cancel([word], 1),
        lambda: BUILDER.cancel([bytes(32), word], 1),
        lambda: BUILDER.get_order(word, 1),
        lambda: BUILDER.cancel_market(word, 1, 1),
    )
    for build in builds:
        with pytest.raises(errors.FieldOutOfRange):
            build()


@pytest.mark.parametrize("token", [-1, 2**256, "1", 1.0, None])
def test_what_is_no_token_is_refused(token: int) -> None:
    with pytest.raises(errors.FieldOutOfRange):
        BUILDER.cancel_market(bytes(32), token, 1)


def test_batches_are_bounded() -> None:
    item = (KEY.sign_order(an_order(), Exchange.AMOY_V2, EOA), Terms())
    assert parse(BUILDER.post([item] * MAX_ORDERS, 1)).target == "/orders"
    for orders in ([], [item] * (MAX_ORDERS + 1)):
        with pytest.raises(errors.BatchSizeOutOfRange):
            BUILDER.post(orders, 1)
    for hashes in ([], [bytes(32)] * (MAX_CANCELS + 1)):
        with pytest.raises(errors.BatchSizeOutOfRange):
            BUILDER.cancel(hashes, 1)


def test_another_accounts_order_is_not_posted() -> None:
    """The builder writes its own account's addresses, so a foreign order would be another order."""
    wallet = Account(KEY.address, SignatureType.POLY_1271, WALLET)
    signed = KEY.sign_order(an_order(wallet), Exchange.AMOY_V2, wallet)
    with pytest.raises(errors.AccountMismatch):
        BUILDER.post([(signed, Terms())], 1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"expiration": 1},
        {"order_type": OrderType.GTD},
        {"order_type": OrderType.FOK, "expiration": 1},
        {"order_type": OrderType.FOK, "post_only": True},
        {"order_type": OrderType.FAK, "post_only": True},
    ],
)
def test_terms_that_contradict_themselves_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(errors.TermsContradict):
        Terms(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("expiration", [-1, 2**64, 1.5, "1", None])
def test_an_expiration_that_is_no_integer_is_refused(expiration: int) -> None:
    with pytest.raises(errors.FieldOutOfRange):
        Terms(OrderType.GTD, expiration)


def test_methods_and_paths_are_these_ten() -> None:
    assert [endpoint.value for endpoint in Endpoint] == [
        ("POST", "/order"), ("POST", "/orders"), ("DELETE", "/order"), ("DELETE", "/orders"),
        ("DELETE", "/cancel-all"), ("DELETE", "/cancel-market-orders"), ("POST", "/v1/heartbeats"),
        ("GET", "/data/order/"), ("GET", "/data/orders"), ("GET", "/data/trades"),
    ]  # fmt: skip


@given(situations(), times)
def test_building_is_deterministic(s: Situation, time: int) -> None:
    again = RequestBuilder("clob.polymarket.com", s.account, s.credential)
    assert s.builder.post([(s.signed, s.terms)], time) == again.post([(s.signed, s.terms)], time)
    msgspec.json.decode(parse(again.post([(s.signed, s.terms)], time)).body)
