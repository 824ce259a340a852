"""What a venue holds beyond a history, and the events that explain it where a record begins."""

from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
from msgspec.structs import replace
from strongroom_enclave.record.balancing import Rest, differences, openings
from strongroom_enclave.record.errors import EventInvalid, MarketUnknown, PrecisionExhausted
from strongroom_enclave.record.events import Event, Flow, FlowKind, Kind, Side, Trade, canonical
from strongroom_enclave.record.exact import exactly, quotient
from strongroom_enclave.record.ledger import Ledger, less
from strongroom_enclave.record.returns import HOUR_MS, Basis, Mark

from tests.conftest import SOAK
from tests.enclave.record.histories import ASSETS, MARKETS, START, RandomMarks, crowded, hours
from tests.enclave.record.oracle import History, rounded

SPOT, LINEAR, INVERSE, HUNDREDTHS = "BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC", "ETH/USDT:USDT"
Legs = list[tuple[str, Decimal, Decimal]]


def trade(symbol: str, amount: str, price: str, number: int = 0) -> Trade:
    side = Side.SELL if amount.startswith("-") else Side.BUY
    given = symbol, side, abs(Decimal(amount)), Decimal(price)
    return Trade(START + number, str(number), *given)


def flow(asset: str, amount: str) -> Flow:
    return Flow(START, "1", asset, Decimal(amount), FlowKind.DEPOSIT)


def rest(events: list[Event], balances: dict[str, str], *legs: tuple[str, str, str]) -> Rest:
    positions = [(symbol, Decimal(held), Decimal(entry)) for symbol, held, entry in legs]
    wallets = {asset: Decimal(amount) for asset, amount in balances.items()}
    return differences(events, MARKETS, wallets, positions)


def test_an_account_that_adds_up() -> None:
    events: list[Event] = [flow("USDT", "1000"), flow("BTC", "5"), trade(SPOT, "1", "100")]
    events += [trade(LINEAR, "2", "110", 1), trade(INVERSE, "4", "50", 2)]
    found = rest(events, {"USDT": "900", "BTC": "6"}, (LINEAR, "2", "110"), (INVERSE, "4", "50"))
    assert found == Rest({}, {})
    assert not any(found)


def test_what_does_not_add_up_is_told_to_the_last_digit() -> None:
    events: list[Event] = [flow("USDT", "1000"), flow("BTC", "5")]
    assert rest(events, {"USDT": "1000"}) == Rest({"BTC": Decimal(-5)}, {})
    assert rest(events, {"USDT": "999.999", "BTC": "5", "ETH": "1"}).cash == {
        "USDT": Decimal("-0.001"),
        "ETH": Decimal(1),
    }
    # 100 contracts of 0.01 ETH at 2,000: 1 ETH, and what it cost is in no wallet.
    found = rest(events, {"USDT": "1000", "BTC": "5"}, (HUNDREDTHS, "-100", "2000"))
    assert found == Rest({"USDT": Decimal(2000)}, {HUNDREDTHS: Decimal(-100)})
    found = rest([*events, trade(LINEAR, "1", "90")], {"USDT": "1000", "BTC": "5"})
    assert found == Rest({"USDT": Decimal(90)}, {LINEAR: Decimal(-1)})


def test_both_legs_of_a_hedge_count() -> None:
    events: list[Event] = [flow("USDT", "1000"), trade(LINEAR, "3", "100")]
    events.append(trade(LINEAR, "-1", "110", 1))
    # In one direction the venue would have booked 10; in two, long 3 at 100 and short 1 at 110.
    legs = (LINEAR, "3", "100"), (LINEAR, "-1", "110")
    assert not any(rest(events, {"USDT": "1000"}, *legs))
    assert not any(rest(events, {"USDT": "1010"}, (LINEAR, "2", "100")))
    assert rest(events, {"USDT": "1000"}, legs[0]).contracts == {LINEAR: Decimal(1)}


@pytest.mark.parametrize(
    ("fills", "off", "explained"),
    [
        (0, "0.0000001", True),
        (0, "0.00000011", False),
        (0, "-0.00000011", False),
        (50, "0.0000006", True),
        (50, "-0.0000006", True),
        (50, "0.00000061", False),
    ],
)
def test_each_fill_may_be_booked_rounded_and_no_more(fills: int, off: str, explained: bool) -> None:
    events: list[Event] = [flow("USDT", "1000")]
    events += [trade(SPOT, "0.0001", "1", number) for number in range(fills)]
    left = Decimal(1000) - fills * Decimal("0.0001") + Decimal(off)
    held = {"USDT": str(left), "BTC": str(fills * Decimal("0.0001"))}
    assert any(rest(events, held)) is not explained
    # What settles in another asset excuses nothing here.
    held["USDT"] = "1000"
    held["BTC"] = str(Decimal(held["BTC"]) + Decimal("0.00000011"))
    assert any(rest(events, held))


