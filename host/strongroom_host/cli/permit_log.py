"""Which history of the log a permit continues: the stored copy, held against the owner's memory."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from strongroom_wire.bundle import EMPTY_LOG, Bundle, LogHead, Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.errors import WireError
from strongroom_wire.manifest import Manifest
from strongroom_wire.statements import Permit

from strongroom_host.cli.output import say, warn
from strongroom_host.cli.session import OwnerSession
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.log.attested import prove_boot
from strongroom_host.log.boots import Boots, StoredBoot
from strongroom_host.log.errors import LogError
from strongroom_host.log.folder import FolderLog
from strongroom_host.log.notes import Note, VerifierKey, open_checkpoint
from strongroom_host.log.records import given_up_by
from strongroom_host.log.tiles import WITNESSED
from strongroom_host.log.tree import LogReader
from strongroom_host.owner.errors import DocumentInvalid
from strongroom_host.owner.heads import How, RememberedHead
from strongroom_host.owner.history import (
    Continued,
    HistoryRefused,
    HistoryShorter,
    Replay,
    Vouched,
    continued,
    replay,
)

__all__ = [
    "AbandonOption",
    "DraftDiffers",
    "LogChoice",
    "LogOption",
    "RecordAbandonOption",
    "RecordBegun",
    "RecordLogOption",
    "UnsignedOption",
    "check_draft",
    "history_to_continue",
    "log_choices",
    "remember_begun",
    "remember_permit",
]

LogOption = Annotated[
    Path | None,
    typer.Option(
        "--log", metavar="DIR", help="The log to continue (default: log in the owner's folder)."
    ),
]
AbandonOption = Annotated[
    str | None,
    typer.Option(
        metavar="REASON",
        help="Give up the known history that the stored log lacks; the permit says so for good.",
    ),
]
RecordLogOption = Annotated[
    Path | None,
    typer.Option(
        "--record-log",
        metavar="DIR",
        help="The record's log (default: record-log in the owner's folder).",
    ),
]
RecordAbandonOption = Annotated[
    str | None,
    typer.Option(
        metavar="REASON",
        help="Give up the known history of the record that its stored log lacks, likewise; or begin"
        " an empty log although an earlier boot began one.",
    ),
]
UnsignedOption = Annotated[
    bool,
    typer.Option(
        "--unsigned-leaves", help="Go on with stored leaves for which no signed head vouches, too."
    ),
]


_SLACK_MS: Final = 120_000
_RECORD_COPY: Final = (
    "name the copy that has it, where `strongroom record serve` keeps it: --record-log DIR (there"
    " ~/.strongroom/record/log, for root /var/lib/strongroom/record/log), or bring it over with"
    " `strongroom log mirror URL --role record` (`record serve --listen-http` shows it). If it is"
    ' lost for good, begin anew with --record-abandon "REASON"; accounts have to be connected again'
    " then"
)


class RecordBegun(HistoryRefused):
    """An earlier boot began the record's log, and this one would begin an empty one instead."""


class DraftDiffers(HistoryRefused):
    """A co-owner's draft says another thing about the log than this owner's own copy."""


@dataclass(frozen=True, slots=True)
class LogChoice:
    """What an owner says about a log: where it is, and what he puts up with, and why."""

    log: Path | None
    abandon: str | None
    unsigned: bool
    role: Role = Role.SIGNER

    @property
    def name(self) -> str:
        """The log's name in his folder."""
        return "record-log" if self.role is Role.RECORD else "log"

    def __post_init__(self) -> None:
        if self.abandon is not None and not self.abandon.strip():
            raise DocumentInvalid(
                "a history is not given up without a reason",
                expected='--abandon "REASON", for whoever asks later',
            )


def log_choices(
    manifest: Manifest, signers: LogChoice, log: Path | None, abandon: str | None
) -> tuple[LogChoice, ...]:
    """Returns what an owner says about each log of the account: with accounts there are two.

    Raises:
        DocumentInvalid: he says something about a record's log that there is not.
    """
    if manifest.accounts:
        return signers, LogChoice(log, abandon, signers.unsigned, Role.RECORD)
    if log is not None or abandon is not None:
        raise DocumentInvalid(
            "the manifest has no accounts, so there is no record and no log of it",
            remedy="permit without --record-log and --record-abandon",
        )
    return (signers,)


