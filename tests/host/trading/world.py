"""A signer with a trader's own key in the enclave's place, ticks from a list, decisions by script.

The venue is the real testnet and the journal the real journal, so that what the loop does is judged
by what the venue and the disk say of it.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from time import monotonic_ns
from typing import Any

from strongroom_enclave.signer import intents
from strongroom_host.latency.stats import Counter, Figures
from strongroom_host.ring.tick import Kind, Side, Tick
from strongroom_host.store import Journal
from strongroom_host.strategy.decisions import DecisionWriter, SessionRecord
from strongroom_host.strategy.port import (
    NO_MODEL,
    Decision,
    Intent,
    OrderEvent,
    OrderType,
    Reason,
    TickView,
)
from strongroom_host.testnet import TestnetServer
from strongroom_host.testnet.orders import parse_order
from strongroom_host.testnet.signatures import order_hash
from strongroom_host.trading.gate import Gate, GateLimits
from strongroom_host.trading.intents import IntentWriter
from strongroom_host.trading.loop import TradingLoop
from strongroom_host.trading.markets import TradedMarket
from strongroom_host.trading.outlet import DirectOutlet, Outlet
from strongroom_host.trading.path import OrderPath, PathLimits
from strongroom_host.venue import VenueConnection
from strongroom_wire import frames
from strongroom_wire.errors import Code, Rule
from strongroom_wire.frames import Reply

from tests.host.testnet.traders import Trader, encode

HOST = "clob.testnet"
INSTRUMENT = 1
_TYPES = ("GTC", "GTD", "FOK", "FAK")
_numbers = itertools.count(1)
QUICK = PathLimits(deadline_s=2.0, poll_s=0.05, settle_s=0.05, absence_s=0.0)


def http(trader: Trader, method: str, path: str, body: bytes = b"") -> bytes:
    headers = {"Host": HOST, **trader.l2(method, path, body)}
    if body:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def logs(kind: frames.Kind) -> bool:
    """Returns whether the enclave logs a leaf for intents of this kind: its own table says so."""
    return bool(intents._ROOM[kind - 1])


class Signer:
    """Answers intents as the enclave would, with a key of its own.

    Attributes:
        deny: The rule that denies orders from now on, with limit and actual.
        asked: Every intent, parsed by the wire's own parser.
    """

    def __init__(self, trader: Trader) -> None:
        self.trader = trader
        self.deny: tuple[Rule, int, int] | None = None
        self.refuse: Code | None = None
        self.asked: list[frames.Intent] = []
        self.spans = (1, 2, 3)
        self.broken: Exception | None = None
        self._decisions = itertools.count(0)

    def exchange_bytes(self, intent: bytes, timeout: float | None = None) -> Reply:
        if self.broken is not None:
            raise self.broken
        asked = frames.Intent.parse(intent)
        self.asked.append(asked)
        number = next(self._decisions)
        if asked.kind is frames.Kind.ORDERS:
            return self._order(asked, number)
        leaf = b"leaf" if logs(asked.kind) else b""
        return Reply(Code.OK, number, request=self._request(asked), leaf=leaf)

    def _order(self, asked: frames.Intent, number: int) -> Reply:
        if self.refuse is not None:
            return Reply(self.refuse, number)
        if self.deny is not None:
            rule, limit, actual = self.deny
            return Reply(Code.DENIED, number, rule, 0, limit, actual)
        (order,) = asked.orders
        contracts = self.trader.venue.contracts
        body = self.trader.body(
            order.token,
            "SELL" if order.side else "BUY",
            float(Decimal(order.price).scaleb(-6)),
            float(Decimal(order.size).scaleb(-6)),
            order_type=_TYPES[order.order_type],
            post_only=bool(order.flags & 2),
            timestamp_ms=order.timestamp,
            salt=order.salt,
        )
        found = order_hash(parse_order(encode(body)).order, contracts.v2, contracts.chain_id)
        request = http(self.trader, "POST", "/order", encode(body))
        return Reply(Code.OK, number, order_hashes=(found,), request=request)

    def _request(self, asked: frames.Intent) -> bytes:
        argument = asked.argument
        match asked.kind:
            case frames.Kind.CANCEL:
                named = ["0x" + argument[at : at + 32].hex() for at in range(0, len(argument), 32)]
                return http(self.trader, "DELETE", "/orders", encode(named))
            case frames.Kind.CANCEL_ALL:
                return http(self.trader, "DELETE", "/cancel-all")
            case frames.Kind.QUERY_ORDER:
                return http(self.trader, "GET", f"/data/order/0x{argument.hex()}")
            case frames.Kind.QUERY_TRADES:
                return http(self.trader, "GET", "/data/trades")
            case frames.Kind.HEARTBEAT:
                body = encode({"heartbeat_id": argument.decode()})
                return http(self.trader, "POST", "/v1/heartbeats", body)
            case other:
                raise AssertionError(other)


class Ticks:
    """Ticks from a list, each in the same 64 bytes, as a ring's reader gives them."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Tick, int]] = deque()
        self._own = bytearray(64)
        self._view = memoryview(self._own).toreadonly()
        self._sequence = itertools.count(1)
        self.gap = 0
        self.closed = False

    def add(
        self, kind: int = Kind.BEST_BID, *, gap: int = 0, age_s: float = 0.0, **fields: Any
    ) -> None:
        values = {
            "sequence": next(self._sequence),
            "received_ns": monotonic_ns() - int(age_s * 1e9),
            "venue_ns": 0,
            "price": 60_000_000,
            "size": 100_000_000,
            "instrument": INSTRUMENT,
            "epoch": 1,
            "number": 1,
            "kind": int(kind),
            "side": 1,
            "feed": 1,
            "flags": 2,
            "detail": 0,
        } | fields
        self._waiting.append((Tick(**values), gap))

    def poll(self) -> memoryview | None:
        if not self._waiting:
            return None
        tick, self.gap = self._waiting.popleft()
        tick.pack_into(self._own)
        return self._view

    def next(self, timeout: float | None = None) -> memoryview | None:
        tick = self.poll()
        if tick is None:
            time.sleep(0.001)
        return tick


