"""The record: trades folded exactly, hours valued and linked, and what exactness costs.

One account, a seeded year: spot, linear and inverse markets, fees in a third currency, a deposit or
withdrawal in every twentieth hour. Peers: the goals; the same fold in floats, which is wrong in the
last digits after a few trades; the tests' oracle in fractions, which replays everything.
"""

import gc
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random
from time import perf_counter
from typing import Any

from strongroom_enclave.record.disclosure import disclosed
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
from strongroom_enclave.record.exact import exactly
from strongroom_enclave.record.ledger import Ledger
from strongroom_enclave.record.returns import HOUR_MS, Account, Basis, Hour, Mark
from strongroom_wire.manifest import Tier

from tests.enclave.record.oracle import History

__all__ = ["rows"]

START = 1_700_000_000_000 // HOUR_MS * HOUR_MS
GOAL_TRADES, GOAL_HOURS = 200_000, 10_000
MARKETS = {
    market.symbol: market
    for market in (
        Market("BTC/USDT", "BTC", "USDT", "USDT", Kind.SPOT),
        Market("ETH/USDT", "ETH", "USDT", "USDT", Kind.SPOT),
        Market("BTC/USDT:USDT", "BTC", "USDT", "USDT", Kind.LINEAR),
        Market("BTC/USD:BTC", "BTC", "USD", "BTC", Kind.INVERSE, Decimal(100)),
    )
}


class _Marks:
    """Prices that cost nothing to look up, so that valuation is what is measured."""

    def __init__(self) -> None:
        prices = {"USDT": "0.9997", "BTC": "43120.55", "ETH": "2280.17", "BNB": "310.4"}
        prices |= {"BTC/USDT:USDT": "43133.1", "BTC/USD:BTC": "43118.5"}
        self._marks = {name: Mark(Decimal(price), "bench") for name, price in prices.items()}

    def at(self, name: str, time_ms: int) -> Mark | None:
        return self._marks.get(name)


def _history(trades: int, span_ms: int) -> list[Event]:
    chance, symbols = Random(5), list(MARKETS)  # noqa: S311
    capital = [("USDT", "1000000000"), ("BTC", "1000"), ("BNB", "100000")]
    events: list[Event] = [
        Flow(START, asset, asset, Decimal(amount), FlowKind.OPENING) for asset, amount in capital
    ]
    for number in range(trades):
        symbol = chance.choice(symbols)
        inverse = MARKETS[symbol].kind is Kind.INVERSE
        amount = (
            Decimal(chance.randrange(1, 50)) if inverse else Decimal(chance.randrange(1, 10**6))
        )
        price = Decimal(4_300_000 + chance.randrange(10**5)).scaleb(-2)
        events.append(
            Trade(
                START + 1 + number * (span_ms - 1) // trades,
                str(number),
                symbol,
                chance.choice((Side.BUY, Side.SELL)),
                amount if inverse else amount.scaleb(-6),
                price,
                Decimal(chance.randrange(10**5)).scaleb(-8),
                "BNB",
            )
        )
    for number in range(span_ms // HOUR_MS // 20):
        kind = FlowKind.DEPOSIT if number % 2 else FlowKind.WITHDRAWAL
        amount = Decimal(1000 if number % 2 else -1000)
        time_ms = START + number * 20 * HOUR_MS + 1_234_567
        events.append(Flow(time_ms, str(number), "USDT", amount, kind))
    return events


def _rate(job: Callable[[], object], count: int, repeat: int = 3) -> float:
    """Return how many per second, in the best of some repetitions."""
    best = float("inf")
    for _ in range(repeat):
        gc.collect()
        start = perf_counter()
        job()
        best = min(best, perf_counter() - start)
    return count / best


def _hours(events: Sequence[Event], basis: Basis, span: tuple[int, int]) -> list[Hour]:
    return list(Account(events, MARKETS, basis, span[0]).hours(span[1]))


def _fold(events: Sequence[Event]) -> None:
    with exactly():
        Ledger(MARKETS).fold(events)


def _fold_floats(trades: Sequence[tuple[str, int, float, float, float]]) -> None:
    """What a careless program does: the same sums in binary floating point."""
    cash: dict[str, float] = {}
    for symbol, side, amount, price, fee in trades:
        market = MARKETS[symbol]
        cash[market.base] = cash.get(market.base, 0.0) + side * amount
        cash[market.quote] = cash.get(market.quote, 0.0) - side * amount * price
        cash["BNB"] = cash.get("BNB", 0.0) - fee


def _row(name: str, unit: str, value: float, peer: str, peer_value: float) -> dict[str, Any]:
    row = {"name": name, "unit": unit, "value": value, "peer": peer, "peer_value": peer_value}
    return row | {"ratio": value / peer_value}


def rows(trades: int = 200_000, year: int = 8_760) -> list[dict[str, Any]]:
    """Return trades and hours per second on one core."""
    basis = Basis(_Marks())
    events = canonical(_history(trades, year * HOUR_MS))
    fills = [event for event in events if isinstance(event, Trade)]
    plain = [(t.symbol, int(t.side), float(t.amount), float(t.price), float(t.fee)) for t in fills]
    floats = _rate(lambda: _fold_floats(plain), trades)
    folded = _rate(lambda: _fold(events), len(events))
    few = _history(year * 2, year * HOUR_MS)
    span = (START, START + year * HOUR_MS)
    series = _hours(few, basis, span)
    quiet = _rate(lambda: _hours(few, basis, span), year)
    busy = _rate(lambda: _hours(events, basis, span), year)
    short = History(_history(200, 24 * HOUR_MS), MARKETS, basis.marks)
    slow = _rate(lambda: short.hour(START + 23 * HOUR_MS, basis), 1, 1)
    since = series[-1].start_ms
    tier = Tier(embargo=True, least_trades=5)
    return [
        _row("trades folded exactly, with lots", "1/s", folded, "goal", GOAL_TRADES),
        _row("beside careless floats", "1/s", folded, "three float sums", floats),
        {"name": "events put in order", "unit": "1/s",
         "value": _rate(lambda: canonical(reversed(events)), len(events))},
        _row("account-hours, 2 trades each", "1/s", quiet, "goal", GOAL_HOURS),
        _row(f"account-hours, {trades // year} trades each", "1/s", busy, "2 trades each", quiet),
        _row("account-hours, 24 h and 200 trades replayed", "1/s", quiet, "fractions", slow),
        {"name": "hours disclosed, exact", "unit": "1/s",
         "value": _rate(lambda: disclosed(series, Tier(hours=1, grid=None), None, str), year)},
        {"name": "hours disclosed, daily and rounded", "unit": "1/s",
         "value": _rate(lambda: disclosed(series, tier, since, str), year)},
    ]  # fmt: skip
