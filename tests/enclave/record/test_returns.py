"""Hours equal the oracle's to the last digit, in whatever order the events came."""

from collections import Counter
from decimal import Decimal
from fractions import Fraction
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.record.events import Event
from strongroom_enclave.record.returns import HOUR_MS, Basis, Doubt, Flag, Hour

from tests.conftest import SOAK
from tests.enclave.record.histories import (
    MARKETS,
    START,
    RandomMarks,
    crowded,
    doubts,
    histories,
    hours,
    markets_at_random,
)
from tests.enclave.record.oracle import History, OracleHour

SPAN = (START, START + 4 * HOUR_MS)


def computed(events: list[Event], basis: Basis) -> list[Hour]:
    return hours(events, basis, SPAN)


def same(hour: Hour, oracle: OracleHour) -> None:
    for name in OracleHour.__dataclass_fields__:
        found, expected = getattr(hour, name), getattr(oracle, name)
        if isinstance(found, Decimal):
            places = 12 if name == "value" else 18
            assert found.as_tuple().exponent == -places, (name, found)
            assert not (found.is_zero() and found.is_signed()), name
            found = Fraction(found)
        assert found == expected, name


def check(events: list[Event], basis: Basis, seed: int) -> list[Hour]:
    found = computed(events, basis)
    oracle = History(events, MARKETS, basis.marks)
    for number, hour in enumerate(found):
        assert hour.start_ms == START + number * HOUR_MS
        same(hour, oracle.hour(hour.start_ms, basis))
    shuffled = events[:]
    Random(seed).shuffle(shuffled)  # noqa: S311
    assert computed(shuffled, basis) == found
    return found


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
    check(events, Basis(marks, dust, doubts=tuple(spans)), seed)


def test_hours_of_busy_accounts_equal_the_oracle() -> None:
    """And what is compared is rich: every flag, and most numbers, occur again and again."""
    flags, counts = Counter[Flag](), Counter[str]()
    for seed in range(20_000 if SOAK else 120):
        marks = RandomMarks(seed, bad=seed % 4 == 3)
        spans = [Doubt(START, START + HOUR_MS, Flag.GAP)] if seed % 10 == 0 else []
        basis = Basis(marks, doubts=tuple(spans))
        for hour in check(crowded(seed), basis, seed):
            flags.update(hour.flags)
            fields = ("value", "flows", "realised", "unrealised", "fees", "funding")
            counts.update(name for name in fields if getattr(hour, name))
            counts["linked"] += bool(hour.value and hour.flows)
    assert set(flags) | {Flag.UNEXPLAINED} == set(Flag)
    assert min(counts[name] for name in (*fields, "linked")) > 30, counts
    assert flags[Flag.NEGATIVE_EQUITY] > 5, flags
