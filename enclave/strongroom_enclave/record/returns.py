"""Hours of an account: equity at both ends, what flowed, what was earned, and the return.

The hour is cut wherever money comes or goes, and its pieces are linked. Where a return would be
invented rather than computed there is none, and a flag says why. README.md defines each number.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from enum import IntFlag
from itertools import groupby
from typing import NamedTuple, Protocol

from msgspec import Struct

from strongroom_enclave.record.errors import EventInvalid, SeriesBroken
from strongroom_enclave.record.events import Event, Flow, FlowKind, Market, Trade, canonical
from strongroom_enclave.record.exact import (
    ZERO,
    bounded,
    exactly,
    linked,
    minus,
    money,
    times,
    total,
)
from strongroom_enclave.record.ledger import Ledger
from strongroom_enclave.record.lots import Lots

__all__ = ["HOUR_MS", "INSTEAD", "Account", "Doubt", "Flag", "Hour", "Limits", "Mark", "Marks"]
__all__ += ["hours"]

HOUR_MS = 3_600_000


class Flag(IntFlag):
    """What has to be known about an hour; those of `INSTEAD` stand in the place of its return."""

    NO_EQUITY = 1
    NEGATIVE_EQUITY = 2
    MISSING_MARK = 4
    GAP = 8
    UNEXPLAINED = 16
    IDLE = 32
    STALE_MARK = 64


INSTEAD = Flag.NO_EQUITY | Flag.NEGATIVE_EQUITY | Flag.MISSING_MARK | Flag.GAP | Flag.UNEXPLAINED


class Mark(Struct, frozen=True):
    """A price at a time. `source` says by which candles and conversions; `age_ms` how long before
    that time the oldest of them ended.

    Raises:
        EventInvalid: the price is out of range or below zero, or the mark is from the future.
    """

    price: Decimal
    source: str
    age_ms: int = 0

    def __post_init__(self) -> None:
        if bounded("mark", self.price) < 0 or self.age_ms < 0:
            raise EventInvalid("mark and age", "not below zero", (self.price, self.age_ms))


class Marks(Protocol):
    """Where prices come from: a venue's candles."""

    def at(self, name: str, time_ms: int) -> Mark | None:
        """Returns the last price up to that time: of an asset in the account's currency (a
        stablecoin is an asset like any other), of a contract's symbol in quote per base. None if
        there is none. The same question always has the same answer."""


class Doubt(NamedTuple):
    """A span, its end left out, in which events are not all known, or balances contradict them."""

    start_ms: int
    end_ms: int
    flag: Flag


class Limits(Struct, frozen=True):
    """Equity up to `dust`, in the account's currency, is not divided by; a mark older than
    `stale_ms` is flagged."""

    dust: Decimal = Decimal(1)
    stale_ms: int = 2 * HOUR_MS


class Hour(Struct, frozen=True):
    """One hour, money in the account's currency with 18 places, `value` with 12; README.md says
    when a number is absent."""

    start_ms: int
    opening: Decimal | None
    closing: Decimal | None
    flows: Decimal | None
    pnl: Decimal | None
    realised: Decimal | None
    unrealised: Decimal | None
    fees: Decimal | None
    funding: Decimal | None
    trades: int
    mark_age_ms: int
    value: Decimal | None
    flags: Flag


class _Prices:
    """Marks as the ledger asks for them, each asked for once; keeps the greatest age."""

    def __init__(self, marks: Marks, time_ms: int) -> None:
        self._marks, self.time_ms, self.age = marks, time_ms, 0
        self._known: dict[str, Decimal | None] = {}

    def __call__(self, name: str) -> Decimal | None:
        if name not in self._known:
            mark = self._marks.at(name, self.time_ms)
            self._known[name] = None if mark is None else mark.price
            self.age = max(self.age, 0 if mark is None else mark.age_ms)
        return self._known[name]


_Piece = tuple[Decimal | None, Decimal | None]
_COSTS = (FlowKind.FEE, FlowKind.REBATE)


