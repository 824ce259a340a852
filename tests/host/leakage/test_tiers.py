"""A reader's view of a tier is what the enclave would disclose under it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.record.disclosure import disclosed
from strongroom_enclave.record.returns import Flag as EnclaveFlag
from strongroom_enclave.record.returns import Hour
from strongroom_host.leakage.tiers import TIERS, View, as_given, seen_under
from strongroom_host.metrics.series import HOUR_MS, ONE, Flag, Period, Series
from strongroom_wire.manifest import Tier

from tests.host.metrics.made import MIDNIGHT, returns, series_of


def hour(period: Period) -> Hour:
    flags = EnclaveFlag(int(period.flags))
    return Hour(
        start_ms=period.start_ms,
        opening=None,
        closing=None,
        flows=None,
        pnl=None,
        realised=None,
        unrealised=None,
        fees=None,
        funding=None,
        trades=0,
        mark_age_ms=0,
        value=period.value,
        flags=flags,
    )


@given(
    st.lists(st.none() | returns, min_size=1, max_size=60),
    st.integers(0, 30),
    st.sampled_from(TIERS),
)
def test_the_enclave_discloses_the_same(
    values: list[Decimal | None], late: int, view: View
) -> None:
    series = series_of(values, start_ms=MIDNIGHT + late * HOUR_MS)
    grid = None if view.grid == 1 else Decimal(view.grid).scaleb(-12).normalize()
    tier = Tier(hours=view.hours, grid=grid)  # type: ignore[arg-type]  # a divisor of 24
    rows = disclosed([hour(each) for each in series.periods], tier, None, str)
    told = [None if row.value is None else Decimal(row.value) for row in rows]
    shown = zip(rows, told, strict=True)
    assert [(row.start_ms, row.hours, value, row.flags) for row, value in shown] == [
        (each.start_ms, each.hours, each.value, int(each.flags))
        for each in seen_under(series, view).periods
    ]


@pytest.mark.parametrize("view", TIERS)
def test_a_reader_can_tell_the_tier(view: View) -> None:
    values = [f"{0.012345678911 * (-1) ** n * (n % 7 + 1) + n / 10_007:.12f}" for n in range(960)]
    shown = seen_under(series_of(values), view)
    assert as_given(shown) == view


def test_names_and_bounds() -> None:
    assert View(1).name == "hours, exact"
    assert View(4, ONE // 1000).name == "4 hours, to 10 bp"
    assert View(24, ONE // 10_000).name == "days, to 1 bp"
    assert View(24, ONE // 10_000).half == pytest.approx(0.5e-4)
    assert as_given(series_of(["0", "0"])) == View(1, 5 * 10**9)


def test_a_grid_leaves_periods_without_a_return_alone() -> None:
    series = Series.of([Period(MIDNIGHT, 1, None, Flag.GAP)])
    assert seen_under(series, View(1, 10**8)) == series
