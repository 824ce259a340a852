"""The record of a session: what decided, on what, and what came of it. JSON lines, in order.

One line per thing, as it happened: the session's head; each decision, with the model's hash and
the digest of everything the strategy had been told; each gap and each outcome that it was told,
with the tick they came after; each answer of the enclave, with the leaf of its log that says the
same under its signature. With a tape of the ticks the session can be run again (`explain`).

The last line counts those before it and has their digest, so a record whose end was cut off does
not look whole. A session that was killed leaves none, and whoever reads the record has to be told.

Nothing here is secret from the host, and nothing in it need be believed on the host's word: the
model's hash and the digest of each order are in the enclave's signed log as well.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

import msgspec

from strongroom_host.ring.tick import Side
from strongroom_host.strategy.errors import DecisionsUnreadable
from strongroom_host.strategy.port import (
    Cancel,
    CancelAll,
    Decision,
    Intent,
    OrderEvent,
    OrderType,
    Outcome,
    Reason,
)

__all__ = [
    "FORMAT",
    "AnswerRecord",
    "DecisionRecord",
    "DecisionWriter",
    "EndRecord",
    "EventRecord",
    "GapRecord",
    "Record",
    "SessionRecord",
    "read_decisions",
]

FORMAT: Final = "strongroom-decisions/2"
_READ: Final = ("strongroom-decisions/1", FORMAT)
"""The first one had no last line: whatever is in it may have gone on."""
_LONGEST_LINE: Final = 1 << 20


class SessionRecord(msgspec.Struct, frozen=True, tag="session", tag_field="record"):
    """The first line: what runs, and on what.

    Attributes:
        strategy: Its name.
        model_sha256: Hex; zeros if it has no model.
        parameters: Its options, complete, defaults included.
        instruments: The ring's table at the start; an instrument is an index in it.
        source: `ring NAME` or `tape NAME`.
        started_ns: Wall clock, ns since the epoch.
        after: The ring's count of the last tick before the session.
        format: What this file is.
    """

    strategy: str
    model_sha256: str
    parameters: dict[str, str | int]
    instruments: tuple[str, ...]
    source: str
    started_ns: int
    after: int = 0
    format: str = FORMAT


class DecisionRecord(
    msgspec.Struct, frozen=True, tag="decision", tag_field="record", omit_defaults=True
):
    """One decision.

    Attributes:
        number: From 1, in order, as in `OrderEvent`.
        tick: The ring's count of the tick at which it was made; 0 before the first.
        received_ns: When that tick arrived, CLOCK_MONOTONIC.
        model_sha256: Hex.
        inputs_digest: Hex; `inputs` defines it.
        action: `order`, `cancel` or `cancel all`.
        reason: A `Reason` by name.
        instrument, side, price, size, order_type, expires_s, post_only: As in `Intent`.
        order_hash: Hex, of a cancel.
        decided_ns: When the strategy returned it, CLOCK_MONOTONIC; 0 in a simulation.
    """

    number: int
    tick: int
    received_ns: int
    model_sha256: str
    inputs_digest: str
    action: str
    reason: str
    instrument: int = 0
    side: int = 0
    price: int = 0
    size: int = 0
    order_type: str = ""
    expires_s: int = 0
    post_only: bool = False
    order_hash: str = ""
    decided_ns: int = 0

    @classmethod
    def of(
        cls,
        number: int,
        decision: Decision,
        model_sha256: bytes,
        *,
        tick: int,
        received_ns: int,
        decided_ns: int = 0,
    ) -> "DecisionRecord":
        """Returns the line of one decision."""
        facts = (number, tick, received_ns, model_sha256.hex(), decision.inputs_digest.hex())
        reason = decision.reason.name
        match decision:
            case Intent():
                return cls(
                    *(*facts, "order", reason),
                    instrument=decision.instrument,
                    side=int(decision.side),
                    price=decision.price,
                    size=decision.size,
                    order_type=decision.order_type.name,
                    expires_s=decision.expires_s,
                    post_only=decision.post_only,
                    decided_ns=decided_ns,
                )
            case Cancel():
                cancelled = decision.order_hash.hex()
                return cls(*facts, "cancel", reason, order_hash=cancelled, decided_ns=decided_ns)
            case CancelAll():
                return cls(*facts, "cancel all", reason, decided_ns=decided_ns)

    def decision(self) -> Decision:
        """Returns what was decided.

        Raises:
            ValueError, KeyError: a field is not what it must be.
        """
        reason, digest = Reason[self.reason], bytes.fromhex(self.inputs_digest)
        if self.action == "cancel all":
            return CancelAll(reason, digest)
        if self.action == "cancel":
            return Cancel(bytes.fromhex(self.order_hash), reason, digest)
        if self.action != "order":
            raise ValueError(f"no such action: {self.action}")
        terms = (self.instrument, Side(self.side), self.price, self.size)
        kind = OrderType[self.order_type]
        return Intent(*terms, kind, reason, digest, self.expires_s, self.post_only)


class AnswerRecord(
    msgspec.Struct, frozen=True, tag="answer", tag_field="record", omit_defaults=True
):
    """What the enclave answered to one decision.

    Attributes:
        number: The decision's.
        code: The enclave's code; 0 is approval.
        rule: The rule that denied it, by name.
        leaf: Index in the signer's log.
        order_hash: Hex.
        at_ns: CLOCK_MONOTONIC.
    """

    number: int
    code: int
    rule: str = ""
    leaf: int | None = None
    order_hash: str = ""
    at_ns: int = 0


class GapRecord(msgspec.Struct, frozen=True, tag="gap", tag_field="record"):
    """The strategy was told of a gap, after the tick with that count of the ring's."""

    after: int
    missed: int
    feed: int


