"""Hours by hand: numbers a person can follow, one rule of README.md at a time."""

from decimal import Decimal

import msgspec
import pytest
from msgspec import Struct
from strongroom_enclave.record.errors import EventDoubled, PrecisionExhausted, SeriesBroken
from strongroom_enclave.record.events import Event, Flow, FlowKind, Side, Trade
from strongroom_enclave.record.returns import (
    DUST,
    HOUR_MS,
    Account,
    Basis,
    Doubt,
    Flag,
    Hour,
    Mark,
)

from tests.enclave.record.histories import MARKETS, START, RandomMarks, crowded, hours

HALF = START + HOUR_MS // 2
END = START + HOUR_MS


class Prices(Struct, frozen=True):
    """What things cost from a time on; before it they have no mark."""

    by_time: dict[int, dict[str, str]]
    age_ms: int = 0
    asked: list[tuple[str, int]] = []

    def at(self, name: str, time_ms: int) -> Mark | None:
        self.asked.append((name, time_ms))
        then = max(time for time in self.by_time if time <= time_ms)
        price = self.by_time[then].get(name)
        return None if price is None else Mark(Decimal(price), "by hand", self.age_ms)


def flow(
    time_ms: int, amount: str, asset: str = "USDT", kind: FlowKind = FlowKind.TRANSFER
) -> Flow:
    return Flow(time_ms, f"{asset}{time_ms}{amount}", asset, Decimal(amount), kind)


def trade(time_ms: int, symbol: str, amount: str, price: str, fee: str = "", of: str = "") -> Trade:
    side = Side.SELL if amount.startswith("-") else Side.BUY
    size = abs(Decimal(amount))
    return Trade(time_ms, f"{time_ms}", symbol, side, size, Decimal(price), Decimal(fee or 0), of)


CAPITAL = flow(START - HOUR_MS, "1000", kind=FlowKind.OPENING)
GIFT = flow(HALF, "7", kind=FlowKind.REBATE)
FLAT = {0: {"USDT": "1", "BTC": "100", "BNB": "10", "BTC/USDT:USDT": "100", "BTC/USD:BTC": "100"}}
RISEN = FLAT | {END: FLAT[0] | {"BTC": "110", "BTC/USDT:USDT": "110", "BTC/USD:BTC": "125"}}


def one(
    events: list[Event], prices: dict[int, dict[str, str]], age_ms: int = 0, dust: str = "1",
    doubts: tuple[Doubt, ...] = (),
) -> Hour:  # fmt: skip
    basis = Basis(Prices(prices, age_ms), Decimal(dust), doubts=doubts)
    [hour] = hours(events, basis, (START, END))
    return hour


def plain(value: Decimal | None) -> str:
    return "none" if value is None else f"{value.normalize():f}"


def test_bought_and_risen_with_a_fee_in_a_third_currency() -> None:
    bought = trade(HALF, "BTC/USDT", "5", "100", "0.1", "BNB")
    hour = one([CAPITAL, flow(START - 9, "1", "BNB"), bought], RISEN)
    assert plain(hour.opening) == "1010"
    assert plain(hour.closing) == "1059"
    assert plain(hour.pnl) == "49"
    assert plain(hour.realised) == "0"
    assert plain(hour.unrealised) == "50"
    assert plain(hour.fees) == "1"
    assert hour.value == Decimal("0.048514851485")  # 49 / 1010 = 0.04851485148514...
    assert hour.flags == 0
    assert hour.trades == 1


def test_a_linear_and_an_inverse_contract() -> None:
    linear = one([CAPITAL, trade(HALF, "BTC/USDT:USDT", "-2", "105")], RISEN)
    assert plain(linear.closing) == "990"
    assert (plain(linear.unrealised), linear.value) == ("-10", Decimal("-0.01"))
    # 10 contracts of 100 USD: 10 BTC bought at 100 are worth 8 BTC of USD at 125, so 2 BTC made.
    inverse = one([flow(START - 1, "10", "BTC"), trade(HALF, "BTC/USD:BTC", "10", "100")], RISEN)
    assert plain(inverse.opening) == "1000"
    assert plain(inverse.closing) == "1320"  # 12 BTC at 110
    assert plain(inverse.unrealised) == "220"
    assert inverse.value == Decimal("0.32")


