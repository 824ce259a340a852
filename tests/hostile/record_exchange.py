"""A venue as the record's run sees it: a connector without a network, in trouble at random.

What it tells is the history of a local venue's account, whose truth is known; when it fails, then
in the ways in which real connectors do: faults, gaps, short pages, rows that come twice.
"""

import random
from collections.abc import Iterator, Mapping
from decimal import Decimal

from strongroom_enclave.record.connectors.rules import (
    Cursor,
    Page,
    Reason,
    Stream,
    VenueFault,
)
from strongroom_enclave.record.events import Event, Flow, FlowKind, Kind, Market, Side, Trade
from strongroom_host.venues.defaults import default_market, make_account, plan_for
from strongroom_host.venues.history import Fill
from strongroom_host.venues.history import Flow as Change
from strongroom_host.venues.market import Kind as Sort

from tests.hostile.recording import DAY_MS, HOUR_MS

__all__ = ["Exchange", "Told"]

_PASSING = (Reason.UNREACHABLE, Reason.RATE_LIMIT, Reason.MALFORMED, Reason.DISCONTINUED)
_FLOWS = "flows"
_TRADES = "trades"


class Exchange:
    """An account that traded for some days up to `end_ms`; `now_ms` is what the venue's clock says,
    and nothing after it has happened yet."""

    def __init__(self, seed: str, *, days: int = 3, orders: int = 30) -> None:
        self.end_ms = 1_790_000_000_000 // HOUR_MS * HOUR_MS
        self.since_ms = self.end_ms - days * DAY_MS
        self.market = default_market(seed, self.end_ms)
        plan = plan_for("binance", self.market, self.since_ms, self.end_ms - HOUR_MS, orders=orders)
        self.history = make_account("binance", self.market, plan, seed)[0].history
        self.instruments = {item.symbol: item for item in plan.instruments}
        self.now_ms = self.since_ms + 6 * HOUR_MS
        events: list[Event] = [_trade(fill) for fill in self.history.fills]
        events += [_flow(change) for change in self.history.flows]
        self.events = sorted(events, key=lambda event: event.time_ms)

    @property
    def markets(self) -> dict[str, Market]:
        """Every market that is listed, delisted ones left out."""
        return {
            symbol: Market(
                symbol, item.base, item.quote, item.settle, Kind[item.kind.name], item.size
            )
            for symbol, item in self.instruments.items()
            if item.delisted_ms is None
        }

    def happened(self) -> list[Event]:
        """Returns what has happened by now."""
        return [event for event in self.events if event.time_ms <= self.now_ms]


class Told:
    """One connector to an exchange; `trouble` decides what goes wrong, None is a good day."""

    def __init__(self, exchange: Exchange, trouble: random.Random | None = None) -> None:
        self._exchange, self._trouble = exchange, trouble
        self.markets: Mapping[str, Market] = exchange.markets
        self.close = lambda: None

    def check(self) -> str:
        self._perhaps(20)
        return "1001"

    def time_ms(self) -> int:
        return self._exchange.now_ms

    def settled_ms(self) -> int:
        return self._exchange.now_ms + 1

    def symbols(self) -> list[str]:
        return sorted(self.markets)

    def market(self, symbol: str) -> Market:
        if symbol not in self.markets:
            raise VenueFault(Reason.UNKNOWN_MARKET)
        return self.markets[symbol]

    def streams(self) -> list[Stream]:
        return [Stream(_FLOWS), *(Stream(_TRADES, symbol) for symbol in self.symbols())]

    def pages(self, stream: Stream, cursor: Cursor, until_ms: int) -> Iterator[Page]:
        """Pages of any length; now and then a gap is the last one, and rows come again."""
        until_ms = min(until_ms, self.settled_ms())
        told = [event for event in self._exchange.happened() if _of(event, stream)]
        fresh = [event for event in told if cursor.next_ms <= event.time_ms <= until_ms]
        while fresh:
            if self._unlucky(25):
                yield self._gap(cursor, until_ms)
                return
            count = self._trouble.randint(1, 8) if self._trouble else 50
            last = fresh[min(count, len(fresh)) - 1].time_ms
            page = [event for event in fresh if event.time_ms <= last]
            again = told[: told.index(page[0])][-3:] if self._unlucky(4) else []
            fresh = fresh[len(page) :]
            cursor = Cursor(last + 1, last, page[-1].id)
            yield Page((*again, *page), cursor)
        if self._unlucky(25):
            yield self._gap(cursor, until_ms)
            return
        end = Cursor(max(until_ms + 1, cursor.next_ms), cursor.last_ms, cursor.last_key)
        yield Page((), end)

    def candles(
        self, symbol: str, interval_ms: int, start_ms: int, end_ms: int
    ) -> Iterator[tuple[int, Decimal]]:
        self._perhaps(60)
        exchange = self._exchange
        item, until = exchange.instruments.get(symbol), min(end_ms, exchange.now_ms) - interval_ms
        if item is None or symbol not in self.markets:
            raise VenueFault(Reason.UNKNOWN_MARKET)
        found = exchange.market.candles(item, start_ms, until, interval_ms, 1000)
        return iter([(each.start_ms + interval_ms, each.close) for each in found])

    def balances(self) -> dict[str, Decimal]:
        self._perhaps(40)
        held: dict[str, Decimal] = {}
        for wallet in ("spot", "linear"):
            found = self._exchange.history.balances(wallet, self._exchange.now_ms)
            for asset, amount in found.items():
                held[asset] = held.get(asset, Decimal(0)) + amount
        return held

    def positions(self) -> list[tuple[str, Decimal, Decimal]]:
        found = self._exchange.history.positions(self._exchange.now_ms, Sort.LINEAR)
        return [
            (item.symbol, position.quantity / item.size, position.entry)
            for item, position in found.items()
        ]

    def _gap(self, cursor: Cursor, until_ms: int) -> Page:
        assert self._trouble is not None
        return Page((), cursor, gap=self._trouble.choice(_PASSING))

    def _perhaps(self, often: int) -> None:
        if self._unlucky(often):
            assert self._trouble is not None
            raise VenueFault(self._trouble.choice(_PASSING))

    def _unlucky(self, often: int) -> bool:
        return self._trouble is not None and self._trouble.randrange(often) == 0


def _of(event: Event, stream: Stream) -> bool:
    if isinstance(event, Flow):
        return stream.rule == _FLOWS
    return stream == Stream(_TRADES, event.symbol)


def _trade(fill: Fill) -> Trade:
    return Trade(
        fill.time_ms,
        fill.id,
        fill.instrument.symbol,
        Side(fill.side),
        fill.amount,
        fill.price,
        fill.fee,
        fill.fee_asset if fill.fee else "",
    )


def _flow(change: Change) -> Flow:
    kind = FlowKind[change.kind]
    return Flow(change.time_ms, change.id, change.asset, change.amount, kind)
