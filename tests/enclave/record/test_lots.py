"""Realised and unrealised profit by both methods, and what is open, against the oracle."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.record.errors import MarketUnknown
from strongroom_enclave.record.events import (
    Event,
    Flow,
    FlowKind,
    Kind,
    Market,
    Side,
    Trade,
    canonical,
)
from strongroom_enclave.record.exact import UNKNOWN, exactly
from strongroom_enclave.record.ledger import Ledger, Position
from strongroom_enclave.record.returns import HOUR_MS

from tests.conftest import SOAK
from tests.enclave.record.histories import MARKETS, START, RandomMarks, crowded, histories
from tests.enclave.record.oracle import History

END = START + 5 * HOUR_MS
LINEAR, INVERSE, SPOT = "BTC/USDT:USDT", "BTC/USD:BTC", "BTC/USDT"


def folded(events: list[Event], until: int = END) -> Ledger:
    ledger = Ledger(MARKETS)
    with exactly():
        ledger.fold(event for event in canonical(events) if event.time_ms < until)
    return ledger


def cost(position: Position, fifo: bool) -> Decimal:
    """What is open cost: by average cost, or by what is left of the oldest fills."""
    return sum((lot.cost for lot in position.lots), Decimal(0)) if fifo else position.average


def profit(position: Position, fifo: bool = False) -> Decimal:
    """What was made by everything closed so far."""
    return cost(position, fifo) - position.total


def agree(events: list[Event], seed: int) -> None:
    ledger, marks = folded(events), RandomMarks(seed)
    oracle = History(events, MARKETS, marks)

    def price(name: str) -> Decimal:
        mark = marks.at(name, END)
        return UNKNOWN if mark is None else mark.price

    with exactly():
        assert "" not in ledger.cash
        realised: dict[str, Decimal] = {}
        for symbol, position in ledger.positions.items():
            assert position.quantity == sum(lot.quantity for lot in position.lots)
            for fifo in (False, True):
                other = (position.average - cost(position, fifo)) * price(MARKETS[symbol].settle)
                unrealised = ledger.unrealised(symbol, price) + (other if fifo else 0)
                assert Fraction(unrealised) == oracle.unrealised(symbol, END, END, fifo)
                assert Fraction(profit(position, fifo)) == oracle.realised(symbol, END, fifo)
            settle = MARKETS[symbol].settle
            realised[settle] = realised.get(settle, Decimal(0)) + profit(position)
        assert realised == ledger.realised
        assert ledger.open_since() == oracle.open_since(END)


@given(histories(), st.integers(0, 10**6))
def test_lots_equal_the_oracle(events: list[Event], seed: int) -> None:
    agree(events, seed)


def test_lots_of_busy_accounts_equal_the_oracle() -> None:
    for seed in range(20_000 if SOAK else 150):
        agree(crowded(seed), seed)


def trades(
    symbol: str, *fills: tuple[str, str], fee: str = "0", fee_asset: str = ""
) -> list[Event]:
    return [
        Trade(
            START + number,
            str(number),
            symbol,
            Side.BUY if Decimal(amount) > 0 else Side.SELL,
            abs(Decimal(amount)),
            Decimal(price),
            Decimal(fee),
            fee_asset,
        )
        for number, (amount, price) in enumerate(fills)
    ]


def profits(symbol: str, *fills: tuple[str, str]) -> tuple[str, str]:
    position = folded(trades(symbol, *fills)).positions[symbol]
    with exactly():
        found = [profit(position, fifo) for fifo in (False, True)]
    return f"{found[0].normalize():f}", f"{found[1].normalize():f}"


@pytest.mark.parametrize(
    ("symbol", "fills", "average", "fifo"),
    [
        (LINEAR, [("1", "100"), ("1", "200"), ("-1", "200")], "50", "100"),
        (LINEAR, [("-1", "100"), ("-1", "200"), ("1", "200")], "-50", "-100"),
        (LINEAR, [("1", "100"), ("-3", "110"), ("2", "90")], "50", "50"),
        (LINEAR, [("2", "100"), ("-1", "130"), ("-1", "70")], "0", "0"),
        (SPOT, [("1", "100"), ("-1", "101")], "1", "1"),
        # 100 USD a contract: 1 BTC bought at 100 for 1 BTC, worth 0.5 BTC of USD at 200.
        (INVERSE, [("1", "100"), ("-1", "200")], "0.5", "0.5"),
        (INVERSE, [("-1", "100"), ("1", "200")], "-0.5", "-0.5"),
        (INVERSE, [("-1", "200"), ("2", "100"), ("-1", "200")], "1", "1"),
    ],
)
def test_known_profits(symbol: str, fills: list[tuple[str, str]], average: str, fifo: str) -> None:
    assert profits(symbol, *fills) == (average, fifo)


@pytest.mark.parametrize("closed", ["1", "2"])
def test_what_is_closed_whole_takes_its_whole_cost_away(closed: str) -> None:
    """A cost of more places than R2 keeps: rounding what is whole would leave some of it behind."""
    fills = [("1", "3e-19"), ("1", "5e-19"), (f"-{closed}", "1")]
    [position] = folded(trades(LINEAR, *fills)).positions.values()
    if closed == "2":
        assert (cost(position, False), cost(position, True)) == (Decimal(0), Decimal(0))
        assert not position.lots
    else:
        assert (cost(position, False), cost(position, True)) == (Decimal("8e-19"), Decimal("5e-19"))
        assert [lot.time_ms for lot in position.lots] == [START + 1]


def test_a_fee_in_base_leaves_no_lot_behind() -> None:
    """Bought 1, 0.001 of it taken as fee, the rest sold: nothing is open."""
    bought = trades(SPOT, ("1", "100"), fee="0.001", fee_asset="BTC")
    [sold] = trades(SPOT, ("-0.999", "100"))
    closed = folded([*bought, Trade(START + 9, "9", *sold_fields(sold))])
    assert closed.open_since() is None
    with exactly():
        assert profit(closed.positions[SPOT]) == 0


def sold_fields(trade: Event) -> tuple[str, Side, Decimal, Decimal]:
    assert isinstance(trade, Trade)
    return trade.symbol, trade.side, trade.amount, trade.price


@pytest.mark.parametrize(
    ("fills", "since"),
    [
        ([("1", "9"), ("1", "9"), ("-1", "9")], 1),
        ([("1", "9"), ("-0.999", "9")], None),
        ([("1", "9"), ("-0.998", "9")], 0),
        ([("1", "9"), ("-2", "9")], 1),
        ([("1", "9"), ("-1", "9")], None),
        ([("-1", "9"), ("-1", "9"), ("1.5", "9")], 1),
    ],
)
def test_what_is_open_since_when(fills: list[tuple[str, str]], since: int | None) -> None:
    found = folded(trades(LINEAR, *fills)).open_since()
    assert found == (None if since is None else START + since)


def test_a_market_nobody_described() -> None:
    with pytest.raises(MarketUnknown) as caught, exactly():
        Ledger({}).fold(trades(SPOT, ("1", "1")))
    assert caught.value.actual == SPOT


def test_the_venues_wallet_follows_from_cash_and_entry_prices() -> None:
    """README, "Against a venue's balance": a wallet of 1,000 realised 30 and holds 2 at 110."""
    events = trades(LINEAR, ("1", "100"), ("-1", "130"), ("2", "110"))
    ledger = Ledger(MARKETS)
    with exactly():
        ledger.fold([Flow(START, "1", "USDT", Decimal(1_000), FlowKind.OPENING)])
        ledger.fold(events)
        assert ledger.cash["USDT"] == Decimal(1_030) - 2 * Decimal(110)
    market = Market("BTC/USD:BTC", "BTC", "USD", "BTC", Kind.INVERSE, Decimal(100))
    ledger = Ledger({market.symbol: market})
    with exactly():
        ledger.fold([Flow(START, "1", "BTC", Decimal(5), FlowKind.OPENING)])
        ledger.fold(trades(INVERSE, ("1", "100"), ("-1", "200"), ("4", "50")))
        assert ledger.cash["BTC"] == Decimal("5.5") + 4 * Decimal(100) / Decimal(50)