def test_funding_interest_fees_and_rebates_are_profit_and_cut_nothing() -> None:
    kinds = {
        FlowKind.FUNDING: "7",
        FlowKind.INTEREST: "-2",
        FlowKind.DIVIDEND: "1",
        FlowKind.FEE: "-4",
        FlowKind.REBATE: "3",
    }
    events: list[Event] = [flow(HALF, amount, kind=kind) for kind, amount in kinds.items()]
    hour = one([CAPITAL, *events], FLAT)
    assert (plain(hour.funding), plain(hour.fees)) == ("6", "1")
    assert (plain(hour.pnl), plain(hour.flows)) == ("5", "0")
    assert hour.value == Decimal("0.005")


@pytest.mark.parametrize(
    "kind", [FlowKind.DEPOSIT, FlowKind.WITHDRAWAL, FlowKind.TRANSFER, FlowKind.OPENING]
)
def test_what_comes_and_goes_is_no_profit(kind: FlowKind) -> None:
    amount = "-500" if kind is FlowKind.WITHDRAWAL else "9000"
    hour = one([CAPITAL, flow(HALF, amount, kind=kind)], FLAT)
    assert (plain(hour.flows), plain(hour.pnl)) == (amount, "0")
    assert hour.value == 0


def test_a_deposit_cuts_the_hour_at_the_marks_of_its_time() -> None:
    """10 BTC: +10 % until 1,100 come in at half past, then -50 %."""
    prices = {
        0: {"BTC": "100", "USDT": "1"},
        HALF: {"BTC": "110", "USDT": "1"},
        END: {"BTC": "55", "USDT": "1"},
    }
    hour = one([flow(START - 1, "10", "BTC"), flow(HALF, "1100")], prices)
    # 1.1 * (550 + 1100) / 2200 - 1
    assert hour.value == Decimal("-0.175")
    assert (plain(hour.opening), plain(hour.closing)) == ("1000", "1650")
    assert (plain(hour.flows), plain(hour.pnl)) == ("1100", "-450")


def test_a_flow_at_the_same_moment_comes_before_the_trade() -> None:
    """A first deposit and what it bought in the same ms: the fee is a loss on the deposit."""
    bought = trade(HALF, "BTC/USDT", "1", "100", "10", "USDT")
    hour = one([bought, flow(HALF, "1000")], FLAT)
    assert hour.value == Decimal("-0.01")
    assert hour.flags == Flag.IDLE


def test_an_event_at_the_full_hour_is_of_the_hour_it_begins() -> None:
    assert plain(one([CAPITAL, flow(START, "5")], FLAT).opening) == "1000"
    assert plain(one([CAPITAL, flow(START, "5")], FLAT).closing) == "1005"
    assert plain(one([CAPITAL, flow(END, "5")], FLAT).closing) == "1000"
    assert plain(one([CAPITAL, flow(END - 1, "5")], FLAT).closing) == "1005"


@pytest.mark.parametrize(
    ("events", "dust", "value", "flags"),
    [
        ([], "0", "0", Flag.IDLE),
        ([flow(START - 1, "1")], "1", "0", Flag.IDLE),
        ([flow(START - 1, "-1")], "1", "0", Flag.IDLE),
        ([flow(START - 1, "1.01")], "1", "0", Flag(0)),
        # A gain from next to nothing, before anything comes in.
        (
            [flow(START - 1, "1"), flow(HALF, "7", kind=FlowKind.REBATE)],
            "1",
            "none",
            Flag.NO_EQUITY,
        ),
        ([flow(START - 1, "-5")], "1", "none", Flag.NO_EQUITY),
        # Everything lost, to the last unit: that is a number.
        ([CAPITAL, flow(HALF, "-1000", kind=FlowKind.FEE)], "1", "-1", Flag(0)),
        ([CAPITAL, flow(HALF, "-1001", kind=FlowKind.FEE)], "1", "none", Flag.NEGATIVE_EQUITY),
        # All taken out and brought back: nothing was there in between.
        ([CAPITAL, flow(HALF, "-1000"), flow(HALF + 9, "10")], "1", "0", Flag.IDLE),
        # More taken out than was there.
        ([CAPITAL, flow(HALF, "-2000")], "1", "none", Flag.NO_EQUITY),
    ],
)
def test_next_to_nothing_and_less(events: list[Event], dust: str, value: str, flags: Flag) -> None:
    hour = one(events, FLAT, dust=dust)
    assert (plain(hour.value), hour.flags) == (value, flags)


