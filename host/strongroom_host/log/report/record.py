"""What a report is about, as plain values: decisions, boots, permits, stops, totals, and gaps.

Money is in millionths of pUSD, times are in ms since the epoch of Unix (0: the enclave had none),
digests and keys are bytes. Places are indices of leaves, so that each row can be proved.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from strongroom_wire.bundle import LogHead
from strongroom_wire.errors import Code, Rule
from strongroom_wire.leaves import Boot, Kind
from strongroom_wire.manifest import VerifiedManifest
from strongroom_wire.statements import Action, Permit

__all__ = [
    "ALWAYS",
    "BootFacts",
    "BootRow",
    "Decision",
    "Gap",
    "KeyEvent",
    "Lack",
    "ModelTotals",
    "Outcome",
    "Period",
    "PermitRow",
    "Record",
    "StopRow",
    "Usage",
]


class Outcome(enum.Enum):
    """How one request ended, or what was handed in."""

    ORDERS = "orders signed"
    CANCEL = "cancel signed"
    SIGNED = "signed, orders or a cancel"
    """There is no opening to tell which."""
    DENIED = "denied by a rule"
    REFUSED = "refused before any rule"
    MODEL = "model decision handed in"


@dataclass(frozen=True, slots=True)
class Decision:
    """One leaf of kind SIGNED, DENIED or MODEL. Without its opening (`opened`) only what the leaf
    says in public is known, and the rest is empty.

    Attributes:
        context: What the client says led to it: SHA-256 of model and inputs, 64 bytes, or nothing.
        output: Of a model decision: SHA-256 of what the model put out.
        model_leaf: The leaf of the model decision with the same model and inputs, if there is one
            before this in the same boot.
        notional: What this request alone counted; None where that cannot be told.
        total: What the key had counted in this boot after it: millionths of pUSD, and orders.
        intent: SHA-256 of what the client asked for; the orders' terms are in it, not in the log.
        request: SHA-256 of the signed request that the client was given, or zeros.
        remarks: What is not known of it, or wrong with it.
    """

    index: int
    time_ms: int
    epoch: bytes
    outcome: Outcome
    opened: bool
    rule: Rule = Rule.NONE
    client: str = ""
    key: str = ""
    code: Code = Code.OK
    order: int = 0
    limit: int = 0
    actual: int = 0
    order_hashes: tuple[bytes, ...] = ()
    context: bytes = b""
    output: bytes = b""
    model_leaf: int | None = None
    notional: int | None = None
    total: tuple[int, int] = (0, 0)
    intent: bytes = b""
    request: bytes = b""
    remarks: tuple[Lack, ...] = ()

    @property
    def model(self) -> bytes:
        """SHA-256 of the model, 32 bytes, or nothing where none was named."""
        return self.context[:32]

    @property
    def inputs(self) -> bytes:
        """SHA-256 of the model's inputs, 32 bytes, or nothing."""
        return self.context[32:]


@dataclass(frozen=True, slots=True)
class BootFacts:
    """What is known of a boot beside its leaves: its manifest, if it is at hand, and what its
    evidence proved, in words for the reader (empty where no evidence was verified)."""

    manifest: VerifiedManifest | None = None
    image: str = ""


@dataclass(slots=True)
class BootRow:
    """The leaves of one boot, from `start` up to and without `end`; `boot` None if its beginning
    cannot be read. `times` are those of its first and last leaf that has one."""

    epoch: bytes
    start: int
    end: int
    boot: Boot | None
    facts: BootFacts
    times: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class PermitRow:
    """A start permit, or a further one. `permit` None where its opening is missing. `signers` are
    the owners whose signatures are valid; `in_order` says whether they are a quorum, None where the
    boot's manifest, which names the owners, is not at hand."""

    index: int
    time_ms: int
    epoch: bytes
    permit: Permit | None
    signers: tuple[bytes, ...] = ()
    in_order: bool | None = None


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """An order of the owners about a key that was obeyed; `key` and `signers` empty without its
    opening."""

    index: int
    time_ms: int
    epoch: bytes
    action: Action
    opened: bool
    key: str = ""
    signers: tuple[bytes, ...] = ()


@dataclass(slots=True)
class StopRow:
    """The kill switch, thrown by an owner: for one key, or with an empty `key` for all.

    Attributes:
        denied: How many requests the rule KILL_SWITCH denied from there to the end of the boot.
        first: The first of them: leaf and time.
        unsigned: Signed entries after it of which there is no opening: cancels may be signed then,
            orders may not, and which they are is not known.
    """

    index: int
    time_ms: int
    epoch: bytes
    opened: bool
    key: str = ""
    signers: tuple[bytes, ...] = ()
    denied: int = 0
    first: tuple[int, int] | None = None
    unsigned: int = 0

    def covers(self, key: str) -> bool:
        """Whether orders of `key` are stopped by it."""
        return self.opened and self.key in ("", key)


