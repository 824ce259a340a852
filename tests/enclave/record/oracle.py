"""The record's definitions a second time, from record/README.md alone: slow, in fractions.

Nothing here is incremental. Every equity replays the whole history, positions are valued against
their cost (the code holds contracts as if bought for cash), and lots are found anew for each
instant. No arithmetic is shared with the code: it reads the events' fields and nothing else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from strongroom_enclave.record.events import Event, Flow, FlowKind, Kind, Market, Trade
from strongroom_enclave.record.returns import Basis, Flag, Marks

__all__ = ["History", "OracleHour", "Unknown", "rounded"]

HOUR = 3_600_000
EXTERNAL = {FlowKind.DEPOSIT, FlowKind.WITHDRAWAL, FlowKind.TRANSFER, FlowKind.OPENING}
CARRY = {FlowKind.FUNDING, FlowKind.INTEREST, FlowKind.DIVIDEND}


class Unknown(Exception):
    """A mark is missing."""


def rounded(value: Fraction, places: int) -> Fraction:
    """Half to even: what `round` does to a fraction."""
    return Fraction(round(value * 10**places), 10**places)


@dataclass
class OracleHour:
    opening: Fraction | None
    closing: Fraction | None
    flows: Fraction | None
    pnl: Fraction | None
    realised: Fraction | None
    unrealised: Fraction | None
    fees: Fraction | None
    funding: Fraction | None
    trades: int
    mark_age_ms: int
    value: Fraction | None
    flags: Flag


def is_external(event: Event) -> bool:
    return isinstance(event, Flow) and event.kind in EXTERNAL


@dataclass
class History:
    """All events of an account, in any order."""

    events: Sequence[Event]
    markets: dict[str, Market]
    marks: Marks

    def price(self, name: str, time: int, ages: set[int]) -> Fraction:
        mark = self.marks.at(name, time)
        if mark is None:
            raise Unknown(name)
        ages.add(mark.age_ms)
        return Fraction(mark.price)

    # --- Equity ---------------------------------------------------------------------------------

    def fill(self, trade: Trade) -> tuple[Fraction, Fraction]:
        """Quantity and cost, signed."""
        market, sign = self.markets[trade.symbol], int(trade.side)
        amount, price = Fraction(trade.amount), Fraction(trade.price)
        if market.kind is Kind.SPOT:
            paid = Fraction(trade.fee) if trade.fee_asset == market.base else Fraction(0)
            return sign * amount - paid, (sign * amount - paid) * price
        contracts = amount * Fraction(market.size)
        if market.kind is Kind.LINEAR:
            return sign * contracts, sign * contracts * price
        return sign * contracts, sign * rounded(contracts / price, 18)

    def balance(self, asset: str, events: Iterable[Event]) -> Fraction:
        """Of money that came, went, was traded on spot or paid as a fee; no contract's profit."""
        result = Fraction(0)
        for event in events:
            if isinstance(event, Flow):
                result += Fraction(event.amount) if event.asset == asset else 0
                continue
            market, sign = self.markets[event.symbol], int(event.side)
            if market.kind is Kind.SPOT and market.base == asset:
                result += sign * Fraction(event.amount)
            if market.kind is Kind.SPOT and market.quote == asset:
                result -= sign * Fraction(event.amount) * Fraction(event.price)
            if event.fee_asset == asset:
                result -= Fraction(event.fee)
        return result

    def contract(self, symbol: str, events: Iterable[Event]) -> tuple[Fraction, Fraction]:
        fills = [self.fill(e) for e in events if isinstance(e, Trade) and e.symbol == symbol]
        return sum((q for q, _ in fills), Fraction(0)), sum((c for _, c in fills), Fraction(0))

    def equity(self, events: Sequence[Event], time: int, ages: set[int]) -> Fraction | None:
        """Balance plus position value, in the account's currency.

        Cash and cost of one settlement asset are netted before a mark is asked for: where they
        cancel, the definition holds nothing, and needs none.
        """
        assets = {e.asset for e in events if isinstance(e, Flow)}
        for e in events:
            if isinstance(e, Trade):
                market = self.markets[e.symbol]
                assets |= {market.base, market.quote, market.settle}
                assets |= {e.fee_asset} if e.fee else set()
        symbols = {s for s, m in self.markets.items() if m.kind is not Kind.SPOT}
        positions = {s: self.contract(s, events) for s in symbols}
        value, missing = Fraction(0), False
        for asset in assets:
            cash = self.balance(asset, events)
            for symbol, (_, cost) in positions.items():
                market = self.markets[symbol]
                if market.settle == asset:
                    cash -= cost if market.kind is Kind.LINEAR else -cost
            worth = Fraction(0)
            needed = bool(cash)
            for symbol, (quantity, _) in positions.items():
                market = self.markets[symbol]
                if market.settle == asset and quantity:
                    needed = True
                    try:
                        worth += self.worth(market, quantity, time, ages)
                    except Unknown:
                        missing = True
            if needed:
                try:
                    value += (cash + worth) * self.price(asset, time, ages)
                except Unknown:
                    missing = True
        return None if missing else value

    def worth(self, market: Market, quantity: Fraction, time: int, ages: set[int]) -> Fraction:
        price = self.price(market.symbol, time, ages)
        if market.kind is Kind.LINEAR:
            return quantity * price
        if not price:
            raise Unknown(market.symbol)
        return -rounded(quantity / price, 18)

    # --- Lots -----------------------------------------------------------------------------------

    def trades(self, symbol: str, until: int) -> list[Trade]:
        found = [
            e
            for e in self.events
            if isinstance(e, Trade) and e.symbol == symbol and e.time_ms < until
        ]
        return sorted(found, key=lambda t: (t.time_ms, len(t.id), t.id))

    def lots(self, symbol: str, until: int) -> list[tuple[int, Fraction, Fraction, Fraction]]:
        """FIFO: what is open, as (time, quantity, cost, quantity at first)."""
        open_lots: list[tuple[int, Fraction, Fraction, Fraction]] = []
        for trade in self.trades(symbol, until):
            quantity, cost = self.fill(trade)
            held = sum((lot[1] for lot in open_lots), Fraction(0))
            if held * quantity < 0 and abs(quantity) >= abs(held):
                cost -= rounded(cost * -held / quantity, 18)
                quantity += held
                open_lots = []
                held = Fraction(0)
            if not quantity:
                continue
            if held * quantity >= 0:
                open_lots.append((trade.time_ms, quantity, cost, quantity))
                continue
            left, kept = abs(quantity), []
            for time, lot, lot_cost, first in open_lots:
                part = min(left, abs(lot))
                left -= part
                if part == abs(lot):
                    continue
                share = rounded(lot_cost * part / abs(lot), 18)
                sign = 1 if lot > 0 else -1
                kept.append((time, lot - sign * part, lot_cost - share, first))
            open_lots = kept
        return open_lots

    def average(self, symbol: str, until: int) -> Fraction:
        """The open cost by average cost."""
        held, cost_open = Fraction(0), Fraction(0)
        for trade in self.trades(symbol, until):
            quantity, cost = self.fill(trade)
            after = held + quantity
            if held * quantity >= 0:
                cost_open += cost
            elif held * after > 0:
                cost_open -= rounded(cost_open * -quantity / held, 18)
            else:
                cost_open = cost - rounded(cost * -held / quantity, 18) if after else Fraction(0)
            held = after
        return cost_open

    def quantity_and_total(self, symbol: str, until: int) -> tuple[Fraction, Fraction]:
        fills = [self.fill(t) for t in self.trades(symbol, until)]
        return sum((q for q, _ in fills), Fraction(0)), sum((c for _, c in fills), Fraction(0))

    def open_cost(self, symbol: str, until: int, fifo: bool) -> Fraction:
        if fifo:
            return sum((lot[2] for lot in self.lots(symbol, until)), Fraction(0))
        return self.average(symbol, until)

    def realised(self, symbol: str, until: int, fifo: bool = False) -> Fraction:
        sign = -1 if self.markets[symbol].kind is Kind.INVERSE else 1
        _, total = self.quantity_and_total(symbol, until)
        return sign * (self.open_cost(symbol, until, fifo) - total)

    def unrealised(self, symbol: str, until: int, time: int, fifo: bool = False) -> Fraction:
        """In the account's currency."""
        market = self.markets[symbol]
        quantity, _ = self.quantity_and_total(symbol, until)
        if not quantity:
            return Fraction(0)
        cost, ages = self.open_cost(symbol, until, fifo), set[int]()
        settle = self.price(market.settle, time, ages)
        if market.kind is Kind.SPOT:
            return quantity * self.price(market.base, time, ages) - cost * settle
        sign = -1 if market.kind is Kind.INVERSE else 1
        return (self.worth(market, quantity, time, ages) - sign * cost) * settle

    def open_since(self, until: int) -> int | None:
        times = [
            time
            for symbol in self.markets
            for time, quantity, _, first in self.lots(symbol, until)
            if 1000 * abs(quantity) > abs(first)
        ]
        return min(times, default=None)

    # --- Hours ----------------------------------------------------------------------------------

    def hour(self, start: int, basis: Basis) -> OracleHour:
        end, ages = start + HOUR, set[int]()
        inside = [e for e in self.events if start <= e.time_ms < end]
        opening = self.equity([e for e in self.events if e.time_ms < start], start, ages)
        pieces, base = [], opening
        flows: Fraction | None = Fraction(0)
        for time in sorted({e.time_ms for e in inside if is_external(e)}):
            earlier = [e for e in self.events if e.time_ms < time]
            cut = [e for e in self.events if e.time_ms == time and is_external(e)]
            before = self.equity(earlier, time, ages)
            after = self.equity(earlier + cut, time, ages)
            pieces.append((base, before))
            if flows is not None:
                flows = None if before is None or after is None else flows + after - before
            base = after
        closing = self.equity([e for e in self.events if e.time_ms < end], end, ages)
        pieces.append((base, closing))

        dust, product, flags = Fraction(basis.dust), Fraction(1), Flag(0)
        for base, piece_end in pieces:
            if base is None or piece_end is None:
                flags |= Flag.MISSING_MARK
            elif abs(base) <= dust and abs(piece_end) <= dust:
                flags |= Flag.IDLE
            elif base <= dust:
                flags |= Flag.NO_EQUITY
            elif piece_end < 0:
                flags |= Flag.NEGATIVE_EQUITY
            else:
                product *= piece_end / base
        for doubt in basis.doubts:
            if doubt.start_ms < end and doubt.end_ms > start:
                flags |= doubt.flag
        if max(ages, default=0) > basis.stale_ms:
            flags |= Flag.STALE_MARK
        silent = Flag.NO_EQUITY | Flag.NEGATIVE_EQUITY | Flag.MISSING_MARK
        silent |= Flag.GAP | Flag.UNEXPLAINED
        first, last, moved = (
            None if each is None else rounded(each, 18) for each in (opening, closing, flows)
        )
        pnl = None
        if first is not None and last is not None and moved is not None:
            pnl = last - first - moved
        realised, unrealised, fees, funding = self.explained(start, end, inside)
        return OracleHour(
            opening=first,
            closing=last,
            flows=moved,
            pnl=pnl,
            realised=realised,
            unrealised=unrealised,
            fees=fees,
            funding=funding,
            trades=sum(isinstance(e, Trade) for e in inside),
            mark_age_ms=max(ages, default=0),
            value=None if flags & silent else rounded(product - 1, 12),
            flags=flags,
        )

    def explained(
        self, start: int, end: int, inside: Sequence[Event]
    ) -> tuple[Fraction | None, Fraction | None, Fraction | None, Fraction | None]:
        realised: dict[str, list[Fraction]] = {}
        for symbol in {e.symbol for e in inside if isinstance(e, Trade)}:
            made = self.realised(symbol, end) - self.realised(symbol, start)
            realised.setdefault(self.markets[symbol].settle, []).append(made)
        fees: dict[str, list[Fraction]] = {}
        carry: dict[str, list[Fraction]] = {}
        for e in inside:
            if isinstance(e, Trade):
                fees.setdefault(e.fee_asset, []).append(Fraction(e.fee))
            elif e.kind in (FlowKind.FEE, FlowKind.REBATE):
                fees.setdefault(e.asset, []).append(-Fraction(e.amount))
            elif e.kind in CARRY:
                carry.setdefault(e.asset, []).append(Fraction(e.amount))
        made_there, paid, received = (self.valued(each, end) for each in (realised, fees, carry))
        try:
            levels = [self.unrealised(s, end, end) for s in self.markets]
            unrealised: Fraction | None = rounded(sum(levels, Fraction(0)), 18)
        except Unknown:
            unrealised = None
        return made_there, unrealised, paid, received

    def valued(self, amounts: dict[str, list[Fraction]], time: int) -> Fraction | None:
        try:
            return rounded(
                sum(
                    (
                        sum(each, Fraction(0)) * self.price(asset, time, set())
                        for asset, each in amounts.items()
                        if sum(each)
                    ),
                    Fraction(0),
                ),
                18,
            )
        except Unknown:
            return None