@pytest.mark.parametrize(
    ("symbol", "entry", "off", "explained"),
    [
        # 1,000 contracts of 1 BTC; the last digit shown is a cent, so 10 USDT.
        (LINEAR, "43120.55", "10", True),
        (LINEAR, "43120.55", "10.01", False),
        (LINEAR, "43120.5500", "0.2", False),
        # No last digit excuses more than a ten-thousandth of the cost.
        (LINEAR, "7", "0.7", True),
        (LINEAR, "7", "0.71", False),
        # But eight places are never too few: a price of three digits is off by a hundredth here.
        (LINEAR, "0.00000117", "0.00001", True),
        (LINEAR, "0.00000117", "0.0000102", False),
        # 1,000 contracts of 100 USD at 50,000.0: 2 BTC; a tenth of a USD is 0.000004 of it.
        (INVERSE, "50000.0", "0.000003", True),
        (INVERSE, "50000.0", "0.000005", False),
    ],
)
def test_an_entry_price_is_as_exact_as_its_last_digit(
    symbol: str, entry: str, off: str, explained: bool
) -> None:
    events: list[Event] = [flow("USDT", "1000000"), flow("BTC", "10")]
    events.append(trade(symbol, "1000", entry))
    for sign in (1, -1):
        held = {"USDT": Decimal(1_000_000), "BTC": Decimal(10)}
        held[MARKETS[symbol].settle] += sign * Decimal(off)
        wallets = {asset: str(amount) for asset, amount in held.items()}
        assert any(rest(events, wallets, (symbol, "1000", entry))) is not explained


def test_contracts_have_no_tolerance() -> None:
    events: list[Event] = [trade(LINEAR, "1", "1")]
    found = rest(events, {}, (LINEAR, "1.00000001", "1"))
    assert found == Rest({}, {LINEAR: Decimal("1e-8")})


def test_what_a_venue_makes_up_is_refused() -> None:
    with pytest.raises(EventInvalid):
        rest([], {"USDT": "NaN"})
    with pytest.raises(EventInvalid):
        rest([], {"USDT": "1e30"})
    with pytest.raises(EventInvalid):
        rest([], {}, (LINEAR, "1", "-5"))
    with pytest.raises(PrecisionExhausted):
        rest([], {}, (INVERSE, "1", "0"))
    with pytest.raises(MarketUnknown):
        rest([], {}, ("NEVER/USDT:USDT", "1", "5"))


class Flat:
    """One price for everything."""

    def __init__(self, price: str | None) -> None:
        self.price = price

    def at(self, name: str, time_ms: int) -> Mark | None:
        return None if self.price is None else Mark(Decimal(self.price), "flat")


def test_openings_are_a_trade_at_the_mark_and_the_open_profit_in_money() -> None:
    """Long 2 from 100, now at 130; wallet 1,000: equity 1,060, all of it there at the start."""
    found = rest([], {"USDT": "1000", "ETH": "3"}, (LINEAR, "2", "100"))
    events = openings(found, MARKETS, Flat("130"), START)
    assert events == [
        Flow(START, f"opening {START}", "ETH", Decimal(3), FlowKind.OPENING),
        Flow(START, f"opening {START}", "USDT", Decimal(1060), FlowKind.OPENING),
        Trade(START, f"opening {START}", LINEAR, Side.BUY, Decimal(2), Decimal(130)),
    ]
    [short] = (
        event
        for event in openings(rest([], {}, (INVERSE, "-4", "50")), MARKETS, Flat("80"), START)
        if isinstance(event, Trade)
    )
    assert (short.side, short.fee) == (Side.SELL, Decimal(0))
    assert (short.amount, short.price) == (Decimal(4), Decimal(80))


def test_no_position_is_opened_without_a_mark() -> None:
    found = rest([], {}, (LINEAR, "2", "100"))
    with pytest.raises(EventInvalid):
        openings(found, MARKETS, Flat(None), START)
    with pytest.raises(PrecisionExhausted):
        openings(rest([], {}, (INVERSE, "2", "100")), MARKETS, Flat("0"), START)
    assert openings(rest([], {"BTC": "1"}), MARKETS, Flat(None), START)
    assert openings(Rest({}, {}), MARKETS, Flat(None), START) == []


def test_openings_of_two_times_are_two_events() -> None:
    found = Rest({"USDT": Decimal(1)}, {LINEAR: Decimal(1)})
    both = [
        each for at in (START, START + HOUR_MS) for each in openings(found, MARKETS, Flat("1"), at)
    ]
    assert len(canonical(both)) == 4


def _coarse(events: list[Event]) -> list[Event]:
    """Amounts and prices of at most eight decimals: what real venues have."""
    unit = Decimal("1e-8")
    found: list[Event] = []
    for event in events:
        if isinstance(event, Flow):
            found.append(replace(event, amount=event.amount.quantize(unit)))
            continue
        amount, price = (max(unit, n.quantize(unit)) for n in (event.amount, event.price))
        found.append(replace(event, amount=amount, price=price, fee=event.fee.quantize(unit)))
    return found


def exact(number: Fraction) -> Decimal:
    with exactly():
        return Decimal(number.numerator) / Decimal(number.denominator)