class _Known:
    """One owner's view of one log: his stored copy and his memory of it."""

    def __init__(
        self, session: OwnerSession, evidence: VerifiedEvidence, choice: LogChoice
    ) -> None:
        bundle = evidence.bundle
        account = session.manifest.manifest.account
        self.log, self.role = log_origin(bundle.owner_root, account, choice.role), choice.role
        self.boot_id = bundle.boot_id
        self.memory = session.folder.heads
        self.remembered = self.memory.known(self.log)
        self.abandoned = self.memory.abandoned(self.log)[-1:]
        begun = () if choice.role is Role.SIGNER else self.memory.begun(self.log)
        boots = [each.boot for each in begun]
        self.begun = None if not begun or self.boot_id in boots else begun[-1]
        """Another boot that was the last to begin this log empty, so that this one must not."""
        self.folder = (choice.log or session.folder.root / choice.name).expanduser()
        self.stored = self.folder.is_dir()
        if choice.log is not None and not self.stored:
            raise DocumentInvalid(
                f"{self.folder} is no log", remedy="name the folder of `strongroom log`"
            )

    def replay(self, session: OwnerSession) -> Replay:
        """Goes through the stored copy, or through nothing where there is none."""
        vouched = [Vouched.of(each) for each in self.remembered]
        vouched += [Vouched.gone(each) for each in self.abandoned]
        if not self.stored:
            return replay([], vouched, self.boot_id)
        files = FolderLog(self.folder)
        vouched += _signed_heads(files, self.log, session, self.role)
        # Read without proof: the replay itself says which heads the leaves lead to.
        reader = LogReader(files, LogHead(files.size, bytes(32)))
        return replay(
            reader.entries(), vouched, self.boot_id, lambda index: reader.hashes(0, index)
        )


def history_to_continue(
    session: OwnerSession, evidence: VerifiedEvidence, choice: LogChoice, now_ms: int
) -> Continued:
    """Returns what this owner's permit says about the log, and tells him what he should know.

    Raises:
        HistoryRefused: the stored copy lacks what is known of the log, or is in disorder.
        DocumentInvalid: the folder that was named is no log.
        MemoryDamaged: what is known of it cannot be read.
    """
    known = _Known(session, evidence, choice)
    of = " of the record" if choice.role is Role.RECORD else ""
    replayed = known.replay(session)
    abandon = choice.abandon is not None and not (known.begun and not replayed.lost)
    try:
        found = continued(
            replayed, known.boot_id, now_ms=now_ms, abandon=abandon, unsigned=choice.unsigned
        )
    except HistoryRefused as error:
        if choice.role is Role.RECORD and isinstance(error, HistoryShorter):
            error.remedy = _RECORD_COPY
        raise
    if known.begun is not None and not found.log.size and choice.abandon is None:
        raise _begun_before(known.begun)
    if found.abandons != EMPTY_LOG and choice.abandon is None:
        say(
            f"a permit gave this{of} up before, and no stored leaf shows that it reached its boot;"
            f" so this one says it again. The reason was: {known.abandoned[0].reason}"
        )
    if not known.stored:
        say(f"no log{of} is stored: this boot begins an empty one")
    if not known.remembered and known.stored:
        say(
            f"this folder remembers no head of the log{of} yet: that an old copy was put there is"
            " not excluded this once"
        )
    if found.unpulled.size and choice.role is Role.SIGNER:
        say(
            f"leaves of this boot up to {found.unpulled.size} are not stored yet: `strongroom log"
            " pull` before it ends, or they are lost with it"
        )
    return found


def remember_permit(
    session: OwnerSession,
    evidence: VerifiedEvidence,
    draft: Permit,
    choice: LogChoice,
    now_ms: int,
) -> None:
    """Remembers the history that a permit names, and what evidence shows; before it is signed.

    Raises:
        MemoryUnwritable: it may not be remembered, so nothing must be signed.
    """
    bundle = evidence.bundle
    log = log_origin(bundle.owner_root, session.manifest.manifest.account, choice.role)
    goes_on = draft.continues(choice.role).head
    named = RememberedHead(goes_on, How.PERMIT, now_ms, bundle.boot_id, f"permit {draft.serial}")
    heads, abandons, reason = [named], None, choice.abandon
    if (gone := given_up_by(draft, choice.role)) != EMPTY_LOG:
        abandons = gone
        before = session.folder.heads.abandoned(log)
        reason = reason or (before[-1].reason if before else "")
    shown = evidence.keys(choice.role).head
    if shown.size > goes_on.size:
        heads.append(RememberedHead(shown, How.SHOWN, now_ms, bundle.boot_id, "its evidence"))
    session.folder.heads.remember(log, heads, abandons=abandons, reason=reason or "")


