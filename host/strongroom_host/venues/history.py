"""What really happened in an account: the truth that a synced track record is compared with.

Numbers are exact decimals; times are ms since the epoch. A venue shows of a history what its paging
lets through and its clock has reached; nothing here knows of any venue.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

from strongroom_host.venues.market import Instrument, Kind

__all__ = ["Fill", "Flow", "History", "Move", "Position", "plain"]


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade. `side` is +1 or -1; a fee above zero was paid in `fee_asset`."""

    time_ms: int
    id: str
    order_id: str
    instrument: Instrument
    side: int
    amount: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    wallet: str

    @property
    def cost(self) -> Decimal:
        """What it cost in quote units; of an inverse contract in base units."""
        return self.instrument.value(self.amount, self.price)


@dataclass(frozen=True, slots=True)
class Flow:
    """A change of one balance without a trade; `kind` is a name of the record's FlowKind.

    `amount` is signed and is all that the balance changed by; of a withdrawal `fee` is the part of
    it that the venue kept. Funding names its `symbol`, and the signed quantity `held` then.
    """

    time_ms: int
    id: str
    asset: str
    amount: Decimal
    kind: str
    wallet: str
    fee: Decimal = Decimal(0)
    symbol: str = ""
    held: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Move:
    """A transfer between two wallets of the same account: no event of a track record."""

    time_ms: int
    id: str
    asset: str
    amount: Decimal
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Position:
    """Contracts held, signed: in base units, of an inverse contract in quote units; and what they
    cost in what they settle in.
    """

    instrument: Instrument
    quantity: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)

    @property
    def entry(self) -> Decimal:
        """The average price, to 12 places as venues show it."""
        if not self.quantity:
            return Decimal(0)
        inverse = self.instrument.kind is Kind.INVERSE
        return round(self.quantity / self.cost if inverse else self.cost / self.quantity, 12)

    def gain(self, mark: Decimal) -> Decimal:
        """Profit not yet realised, at a mark."""
        amount = self.quantity / self.instrument.size
        return self._sign * (self.instrument.value(amount, mark) - self.cost)

    def filled(self, fill: Fill) -> tuple[Position, Decimal]:
        """The position after a fill, by average cost, and the profit that it realised."""
        held, paid = self.quantity, fill.side * fill.cost
        quantity = fill.side * fill.amount * self.instrument.size
        if held * quantity >= 0:
            cost = self.cost + paid
        elif abs(quantity) < abs(held):
            cost = self.cost + round(self.cost * quantity / held, 18)
        else:
            cost = round(paid * (held + quantity) / quantity, 18)
        after = Position(self.instrument, held + quantity, cost)
        return after, self._sign * (cost - self.cost - paid)

    @property
    def _sign(self) -> int:
        # A long inverse position owes less of its base the dearer the base is.
        return -1 if self.instrument.kind is Kind.INVERSE else 1


_Event = TypeVar("_Event", bound=Fill | Flow | Move)


def _before(events: Sequence[_Event], now_ms: int) -> Sequence[_Event]:
    end = bisect.bisect_right(events, now_ms, key=lambda event: event.time_ms)
    return events[:end]


def _span(events: Sequence[_Event], start_ms: int, end_ms: int) -> Sequence[_Event]:
    first = bisect.bisect_left(events, start_ms, key=lambda event: event.time_ms)
    return events[first : bisect.bisect_right(events, end_ms, key=lambda event: event.time_ms)]