def told(events: list[Event], entries: dict[str, Decimal]) -> tuple[dict[str, Decimal], Legs]:
    """What a venue would say that books its positions at these entry prices: its wallets are what
    came, went, was paid and traded on spot, and the profit that follows from those prices."""
    oracle = History(events, MARKETS, RandomMarks(0))
    assets = {asset for market in MARKETS.values() for asset in (market.base, market.quote)}
    wallets = {asset: oracle.balance(asset, events) for asset in assets | set(ASSETS)}
    legs: Legs = []
    for symbol, entry in entries.items():
        market, (quantity, cost) = MARKETS[symbol], oracle.contract(symbol, events)
        if market.kind is Kind.LINEAR:
            wallets[market.settle] += quantity * Fraction(entry) - cost
        elif market.kind is Kind.INVERSE:
            wallets[market.settle] -= rounded(quantity / Fraction(entry), 18) - cost
        if quantity and market.kind is not Kind.SPOT:
            legs.append((symbol, exact(quantity / Fraction(market.size)), entry))
    return {asset: exact(amount) for asset, amount in wallets.items()}, legs


def test_openings_and_later_events_are_the_whole_account() -> None:
    """A history cut anywhere: what the venue holds at its end, less what came after the cut, is
    what was there at the cut, and every hour from there on is the same to the last digit."""
    whole_ones = 0
    for seed in range(3_000 if SOAK else 80):
        chance, events, marks = Random(seed), _coarse(crowded(seed)), RandomMarks(seed)  # noqa: S311
        cut = START + chance.randrange(3) * HOUR_MS
        later = [event for event in events if event.time_ms >= cut]
        chance.shuffle(later)
        entries = {name: Decimal(chance.randrange(1, 10**15)).scaleb(-8) for name in MARKETS}
        balances, legs = told(events, entries)
        assert not any(differences(events, MARKETS, balances, legs))
        before = differences(later, MARKETS, balances, legs)
        opened = openings(before, MARKETS, marks, cut)
        joined = [*opened, *later]
        assert {event.time_ms for event in opened} <= {cut}
        assert not any(differences(joined, MARKETS, balances, legs))
        whole, again = Ledger(MARKETS), Ledger(MARKETS)
        with exactly():
            whole.fold(canonical(events))
            again.fold(canonical(joined))
            assert not any(less(whole.contracts, again.contracts).values())
            missing = less(whole.cash, again.cash)
        # What rounding may explain is not opened: that, and nothing else, is missing.
        assert all(not amount or asset not in before.cash for asset, amount in missing.items())
        if any(missing.values()):
            continue
        whole_ones += 1
        span = cut + HOUR_MS, cut + 3 * HOUR_MS
        for one, other in zip(
            hours(events, Basis(marks), span), hours(joined, Basis(marks), span), strict=True
        ):
            # Lots remember when things were opened, and at what price: a cut forgets.
            assert replace(one, realised=None, unrealised=None) == replace(
                other, realised=None, unrealised=None
            )
    assert whole_ones > 50


def booked(events: list[Event], unit: Decimal) -> tuple[dict[str, Decimal], Legs]:
    """What a venue of linear contracts and spot says that really keeps books: average entry prices,
    profit booked as a position closes, all of it rounded to its unit at each fill."""
    wallet: defaultdict[str, Decimal] = defaultdict(Decimal)
    held: dict[str, tuple[Decimal, Decimal]] = {}
    with exactly():
        for event in canonical(events):
            if isinstance(event, Flow):
                wallet[event.asset] += event.amount
                continue
            market, signed = MARKETS[event.symbol], event.amount * event.side
            wallet[event.fee_asset] -= event.fee
            if market.kind is Kind.SPOT:
                wallet[market.base] += signed
                wallet[market.quote] -= quotient(signed * event.price, Decimal(1), unit)
                continue
            amount, entry = held.get(event.symbol, (Decimal(0), Decimal(0)))
            if amount * signed < 0:
                closed = -signed if abs(signed) < abs(amount) else amount
                profit = closed * market.size * (event.price - entry)
                wallet[market.settle] += quotient(profit, Decimal(1), unit)
                amount, signed = amount - closed, signed + closed
            if signed:
                entry = amount * entry + signed * event.price
                entry = quotient(entry, amount + signed, Decimal("1e-25"))
            held[event.symbol] = amount + signed, entry
        shown = {name: (held, quotient(e, Decimal(1), unit)) for name, (held, e) in held.items()}
    return dict(wallet), [(name, *each) for name, each in shown.items() if each[0]]


def test_a_venue_that_rounds_its_books_is_no_contradiction() -> None:
    fills = 0
    for seed in range(3_000 if SOAK else 80):
        events = [
            event
            for event in _coarse(crowded(seed))
            if isinstance(event, Flow) or MARKETS[event.symbol].kind is not Kind.INVERSE
        ]
        balances, legs = booked(events, Decimal("1e-8"))
        assert differences(events, MARKETS, balances, legs) == Rest({}, {})
        for number, event in enumerate(events):
            if isinstance(event, Trade) and event.amount * event.price > 1:
                without = [*events[:number], *events[number + 1 :]]
                assert any(differences(without, MARKETS, balances, legs))
                fills += 1
                break
    assert fills > 50
