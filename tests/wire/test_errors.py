"""Numbers that cross the boundary are part of the contract: they never change meaning."""

import pytest
from strongroom_wire.errors import (
    BadSignature,
    Code,
    Malformed,
    ManifestInvalid,
    QuorumMissing,
    Refused,
    Rule,
    TooLarge,
    WireError,
)

CODES = (
    (0, "OK"),
    (100, "MALFORMED"), (101, "TOO_LARGE"), (102, "UNKNOWN_REQUEST"), (103, "CALL_NOT_PERMITTED"),
    (104, "WRONG_PHASE"), (105, "EXPIRED"), (106, "BAD_SEQUENCE"), (107, "UNKNOWN_CHANNEL"),
    (108, "UNKNOWN_CLIENT"), (109, "UNKNOWN_KEY"), (110, "NO_CREDENTIAL"), (111, "BAD_AMOUNT"),
    (112, "TEMPLATE_MISMATCH"), (113, "BUSY"),
    (200, "MANIFEST_INVALID"), (201, "BAD_SIGNATURE"), (202, "QUORUM_MISSING"),
    (203, "WRONG_BOOT"), (204, "WRONG_MANIFEST"), (205, "WRONG_OWNER"), (206, "PERMIT_STALE"),
    (207, "WRONG_LOG_HEAD"), (208, "SEALED_STATE_REFUSED"), (209, "KEY_CONFLICT"),
    (300, "DENIED"),
    (400, "VENUE_UNREACHABLE"), (401, "VENUE_TLS"), (402, "VENUE_REFUSED"),
    (403, "VENUE_NOT_ALLOWED"),
    (500, "PLATFORM"), (501, "HALTED"), (502, "INTERNAL"),
)  # fmt: skip
RULES = [
    "NONE",
    "PERMIT",
    "KILL_SWITCH",
    "CLOCK",
    "PERMIT_EXPIRED",
    "MARKET",
    "SIDE",
    "PRICE_BAND",
    "ORDER_TYPE",
    "LIFETIME",
    "TIMESTAMP",
    "ORDER_NOTIONAL",
    "WINDOW_NOTIONAL",
    "BUDGET_NOTIONAL",
    "BUDGET_ORDERS",
    "RATE",
]


def test_published_numbers_keep_their_meaning() -> None:
    # New ones may be added; none of these may change or go.
    codes = {(int(code), code.name) for code in Code}
    assert set(CODES) <= codes
    assert len({number for number, _ in codes}) == len(codes) == len(Code.__members__)
    rules = [rule.name for rule in sorted(Rule)]
    assert rules[: len(RULES)] == RULES
    assert [int(rule) for rule in sorted(Rule)] == list(range(len(rules)))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WireError("x"), Code.MALFORMED),
        (Malformed("x"), Code.MALFORMED),
        (TooLarge("x"), Code.TOO_LARGE),
        (ManifestInvalid("x"), Code.MANIFEST_INVALID),
        (BadSignature("x"), Code.BAD_SIGNATURE),
        (QuorumMissing("x"), Code.QUORUM_MISSING),
        (Refused(Code.BUSY), Code.BUSY),
    ],
)
def test_every_error_knows_its_code_and_has_one_root(error: WireError, code: Code) -> None:
    assert isinstance(error, WireError)
    assert error.code is code


def test_an_error_says_what_was_expected_and_what_came() -> None:
    error = Malformed("field", 0, 3)
    assert str(error) == "field: expected 0, got 3"
    assert (error.what, error.expected, error.actual) == ("field", 0, 3)
    assert str(Malformed("field")) == "field"
    assert str(Refused(Code.BUSY)) == "BUSY"
    assert str(Refused(Code.BUSY, "enrolment", "one at a time", "another")) == (
        "enrolment: expected one at a time, got another"
    )


@pytest.mark.parametrize("holds", [True, 1, "text", [0]])
def test_a_check_that_holds_raises_nothing(holds: object) -> None:
    TooLarge.unless(holds, "statement", 1, 1)


@pytest.mark.parametrize("holds", [False, 0, "", None, []])
def test_a_check_that_does_not_hold_raises_its_own_error(holds: object) -> None:
    with pytest.raises(TooLarge) as caught:
        TooLarge.unless(holds, "statement", 1, 2)
    assert (caught.value.what, caught.value.expected, caught.value.actual) == ("statement", 1, 2)
