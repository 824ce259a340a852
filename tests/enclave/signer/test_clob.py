"""Requests: what an HTTP and a JSON parser read is what was asked for, and nothing else fits in."""

import base64
import hashlib
import hmac
import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strongroom_enclave.signer import errors
from strongroom_enclave.signer.auth import ApiCredential
from strongroom_enclave.signer.clob import Endpoint, OrderType, RequestBuilder, check_terms
from strongroom_enclave.signer.eip712 import checksum_address
from strongroom_host.contract.frames import intent_bytes
from strongroom_wire.errors import WireError
from strongroom_wire.frames import MAX_ORDERS, Intent, Kind

from tests.enclave.signer.http import parse
from tests.enclave.signer.strategies import (
    SECRET,
    SECRET_TEXT,
    Situation,
    Terms,
    situations,
    terms,
    words32,
)
from tests.enclave.signer.test_keys import EOA

BUILDER = RequestBuilder("clob.polymarket.com", EOA, ApiCredential("key", SECRET_TEXT, "phrase"))
times = st.integers(0, 2**64 - 1)
HEADERS = [
    "host", "user-agent", "accept", "content-type", "connection", "poly_address", "poly_api_key",
    "poly_passphrase", "poly_signature", "poly_timestamp",
]  # fmt: skip


def other(kind: Kind, argument: bytes, time: int) -> bytes:
    """Return the request of an intent as it comes out of a frame."""
    return BUILDER.other(Intent.parse(intent_bytes(Intent(kind, 0, time, 0, (), argument))))


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
    request = s.builder.post([(s.signed, s.terms.intent)], time)
    body = check(request, Endpoint.POST_ORDER, time)
    assert body == posted(s, s.credential.api_key)
    headers = parse(request).headers
    assert headers["poly_address"] == checksum_address(s.key.address)
    assert headers["poly_api_key"] == s.credential.api_key
    assert headers["poly_passphrase"] == s.credential.passphrase


@given(situations(), st.lists(terms(), min_size=2, max_size=MAX_ORDERS), times)
def test_a_batch(s: Situation, many: list[Terms], time: int) -> None:
    each = [s._replace(terms=t) for t in many]
    body = check(
        s.builder.post([(s.signed, t.intent) for t in many], time), Endpoint.POST_ORDERS, time
    )
    assert body == [posted(one, s.credential.api_key) for one in each]


@given(st.lists(words32, min_size=1, max_size=5), times)
@example([bytes([1]) * 32] * 1000, 0)
def test_cancels(hashes: list[bytes], time: int) -> None:
    single = len(hashes) == 1
    body = check(
        other(Kind.CANCEL, b"".join(hashes), time),
        Endpoint.CANCEL_ORDER if single else Endpoint.CANCEL_ORDERS,
        time,
    )
    ids = ["0x" + h.hex() for h in hashes]
    assert body == ({"orderID": ids[0]} if single else ids)


@given(words32, st.integers(0, 2**256 - 1), times)
def test_the_other_requests(word: bytes, token: int, time: int) -> None:
    assert check(other(Kind.CANCEL_ALL, b"", time), Endpoint.CANCEL_ALL, time) is None
    market = check(
        other(Kind.CANCEL_MARKET, word + token.to_bytes(32, "big"), time),
        Endpoint.CANCEL_MARKET,
        time,
    )
    assert market == {"market": "0x" + word.hex(), "asset_id": str(token)}
    order = other(Kind.QUERY_ORDER, word, time)
    assert check(order, Endpoint.GET_ORDER, time) is None
    assert parse(order).target == f"/data/order/0x{word.hex()}"


@pytest.mark.parametrize("cursor", ["", "MA==", "LTE=", "a/b+c-d_e=="])
def test_pages(cursor: str) -> None:
    escaped = cursor.replace("+", "%2B")
    target = f"?next_cursor={escaped}" if cursor else ""
    for kind, endpoint in (
        (Kind.QUERY_OPEN, Endpoint.GET_ORDERS),
        (Kind.QUERY_TRADES, Endpoint.GET_TRADES),
    ):
        request = other(kind, cursor.encode(), 5)
        assert check(request, endpoint, 5) is None
        assert parse(request).target == endpoint.value[1] + target
        # The query is outside the HMAC, as the venue has it.
        signatures = {parse(r).headers["poly_signature"] for r in (request, other(kind, b"", 5))}
        assert len(signatures) == 1


@pytest.mark.parametrize("beat", ["", "0d5e7f8a-0000-4000-8000-00000000000f"])
def test_heartbeats(beat: str) -> None:
    body = check(other(Kind.HEARTBEAT, beat.encode(), 9), Endpoint.HEARTBEAT, 9)
    assert body == {"heartbeat_id": beat}


EVIL = [
    "a\r\nX-Evil: 1", "a\n", "a\r", " ", "a b", 'a"', "a'", "a\\", "a\0", "ä", "\u2028", "a&b=c",
    "a#b", "a?b", "a%0d%0a", "a{",
]  # fmt: skip


@pytest.mark.parametrize("text", EVIL)
@pytest.mark.parametrize("kind", [Kind.QUERY_OPEN, Kind.QUERY_TRADES, Kind.HEARTBEAT])
def test_no_text_can_carry_a_header_a_quote_or_another_parameter(kind: Kind, text: str) -> None:
    with pytest.raises(errors.TextMalformed):
        other(kind, text.encode(), 1)


def test_a_heartbeat_id_is_bounded() -> None:
    with pytest.raises(errors.TextMalformed):
        other(Kind.HEARTBEAT, b"x" * 65, 1)


@pytest.mark.parametrize("kind", [Kind.ORDERS, Kind.TEMPLATE])
def test_what_signs_an_order_is_not_built_without_one(kind: Kind) -> None:
    with pytest.raises(errors.TextMalformed):
        BUILDER.other(Intent(kind, 0, 1, 0))


@given(st.sampled_from(Kind), st.binary(max_size=80), times)
def test_only_our_errors_come_out_and_the_head_keeps_its_shape(
    kind: Kind, argument: bytes, time: int
) -> None:
    try:
        request = other(kind, argument, time)
    except WireError:
        return
    parsed = parse(request)
    assert list(parsed.headers)[: len(HEADERS)] == HEADERS
    assert request.split(b"\r\n\r\n")[0].count(b"\r\n") == len(parsed.headers)


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
        check_terms(Terms(**arguments).intent)  # type: ignore[arg-type]


def test_methods_and_paths_are_these_ten() -> None:
    assert [endpoint.value for endpoint in Endpoint] == [
        ("POST", "/order"), ("POST", "/orders"), ("DELETE", "/order"), ("DELETE", "/orders"),
        ("DELETE", "/cancel-all"), ("DELETE", "/cancel-market-orders"), ("POST", "/v1/heartbeats"),
        ("GET", "/data/order/"), ("GET", "/data/orders"), ("GET", "/data/trades"),
    ]  # fmt: skip


@given(situations(), times)
def test_building_is_deterministic(s: Situation, time: int) -> None:
    again = RequestBuilder("clob.polymarket.com", s.account, s.credential)
    assert s.builder.post([(s.signed, s.terms.intent)], time) == again.post(
        [(s.signed, s.terms.intent)], time
    )
    msgspec.json.decode(parse(again.post([(s.signed, s.terms.intent)], time)).body)