def test_a_missing_mark_takes_the_return_and_what_needs_it() -> None:
    events: list[Event] = [CAPITAL, trade(HALF, "BTC/USDT", "1", "100")]
    hour = one(events, FLAT | {END: {"USDT": "1"}})
    assert (hour.value, hour.closing, hour.pnl, hour.unrealised) == (None, None, None, None)
    assert (plain(hour.opening), plain(hour.realised), plain(hour.fees)) == ("1000", "0", "0")
    assert hour.flags == Flag.MISSING_MARK
    hour = one([CAPITAL, flow(HALF, "1", "BTC"), flow(END - 1, "-1", "BTC")], FLAT | {HALF: {}})
    assert (hour.value, hour.flows, hour.flags) == (None, None, Flag.MISSING_MARK)


def test_a_contract_without_its_own_mark_or_at_zero_has_no_value() -> None:
    long: list[Event] = [
        CAPITAL,
        flow(START - 1, "1", "BTC"),
        trade(HALF, "BTC/USD:BTC", "1", "100"),
    ]
    for price in ({}, {"BTC/USD:BTC": "0"}):
        hour = one(long, FLAT | {END: {"USDT": "1", "BTC": "100"} | price})
        assert hour.flags == Flag.MISSING_MARK
    worthless = one([CAPITAL, flow(START - 1, "1", "BTC")], FLAT | {END: {"USDT": "1", "BTC": "0"}})
    assert plain(worthless.closing) == "1000"


def test_what_is_not_held_needs_no_mark() -> None:
    contract = "BTC/USDT:USDT"
    gone: list[Event] = [
        trade(START - 9, "BTC/USDT", "1", "100"),
        trade(START - 8, "BTC/USDT", "-1", "100"),
        trade(START - 7, contract, "1", "100"),
        trade(START - 6, contract, "-1", "90"),
    ]
    hour = one([CAPITAL, *gone], {0: {"USDT": "1"}})
    assert (plain(hour.closing), hour.value, hour.flags) == ("990", Decimal(0), Flag(0))
    assert (plain(hour.unrealised), plain(hour.realised)) == ("0", "0")


def test_a_fee_without_a_mark_takes_no_return_away() -> None:
    paid = trade(HALF, "BTC/USDT", "1", "100", "1", "GONE")
    prices = {0: FLAT[0], START: FLAT[0] | {"GONE": "5"}, END: FLAT[0]}
    hour = one([CAPITAL, flow(START - 2, "1", "GONE"), paid], prices)
    assert (hour.fees, hour.flags) == (None, Flag(0))
    assert hour.value is not None


@pytest.mark.parametrize(("age", "flags"), [(2 * HOUR_MS, 0), (2 * HOUR_MS + 1, Flag.STALE_MARK)])
def test_an_old_mark_is_told(age: int, flags: int) -> None:
    hour = one([CAPITAL], FLAT, age)
    assert (hour.mark_age_ms, hour.flags, hour.value) == (age, flags, Decimal(0))


def test_an_old_mark_at_the_opening_or_a_cut_counts_too() -> None:
    class OldOnce(Struct, frozen=True):
        when: int

        def at(self, name: str, time_ms: int) -> Mark | None:
            return Mark(Decimal(1), "", HOUR_MS * 5 if time_ms == self.when else 7)

    for when in (START, HALF, END):
        [hour, after] = hours(
            [CAPITAL, flow(HALF, "1")], Basis(OldOnce(when)), (START, END + HOUR_MS)
        )
        assert (hour.mark_age_ms, hour.flags) == (5 * HOUR_MS, Flag.STALE_MARK)
        assert after.mark_age_ms == (5 * HOUR_MS if when == END else 7)


