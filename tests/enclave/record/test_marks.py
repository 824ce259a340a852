"""Marks from candles: which close, over which pairs, how old, and when there is none."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest
from strongroom_enclave.record.connectors.rules import Reason, VenueFault
from strongroom_enclave.record.errors import EventInvalid
from strongroom_enclave.record.events import Flow, FlowKind, Kind, Market
from strongroom_enclave.record.exact import exactly
from strongroom_enclave.record.marks import Candles
from strongroom_enclave.record.returns import HOUR_MS, Account, Basis, Flag, Mark

from tests.conftest import SOAK
from tests.enclave.record.oracle import rounded

MINUTE_MS, WEEK_MS = 60_000, 168 * HOUR_MS
NOW = 1_700_000_000_000 // WEEK_MS * WEEK_MS + 50 * HOUR_MS
"""A full hour, well within its week."""
CONTRACT = "BTC/USDT:USDT"


def pairs(*symbols: str) -> dict[str, Market]:
    found = {CONTRACT: Market(CONTRACT, "BTC", "USDT", "USDT", Kind.LINEAR)}
    for symbol in symbols:
        base, _, quote = symbol.partition("/")
        found[symbol] = Market(symbol, base, quote, quote, Kind.SPOT)
    return found


class Venue:
    """Candles by symbol and interval, and what was asked for."""

    def __init__(self, told: dict[tuple[str, int], dict[int, str]]) -> None:
        self.told, self.faults = told, dict[str, Reason]()
        self.asked: list[tuple[str, int, int, int]] = []

    def candles(
        self, symbol: str, interval_ms: int, start_ms: int, end_ms: int
    ) -> Iterator[tuple[int, Decimal]]:
        self.asked.append((symbol, interval_ms, start_ms, end_ms))
        assert start_ms % interval_ms == end_ms % interval_ms == 0
        assert (end_ms - start_ms) // interval_ms <= 200, "more than a call of the venue's"
        if symbol in self.faults:
            raise VenueFault(self.faults[symbol])
        for time_ms, close in sorted(self.told.get((symbol, interval_ms), {}).items()):
            if start_ms < time_ms <= end_ms:
                yield time_ms, Decimal(close)


def hourly(**closes: str) -> Venue:
    """One close of an hour for each pair, at NOW."""
    return Venue({(name.replace("_", "/"), HOUR_MS): {NOW: each} for name, each in closes.items()})


def marks(venue: Venue, currency: str, *symbols: str) -> Candles:
    return Candles(venue.candles, pairs(*symbols), currency)


def shown(mark: Mark | None) -> tuple[str, str, int] | None:
    return (f"{mark.price.normalize():f}", mark.source, mark.age_ms) if mark else None


def test_the_currency_itself_needs_no_candle() -> None:
    venue = hourly()
    assert shown(marks(venue, "USDT").at("USDT", NOW)) == ("1", "USDT", 0)
    assert venue.asked == []


def test_a_contract_is_marked_by_its_own_close_in_its_quote() -> None:
    venue = hourly(BTC_USDT="9", USDT_EUR="0.5")
    venue.told[CONTRACT, HOUR_MS] = {NOW: "10.5"}
    assert shown(marks(venue, "EUR", "BTC/USDT", "USDT/EUR").at(CONTRACT, NOW)) == (
        "10.5",
        "BTC/USDT:USDT 1h",
        0,
    )
    assert [asked[0] for asked in venue.asked] == [CONTRACT]


def test_the_ways_from_an_asset_to_the_currency() -> None:
    venue = hourly(
        BTC_USDT="40000", USDT_EUR="0.9", EUR_USDT="1.25", BTC_EUR="36500", ETH_BTC="0.05"
    )
    every = ("BTC/USDT", "USDT/EUR", "EUR/USDT", "BTC/EUR", "ETH/BTC")
    for asset, currency, symbols, expected in (
        ("BTC", "EUR", every, ("36500", "BTC/EUR 1h")),
        ("BTC", "EUR", every[:3], ("36000", "BTC/USDT 1h, USDT/EUR 1h")),
        ("BTC", "EUR", ("BTC/USDT", "EUR/USDT"), ("32000", "BTC/USDT 1h, EUR/USDT 1h")),
        ("EUR", "USDT", ("EUR/USDT", "USDT/EUR"), ("1.25", "EUR/USDT 1h")),
        ("USDT", "EUR", ("EUR/USDT",), ("0.8", "EUR/USDT 1h")),
        ("USDT", "BTC", ("BTC/USDT",), ("0.000025", "BTC/USDT 1h")),
        ("ETH", "EUR", every, ("1825", "ETH/BTC 1h, BTC/EUR 1h")),
        ("EUR", "BTC", ("BTC/USDT", "EUR/USDT"), ("0.00003125", "EUR/USDT 1h, BTC/USDT 1h")),
        # The one between them that comes first: USDT before BTC.
        ("EUR", "ETH", ("EUR/USDT", "ETH/USDT", "BTC/EUR", "ETH/BTC"), None),
        ("ETH", "USDT", ("ETH/BTC", "BTC/USDT"), ("2000", "ETH/BTC 1h, BTC/USDT 1h")),
    ):
        found = shown(marks(venue, currency, *symbols).at(asset, NOW))
        if expected is None:
            assert found is not None
            assert found[1] == "BTC/EUR 1h, ETH/BTC 1h"
        else:
            assert found == (*expected, 0)
    # Three pairs are none: nobody would know what the price is of.
    far = marks(
        hourly(A_BTC="1", BTC_USDT="1", USDT_EUR="1"), "EUR", "A/BTC", "BTC/USDT", "USDT/EUR"
    )
    assert far.at("A", NOW) is None


def test_what_is_between_comes_in_a_fixed_order() -> None:
    names = ["USDT", "USDC", "USD", "EUR", "BTC", "ETH", "BNB"]
    symbols = [f"A/{name}" for name in names] + [f"{name}/CHF" for name in names]
    while names:
        venue = Venue({(symbol, HOUR_MS): {NOW: "3"} for symbol in symbols})
        mark = marks(venue, "CHF", *reversed(symbols)).at("A", NOW)
        assert shown(mark) == ("9", f"A/{names[0]} 1h, {names[0]}/CHF 1h", 0)
        symbols = [symbol for symbol in symbols if names[0] not in symbol.split("/")]
        names.pop(0)
    assert marks(Venue({}), "CHF", "A/SOL", "SOL/CHF").at("A", NOW) is None


def test_an_inverse_price_is_rounded_once_to_thirty_places() -> None:
    for close, other in (("3", "7"), ("0.00000007", "13"), ("0.000000000001", "3")):
        ways: list[tuple[str, ...]] = [("CHF/A",), ("USDT/A", "CHF/USDT"), ("USDT/A", "USDT/CHF")]
        for symbols in ways:
            closes = dict(zip(symbols, (close, other), strict=False))
            venue = Venue({(name, HOUR_MS): {NOW: each} for name, each in closes.items()})
            exact = 1 / Fraction(close)
            if len(symbols) == 2:
                exact *= Fraction(other) if "USDT/CHF" in symbols else 1 / Fraction(other)
            mark = marks(venue, "CHF", *symbols).at("A", NOW)
            assert mark is not None
            assert Fraction(mark.price) == rounded(exact, 30)
            with exactly():
                assert marks(venue, "CHF", *symbols).at("A", NOW) == mark


def test_hours_at_full_hours_and_minutes_in_between() -> None:
    hour = {NOW - HOUR_MS: "1", NOW: "2", NOW + HOUR_MS: "4"}
    minute = {NOW + 60_000: "2.1", NOW + 180_000: "2.3", NOW + HOUR_MS: "4"}
    venue = Venue({("A/CHF", HOUR_MS): hour, ("A/CHF", MINUTE_MS): minute})
    candles = marks(venue, "CHF", "A/CHF")
    for time_ms, expected in (
        (NOW, ("2", "A/CHF 1h", 0)),
        (NOW + 59_999, ("2", "A/CHF 1h", 59_999)),
        (NOW + 60_000, ("2.1", "A/CHF 1m", 0)),
        (NOW + 179_999, ("2.1", "A/CHF 1m", 119_999)),
        (NOW + 180_000, ("2.3", "A/CHF 1m", 0)),
        (NOW + HOUR_MS - 1, ("2.3", "A/CHF 1m", HOUR_MS - 1 - 180_000)),
        (NOW + HOUR_MS, ("4", "A/CHF 1h", 0)),
    ):
        assert shown(candles.at("A", time_ms)) == expected
    fresh = Venue(venue.told)
    marks(fresh, "CHF", "A/CHF").at("A", NOW)
    assert {asked[1] for asked in fresh.asked} == {HOUR_MS}


@pytest.mark.parametrize(
    "last", [NOW, NOW // WEEK_MS * WEEK_MS, NOW // WEEK_MS * WEEK_MS + HOUR_MS]
)
def test_a_close_is_carried_for_a_week_and_no_longer(last: int) -> None:
    venue = Venue({("A/CHF", HOUR_MS): {last - 2 * HOUR_MS: "1", last: "2"}})
    for age in (0, HOUR_MS, WEEK_MS - HOUR_MS, WEEK_MS - 1, WEEK_MS):
        mark = marks(venue, "CHF", "A/CHF").at("A", last + age)
        assert shown(mark) == ("2", "A/CHF 1h", age)
    for age in (WEEK_MS + 1, WEEK_MS + HOUR_MS, 2 * WEEK_MS, 3 * WEEK_MS):
        assert marks(venue, "CHF", "A/CHF").at("A", last + age) is None
    assert marks(venue, "CHF", "A/CHF").at("A", last - 3 * HOUR_MS) is None


def test_minutes_are_carried_only_within_their_hour() -> None:
    """What the last minute of an hour said, the hour says too; without one there is no mark."""
    venue = Venue({("A/CHF", MINUTE_MS): {NOW - MINUTE_MS: "5", NOW + 60_000: "6"}})
    candles = marks(venue, "CHF", "A/CHF")
    assert candles.at("A", NOW + 59_000) is None
    assert shown(candles.at("A", NOW + 61_000)) == ("6", "A/CHF 1m", 1_000)


def test_a_stale_way_is_left_for_a_fresh_one_and_else_the_youngest_is_taken() -> None:
    told = {
        ("A/CHF", HOUR_MS): {NOW - 2 * HOUR_MS: "10"},
        ("A/USDT", HOUR_MS): {NOW + HOUR_MS: "11"},
        ("USDT/CHF", HOUR_MS): {NOW + HOUR_MS: "1"},
    }
    candles = marks(Venue(told), "CHF", "A/CHF", "A/USDT", "USDT/CHF")
    assert shown(candles.at("A", NOW)) == ("10", "A/CHF 1h", 2 * HOUR_MS)
    assert shown(candles.at("A", NOW + HOUR_MS)) == ("11", "A/USDT 1h, USDT/CHF 1h", 0)
    both = ("11", "A/USDT 1h, USDT/CHF 1h", 9 * HOUR_MS)
    assert shown(candles.at("A", NOW + 10 * HOUR_MS)) == both
    told["USDT/CHF", HOUR_MS] = {NOW - 3 * HOUR_MS: "1"}
    candles = marks(Venue(told), "CHF", "A/CHF", "A/USDT", "USDT/CHF")
    assert shown(candles.at("A", NOW + 10 * HOUR_MS)) == ("10", "A/CHF 1h", 12 * HOUR_MS)


def test_the_age_is_that_of_the_oldest_close() -> None:
    told = {
        ("A/USDT", HOUR_MS): {NOW: "2"},
        ("USDT/CHF", HOUR_MS): {NOW - HOUR_MS: "3"},
        ("USDT/CHF", MINUTE_MS): {NOW + 60_000: "4"},
    }
    candles = marks(Venue(told), "CHF", "A/USDT", "USDT/CHF")
    assert shown(candles.at("A", NOW)) == ("6", "A/USDT 1h, USDT/CHF 1h", HOUR_MS)
    assert shown(candles.at("A", NOW + 90_000)) == ("8", "A/USDT 1h, USDT/CHF 1m", 90_000)


@pytest.mark.parametrize("reason", list(Reason))
def test_a_market_that_is_none_has_no_candles_and_a_venue_in_trouble_is_no_answer(
    reason: Reason,
) -> None:
    venue = hourly(A_CHF="1", A_USDT="2", USDT_CHF="3")
    venue.faults["A/CHF"] = reason
    candles = marks(venue, "CHF", "A/CHF", "A/USDT", "USDT/CHF")
    if reason in (Reason.UNKNOWN_MARKET, Reason.REFUSED):
        assert shown(candles.at("A", NOW)) == ("6", "A/USDT 1h, USDT/CHF 1h", 0)
        venue.faults["A/USDT"] = reason
        assert marks(venue, "CHF", "A/CHF", "A/USDT", "USDT/CHF").at("A", NOW) is None
        asked = len(venue.asked)
        candles.at("A", NOW)
        assert len(venue.asked) == asked
        return
    for _ in range(2):
        with pytest.raises(VenueFault):
            candles.at("A", NOW)
    venue.faults.clear()
    assert shown(candles.at("A", NOW)) == ("1", "A/CHF 1h", 0)


def test_what_is_no_price_is_no_mark() -> None:
    for close in ("0", "-1", "0E-9"):
        venue = Venue({("A/CHF", HOUR_MS): {NOW - HOUR_MS: "5", NOW: close}})
        assert shown(marks(venue, "CHF", "A/CHF").at("A", NOW)) == ("5", "A/CHF 1h", HOUR_MS)
    for close in ("NaN", "Infinity", "1e30", "1e-31"):
        with pytest.raises(EventInvalid):
            marks(hourly(A_CHF=close), "CHF", "A/CHF").at("A", NOW)
    assert marks(hourly(), "CHF", "A/CHF").at("NEVER", NOW) is None
    assert marks(hourly(A_CHF="1"), "CHF", "A/CHF").at("A/CHF", NOW) is None


def test_each_window_is_asked_for_once() -> None:
    closes = {NOW + n * HOUR_MS: str(n + 1) for n in range(1000) if n % 7}
    minutes = {time_ms - 30 * MINUTE_MS: "3" for time_ms in closes}
    venue = Venue({("A/CHF", HOUR_MS): closes, ("A/CHF", MINUTE_MS): minutes})
    candles = marks(venue, "CHF", "A/CHF")
    first = [candles.at("A", NOW + n * HOUR_MS // 2) for n in range(2000)]
    assert [candles.at("A", NOW + n * HOUR_MS // 2) for n in range(1900, 2000)] == first[1900:]
    assert len(venue.asked) == len(set(venue.asked))
    weeks = [asked for asked in venue.asked if asked[1] == HOUR_MS]
    assert len(weeks) == 1 + (NOW + 1000 * HOUR_MS - 1) // WEEK_MS - NOW // WEEK_MS + 1
    for symbol, interval, start, end in venue.asked:
        assert (symbol, end - start) == ("A/CHF", WEEK_MS if interval == HOUR_MS else HOUR_MS)


def test_no_more_than_so_many_windows_are_kept() -> None:
    venue = hourly(A_CHF="1")
    candles = marks(venue, "CHF", "A/CHF")
    for week in range(1200):
        candles.at("A", NOW + week * WEEK_MS)
    asked = len(venue.asked)
    candles.at("A", NOW)
    assert len(venue.asked) > asked


def oracle(told: Venue, pair: str, time_ms: int) -> tuple[Fraction, int] | None:
    """README's last close: of the minutes since the full hour, else of the hours of a week."""
    hour = time_ms // HOUR_MS * HOUR_MS
    for interval, since in ((MINUTE_MS, hour), (HOUR_MS, time_ms - WEEK_MS - 1)):
        ends = [end for end in told.told.get((pair, interval), {}) if since < end <= time_ms]
        if ends:
            return Fraction(told.told[pair, interval][max(ends)]), time_ms - max(ends)
    return None


