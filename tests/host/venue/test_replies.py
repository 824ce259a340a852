"""Reading answers: certain when they are, unknown whenever they are not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.venue.connection import VenueResponse
from strongroom_host.venue.replies import (
    Standing,
    Verdict,
    read_order,
    read_placement,
    read_trades,
)

HASH, OTHER = bytes.fromhex("ab" * 32), bytes.fromhex("cd" * 32)
ID = "0x" + HASH.hex()
GOOD: dict[str, Any] = {
    "success": True,
    "errorMsg": "",
    "orderID": ID,
    "status": "live",
    "makingAmount": "",
    "takingAmount": "",
}


def response(body: object, status: int = 200) -> VenueResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return VenueResponse(status, (), raw)


def verdict(body: object, status: int = 200) -> Verdict:
    (fate,) = read_placement(response(body, status), (HASH,), batch=False)
    assert fate.order_hash == HASH
    return fate.verdict


def test_a_clean_acceptance() -> None:
    assert verdict(GOOD) is Verdict.ACCEPTED
    assert verdict(GOOD | {"orderID": ID.upper().replace("0X", "0x")}) is Verdict.ACCEPTED
    assert verdict(GOOD | {"status": "matched", "tradeIDs": ["x"]}) is Verdict.ACCEPTED


@pytest.mark.parametrize(
    "change",
    [
        {"orderID": "0x" + OTHER.hex()},
        {"orderID": ""},
        {"errorMsg": "but"},
        {"success": "true"},
        {"success": 1},
        {"success": False},
        {"success": False, "errorMsg": "order is invalid. Duplicated."},
        {"success": False, "errorMsg": "no", "orderID": "0x" + OTHER.hex()},
    ],
)
def test_contradictions_leave_it_unknown(change: dict[str, Any]) -> None:
    assert verdict(GOOD | change) is Verdict.UNKNOWN


DEEP = b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
CUT = b'{"success": true, "error": "\xff", "id": "\xff"}'


@pytest.mark.parametrize(
    "body", [b"", b"OK", b"null", b"[]", b"{", b"\xff", b"<html>", b"{}", DEEP, CUT]
)
def test_no_json_of_the_venue_is_unknown(body: bytes) -> None:
    for status in (200, 400, 403, 500):
        assert verdict(body, status) is Verdict.UNKNOWN


@pytest.mark.parametrize("body", [DEEP, CUT])
def test_no_nesting_and_no_text_is_too_much_for_questions_either(body: bytes) -> None:
    for status in (200, 404, 500):
        assert read_order(response(body, status), HASH) is Standing.UNKNOWN
        assert read_trades(response(body, status), HASH) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 425, 429])
def test_a_refusal_in_the_venues_words(status: int) -> None:
    assert verdict({"error": "not enough balance / allowance"}, status) is Verdict.REJECTED
    assert verdict({"error": f"order {ID} is invalid. Duplicated."}, status) is Verdict.UNKNOWN
    assert verdict({"error": ""}, status) is Verdict.UNKNOWN


@pytest.mark.parametrize("status", [201, 202, 301, 402, 408, 409, 418, 500, 502, 503, 504, 520])
def test_other_statuses_prove_nothing(status: int) -> None:
    assert verdict({"error": "order refused"}, status) is Verdict.UNKNOWN
    assert verdict(GOOD, status) is Verdict.UNKNOWN


def test_a_refusal_inside_a_200() -> None:
    refused = {"success": False, "errorMsg": "invalid expiration", "orderID": ""}
    assert verdict(GOOD | refused) is Verdict.REJECTED
    assert verdict(GOOD | refused | {"orderID": ID}) is Verdict.REJECTED


def test_a_batch_is_read_entry_by_entry() -> None:
    refused = GOOD | {"success": False, "errorMsg": "no", "orderID": ""}
    second = GOOD | {"orderID": "0x" + OTHER.hex()}

    def verdicts(body: object) -> list[Verdict]:
        return [f.verdict for f in read_placement(response(body), (HASH, OTHER), batch=True)]

    assert verdicts([GOOD, second]) == [Verdict.ACCEPTED, Verdict.ACCEPTED]
    assert verdicts([refused, second]) == [Verdict.REJECTED, Verdict.ACCEPTED]
    assert verdicts([second, GOOD]) == [Verdict.UNKNOWN, Verdict.UNKNOWN]
    wrong_shapes: list[object] = [[GOOD], [GOOD, second, second], GOOD, {}]
    for wrong in wrong_shapes:
        assert verdicts(wrong) == [Verdict.UNKNOWN, Verdict.UNKNOWN]


def test_details_are_printable_and_short() -> None:
    (fate,) = read_placement(
        response({"error": "bad\x1b[2J\n" + "x" * 5000}, 400), (HASH,), batch=False
    )
    assert fate.detail.isprintable()
    assert len(fate.detail) <= 300


ORDER = {"id": ID, "status": "LIVE", "original_size": "10", "size_matched": "0"}


@pytest.mark.parametrize(
    ("body", "status", "standing"),
    [
        (ORDER, 200, Standing.OPEN),
        (ORDER | {"status": "ORDER_STATUS_LIVE"}, 200, Standing.OPEN),
        (ORDER | {"status": "MATCHED"}, 200, Standing.FILLED),
        (ORDER | {"status": "CANCELED"}, 200, Standing.CLOSED),
        (ORDER | {"status": "ORDER_STATUS_CANCELED_MARKET_RESOLVED"}, 200, Standing.CLOSED),
        (ORDER | {"status": "SOMETHING"}, 200, Standing.UNKNOWN),
        (ORDER | {"id": "0x" + OTHER.hex()}, 200, Standing.UNKNOWN),
        ({"error": "order not found"}, 404, Standing.ABSENT),
        (b"null", 200, Standing.ABSENT),
        ({"error": "not found"}, 404, Standing.UNKNOWN),
        (b"<html>404 not found order</html>", 404, Standing.UNKNOWN),
        ({"error": "order not found"}, 400, Standing.UNKNOWN),
        ({"error": "order not found"}, 500, Standing.UNKNOWN),
        ({"error": "Unauthorized/Invalid api key"}, 401, Standing.UNKNOWN),
        (b"", 200, Standing.UNKNOWN),
        ([], 200, Standing.UNKNOWN),
    ],
)
def test_standings(body: object, status: int, standing: Standing) -> None:
    assert read_order(response(body, status), HASH) is standing


def test_trades() -> None:
    def page(*trades: object, cursor: str = "LTE=") -> dict[str, object]:
        return {"data": list(trades), "next_cursor": cursor}

    taken = {"taker_order_id": ID}
    made = {"taker_order_id": "0x", "maker_orders": [{"order_id": ID.upper()}]}
    other = {"taker_order_id": "0x" + OTHER.hex(), "maker_orders": []}
    for body in (page(taken), page(other, made), page(taken, cursor="MTAw")):
        assert read_trades(response(body), HASH) is True
    assert read_trades(response(page(other)), HASH) is False
    assert read_trades(response(page(other, cursor="MTAw")), HASH) is None
    malformed: list[object] = [b"", b"null", {"data": []}, {"data": [{}], "next_cursor": "LTE="}]
    for wrong in malformed:
        assert read_trades(response(wrong), HASH) is None
    assert read_trades(response(page(taken), 500), HASH) is None


@given(st.binary(max_size=300), st.integers(100, 599))
def test_no_answer_raises(body: bytes, status: int) -> None:
    for noise in (body, b'{"error":' + body, b'[{"success":true,' + body):
        read_placement(response(noise, status), (HASH,), batch=False)
        read_placement(response(noise, status), (HASH, OTHER), batch=True)
        read_order(response(noise, status), HASH)
        read_trades(response(noise, status), HASH)
