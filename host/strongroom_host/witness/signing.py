"""What a witness decides: to cosign a head, or why not. Bytes in, bytes out; the clock is given.

The steps, their order and what each failure is called are those of C2SP tlog-witness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from strongroom_wire.bundle import EMPTY_LOG

from strongroom_host.log.errors import HeadsInconsistent, LogError, SignatureWrong
from strongroom_host.log.notes import (
    Checkpoint,
    Note,
    NoteSignature,
    SignatureType,
    VerifierKey,
    cosign,
)
from strongroom_host.log.proofs import verify_consistency
from strongroom_host.log.submissions import Introduction, Submission
from strongroom_host.log.witness_errors import SubmissionMalformed
from strongroom_host.witness.errors import (
    ClockBackwards,
    HistoryContradicted,
    OriginUnknown,
    RequestMalformed,
    SignerUnknown,
    SizeConflict,
)
from strongroom_host.witness.folder import WitnessKey
from strongroom_host.witness.introductions import verify_introduction
from strongroom_host.witness.memory import Memory, Recorded

__all__ = ["MAX_SETBACK_S", "Witness"]

MAX_SETBACK_S: Final = 60
"""How far, in seconds, the clock may be behind a time that was signed; beyond it nothing is."""


class Witness:
    """Cosigns one history of each log that it follows. `now` returns Unix seconds."""

    def __init__(self, key: WitnessKey, memory: Memory, now: Callable[[], float]) -> None:
        self._key, self._memory, self._now = key, memory, now

    def add_checkpoint(self, body: bytes) -> bytes:
        """The signature line for a submitted checkpoint; what it says is durable by then.

        Raises:
            RequestMalformed, OriginUnknown, SignerUnknown, SizeConflict, HistoryContradicted,
            ClockBackwards: what the class says, and nothing is signed.
            MemoryBroken: it could not be made durable, and nothing is given out.
        """
        try:
            submission = Submission.parse(body)
            note = Note.parse(submission.note)
            checkpoint = Checkpoint.parse(note.text)
        except (SubmissionMalformed, LogError) as error:
            raise RequestMalformed(error.what, actual=error.actual) from error
        signed = self._signed(note, checkpoint.origin)
        head = checkpoint.head
        if submission.old > head.size:
            raise RequestMalformed(
                "the old size is above the new one", expected=head.size, actual=submission.old
            )

        def judge(before: Recorded | None) -> Recorded:
            known = EMPTY_LOG if before is None else before.head
            if submission.old != known.size:
                raise SizeConflict(known.size, submission.old)
            try:
                verify_consistency(known, head, submission.proof)
            except HeadsInconsistent as error:
                raise HistoryContradicted(
                    f"this does not continue the {known.size} leaves that were cosigned",
                    expected=error.expected,
                    actual=error.actual,
                ) from error
            seconds = self._seconds(before)
            line = cosign(note.text, self._key.name, self._key.private, seconds)
            return Recorded(head, seconds, Note(note.text, (*signed, line)).serialise())

        try:
            recorded = self._memory.advance(checkpoint.origin, judge)
        except (SizeConflict, HistoryContradicted):
            self._keep_contradiction(checkpoint, Note(note.text, signed).serialise())
            raise
        return str(Note.parse(recorded.note).signatures[-1]).encode()

    def add_boot(self, body: bytes) -> tuple[VerifierKey, ...]:
        """Takes the keys of a boot that followed owners let sign, and returns them.

        Repeating it changes nothing.

        Raises:
            RequestMalformed, IntroductionRefused: see `verify_introduction`.
            OriginUnknown: these owners, or this account, are not followed.
            OwnersOutdated: others have taken over from them.
        """
        try:
            introduction = Introduction.parse(body)
        except SubmissionMalformed as error:
            raise RequestMalformed(error.what) from error
        boot = verify_introduction(introduction)
        followed = self._memory.owners(boot.owners.root, boot.owners.account)
        if followed is None:
            raise OriginUnknown("these owners' logs are not followed here")
        self._memory.accept_boot(followed, boot.succeed, boot.boot_id, boot.keys)
        return boot.keys

    def checkpoint(self, origin_hash: str) -> bytes | None:
        """The newest note of a log that was cosigned, for monitors; None where there is none."""
        return self._memory.note(origin_hash)

    def _signed(self, note: Note, origin: str) -> tuple[NoteSignature, ...]:
        """The signatures of the log's known keys, all of them verified; others are ignored."""
        if not self._memory.follows(origin):
            raise OriginUnknown("this log is not followed here")
        logs = self._memory.keys(origin)
        try:
            signers = note.verify([key for key in logs if key.kind is SignatureType.ED25519])
        except SignatureWrong as error:
            raise SignerUnknown(error.what) from error
        if not signers:
            raise SignerUnknown("no key that is known here to be the log's has signed this")
        named = {(key.name, key.id) for key in signers}
        return tuple(s for s in note.signatures if (s.name, s.key_id) in named)

    def _seconds(self, before: Recorded | None) -> int:
        """The time to sign: what is signed later must not be dated earlier."""
        now, last = int(self._now()), 0 if before is None else before.seconds
        if now <= 0 or now < last - MAX_SETBACK_S:
            raise ClockBackwards(
                "this witness's clock is behind a time that it has signed",
                expected=last,
                actual=now,
                remedy="set the clock right; if it was ahead before, make a new witness",
            )
        return max(now, last)

    def _keep_contradiction(self, checkpoint: Checkpoint, note: bytes) -> None:
        """Two signed heads of one size and two roots are proof of two histories, whoever asks."""
        recorded = self._memory.recorded(checkpoint.origin)
        if recorded is None or recorded.head.size != checkpoint.head.size:
            return
        if recorded.head.root != checkpoint.head.root:
            self._memory.contradicted(checkpoint.origin, note, recorded.note)