@dataclass
class Script:
    """A strategy that decides what the test put down for each tick, in order."""

    name: str = "script"
    model_sha256: bytes = NO_MODEL
    parameters: dict[str, str | int] = field(default_factory=dict)
    plan: deque[Sequence[Decision]] = field(default_factory=deque)
    on_missed: Sequence[Decision] = ()
    events: list[OrderEvent] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)

    def on_tick(self, view: TickView) -> Sequence[Decision]:
        self.seen.append(view.sequence)
        return self.plan.popleft() if self.plan else ()

    def on_gap(self, missed: int, feed: int) -> Sequence[Decision]:
        self.gaps.append(missed)
        return self.on_missed

    def on_order_event(self, event: OrderEvent) -> None:
        self.events.append(event)

    def outcomes(self) -> list[str]:
        return [event.outcome.name for event in self.events]


def buy(price: str = "0.61", size: str = "10", kind: OrderType = OrderType.FAK) -> Intent:
    return Intent(
        INSTRUMENT,
        Side.BUY,
        int(Decimal(price).scaleb(6)),
        int(Decimal(size).scaleb(6)),
        kind,
        Reason.SIGNAL_UP,
        bytes(range(32)),
    )


@dataclass
class Watch:
    """Stops a loop once something holds."""

    loop: TradingLoop
    until: Callable[[], bool]

    def turn(self, now_ns: int) -> None:
        self.loop.stop = self.until()


class World:
    """A trader at a testnet, and everything between a tick and its order."""

    def __init__(
        self,
        server: TestnetServer,
        folder: Path,
        *,
        outlet: Outlet | None = None,
        gate: GateLimits | None = None,
        limits: PathLimits = QUICK,
        kept: Callable[..., object] | None = None,
        trader: Trader | None = None,
    ) -> None:
        self.server, self.folder = server, folder
        self.trader = trader or Trader.funded(server.clob, 1000 + next(_numbers))
        self.token = server.clob.config.markets[0].tokens[0]
        self.signer = Signer(self.trader)
        self.journal = Journal(folder / "journal.db")
        self.outlet = outlet or DirectOutlet(self.connection(), monotonic_ns)
        self.figures = Figures()
        self.writer = IntentWriter(0, NO_MODEL)
        self.path = OrderPath(
            self.signer, self.writer, self.journal, self.outlet, self.figures, limits, kept
        )
        self.strategy, self.ticks = Script(), Ticks()
        self.market = TradedMarket(INSTRUMENT, f"polymarket:{self.token}", self.token, 1)
        self.gate = Gate(gate or GateLimits())
        self.record = folder / f"decisions-{next(_numbers)}.jsonl"
        head = SessionRecord("script", NO_MODEL.hex(), {}, ("", self.market.name), "list", 0)
        self.decisions = DecisionWriter(self.record, head)
        self.loop = TradingLoop(
            self.ticks,
            self.strategy,
            {INSTRUMENT: self.market},
            self.gate,
            self.path,
            self.figures,
            self.decisions,
        )

    def connection(self) -> VenueConnection:
        address = (self.server.host, self.server.port)
        return VenueConnection(HOST, 443, self.server.client_context(), address=address)

    def decide(self, *decisions: Decision, **fields: Any) -> None:
        """One tick, at which the strategy decides this."""
        self.strategy.plan.append(decisions)
        self.ticks.add(**fields)

    def run(self, until: Callable[[], bool], patience_s: float = 60.0) -> None:
        """Runs the loop until something holds."""
        deadline = time.monotonic() + patience_s

        watch = Watch(self.loop, lambda: until() or time.monotonic() > deadline)
        before, self.loop.timed = self.loop.timed, (*self.loop.timed, watch)
        self.loop.stop = False
        self.loop.run()
        self.loop.timed = before
        assert until(), (self.strategy.outcomes(), self.path.troubles)

    def count(self, counter: Counter) -> int:
        return self.figures.counters[counter]

    def submissions(self) -> dict[bytes, int]:
        """How often each order of this trader arrived at the venue."""
        return {
            key: count
            for key, count in self.server.clob.submissions.items()
            if key in {entry.order_hash for entry in self.journal.entries()}
        }

    def lines(self) -> list[dict[str, Any]]:
        self.decisions.flush()
        return [json.loads(line) for line in self.record.read_text().splitlines()]

    def close(self) -> None:
        self.outlet.close()
        self.journal.close()
        self.decisions.close()