class History:
    """Events of one account, each list ordered by time and then by id as the venue counts."""

    def __init__(
        self, fills: Iterable[Fill], flows: Iterable[Flow], moves: Iterable[Move] = ()
    ) -> None:
        self.fills = sorted(fills, key=lambda fill: fill.time_ms)
        self.flows = sorted(flows, key=lambda flow: flow.time_ms)
        self.moves = sorted(moves, key=lambda move: move.time_ms)
        self._by_symbol: dict[str, list[Fill]] = {}
        for fill in self.fills:
            self._by_symbol.setdefault(fill.instrument.symbol, []).append(fill)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Unified symbols that were traded, sorted."""
        return tuple(sorted(self._by_symbol))

    def trades(
        self, start_ms: int, end_ms: int, *, symbol: str | None = None, kind: Kind | None = None
    ) -> list[Fill]:
        """The fills with start <= time <= end, oldest first."""
        chosen = self.fills if symbol is None else self._by_symbol.get(symbol, [])
        found = _span(chosen, start_ms, end_ms)
        return [fill for fill in found if kind is None or fill.instrument.kind is kind]

    def changes(self, start_ms: int, end_ms: int, *kinds: str) -> list[Flow]:
        """The flows of some kinds with start <= time <= end, oldest first."""
        return [flow for flow in _span(self.flows, start_ms, end_ms) if flow.kind in kinds]

    def transfers(self, start_ms: int, end_ms: int) -> list[Move]:
        """The moves with start <= time <= end, oldest first."""
        return list(_span(self.moves, start_ms, end_ms))

    def balances(self, wallet: str, now_ms: int) -> dict[str, Decimal]:
        """What a wallet holds: cash, with realised profit of contracts booked and open cost not.

        An asset that it ever held stays in the answer, with zero.
        """
        held: dict[str, Decimal] = {}

        def add(asset: str, amount: Decimal) -> None:
            held[asset] = held.get(asset, Decimal(0)) + amount

        for flow in _before(self.flows, now_ms):
            if flow.wallet == wallet:
                add(flow.asset, flow.amount)
        for move in _before(self.moves, now_ms):
            if wallet in (move.source, move.target):
                add(move.asset, move.amount if move.target == wallet else -move.amount)
        open_positions: dict[Instrument, Position] = {}
        for fill in _before(self.fills, now_ms):
            if fill.wallet != wallet:
                continue
            if fill.fee:
                add(fill.fee_asset, -fill.fee)
            if fill.instrument.kind is Kind.SPOT:
                add(fill.instrument.base, fill.side * fill.amount)
                add(fill.instrument.quote, -fill.side * fill.cost)
            else:
                item = fill.instrument
                position = open_positions.get(item, Position(item))
                open_positions[item], profit = position.filled(fill)
                add(item.settle, profit)
        return held

    def positions(self, now_ms: int, kind: Kind = Kind.LINEAR) -> dict[Instrument, Position]:
        """Open positions in contracts of a kind."""
        found: dict[Instrument, Position] = {}
        for fill in _before(self.fills, now_ms):
            item = fill.instrument
            if item.kind is kind:
                found[item], _ = found.get(item, Position(item)).filled(fill)
        return {item: position for item, position in found.items() if position.quantity}

    def renamed(self, name: Callable[[Fill | Flow | Move], str]) -> History:
        """The same history with other ids, each the result of `name`."""
        return History(
            [replace(fill, id=name(fill)) for fill in self.fills],
            [replace(flow, id=name(flow)) for flow in self.flows],
            [replace(move, id=name(move)) for move in self.moves],
        )


def plain(history: History, now_ms: int) -> list[dict[str, str | int]]:
    """The truth as plain data: what a complete track record has to consist of, oldest first."""
    rows: list[dict[str, str | int]] = [
        {
            "type": "trade",
            "time_ms": fill.time_ms,
            "id": fill.id,
            "symbol": fill.instrument.symbol,
            "side": fill.side,
            "amount": str(fill.amount),
            "price": str(fill.price),
            "fee": str(fill.fee),
            "fee_asset": fill.fee_asset,
        }
        for fill in _before(history.fills, now_ms)
    ]
    rows += [
        {
            "type": "flow",
            "time_ms": flow.time_ms,
            "id": flow.id,
            "asset": flow.asset,
            "amount": str(flow.amount),
            "kind": flow.kind,
        }
        for flow in _before(history.flows, now_ms)
    ]
    return sorted(rows, key=lambda row: int(row["time_ms"]))