@dataclass(slots=True)
class Usage:
    """What one key signed in one boot, listed and counted. Millionths of pUSD, and orders.

    `listed` is the sum over decisions, `counted` the enclave's own counter at the last of them, and
    `unlisted` what it grew by where openings are missing, so that it is not known by which.
    """

    epoch: bytes
    key: str
    listed: tuple[int, int] = (0, 0)
    unlisted: tuple[int, int] = (0, 0)
    counted: tuple[int, int] = (0, 0)
    budget: tuple[int, int] | None = None

    @property
    def adds_up(self) -> bool:
        """What is listed, and what could not be, is what the enclave counted."""
        sums = (a + b for a, b in zip(self.listed, self.unlisted, strict=True))
        return tuple(sums) == self.counted


@dataclass(slots=True)
class ModelTotals:
    """What one model, or none that was named (`model` empty), led to. `notional` is in millionths
    of pUSD, as far as it can be told."""

    model: bytes
    handed_in: int = 0
    followed: int = 0
    signed: int = 0
    orders: int = 0
    notional: int = 0
    denied: int = 0
    refused: int = 0


class Lack(enum.Enum):
    """What a log can lack, or contradict; the value is the sentence for the reader."""

    ORDERS_AFTER_STOP = "Orders were signed although the kill switch had been thrown"
    OVER_BUDGET = "More was signed than the permit in force allows"
    MISCOUNTED = "The enclave's counters and the decisions that are listed do not agree"
    UNAUTHORISED = "A permit or order lacks the signatures of the owners, or is another boot's"
    UNREADABLE = "No leaf can be read here"
    WRONG_OPENING = "The details that are stored do not belong to the leaf"
    UNDECODABLE = "The details are proved, but this version cannot read them"
    NO_OPENING = "The details are not in this copy: only kind, time and rule are known"
    NO_TIME = "The enclave had no time that it could vouch for"
    NO_CONTEXT = "Orders were asked for without saying which model and inputs led to them"
    NO_MODEL_DECISION = "A model was named, but its decision was not handed in before, in this boot"
    NO_MANIFEST = "The boot's manifest is not at hand: its owners and limits cannot be shown"
    NO_EVIDENCE = "No evidence of the boot was verified: which image ran is the boot's own word"
    NOT_RENDERED = "Entries of a kind that this report does not render"

    @property
    def alarming(self) -> bool:
        """It contradicts what the enclave promises, rather than leaving something unknown."""
        return self in _ALARMING


_ALARMING = frozenset(
    {
        Lack.ORDERS_AFTER_STOP,
        Lack.OVER_BUDGET,
        Lack.MISCOUNTED,
        Lack.UNAUTHORISED,
        Lack.UNREADABLE,
        Lack.WRONG_OPENING,
    }
)


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is not known, or is wrong: of the leaves `start` up to and without `end`.

    `count` of them are concerned: those between may be of another kind.
    """

    lack: Lack
    start: int
    end: int
    count: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Period:
    """Decisions from `start_ms` up to and without `end_ms` are listed; None is without bound.

    A leaf without a time belongs where the leaf before it does.
    """

    start_ms: int | None = None
    end_ms: int | None = None

    def __contains__(self, time_ms: int) -> bool:
        after = self.start_ms is None or time_ms >= self.start_ms
        return after and (self.end_ms is None or time_ms < self.end_ms)


ALWAYS: Final = Period()
"""Every decision."""


@dataclass(frozen=True, slots=True)
class Record:
    """All that was read. Decisions, their totals and `models` are of the period; boots, permits,
    stops, key events, usage and gaps are of the whole log."""

    head: LogHead
    period: Period
    kinds: Mapping[Kind, int]
    outcomes: Mapping[Outcome, int]
    outside: int
    rules: Mapping[Rule, int]
    models: tuple[ModelTotals, ...]
    boots: tuple[BootRow, ...]
    permits: tuple[PermitRow, ...]
    keys: tuple[KeyEvent, ...]
    stops: tuple[StopRow, ...]
    usage: tuple[Usage, ...]
    gaps: tuple[Gap, ...]
    times: tuple[int, int] = field(default=(0, 0))

    @property
    def alarms(self) -> tuple[Gap, ...]:
        """What contradicts what the enclave promises."""
        return tuple(gap for gap in self.gaps if gap.lack.alarming)

    @property
    def listed(self) -> int:
        """How many decisions the period has."""
        return sum(self.outcomes.values())