def check_draft(
    session: OwnerSession,
    evidence: VerifiedEvidence,
    draft: Permit,
    choice: LogChoice,
    now_ms: int,
) -> None:
    """Proves that a co-owner's draft names the history that this owner knows, too.

    An owner who has neither a copy nor a memory of the log is told so: he signs on the word of the
    one who drafted it.

    Raises:
        DraftDiffers: it names another one, gives up another head, or dates it otherwise.
        HistoryRefused: see `history_to_continue`.
    """
    known = _Known(session, evidence, choice)
    goes_on, gone = draft.continues(choice.role).head, given_up_by(draft, choice.role)
    if not known.stored and not known.remembered:
        if goes_on.size:
            warn(
                "you have neither a copy nor a memory of this log: that its history is the right"
                " one is the word of who drafted the permit. Name a copy with --log DIR"
            )
        if known.begun is not None and not goes_on.size and choice.abandon is None:
            raise _begun_before(known.begun)
        if gone.size:
            warn("what is given up, and why, ask whoever drafted it")
        _check_time(draft, 0, now_ms)
        return
    mine = history_to_continue(session, evidence, choice, now_ms)
    if goes_on != mine.log.head:
        raise DraftDiffers(
            "the draft continues another history than your copy of the log has",
            expected=_words(mine.log.head),
            actual=_words(goes_on),
            remedy="bring both copies up to date (`strongroom log pull`, or copy the folder), and"
            " find out which is right before you sign",
        )
    less = gone.size < mine.abandons.size
    if less or (gone.size == mine.abandons.size and gone != mine.abandons):
        raise DraftDiffers(
            "the draft does not say that it gives up all that you know and it lacks",
            expected=_words(mine.abandons),
            actual=_words(gone),
            remedy="ask whoever drafted it what became of those leaves; bring the larger head to"
            " his folder, and have it drafted anew",
        )
    if choice.role is Role.RECORD and draft.record_root != mine.root:
        raise DraftDiffers(
            "the draft names other states of the accounts than the record's log ends with",
            expected=mine.root.hex(),
            actual=draft.record_root.hex(),
            remedy="do not sign it: the record would refuse its states, or begin without them",
        )
    if gone != mine.abandons:
        warn("the draft gives up leaves that you do not know of: ask whoever drafted it")
    _check_time(draft, mine.not_before, now_ms)


def remember_begun(session: OwnerSession, boot_id: bytes, draft: Permit) -> None:
    """Remembers that a boot was permitted to begin the record's log empty, if it was: once the boot
    has taken the permit.

    Raises:
        MemoryDamaged, MemoryUnwritable: it may not be remembered.
    """
    document = session.manifest.manifest
    if document.accounts and not draft.continues(Role.RECORD).size:
        log = log_origin(draft.owner_root, document.account, Role.RECORD)
        now_ms, what = time.time_ns() // 1_000_000, f"permit {draft.serial}"
        head = RememberedHead(EMPTY_LOG, How.PERMIT, now_ms, boot_id, what)
        session.folder.heads.remember(log, [head], begins=True)


def _begun_before(begun: RememberedHead) -> RecordBegun:
    when = datetime.fromtimestamp(begun.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return RecordBegun(
        f"boot {begun.boot.hex()[:16]} began the record's log ({begun.what}, {when}), and this"
        " permit would begin an empty one in its place",
        expected="the record's log up to its end",
        actual="no leaf of it in the stored copy",
        remedy=_RECORD_COPY,
    )


def _check_time(draft: Permit, least: int, now_ms: int) -> None:
    if not least <= draft.not_before <= now_ms + _SLACK_MS:
        raise DraftDiffers(
            "the draft names a time as passed that is not that of the log's newest leaf",
            expected=f"{least} to {now_ms} ms since 1970",
            actual=draft.not_before,
            remedy="one of the copies is old, or a clock is wrong; have it drafted anew",
        )


def _words(head: LogHead) -> str:
    return f"{head.size} leaves, root {head.root.hex()}" if head.size else "nothing"


def _signed_heads(files: FolderLog, log: str, session: OwnerSession, role: Role) -> list[Vouched]:
    """The signed heads that are stored with a log, of boots whose evidence is stored as well."""
    found = []
    notes = files.checkpoint, files.note, files.read(WITNESSED)
    for data in dict.fromkeys(filter(None, notes)):
        try:
            note = Note.parse(data)
            boots = [
                prove_boot(boot, session.policy.trust, session.policy.owner_root, role)
                for boot in Boots(files.folder)
                if _may_have_signed(boot, log, note, role)
            ]
            keys = {proved.key: proved.boot_id for proved in boots}
            signed = open_checkpoint(data, log, keys)
        except (LogError, WireError) as error:
            # It vouches for nothing then; whether something else does, the replay says.
            warn(f"a stored checkpoint counts for nothing: {error}")
            continue
        boot_id = keys[signed.signers[0]]
        found.append(Vouched(signed.head, f"signed by boot {boot_id.hex()[:16]}", boot=boot_id))
    return found


def _may_have_signed(boot: StoredBoot, log: str, note: Note, role: Role) -> bool:
    roles = Bundle.parse(boot.bundle).roles
    keys = [VerifierKey(log, each.receipt) for each in roles if each.role is role]
    by = {(signature.name, signature.key_id) for signature in note.signatures}
    return any((key.name, key.id) in by for key in keys)
