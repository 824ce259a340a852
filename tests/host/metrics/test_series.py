"""Periods that contradict themselves are refused, and holes become visible."""

from decimal import Decimal

import pytest
from strongroom_enclave.record import returns as enclave
from strongroom_host.metrics.errors import SeriesInvalid
from strongroom_host.metrics.series import HOUR_MS, INSTEAD, Flag, Period, Series

from tests.host.metrics.made import MIDNIGHT, series_of

DAY_MS = 24 * HOUR_MS


def test_flags_are_the_enclaves() -> None:
    assert {flag.name: int(flag) for flag in Flag} == {f.name: int(f) for f in enclave.Flag}
    assert int(INSTEAD) == int(enclave.INSTEAD)


@pytest.mark.parametrize(
    ("start_ms", "hours", "value", "flags", "closing"),
    [
        (MIDNIGHT + 1, 1, "0.1", 0, None),
        (-HOUR_MS, 1, "0.1", 0, None),
        (MIDNIGHT, 0, "0.1", 0, None),
        (MIDNIGHT, 1, "-1.000000000001", 0, None),
        (MIDNIGHT, 1, "0.1000000000001", 0, None),
        (MIDNIGHT, 1, "NaN", 0, None),
        (MIDNIGHT, 1, "1e12", 0, None),
        (MIDNIGHT, 1, "0.1", 128, None),
        (MIDNIGHT, 1, "0.1", 8, None),
        (MIDNIGHT, 1, "0.1", 0, "Infinity"),
        (MIDNIGHT, 1 << 40, "0.1", 0, None),
    ],
)
def test_a_period_that_contradicts_itself_is_refused(
    start_ms: int, hours: int, value: str, flags: int, closing: str | None
) -> None:
    end = None if closing is None else Decimal(closing)
    with pytest.raises(SeriesInvalid):
        Period(start_ms, hours, Decimal(value), Flag(flags), end)


def test_the_bounds_themselves_are_let_through() -> None:
    assert Period(MIDNIGHT, 1, Decimal(-1)).units == -(10**12)
    assert Period(MIDNIGHT, 1, Decimal("0.123456789012"), Flag.IDLE).units == 123456789012
    assert Period(0, 1, None, Flag.GAP).why == "gap"


def test_holes_become_periods_of_their_days() -> None:
    early = Period(MIDNIGHT, 22, Decimal("0.1"))
    late = Period(MIDNIGHT + 2 * DAY_MS + 3 * HOUR_MS, 1, Decimal("0.2"))
    series = Series.of([late, early])
    assert [(each.hours, each.value) for each in series.periods] == [
        (22, Decimal("0.1")),
        (2, None),
        (24, None),
        (3, None),
        (1, Decimal("0.2")),
    ]
    assert series.periods[1].why == "nothing disclosed"
    assert series.hours == 52
    assert not series.whole
    assert [len(run) for run in series.runs()] == [1, 1]


def test_overlaps_unexplained_absences_and_nothing_are_refused() -> None:
    one = Period(MIDNIGHT, 2, Decimal(0))
    with pytest.raises(SeriesInvalid, match="overlap"):
        Series.of([one, Period(MIDNIGHT + HOUR_MS, 1, Decimal(0))])
    with pytest.raises(SeriesInvalid, match="overlap"):
        Series.of([one, one])
    with pytest.raises(SeriesInvalid, match="no flag says why"):
        Series.of([Period(MIDNIGHT, 1, None, Flag.IDLE)])
    with pytest.raises(SeriesInvalid, match="no periods"):
        Series.of([])


def test_runs_end_where_a_return_is_missing() -> None:
    series = series_of([None, "0.1", "0.2", None, None, "0.3"])
    assert [[each.value for each in run] for run in series.runs()] == [
        [Decimal("0.1"), Decimal("0.2")],
        [Decimal("0.3")],
    ]