class EventRecord(msgspec.Struct, frozen=True, tag="event", tag_field="record"):
    """The strategy was told what became of an order, after the tick with that count."""

    after: int
    number: int
    outcome: str
    order_hash: str
    instrument: int
    side: int
    price: int
    filled: int
    cash: int
    open: int
    code: int
    at_ns: int

    @classmethod
    def of(cls, after: int, event: OrderEvent) -> "EventRecord":
        """Returns the line of one event."""
        named = (after, event.number, event.outcome.name, event.order_hash.hex())
        terms = (event.instrument, int(event.side), event.price, event.filled, event.cash)
        return cls(*named, *terms, event.open, event.code, event.at_ns)

    def event(self) -> OrderEvent:
        """Returns what the strategy was told.

        Raises:
            ValueError, KeyError: a field is not what it must be.
        """
        return OrderEvent(
            self.number,
            Outcome[self.outcome],
            bytes.fromhex(self.order_hash),
            self.instrument,
            Side(self.side),
            *(self.price, self.filled, self.cash, self.open, self.code, self.at_ns),
        )


class EndRecord(msgspec.Struct, frozen=True, tag="end", tag_field="record"):
    """The last line: nothing came after it, and nothing before it is missing.

    Attributes:
        records: How many lines come before it.
        sha256: Hex, of all bytes before it. It finds accidents: whoever edits the file can write
            another one, but not the enclave's log, which has each order's digest as well.
    """

    records: int
    sha256: str


Record: TypeAlias = (
    SessionRecord | DecisionRecord | AnswerRecord | GapRecord | EventRecord | EndRecord
)

_DECODER: Final = msgspec.json.Decoder(Record, strict=True)


class DecisionWriter:
    """Appends records to a file of its own; each session has a new one."""

    def __init__(self, path: Path, session: SessionRecord) -> None:
        """Makes the file, readable by its owner only, and writes its first line.

        Raises:
            DecisionsUnreadable: it is there already.
            OSError: it cannot be written.
        """
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise DecisionsUnreadable(
                f"{path} exists already, and sessions do not share a file",
                remedy="name another file, or move that one away",
            ) from None
        self._encoder = msgspec.json.Encoder()
        self._digest, self._records = hashlib.sha256(), 0
        self._whole = True
        self._file = os.fdopen(handle, "wb")
        self.write(session)
        self.sync()

    def write(self, record: Record) -> None:
        """Appends one record; it is in the operating system's hands once `flush` returns."""
        line = self._encoder.encode(record) + b"\n"
        self._whole = False
        self._file.write(line)
        self._digest.update(line)
        self._records += 1
        self._whole = True

    def flush(self) -> None:
        """Hands over what was written: from here it survives the death of this process."""
        self._file.flush()

    def sync(self) -> None:
        """Puts what was written onto the disk: from here it survives a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Writes the last line, syncs and closes. One that lost a line has no last one."""
        if not self._file.closed:
            try:
                if self._whole:
                    self.write(EndRecord(self._records, self._digest.hexdigest()))
                self.sync()
            finally:
                self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What ended the session is to be heard, perhaps of open orders, and not a full disk.
        with suppress(OSError) if error is not None else nullcontext():
            self.close()


def read_decisions(path: Path) -> Iterator[Record]:
    """Yields the records of a file, the session's first.

    The last one is an `EndRecord`, which was found to be right, unless the session goes on, was
    killed, or the file's end is missing; which of these, the file cannot say. A last line without
    its end is what a crash leaves behind: it was never handed over whole, and is left out.

    Raises:
        DecisionsUnreadable: it cannot be read, is no such file, or a line of it is damaged.
    """
    try:
        with path.open("rb") as stream:
            yield from _records(path, stream)
    except OSError as error:
        raise DecisionsUnreadable(
            f"cannot read {path}: {error.strerror or error}",
            remedy="check the path and its permissions",
        ) from error


def _records(path: Path, stream: Iterable[bytes]) -> Iterator[Record]:
    digest, ended = hashlib.sha256(), False
    for place, line in enumerate(stream, start=1):
        if len(line) > _LONGEST_LINE or not line.endswith(b"\n"):
            if place > 1 and len(line) <= _LONGEST_LINE and not ended:
                return
            raise _damaged(path, place, "it does not end")
        try:
            record = _DECODER.decode(line)
        except msgspec.MsgspecError as error:
            raise _damaged(path, place, str(error)) from error
        if isinstance(record, SessionRecord) is not (place == 1):
            raise _damaged(path, place, "the session's head is the first line, and no other")
        if isinstance(record, SessionRecord) and record.format not in _READ:
            raise _damaged(path, place, f"its format is {record.format}, not {FORMAT}")
        if ended:
            raise _damaged(path, place, "it comes after the last one")
        if isinstance(record, EndRecord):
            ended = True
            if record != EndRecord(place - 1, digest.hexdigest()):
                raise _damaged(path, place, "lines before it are missing or have changed")
        digest.update(line)
        yield record


def _damaged(path: Path, place: int, why: str) -> DecisionsUnreadable:
    return DecisionsUnreadable(
        f"{path} is no record of decisions, or is damaged",
        expected=f"lines of {FORMAT}",
        actual=f"line {place}: {why}",
        remedy="take the file again from where it was written; a record is never mended by hand",
    )
