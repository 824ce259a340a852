"""What a tier lets out: defined a second time here, append-only, blind to what it holds back."""

from decimal import Decimal
from fractions import Fraction
from itertools import count
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from strongroom_enclave.record import disclosure
from strongroom_enclave.record.errors import SeriesBroken
from strongroom_enclave.record.returns import HOUR_MS, Basis, Flag, Hour
from strongroom_wire.manifest import Tier
from strongroom_wire.record import PublishedHour

from tests.enclave.record.histories import START, RandomMarks, crowded, hours
from tests.enclave.record.oracle import rounded
from tests.enclave.record.test_lots import folded

FIRST = 1_700_000_000_000 // (24 * HOUR_MS) * 24 * HOUR_MS + 5 * HOUR_MS
"""Five in the morning: the first day is a short one."""
NONE = Flag(0)
TWELVE, EIGHTEEN = Decimal("1.000000000000"), Decimal("1.000000000000000000")


def _scaled(low: int, high: int, places: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(lambda n: Decimal(n).scaleb(-places))


_VALUES = st.one_of(st.none(), _scaled(-(10**11), 10**11, 12), st.just(Decimal("0E-12")))
_MONEY = st.one_of(st.none(), _scaled(-(10**26), 10**26, 18), st.just(Decimal("0E-18")))


def _made(
    start_ms: int, money: Decimal | None, trades: int, value: Decimal | None, flags: Flag = NONE
) -> Hour:
    m = money
    return Hour(start_ms, trades, 0, value, flags, m, m, m, m, m, m, m, m)


@st.composite
def _hours(draw: st.DrawFn, start_ms: int) -> Hour:
    value, money = draw(_VALUES), draw(_MONEY)
    flags = draw(st.sampled_from([NONE, Flag.IDLE, Flag.STALE_MARK]))
    flags |= NONE if value is not None else Flag.GAP
    trades = draw(st.integers(0, 3))
    return _made(start_ms, money, trades, value, flags)


@st.composite
def _series(draw: st.DrawFn, largest: int = 80) -> list[Hour]:
    count = draw(st.integers(0, largest))
    some = [draw(_hours(FIRST + n * HOUR_MS)) for n in range(min(count, 12))]
    # The rest repeats them: long series matter here, their entropy does not.
    return [replace(some[n % 12], start_ms=FIRST + n * HOUR_MS) for n in range(count)]


_TIERS = st.builds(
    Tier,
    hours=st.sampled_from((1, 2, 6, 24)),
    least_trades=st.sampled_from([0, 0, 1, 7]),
    grid=st.sampled_from([None, "0.0001", "0.0005", "0.01", "0.000001", "1"]).map(
        lambda text: None if text is None else Decimal(text)
    ),
)
_EMBARGOES = st.builds(
    lambda tier, longest: replace(tier, embargo=True, longest=longest),
    _TIERS,
    st.sampled_from([0, 0, 10]),
)


def oracle(series: list[Hour], tier: Tier, open_since_ms: int | None) -> list[tuple[object, ...]]:
    """README's steps in fractions: (start, hours, closing, value, flags)."""
    known = len(series)
    if tier.embargo and open_since_ms is not None:
        known = sum(hour.start_ms + HOUR_MS <= open_since_ms for hour in series)
        known = max(known, len(series) - tier.longest) if tier.longest else known
    periods: list[list[Hour]] = [[]]
    for hour in series[:known]:
        periods[-1].append(hour)
        whole_day = (hour.start_ms // HOUR_MS + 1) % tier.hours == 0
        if whole_day and sum(each.trades for each in periods[-1]) >= tier.least_trades:
            periods.append([])
    found: list[tuple[object, ...]] = []
    for period in periods[:-1]:
        values = [hour.value for hour in period]
        value: Fraction | None = None
        closing: Fraction | None = None
        if None not in values:
            value = rounded(
                prod((1 + Fraction(v) for v in values if v is not None), start=Fraction(1)) - 1, 12
            )
        if period[-1].closing is not None:
            closing = Fraction(period[-1].closing)
        if tier.grid is not None and value is not None:
            value = round(value / Fraction(tier.grid)) * Fraction(tier.grid)
        if tier.grid is not None and closing:
            unit = Fraction(1, 10**40)
            while unit < abs(closing) * Fraction(tier.grid):
                unit *= 10
            closing = rounded(round(closing / unit) * unit, 18)
        flags = NONE
        for hour in period:
            flags |= hour.flags
        found.append((period[0].start_ms, len(period), closing, value, flags))
    return found


def disclosed(series: list[Hour], tier: Tier, since: int | None) -> list[PublishedHour]:
    salts = count()
    return disclosure.disclosed(series, tier, since, lambda: f"{next(salts):032x}")


def shown(row: PublishedHour) -> tuple[object, ...]:
    """A row in fractions, once it is what readers take: all places, and 0 without a sign."""
    assert PublishedHour.parse(row.serialise()) == row
    numbers = [None if n is None else Fraction(n) for n in (row.closing, row.value)]
    return row.start_ms, row.hours, *numbers, Flag(row.flags)


@given(_series(), st.one_of(_TIERS, _EMBARGOES), st.one_of(st.none(), st.integers(-1, 90)))
def test_periods_equal_the_oracle(series: list[Hour], tier: Tier, opened: int | None) -> None:
    since = None if opened is None else FIRST + opened * HOUR_MS // 2
    found = disclosed(series, tier, since)
    assert [shown(period) for period in found] == oracle(series, tier, since)
    alone = tier.hours == 1 and tier.grid is None and not tier.least_trades
    for number, row in enumerate(found):
        assert (row.exact is not None) is alone
        assert row.salt == f"{number:032x}"


@given(_series(), _TIERS, st.integers(0, 80))
def test_what_was_disclosed_stays(series: list[Hour], tier: Tier, upto: int) -> None:
    early, late = disclosed(series[:upto], tier, None), disclosed(series, tier, None)
    assert late[: len(early)] == early


@given(_series(), st.one_of(_TIERS, _EMBARGOES), st.integers(0, 80), st.data())
def test_what_is_held_back_has_no_influence(
    series: list[Hour], tier: Tier, opened: int, data: st.DataObject
) -> None:
    since = FIRST + opened * HOUR_MS
    found = disclosed(series, tier, since)
    told = sum(period.hours for period in found)
    other = [*series[:told]]
    for hour in series[told:]:
        secret = data.draw(_hours(hour.start_ms))
        # Of suppression the number of trades decides: that much it does tell.
        other.append(replace(secret, trades=hour.trades))
    assert disclosed(other, tier, since) == found
    assert told + (24 if not tier.embargo and not tier.least_trades else 999) > len(series)


@pytest.mark.parametrize("seed", range(25))
def test_an_embargo_only_moves_forward(seed: int) -> None:
    """Over a real account's life: at each hour, what leaves is the beginning of all later answers,
    and nothing leaves of an hour in which something open was opened."""
    events, tier = crowded(seed), Tier(hours=1, grid=None, embargo=True)
    span = (START - HOUR_MS, START + 5 * HOUR_MS)
    series = hours(events, Basis(RandomMarks(seed)), span)
    told: list[PublishedHour] = []
    for known in range(len(series) + 1):
        now = START - HOUR_MS + known * HOUR_MS
        since = folded(events, now).open_since()
        found = disclosed(series[:known], tier, since)
        assert found[: len(told)] == told
        assert all(since is None or p.start_ms + HOUR_MS <= since for p in found)
        if since is None:
            assert len(found) == known
        told = found


def _hour(number: int, value: str = "0.01", trades: int = 1) -> Hour:
    return _made(FIRST + number * HOUR_MS, EIGHTEEN * 1000, trades, Decimal(value).quantize(TWELVE))


def test_the_exact_tier_is_the_hours_themselves() -> None:
    series = [_hour(n) for n in range(3)]
    found = disclosed(series, Tier(hours=1, grid=None), FIRST)
    assert [shown(row)[-1] for row in found] == [NONE] * 3
    assert [row.value for row in found] == [str(hour.value) for hour in series]


def test_the_exact_tier_tells_everything_of_an_hour_by_its_name() -> None:
    names = ["opening", "flows", "pnl", "realised", "unrealised", "fees", "funding"]
    sums = {name: EIGHTEEN * number for number, name in enumerate(names, 7)}
    hour = replace(_hour(0, trades=3), **sums, mark_age_ms=5)
    [row] = disclosed([hour], Tier(hours=1, grid=None), None)
    assert row.exact == (*(str(sums[name]) for name in names), 3, 5)
    [row] = disclosed([replace(hour, pnl=None, value=None)], Tier(hours=1, grid=None), None)
    assert row.exact is not None
    assert (row.exact[2], row.value) == (None, None)


def test_the_default_is_daily_and_rounded() -> None:
    series = [_hour(n, "0.000123456789") for n in range(19 + 24 + 23)]
    short, whole = disclosed(series, Tier(), None)
    assert (short.hours, whole.hours) == (19, 24)
    assert short.value == "0.002300000000"  # 1.000123456789 ** 19 - 1 = 0.0023483
    assert whole.value == "0.003000000000"
    assert (short.exact, whole.exact) == (None, None)


def test_suppression_joins_and_does_not_drop() -> None:
    series = [_hour(n, trades=trades) for n, trades in enumerate([0, 2, 1, 0, 2, 0, 1, 2])]
    found = disclosed(series, Tier(hours=1, least_trades=3, grid=None), None)
    assert [(p.start_ms, p.hours) for p in found] == [(FIRST, 3), (FIRST + 3 * HOUR_MS, 4)]
    assert found[0].value == "0.030301000000"
    assert found[0].exact is None


@pytest.mark.parametrize(
    ("closing", "expected"),
    [
        ("123456.789", "123500"),  # the grid of 0.1 per mille is 12.3; its power of ten is 100
        ("-123456.789", "-123500"),
        ("1000", "1000"),
        ("1000.06", "1000"),
        ("999.949", "999.9"),
        ("0.000000000000000004", "0.000000000000000004"),
        ("0", "0"),
    ],
)
def test_the_closing_equity_says_no_more_than_the_return(closing: str, expected: str) -> None:
    hour = replace(_hour(0), closing=Decimal(closing).quantize(EIGHTEEN))
    [row] = disclosed([hour], Tier(hours=1), None)
    assert row.closing == f"{Decimal(expected):.18f}"


def test_an_embargo_ends_after_the_longest_time() -> None:
    series = [_hour(n) for n in range(30)]
    tier = Tier(hours=1, grid=None, embargo=True)
    assert len(disclosed(series, tier, FIRST + 3 * HOUR_MS + 5)) == 3
    assert len(disclosed(series, tier, FIRST - 1)) == 0
    assert len(disclosed(series, tier, None)) == 30
    longest = replace(tier, longest=10)
    assert len(disclosed(series, longest, FIRST + 3 * HOUR_MS + 5)) == 20
    assert len(disclosed(series, longest, FIRST + 25 * HOUR_MS)) == 25
    assert disclosed([], tier, FIRST) == []


def test_hours_follow_each_other() -> None:
    for series in ([_hour(0), _hour(2)], [_hour(1), _hour(0)], [_hour(0), _hour(0)]):
        with pytest.raises(SeriesBroken):
            disclosed(series, Tier(), None)