def test_random_candles_with_holes_equal_the_definition() -> None:
    known = missing = 0
    for seed in range(2_000 if SOAK else 60):
        chance = Random(seed)  # noqa: S311  candles, not secrets
        symbols = chance.sample(["A/CHF", "CHF/A", "A/USDT", "USDT/A", "USDT/CHF", "CHF/USDT"], 2)
        venue = Venue({})
        for symbol in symbols:
            for interval in (HOUR_MS, MINUTE_MS):
                ends = [NOW + chance.randrange(-300, 300) * interval for _ in range(40)]
                closes = {end: str(Decimal(chance.randrange(1, 10**9)).scaleb(-6)) for end in ends}
                venue.told[symbol, interval] = closes
        candles = marks(venue, "CHF", *symbols)
        for _ in range(20):
            time_ms = NOW + chance.randrange(-20, 500) * HOUR_MS + chance.choice([0, 0, 1, 777_777])
            ages = []
            for way in (("A", "CHF"), ("A", "USDT", "CHF")):
                price, age = Fraction(1), 0
                for base, quote in pairwise(way):
                    straight = f"{base}/{quote}" in symbols
                    pair = f"{base}/{quote}" if straight else f"{quote}/{base}"
                    last = oracle(venue, pair, time_ms) if pair in symbols else None
                    if last is None:
                        break
                    price, age = price * last[0] ** (1 if straight else -1), max(age, last[1])
                else:
                    ages.append((age, rounded(price, 30)))
            fresh = [each for each in ages if each[0] <= 2 * HOUR_MS]
            expected = fresh[0] if fresh else min(ages, key=lambda each: each[0], default=None)
            mark = candles.at("A", time_ms)
            assert (mark and (mark.age_ms, Fraction(mark.price))) == expected
            known, missing = known + (mark is not None), missing + (mark is None)
    assert min(known, missing) > 100


def test_a_delisted_asset_is_carried_flagged_and_then_without_a_return() -> None:
    closes = {NOW + n * HOUR_MS: "5" for n in range(-3, 4)}
    venue = Venue({("A/CHF", HOUR_MS): closes})
    basis = Basis(marks(venue, "CHF", "A/CHF"))
    held = [Flow(NOW - HOUR_MS, "1", "A", Decimal(10), FlowKind.DEPOSIT)]
    series = list(Account(held, pairs("A/CHF"), basis, NOW).hours(NOW + WEEK_MS + 6 * HOUR_MS))
    assert {hour.flags for hour in series[:5]} == {Flag(0)}
    assert {hour.flags for hour in series[5 : 3 + 168]} == {Flag.STALE_MARK}
    assert all(hour.value == 0 for hour in series[: 3 + 168])
    assert {hour.value for hour in series[3 + 168 :]} == {None}
    assert Flag.MISSING_MARK in series[-1].flags
