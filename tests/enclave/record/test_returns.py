"""Hours equal the oracle's to the last digit, in whatever order the events came."""

from decimal import Decimal
from fractions import Fraction
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.record.events import Event
from strongroom_enclave.record.returns import HOUR_MS, Doubt, Hour, Limits, hours

from tests.enclave.record.histories import (
    MARKETS,
    START,
    RandomMarks,
    doubts,
    histories,
    markets_at_random,
)
from tests.enclave.record.oracle import History, OracleHour

SPAN = (START, START + 4 * HOUR_MS)


def computed(
    events: list[Event], marks: RandomMarks, limits: Limits, spans: list[Doubt]
) -> list[Hour]:
    return list(hours(events, MARKETS, marks, SPAN, limits, spans))


def same(hour: Hour, oracle: OracleHour) -> None:
    for name in OracleHour.__dataclass_fields__:
        found, expected = getattr(hour, name), getattr(oracle, name)
        if isinstance(found, Decimal):
            places = 12 if name == "value" else 18
            assert found.as_tuple().exponent == -places, (name, found)
            assert not (found.is_zero() and found.is_signed()), name
            found = Fraction(found)
        assert found == expected, name


@given(
    histories(),
    markets_at_random(),
    doubts(),
    st.sampled_from([Decimal(0), Decimal(1), Decimal(10**6)]),
    st.integers(0, 10**6),
)
def test_hours_equal_the_oracle(
    events: list[Event], marks: RandomMarks, spans: list[Doubt], dust: Decimal, seed: int
) -> None:
    limits = Limits(dust=dust)
    found = computed(events, marks, limits, spans)
    oracle = History(events, MARKETS, marks)
    for number, hour in enumerate(found):
        assert hour.start_ms == START + number * HOUR_MS
        same(hour, oracle.hour(hour.start_ms, limits, spans))
    shuffled = events[:]
    Random(seed).shuffle(shuffled)  # noqa: S311
    assert computed(shuffled, marks, limits, spans) == found
