"""A venue that is told as a list of events, and a connector to it that can be made to fail.

What an account did is drawn from a seed; what the venue says it holds follows from that by the
ledger, which has an oracle of its own. Time passes only when somebody sleeps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from strongroom_enclave.record.connectors.rules import (
    Cursor,
    Page,
    Reason,
    Stream,
    VenueFault,
)
from strongroom_enclave.record.events import Event, Flow, FlowKind, Kind, Market, Side, Trade
from strongroom_enclave.record.exact import exactly
from strongroom_enclave.record.ledger import Ledger
from strongroom_enclave.record.returns import HOUR_MS

__all__ = ["LAG", "MARKETS", "START", "Faults", "World", "history"]

START = 1_790_000_000_000 // HOUR_MS * HOUR_MS
LAG = 10_000
MARKETS = {
    market.symbol: market
    for market in (
        Market("BTC/USDT", "BTC", "USDT", "USDT", Kind.SPOT),
        Market("BNB/USDT", "BNB", "USDT", "USDT", Kind.SPOT),
        Market("BTC/USDT:USDT", "BTC", "USDT", "USDT", Kind.LINEAR),
    )
}


def history(seed: int, count: int = 60, hours: int = 30, start: int = START) -> list[Event]:
    """Some hours of an account, which begins with a deposit."""
    draw = Random(seed)  # noqa: S311  a market, not a secret
    events: list[Event] = [Flow(start + 600_000, "d0", "USDT", Decimal(100_000), FlowKind.DEPOSIT)]
    for number in range(count):
        when = start + 600_001 + draw.randrange(hours * HOUR_MS - 700_000)
        amount = Decimal(draw.randrange(1, 2000)).scaleb(-4)
        if draw.random() < 0.75:
            symbol, side = draw.choice(sorted(MARKETS)), draw.choice(list(Side))
            market, sold = World.price(symbol, when), draw.choice(("USDT", "BNB"))
            fee = Decimal(draw.randrange(1, 99)).scaleb(-6)
            events.append(Trade(when, f"t{number}", symbol, side, amount, market, fee, sold))
        else:
            kind = draw.choice((FlowKind.DEPOSIT, FlowKind.FUNDING, FlowKind.WITHDRAWAL))
            amount = -amount if kind is FlowKind.WITHDRAWAL else amount
            events.append(Flow(when, f"f{number}", "USDT", amount * 10, kind))
    return sorted(events, key=lambda event: event.order)


@dataclass
class Faults:
    """What goes wrong, and when: by the number of the page or call."""

    reason: Reason | None = None
    at_page: int = 0
    doubled: bool = False
    moving: bool = False
    candles: Reason | None = None
    depth_ms: int = 0
    shallow: tuple[str, ...] = ("flows", "trades")


@dataclass
class World:
    """A venue, the account at it, and a connector: `events` are those that the venue knows of."""

    events: list[Event]
    now_ms: int
    page: int = 7
    markets: dict[str, Market] = field(default_factory=lambda: dict(MARKETS))
    extra: dict[str, Decimal] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    asked: int = 0
    closed: bool = False
    checked: bool = False
    powerful: bool = False
    holder: str = "1001"

    @staticmethod
    def price(symbol: str, time_ms: int) -> Decimal:
        base = {"BTC": 60_000, "BNB": 600}[symbol[:3]]
        minute = time_ms // 60_000
        return Decimal(base * 100 + (minute * 7919 + len(symbol)) % 4001).scaleb(-2)

    def sleep(self, ms: int) -> None:
        self.now_ms += ms

    # --- What a connector has ---------------------------------------------------------------------

    def close(self) -> None:
        self.closed = True

    def check(self) -> str:
        if self.powerful:
            raise VenueFault(Reason.KEY)
        self.checked = True
        return self.holder

    def time_ms(self) -> int:
        return self.now_ms

    def settled_ms(self) -> int:
        return self.now_ms - LAG

    def streams(self) -> list[Stream]:
        return [Stream("flows"), *(Stream("trades", symbol) for symbol in sorted(self.markets))]

    def pages(self, stream: Stream, cursor: Cursor, until_ms: int) -> Iterator[Page]:
        until_ms = min(until_ms, self.settled_ms())
        oldest = self.now_ms - self.faults.depth_ms
        deep = self.faults.depth_ms and stream.rule in self.faults.shallow
        if deep and cursor.next_ms < oldest:
            cursor = Cursor(oldest)
            yield Page((), cursor, Reason.DEPTH)
        mine = [
            event
            for event in self.events
            if cursor.next_ms <= event.time_ms <= until_ms
            and getattr(event, "symbol", "") == stream.place
        ]
        while mine:
            self.asked += 1
            if self.faults.reason is not None and self.asked >= self.faults.at_page:
                yield Page((), cursor, self.faults.reason)
                return
            some, mine = mine[: self.page], mine[self.page :]
            # Others of the same ms may follow: they are told again.
            following = some[-1].time_ms + 1 if not mine else mine[0].time_ms
            cursor = Cursor(following, some[-1].time_ms, some[-1].id)
            again = some[:1] if self.faults.doubled else []
            yield Page((*again, *some, *again), cursor)
        if self.faults.reason is not None and self.asked >= self.faults.at_page:
            yield Page((), cursor, self.faults.reason)
            return
        yield Page((), Cursor(max(until_ms + 1, cursor.next_ms), cursor.last_ms, cursor.last_key))

    def candles(
        self, symbol: str, interval_ms: int, start_ms: int, end_ms: int
    ) -> Iterator[tuple[int, Decimal]]:
        if self.faults.candles is not None:
            raise VenueFault(self.faults.candles)
        assert symbol in MARKETS
        for end in range(start_ms + interval_ms, min(end_ms, self.now_ms) + 1, interval_ms):
            yield end, self.price(symbol, end)

    def balances(self) -> dict[str, Decimal]:
        assert self.checked
        if self.faults.moving:
            self.extra["USDT"] = self.extra.get("USDT", Decimal(0)) + 1
        with exactly():
            ledger = self._ledger()
            found = dict(ledger.cash)
            for symbol, quantity in ledger.contracts.items():
                settle = MARKETS[symbol].settle
                found[settle] += quantity * self._entry(symbol)
            for asset, more in self.extra.items():
                found[asset] = found.get(asset, Decimal(0)) + more
        return found

    def positions(self) -> list[tuple[str, Decimal, Decimal]]:
        with exactly():
            held = self._ledger().contracts
            return [(symbol, size, self._entry(symbol)) for symbol, size in held.items() if size]

    def _ledger(self) -> Ledger:
        ledger = Ledger(MARKETS)
        ledger.fold(event for event in self.events if event.time_ms <= self.now_ms)
        return ledger

    @staticmethod
    def _entry(symbol: str) -> Decimal:
        """Any: what a venue books follows from the entry that it shows."""
        return Decimal("61234.56789012")
