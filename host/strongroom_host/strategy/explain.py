"""Running a session again: does this strategy, on these ticks, decide what the record says it did?

Everything it was told is in the tape and in the record, in order: ticks, gaps, outcomes. So the
same code with the same model must make the same decisions at the same ticks, with the same digests
of inputs. The digests are computed here once more from the bytes, independently of the strategy; so
even without the model it shows whether the inputs are the ones that the decisions were bound to.
"""

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from strongroom_host.strategy.decisions import (
    DecisionRecord,
    EndRecord,
    EventRecord,
    GapRecord,
    Record,
    SessionRecord,
)
from strongroom_host.strategy.errors import (
    DecisionsUnfinished,
    DecisionsUnreadable,
    NotReproduced,
)
from strongroom_host.strategy.inputs import Inputs
from strongroom_host.strategy.port import Decision, Strategy
from strongroom_host.tape.reader import TapeReader

__all__ = ["Explained", "explain", "session_of"]


@dataclass(frozen=True, slots=True)
class Explained:
    """What was found to be so.

    Attributes:
        ticks: Ticks that the strategy was told again.
        decisions: Decisions whose inputs are the recorded ones.
        repeated: Of those, how many were made again, each equal in every field; None if it was not
            tried.
    """

    ticks: int
    decisions: int
    repeated: int | None


def session_of(records: Iterator[Record]) -> SessionRecord:
    """Returns the first record, which says what ran.

    Raises:
        DecisionsUnreadable: there is none.
    """
    first = next(records, None)
    if not isinstance(first, SessionRecord):
        raise DecisionsUnreadable("the record of decisions is empty")
    return first


def explain(
    session: SessionRecord,
    records: Iterable[Record],
    tape: TapeReader,
    strategy: Strategy | None = None,
    *,
    killed: bool = False,
) -> Explained:
    """Proves that the decisions on record follow from the ticks on a tape.

    Args:
        session: The record's first line.
        records: The others.
        tape: Ticks of the same ring, or of the same tape.
        strategy: As it was, told nothing yet; without it only the inputs are checked.
        killed: The session was, so its record need not have a last line.

    Raises:
        DecisionsUnfinished: all that is there holds, and the last line is missing.
        NotReproduced: a digest, a decision, the model or a parameter differs, or a tick is missing.
    """
    if tuple(tape.names)[: len(session.instruments)] != tuple(session.instruments):
        raise NotReproduced(
            "the tape has other instruments than the session had",
            expected=", ".join(filter(None, session.instruments)),
            actual=", ".join(filter(None, tape.names)),
            remedy="take the tape of the ring that the session ran on",
        )
    if strategy is not None:
        _same(session, strategy)
    again = _Again(session, tape, strategy)
    found = again.run(records)
    if not again.ended and not killed:
        raise DecisionsUnfinished(
            "the record has no last line, so what came after may be missing",
            expected="a line that counts those before it",
            actual=f"{found.decisions} decisions on {found.ticks} ticks, as recorded, and no end",
            remedy="take the whole file from where it was written; give --killed if the session"
            " was killed, or the record is of format 1, which had no last line",
        )
    return found


def _same(session: SessionRecord, strategy: Strategy) -> None:
    for what, expected, actual in (
        ("strategy", session.strategy, strategy.name),
        ("model", session.model_sha256, strategy.model_sha256.hex()),
        ("parameters", session.parameters, dict(strategy.parameters)),
    ):
        if expected != actual:
            raise NotReproduced(f"the {what} is another one", expected=expected, actual=actual)


@contextmanager
def _of_the_record(what: str) -> Iterator[None]:
    """Says of a record's field that cannot be what it says that the record is damaged."""
    try:
        yield
    except (KeyError, ValueError, struct.error) as error:
        raise DecisionsUnreadable(f"{what} is damaged: {error}") from error


