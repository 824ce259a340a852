"""A strategy over a tape: what it decided, what a pessimistic venue made of it, what was left."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from strongroom_host.strategy.decisions import DecisionRecord, Record
from strongroom_host.strategy.fills import Costs, FillModel, received
from strongroom_host.strategy.options import PRICE_UNIT
from strongroom_host.strategy.port import Outcome, Strategy
from strongroom_host.strategy.session import Session
from strongroom_host.tape.reader import TapeReader

__all__ = ["Account", "Result", "backtest"]

_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it. Money in 1e-6 pUSD, times in ms since the epoch.

    Attributes:
        equity: What the account was worth at times, each position at what its best bid would pay.
        decisions: How many.
        digest: SHA-256 over all decisions in order, as recorded: equal runs have equal digests.
        reasons: How often each was given.
        outcomes: How often each came about.
        turnover, fees: Of all fills.
        begun, ended: Equity at both ends.
        gaps: Ticks that the tape lacks.
    """

    equity: tuple[tuple[int, int], ...]
    decisions: int
    digest: bytes
    reasons: dict[str, int]
    outcomes: dict[str, int]
    turnover: int
    fees: int
    begun: int
    ended: int
    gaps: int

    @property
    def profit(self) -> int:
        """What was gained, 1e-6 pUSD; negative was lost."""
        return self.ended - self.begun


class Account:
    """What an account is worth as a tape goes by."""

    def __init__(self, model: FillModel) -> None:
        self._model = model
        self._bids: dict[int, int] = {}

    def look(self) -> None:
        """Notes the best bids that there are; where there is none, the last one stands."""
        for instrument, book in self._model.books.items():
            if book.whole and book.bid:
                self._bids[instrument] = book.bid // PRICE_UNIT

    def equity(self) -> int:
        """Returns cash and what the holdings would bring at the best bid, 1e-6 pUSD."""
        held = self._model.held.items()
        return self._model.cash + sum(
            received(self._bids.get(instrument, 0), size) for instrument, size in held
        )


def backtest(
    strategy: Strategy,
    tape: TapeReader,
    costs: Costs,
    *,
    sample_ms: int = 1_000,
    write: Callable[[Record], None] | None = None,
) -> Result:
    """Returns what the strategy would have come to on that tape; `fills` says under which terms."""
    model = FillModel(markets(tape), costs, wall_ns=wall_ns(tape))
    digest, reasons = hashlib.sha256(), Counter[str]()
    encoder = msgspec.json.Encoder()

    def note(record: Record) -> None:
        if isinstance(record, DecisionRecord):
            digest.update(encoder.encode(record) + b"\n")
            reasons[record.reason] += 1
        if write is not None:
            write(record)

    session, account = Session(strategy, model, note), Account(model)
    points, due_ns, before, gaps = list[tuple[int, int]](), 0, 0, 0
    offset_ns = wall_ns(tape)
    now_ns = 0
    for view in tape:
        sequence, now_ns = view.sequence, view.received_ns
        if before and sequence != before + 1:
            gaps += sequence - before - 1
            session.gap(sequence - before - 1)
        before = sequence
        session.tick(view)
        if now_ns >= due_ns:
            account.look()
            points.append(((now_ns + offset_ns) // _MS, account.equity()))
            due_ns = now_ns + sample_ms * _MS
    account.look()
    ended = account.equity()
    # A tape's clock may have gone back; a curve's does not.
    points.append((max((now_ns + offset_ns) // _MS, points[-1][0] if points else 0), ended))
    return Result(
        equity=tuple(points),
        decisions=session.decided,
        digest=digest.digest(),
        reasons=dict(reasons),
        outcomes={outcome.name: model.outcomes[outcome] for outcome in Outcome},
        turnover=model.turnover,
        fees=model.fees,
        begun=costs.cash,
        ended=ended,
        gaps=gaps,
    )


def markets(tape: TapeReader) -> list[int]:
    """Returns the instruments of a tape that can be traded here: Polymarket's."""
    return [index for index, name in enumerate(tape.names) if name.startswith("polymarket:")]


def wall_ns(tape: TapeReader) -> int:
    """Returns what a tape's CLOCK_MONOTONIC has to be raised by for wall clock, in ns."""
    return tape.head.started_ns - tape.head.monotonic_ns
