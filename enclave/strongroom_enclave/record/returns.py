"""Hours of an account: equity at both ends, what flowed, what was earned, and the return.

The hour is cut wherever money comes or goes, and its pieces are linked. Where a return would be
invented rather than computed there is none, and a flag says why. README.md defines each number.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from enum import IntFlag
from functools import cache
from itertools import groupby
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from strongroom_enclave.record.errors import EventInvalid, SeriesBroken
from strongroom_enclave.record.events import Event, Flow, Markets, Trade, canonical
from strongroom_enclave.record.exact import UNKNOWN, ZERO, bounded, exactly, known, money, product
from strongroom_enclave.record.ledger import Ledger, Prices, value

HOUR_MS: Final = 3_600_000
# A mark older than this is stale, unless said otherwise.
STALE_MS: Final = 2 * HOUR_MS
# Up to what an equity is next to nothing in currencies of which 1 is much; in others it is 1.
DUST: Final = {"BTC": Decimal("0.00001"), "ETH": Decimal("0.0003"), "BNB": Decimal("0.001")}


# What has to be known about an hour, as powers of two in this order; those of `INSTEAD` stand in
# the place of its return.
Flag = IntFlag("Flag", "NO_EQUITY NEGATIVE_EQUITY MISSING_MARK GAP UNEXPLAINED IDLE STALE_MARK")
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
    stale_ms: int = STALE_MS
    doubts: tuple[Doubt, ...] = ()


class Hour(Struct, frozen=True):
    """One hour: `value` is its return, with 12 places, and money is in the account's currency with
    18; README.md says when a number is absent."""

    start_ms: int
    trades: int
    mark_age_ms: int
    value: Decimal | None
    flags: Flag
    opening: Decimal | None
    closing: Decimal | None
    flows: Decimal | None
    pnl: Decimal | None
    realised: Decimal | None
    unrealised: Decimal | None
    fees: Decimal | None
    funding: Decimal | None


def _prices(marks: Marks, time_ms: int, ages: list[int]) -> Prices:
    """Returns the prices at a time as the ledger asks for them, each looked up once, and notes how
    old they are."""

    @cache
    def price(name: str) -> Decimal:
        if (mark := marks.at(name, time_ms)) is None:
            return UNKNOWN
        ages.append(mark.age_ms)
        return mark.price

    return price


class Account:
    """What an account holds and has open at `time_ms`, a full hour, after all events before it; and
    its hours from there on. After an error it is of no use any more.

    Raises:
        SeriesBroken: that is no full hour.
        EventDoubled: one id stands for two events.
        MarketUnknown: a trade is in a market that was not described.
        PrecisionExhausted: the numbers do not fit.
    """

    def __init__(
        self, events: Iterable[Event], markets: Markets, basis: Basis, time_ms: int
    ) -> None:
        if time_ms % HOUR_MS:
            raise SeriesBroken("start", "a full hour", time_ms)
        self.ledger, self._basis = Ledger(markets), basis
        ordered = canonical(events)
        grouped = groupby(ordered, lambda event: event.time_ms // HOUR_MS * HOUR_MS)
        self._events = {start_ms: list(group) for start_ms, group in grouped}
        with exactly():
            self.ledger.fold(event for event in ordered if event.time_ms < time_ms)
            self._value(time_ms)

    def hours(self, until_ms: int) -> Iterator[Hour]:
        """Yields each hour that is over by then, from `time_ms` on.

        Raises:
            MarketUnknown, PrecisionExhausted: as above.
        """
        while self.time_ms + HOUR_MS <= until_ms:
            with exactly():
                hour = self._hour(self.time_ms, self._events.get(self.time_ms, []))
            yield hour

    def _value(self, time_ms: int) -> Prices:
        prices = _prices(self._basis.marks, time_ms, ages := [0])
        self.time_ms, self._equity, self._age_ms = time_ms, self.ledger.equity(prices), max(ages)
        return prices

    def _hour(self, start_ms: int, events: Sequence[Event]) -> Hour:
        end_ms, flows, ledger, basis = start_ms + HOUR_MS, ZERO, self.ledger, self._basis
        opening, ages, pieces = self._equity, [self._age_ms], list[tuple[Decimal, Decimal]]()
        base, books = opening, (ledger.realised, ledger.fees, ledger.funding)
        for book in books:
            book.clear()
        for cut_ms, group in groupby(events, _cut):
            if cut_ms is None:
                ledger.fold(group)
                continue
            prices = _prices(basis.marks, cut_ms, ages)
            pieces.append((base, end := ledger.equity(prices)))
            ledger.fold(group)
            base = ledger.equity(prices)
            flows += base - end
        prices = self._value(end_ms)
        found, flags = _linked([*pieces, (base, self._equity)], basis.dust)
        for doubt in basis.doubts:
            if doubt.start_ms < end_ms and doubt.end_ms > start_ms:
                flags |= doubt.flag
        age_ms = max(*ages, self._age_ms)
        flags |= Flag.STALE_MARK if age_ms > basis.stale_ms else Flag(0)
        open_now = [ledger.unrealised(symbol, prices) for symbol in ledger.positions]
        realised, fees, funding = (value(book, prices) for book in books)
        earned = map(money, (realised, sum(open_now, ZERO), fees, funding))
        first, last, moved = map(money, (opening, self._equity, flows))
        numbers = map(known, (first, last, moved, last - first - moved, *earned))
        trades = sum(isinstance(event, Trade) for event in events)
        return Hour(start_ms, trades, age_ms, None if flags & INSTEAD else found, flags, *numbers)


def _linked(pieces: Sequence[tuple[Decimal, Decimal]], dust: Decimal) -> tuple[Decimal, Flag]:
    """Returns the return over those of the hour's pieces, each (base, end), that have one, and what
    is to be said of it."""
    flags, factors = Flag(0), list[tuple[Decimal, Decimal]]()
    for base, end in pieces:
        if base.is_nan() or end.is_nan():
            flags |= Flag.MISSING_MARK
        elif abs(base) <= dust and abs(end) <= dust:
            flags |= Flag.IDLE
        elif base <= dust:
            flags |= Flag.NO_EQUITY
        elif end < 0:
            flags |= Flag.NEGATIVE_EQUITY
        else:
            factors.append((end, base))
    return product(factors, 12) - 1, flags


def _cut(event: Event) -> int | None:
    """Returns when an event cuts the hour, None if it does not."""
    return event.time_ms if isinstance(event, Flow) and event.external else None