@pytest.mark.parametrize(
    ("start", "end", "doubted"),
    [
        (START - 5, START, False),
        (START - 5, START + 1, True),
        (END - 1, END + 5, True),
        (END, END + 5, False),
        (START - 5, END + 5, True),
        (HALF, HALF + 1, True),
    ],
)
@pytest.mark.parametrize("flag", [Flag.GAP, Flag.UNEXPLAINED])
def test_a_doubt_takes_the_return_of_each_hour_it_touches(
    start: int, end: int, doubted: bool, flag: Flag
) -> None:
    hour = one([CAPITAL], FLAT, doubts=(Doubt(start, end, flag),))
    assert (hour.value is None) is doubted
    assert hour.flags == (flag if doubted else 0)
    assert plain(hour.closing) == "1000"


def test_money_is_shown_with_18_places_and_the_return_computed_from_all() -> None:
    prices = {
        0: {"USDT": "0.0000000000000000000149", "BTC": "0"},
        END: {"USDT": "0.00000000000000000002"},
    }
    hour = one([flow(START - 1, "100")], prices, dust="0")
    assert str(hour.opening) == "1E-18"  # 1.49e-18
    assert str(hour.closing) == "2E-18"
    assert hour.value == Decimal("0.342281879195")  # 2 / 1.49 - 1


def test_what_is_dust_and_what_is_old_unless_said_otherwise() -> None:
    basis = Basis(Prices(FLAT))
    assert (basis.dust, basis.stale_ms, basis.doubts) == (Decimal(1), 7_200_000, ())
    # Some cents or a few dollars, in the currencies that are worth much.
    assert {name: str(dust) for name, dust in DUST.items()} == {
        "BTC": "0.00001",
        "ETH": "0.0003",
        "BNB": "0.001",
    }


def test_each_mark_is_asked_for_once() -> None:
    prices = Prices(FLAT, asked=[])
    events: list[Event] = [CAPITAL, trade(HALF, "BTC/USDT", "1", "100", "1", "USDT")]
    events += [trade(HALF + 1, "BTC/USDT:USDT", "1", "100")]
    hours(events, Basis(prices), (START, END))
    assert len(prices.asked) == len(set(prices.asked))


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_where_a_series_was_taken_up_again_does_not_matter(cut: int) -> None:
    for seed in range(10):
        events, basis = crowded(seed), Basis(RandomMarks(seed, bad=True))
        middle, end = START + cut * HOUR_MS, START + 4 * HOUR_MS
        expected = hours(events, basis, (START, end))
        early = [event for event in events if event.time_ms < middle]
        assert (
            hours(early, basis, (START, middle)) + hours(events, basis, (middle, end)) == expected
        )
        account = Account(reversed(events), MARKETS, basis, START)
        assert [*account.hours(middle), *account.hours(middle), *account.hours(end)] == expected


def test_hours_are_full() -> None:
    basis = Basis(Prices(FLAT))
    with pytest.raises(SeriesBroken):
        hours([], basis, (START + 1, END + 1))
    assert hours([], basis, (START, END - 1)) == hours([], basis, (START, START)) == []
    assert len(hours([], basis, (START, END + 1))) == 1
    with pytest.raises(EventDoubled):
        hours([flow(END, "1"), flow(END, "1")], basis, (START, END))


def test_numbers_that_do_not_fit_are_an_error() -> None:
    """Where marks were made without the checks of `Mark`."""

    class Absurd(Struct, frozen=True):
        def at(self, name: str, time_ms: int) -> Mark | None:
            mark = Mark(Decimal(1), "")
            msgspec.structs.force_setattr(mark, "price", Decimal(1).scaleb(900))
            return mark

    with pytest.raises(PrecisionExhausted):
        hours([CAPITAL, flow(START - 5, "1e-30", "BTC")], Basis(Absurd()), (START, END))


def test_the_largest_of_everything_fits() -> None:
    """Largest and smallest amounts, prices, sizes and marks together, exactly."""
    big, small = "9" * 29, "0." + "0" * 29 + "1"
    events: list[Event] = [CAPITAL]
    for number, (amount, price) in enumerate(
        [(big, big), (small, small), (big, small), (small, big)]
    ):
        for symbol in MARKETS:
            events.append(trade(HALF + number, symbol, amount, price, small, "BNB"))
    for mark in (big, small):
        names = dict.fromkeys((*MARKETS, "USDT", "BTC", "ETH", "BNB", "GONE"), mark)
        assert one(events, {0: names}).closing is not None
