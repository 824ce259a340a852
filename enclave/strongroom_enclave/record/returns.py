"""Hours of an account: equity at both ends, what flowed, what was earned, and the return.

The hour is cut wherever money comes or goes, and its pieces are linked. Where a return would be
invented rather than computed there is none, and a flag says why. README.md defines each number.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from enum import IntFlag
from functools import cache
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
from strongroom_enclave.record.ledger import Ledger, Prices
from strongroom_enclave.record.lots import Lots

__all__ = ["HOUR_MS", "INSTEAD", "Account", "Basis", "Doubt", "Flag", "Hour", "Mark", "Marks"]
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


class Basis(Struct, frozen=True):
    """What hours are valued by. Equity up to `dust`, in the account's currency, is not divided by;
    a mark older than `stale_ms` is flagged, and so is what overlaps a doubt."""

    marks: Marks
    dust: Decimal = Decimal(1)
    stale_ms: int = 2 * HOUR_MS
    doubts: tuple[Doubt, ...] = ()


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


def _prices(marks: Marks, time_ms: int, ages: list[int]) -> Prices:
    """Returns the marks of a time as the ledger asks for them, each looked up once, and notes how
    old they are."""

    @cache
    def price(name: str) -> Decimal | None:
        if (mark := marks.at(name, time_ms)) is None:
            return None
        ages.append(mark.age_ms)
        return mark.price

    return price


_Piece = tuple[Decimal | None, Decimal | None]
_Explained = tuple[Decimal | None, Decimal | None, Decimal | None, Decimal | None, int]


class Account(Struct):
    """What an account holds, has open, and was worth at `time_ms`, the end of the last hour: its
    exact equity, and the age of the marks that it was valued at. Plain data, to be put away and
    taken up again at a full hour."""

    ledger: Ledger
    lots: Lots
    time_ms: int | None = None
    equity: Decimal | None = None
    age_ms: int = 0

    @classmethod
    def of(cls, markets: dict[str, Market], before: Sequence[Event] = ()) -> "Account":
        """Returns an account to which these events happened, in canonical order."""
        account = cls(Ledger(markets), Lots(markets))
        with exactly():
            account.ledger.fold(before)
            account.lots.fold(event for event in before if isinstance(event, Trade))
        return account

    def hour(self, start_ms: int, events: Iterable[Event], basis: Basis) -> Hour:
        """Returns the hour from `start_ms`, whose events these are. After an error the account is
        of no use any more.

        Raises:
            SeriesBroken: it is no full hour, not the next one, or an event is not of it.
            EventDoubled: one id stands for two events of the hour.
            MarketUnknown: a trade is in a market that was not described.
            PrecisionExhausted: the numbers do not fit.
        """
        events, end_ms = canonical(events), start_ms + HOUR_MS
        if start_ms % HOUR_MS or self.time_ms not in (None, start_ms):
            raise SeriesBroken("start", "the next full hour", start_ms)
        if events and not start_ms <= events[0].time_ms <= events[-1].time_ms < end_ms:
            raise SeriesBroken("events", f"from {start_ms}, before {end_ms}", events[-1].time_ms)
        with exactly():
            if self.time_ms is None:
                self._value(basis.marks, start_ms)
            opening, ages, folded = self.equity, [self.age_ms], 0
            pieces, flows, base = list[_Piece](), list[Decimal | None](), opening
            cuts = (event for event in events if isinstance(event, Flow) and event.external)
            for time_ms, group in groupby(cuts, _time):
                prices, cut = _prices(basis.marks, time_ms, ages), list(group)
                place = bisect_left(events, time_ms, folded, key=_time)
                self.ledger.fold(events[folded:place])
                before = self.ledger.equity(prices)
                self.ledger.fold(cut)
                pieces.append((base, before))
                base, folded = self.ledger.equity(prices), place + len(cut)
                flows.append(minus(base, before))
            self.ledger.fold(events[folded:])
            prices = self._value(basis.marks, end_ms)
            age = max(*ages, self.age_ms)
            value, flags = _linked([*pieces, (base, self.equity)], basis.dust)
            for doubt in basis.doubts:
                if doubt.start_ms < end_ms and doubt.end_ms > start_ms:
                    flags |= doubt.flag
            flags |= Flag.STALE_MARK if age > basis.stale_ms else Flag(0)
            first, last, moved = money(opening), money(self.equity), money(total(flows))
            pnl = minus(minus(last, first), moved)
            found = None if flags & INSTEAD else value
            explained = self._explained(events, prices)
            return Hour(start_ms, first, last, moved, pnl, *explained, age, found, flags)

    def _value(self, marks: Marks, time_ms: int) -> Prices:
        prices = _prices(marks, time_ms, ages := [0])
        self.equity, self.time_ms = self.ledger.equity(prices), time_ms
        self.age_ms = max(ages)
        return prices

    def _explained(self, events: Sequence[Event], prices: Prices) -> _Explained:
        """Folds the hour's trades into lots; returns what explains its profit, at its end's marks:
        realised, unrealised, fees, funding; and the number of trades."""
        lots, markets = self.lots, self.ledger.markets
        trades = [event for event in events if isinstance(event, Trade)]
        was = {trade.symbol: lots.realised(trade.symbol) for trade in trades}
        lots.fold(trades)
        made = [(markets[symbol].settle, lots.realised(symbol) - was[symbol]) for symbol in was]
        paid = [(trade.fee_asset, trade.fee) for trade in trades]
        received = list[tuple[str, Decimal]]()
        for event in events:
            if isinstance(event, Flow) and event.kind in (FlowKind.FEE, FlowKind.REBATE):
                paid.append((event.asset, -event.amount))
            elif isinstance(event, Flow) and not event.external:
                received.append((event.asset, event.amount))
        realised, fees, funding = (_valued(each, prices) for each in (made, paid, received))
        unrealised = money(total(lots.unrealised(symbol, prices) for symbol in lots.positions))
        return realised, unrealised, fees, funding, len(trades)


def _valued(amounts: list[tuple[str, Decimal]], prices: Prices) -> Decimal | None:
    """Returns what amounts of assets are worth; what cancels out needs no mark."""
    sums = dict[str, Decimal]()
    for asset, amount in amounts:
        sums[asset] = sums.get(asset, ZERO) + amount
    return money(total(times(amount, prices(asset)) for asset, amount in sums.items() if amount))


def _linked(pieces: Sequence[_Piece], dust: Decimal) -> tuple[Decimal, Flag]:
    """Returns the return over those of the hour's pieces, each (base, end), that have one, and what
    is to be said of it."""
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
    return linked(factors), flags


def hours(
    events: Iterable[Event], markets: dict[str, Market], basis: Basis, span: tuple[int, int]
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
    if end_ms % HOUR_MS:
        raise SeriesBroken("span", "full hours", span)
    first = bisect_left(ordered, start_ms, key=_time)
    account = Account.of(markets, ordered[:first])
    for hour_ms in range(start_ms, end_ms, HOUR_MS):
        beyond = bisect_left(ordered, hour_ms + HOUR_MS, first, key=_time)
        yield account.hour(hour_ms, ordered[first:beyond], basis)
        first = beyond


def _time(event: Event) -> int:
    return event.time_ms
