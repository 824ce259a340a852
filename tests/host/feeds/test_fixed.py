from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.feeds.errors import Reason, Refused
from strongroom_host.feeds.fixed import MAX_FIXED, fixed8, millis_ns, whole


@given(st.integers(0, MAX_FIXED))
def test_every_number_a_tick_holds_is_read_exactly(value: int) -> None:
    text = f"{value // 10**8}.{value % 10**8:08d}"
    assert fixed8(text) == value
    assert fixed8(text + "000") == value, "trailing zeros are no precision"
    assert Decimal(value).scaleb(-8) == Decimal(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1", 10**8),
        (".48", 48_000_000),
        ("0.1", 10**7),
        ("0.00000001", 1),
        ("92233720368.54775807", MAX_FIXED),
        ("007", 7 * 10**8),
        ("0.10000000000000000000", 10**7),
    ],
)
def test_texts_of_venues(text: str, value: int) -> None:
    assert fixed8(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.MALFORMED),
        (".", Reason.MALFORMED),
        ("1.", Reason.MALFORMED),
        ("-1", Reason.MALFORMED),
        ("+1", Reason.MALFORMED),
        ("1e2", Reason.MALFORMED),
        ("1,5", Reason.MALFORMED),
        (" 1", Reason.MALFORMED),
        ("1_0", Reason.MALFORMED),
        ("٣", Reason.MALFORMED),
        ("²", Reason.MALFORMED),
        ("1.2.3", Reason.MALFORMED),
        ("NaN", Reason.MALFORMED),
        ("0.000000001", Reason.INEXACT),
        ("1.123456789", Reason.INEXACT),
        ("92233720368.54775808", Reason.OUT_OF_RANGE),
        ("9" * 41, Reason.OUT_OF_RANGE),
        ("9" * 100_000, Reason.OUT_OF_RANGE),
        ("0.1" + "0" * 100_000, Reason.OUT_OF_RANGE),  # a number, but texts are remembered
    ],
)
def test_what_is_no_such_number_is_refused_not_rounded(text: str, reason: Reason) -> None:
    with pytest.raises(Refused) as caught:
        fixed8(text)
    assert caught.value.reason is reason


def test_whole_numbers_and_times() -> None:
    assert whole("18446744073709551615") == 2**64 - 1
    assert millis_ns("1790000000123") == 1_790_000_000_123_000_000
    assert millis_ns("") == 0
    for text, reason in [
        ("", Reason.MALFORMED),
        ("-1", Reason.MALFORMED),
        ("1.0", Reason.MALFORMED),
        ("18446744073709551616", Reason.OUT_OF_RANGE),
        ("1" * 50, Reason.OUT_OF_RANGE),
    ]:
        with pytest.raises(Refused) as caught:
            whole(text)
        assert caught.value.reason is reason
    with pytest.raises(Refused):
        millis_ns("18446744073710")