class _Again:
    """The session, told again step by step."""

    def __init__(self, session: SessionRecord, tape: TapeReader, strategy: Strategy | None) -> None:
        with _of_the_record("the session's model"):
            model = bytes.fromhex(session.model_sha256)
        self._inputs = Inputs(session.strategy, model, session.parameters)
        self._model = session.model_sha256
        self._strategy, self._ticks = strategy, iter(tape)
        self._last = self._told = self._decided = 0
        self._arrived: int | None = None  # when the last tick did, unless a gap was told since
        # What came before the session, or was lost to it, though the tape may have it.
        self._passed = session.after
        self._made: list[Decision] = []
        self.ended = False

    def run(self, records: Iterable[Record]) -> Explained:
        for record in records:
            match record:
                case DecisionRecord():
                    self._until(record.tick)
                    self._compare(record)
                case GapRecord():
                    self._until(record.after)
                    self._nothing_more()
                    with _of_the_record(f"the gap after tick {record.after}"):
                        self._inputs.gap(record.missed, record.feed)
                    self._arrived = None
                    if not record.feed:
                        self._passed = record.after + record.missed
                    if self._strategy is not None:
                        self._made = list(self._strategy.on_gap(record.missed, record.feed))
                case EventRecord():
                    self._until(record.after)
                    self._nothing_more()
                    with _of_the_record(f"the outcome after tick {record.after}"):
                        event = record.event()
                        self._inputs.event(event)
                    if self._strategy is not None:
                        self._strategy.on_order_event(event)
                case EndRecord():
                    self.ended = True
                case _:
                    continue
        self._nothing_more()
        repeated = self._decided if self._strategy is not None else None
        return Explained(self._told, self._decided, repeated)

    def _until(self, sequence: int) -> None:
        """Tells ticks up to that one."""
        while self._last < sequence:
            view = next(self._ticks, None)
            if view is None or view.sequence > sequence:
                raise NotReproduced(
                    f"the tape lacks the tick {sequence}, which the record refers to",
                    expected=sequence,
                    actual="the tape's end" if view is None else f"{view.sequence} after it",
                    remedy="a tape of the whole session, begun before it and without gaps",
                )
            if view.sequence <= self._passed:
                continue
            self._nothing_more()
            self._last, self._arrived = view.sequence, view.received_ns
            self._told += 1
            self._inputs.tick(view)
            if self._strategy is not None:
                self._made = list(self._strategy.on_tick(view))

    def _nothing_more(self) -> None:
        if self._made:
            raise NotReproduced(
                f"after tick {self._last} the strategy decides what is not on the record",
                expected="nothing",
                actual=self._made[0],
            )

    def _compare(self, record: DecisionRecord) -> None:
        self._decided += 1
        with _of_the_record(f"decision {record.number}"):
            recorded = record.decision()
        digest = self._inputs.digest()
        where = f"decision {record.number}, at tick {record.tick},"
        if recorded.inputs_digest != digest:
            raise NotReproduced(
                f"{where} was made on other inputs than this tape's",
                expected=recorded.inputs_digest.hex(),
                actual=digest.hex(),
                remedy="take the tape of that session; one tick or outcome that differs shows here",
            )
        arrived = record.received_ns if self._arrived is None else self._arrived
        if (record.tick, record.received_ns) != (self._last, arrived):
            raise NotReproduced(
                f"{where} names another tick than the last one before it, or another time of it",
                expected=f"tick {self._last}, arrived at {arrived}",
                actual=f"tick {record.tick}, arrived at {record.received_ns}",
            )
        if record.number != self._decided or record.model_sha256 != self._model:
            raise NotReproduced(
                f"{where} is out of order, or names another model",
                expected=f"number {self._decided}, model {self._model}",
                actual=f"number {record.number}, model {record.model_sha256}",
            )
        if self._strategy is None:
            return
        made = self._made.pop(0) if self._made else None
        if made != recorded:
            raise NotReproduced(
                f"{where} is made otherwise when it is made again",
                expected=recorded,
                actual=made or "nothing",
            )