class Account(Struct):
    """What an account holds, has open, and was worth at `time_ms`, the end of the last hour: its
    exact equity, and the age of the marks that it was valued at."""

    ledger: Ledger
    lots: Lots
    time_ms: int | None = None
    equity: Decimal | None = None
    age_ms: int = 0

    @classmethod
    def of(cls, markets: dict[str, Market], before: Sequence[Event] = ()) -> "Account":
        """Returns the account after some events, in canonical order."""
        account = cls(Ledger(markets), Lots(markets))
        with exactly():
            account.ledger.fold(before)
            account.lots.fold(event for event in before if isinstance(event, Trade))
        return account

    def hour(
        self,
        start_ms: int,
        events: Sequence[Event],
        marks: Marks,
        limits: Limits,
        doubts: Iterable[Doubt] = (),
    ) -> Hour:
        """Returns the hour from `start_ms`, whose events these are, in canonical order.

        Raises:
            SeriesBroken: it is no full hour, not the next one, or an event is not of it.
            MarketUnknown: a trade is in a market that was not described.
            PrecisionExhausted: the numbers do not fit.
        """
        end_ms = start_ms + HOUR_MS
        if start_ms % HOUR_MS or self.time_ms not in (None, start_ms):
            raise SeriesBroken("start", "the next full hour", start_ms)
        if events and not start_ms <= events[0].time_ms <= events[-1].time_ms < end_ms:
            raise SeriesBroken("events", f"from {start_ms}, before {end_ms}", events[-1].time_ms)
        with exactly():
            return self._hour(start_ms, end_ms, events, marks, limits, doubts)

    def _hour(
        self,
        start_ms: int,
        end_ms: int,
        events: Sequence[Event],
        marks: Marks,
        limits: Limits,
        doubts: Iterable[Doubt],
    ) -> Hour:
        if self.time_ms is None:
            self._value(_Prices(marks, start_ms))
        opening, age, folded = self.equity, self.age_ms, 0
        pieces, flows, base = list[_Piece](), list[Decimal | None](), opening
        cuts = (event for event in events if isinstance(event, Flow) and event.external)
        for time_ms, group in groupby(cuts, _time):
            prices, cut = _Prices(marks, time_ms), list(group)
            place = bisect_left(events, time_ms, folded, key=_time)
            self.ledger.fold(events[folded:place])
            before = self.ledger.equity(prices)
            self.ledger.fold(cut)
            pieces.append((base, before))
            base, folded = self.ledger.equity(prices), place + len(cut)
            flows.append(minus(base, before))
            age = max(age, prices.age)
        self.ledger.fold(events[folded:])
        prices = _Prices(marks, end_ms)
        self._value(prices)
        age = max(age, self.age_ms)
        value, flags = _linked([*pieces, (base, self.equity)], limits.dust)
        for doubt in doubts:
            if doubt.start_ms < end_ms and doubt.end_ms > start_ms:
                flags |= doubt.flag
        flags |= Flag.STALE_MARK if age > limits.stale_ms else Flag(0)
        first, last, moved = money(opening), money(self.equity), money(total(flows))
        pnl = minus(minus(last, first), moved)
        explained = self._explained(events, prices)
        found = None if flags & INSTEAD else value
        return Hour(start_ms, first, last, moved, pnl, *explained, age, found, flags)

    def _value(self, prices: _Prices) -> None:
        self.equity = self.ledger.equity(prices)
        self.time_ms, self.age_ms = prices.time_ms, prices.age

    def _explained(
        self, events: Sequence[Event], prices: _Prices
    ) -> tuple[Decimal | None, Decimal | None, Decimal | None, Decimal | None, int]:
        """Folds the hour's trades into lots; returns what explains its profit, at its end's marks:
        realised, unrealised, fees, funding; and the number of trades."""
        lots, markets = self.lots, self.ledger.markets
        trades = [event for event in events if isinstance(event, Trade)]
        before = {symbol: lots.realised(symbol) for symbol in {t.symbol for t in trades}}
        lots.fold(trades)
        fees, funding = dict[str, Decimal](), dict[str, Decimal]()
        for event in events:
            if isinstance(event, Trade):
                fees[event.fee_asset] = fees.get(event.fee_asset, ZERO) + event.fee
            elif event.kind in _COSTS:
                fees[event.asset] = fees.get(event.asset, ZERO) - event.amount
            elif not event.external:
                funding[event.asset] = funding.get(event.asset, ZERO) + event.amount
        made = [(markets[s].settle, lots.realised(s) - was) for s, was in before.items()]
        sums = (made, fees.items(), funding.items())
        realised, paid, received = (
            money(total(times(amount, prices(asset)) for asset, amount in each if amount))
            for each in sums
        )
        open_profit = money(total(lots.unrealised(symbol, prices) for symbol in lots.positions))
        return realised, open_profit, paid, received, len(trades)


def _linked(pieces: Sequence[_Piece], dust: Decimal) -> tuple[Decimal | None, Flag]:
    """Returns the return over the hour's pieces, each (base, end), and what is to be said of it."""
    flags, factors = Flag(0), list[tuple[Decimal, Decimal]]()
    for base, end in pieces:
        if base is None or end is None:
            flags |= Flag.MISSING_MARK
        elif abs(base) <= dust and abs(end) <= dust:
            flags |= Flag.IDLE
        elif base <= dust:
            flags |= Flag.NO_EQUITY
        elif end < 0:
            flags |= Flag.NEGATIVE_EQUITY
        else:
            factors.append((end, base))
    return None if flags & INSTEAD else linked(factors), flags


def hours(
    events: Iterable[Event],
    markets: dict[str, Market],
    marks: Marks,
    span: tuple[int, int],
    limits: Limits | None = None,
    doubts: Sequence[Doubt] = (),
) -> Iterator[Hour]:
    """Yields each hour from `span[0]` up to `span[1]`, both full hours in ms, of the account to
    which these events are everything that happened before the end. Later ones do not count.

    Raises:
        EventDoubled: one id stands for two events.
        SeriesBroken: the span does not begin and end at full hours.
        MarketUnknown: a trade is in a market that was not described.
        PrecisionExhausted: the numbers do not fit.
    """
    ordered, (start_ms, end_ms) = canonical(events), span
    if start_ms % HOUR_MS or end_ms % HOUR_MS:
        raise SeriesBroken("span", "full hours", span)
    first = bisect_left(ordered, start_ms, key=_time)
    account = Account.of(markets, ordered[:first])
    for hour_ms in range(start_ms, end_ms, HOUR_MS):
        beyond = bisect_left(ordered, hour_ms + HOUR_MS, first, key=_time)
        yield account.hour(hour_ms, ordered[first:beyond], marks, limits or Limits(), doubts)
        first = beyond


def _time(event: Event) -> int:
    return event.time_ms
