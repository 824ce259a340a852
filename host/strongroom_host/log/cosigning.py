"""Cosignatures for a log's newest head, from the witnesses that its manifest names.

A witness signs one history of a log and no other. So a head that enough of them cosigned is the one
that everybody is shown: `witnessed` says how much of a log that is true of.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from strongroom_wire.bundle import LogHead
from strongroom_wire.manifest import Manifest

from strongroom_host.errors import BadInput, HostError
from strongroom_host.log import proofs
from strongroom_host.log.errors import HeadsInconsistent, LogError, NoteMalformed, SignatureWrong
from strongroom_host.log.notes import Checkpoint, Note, NoteSignature, SignatureType, VerifierKey
from strongroom_host.log.submissions import Introduction, Submission
from strongroom_host.log.tree import LogReader
from strongroom_host.log.witness_client import Cosigned, WitnessClient, check_url
from strongroom_host.log.witness_errors import (
    CosignatureWrong,
    HistoryRefused,
    KeyUnknown,
    LogUnknown,
    WitnessAhead,
    WitnessBusy,
    WitnessFault,
    WitnessUnreachable,
)

__all__ = [
    "MAX_SKEW_S",
    "Cosigner",
    "WitnessAt",
    "WitnessProblem",
    "cosign",
    "parse_witness",
    "witnesses_at",
]

MAX_SKEW_S: Final = 300
"""How far a witness's clock may be from ours, in seconds, at the moment it signs."""

_FRESH_S: Final = 120
"""For how long after a cosignature the same witness is not asked again about the same head."""
_FIRST_PAUSE_S: Final = 2.0
_LONGEST_PAUSE_S: Final = 30.0
"""How long a witness that could not be reached is left alone, doubled each time."""


@dataclass(frozen=True, slots=True)
class WitnessAt:
    """A witness: its name and key as the manifest has them, and the URL prefix to ask it at."""

    key: VerifierKey
    url: str

    def __post_init__(self) -> None:
        check_url(self.url)
        if self.key.kind is not SignatureType.COSIGNATURE:
            raise CosignatureWrong(
                f"the key of {self.key.name} is none of a witness",
                expected="a vkey of type 4 (cosignature/v1)",
                actual=str(self.key),
            )


@dataclass(frozen=True, slots=True)
class WitnessProblem:
    """Why a witness has not cosigned.

    Where it refuses a head for another history, or knows more leaves, `evidence` is the note that
    it did cosign, verified, if it shows one. `contradicts` says that this note is of a history that
    the stored log is not, with no more leaves: the log was forked or edited, or leaves of it were
    lost and others put there. Nothing should be acted upon then before a person looked. A witness
    that is ahead proves no such thing: once the missing leaves are stored, it can be asked again.
    """

    witness: WitnessAt
    error: HostError
    evidence: bytes | None = None
    contradicts: bool = False

    def __str__(self) -> str:
        actual = "" if self.error.actual in (None, "") else f" ({self.error.actual})"
        return f"witness {self.witness.key.name}: {self.error.what}{actual}"


class Cosigner:
    """Asks the same witnesses for one head after another, over connections that are kept.

    Belongs to one thread, in which no event loop runs. `now` returns Unix seconds. A witness that
    has cosigned a head is not asked again about it for a while, and one that cannot be reached not
    at every call, so that it does not hold up the others.
    """

    def __init__(
        self,
        witnesses: Sequence[WitnessAt],
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        client: Callable[[], WitnessClient] = WitnessClient,
    ) -> None:
        self._witnesses, self._now, self._monotonic = tuple(witnesses), now, monotonic
        self._sizes: dict[VerifierKey, int] = {}
        """What each witness has cosigned last, as far as is known here."""
        self._given: dict[VerifierKey, tuple[bytes, NoteSignature]] = {}
        self._paused: dict[VerifierKey, tuple[float, float, WitnessFault]] = {}
        """Until when nobody asks, how long that is, and why."""
        self._runner = asyncio.Runner()
        self._client = client()

    def cosign(
        self, note: bytes, reader: LogReader, introduction: Introduction | None = None
    ) -> tuple[bytes, tuple[WitnessProblem, ...]]:
        """The note with the cosignatures added that could be had, and why others could not.

        A cosignature that the note had of the same witness is replaced by the newer one.

        Args:
            note: The checkpoint as the log signed it.
            reader: The stored log, of at least as many leaves.
            introduction: What shows the boot's key to witnesses that do not know it yet.

        Raises:
            NoteMalformed, CheckpointMalformed: `note` is no checkpoint.
            HeadsInconsistent, OutsideLog: the stored log has another history, or too few leaves.
            TileMissing, TileMalformed: the stored log has not what a proof takes.
        """
        parsed = Note.parse(note)
        checkpoint = Checkpoint.parse(parsed.text)
        head = checkpoint.head
        if (stored := proofs.head(head.size, reader.hashes)) != head:
            raise HeadsInconsistent(
                "the head to be cosigned is of another history than the one stored",
                expected=stored.root.hex(),
                actual=head.root.hex(),
            )
        asked = self._runner.run(
            self._ask_all(_Asked(parsed, checkpoint.origin, head, reader, introduction))
        )
        problems, signatures = [], list(parsed.signatures)
        for answer in asked:
            if isinstance(answer, WitnessProblem):
                problems.append(answer)
            else:
                by = (answer.name, answer.key_id)
                signatures = [s for s in signatures if (s.name, s.key_id) != by] + [answer]
        return Note(parsed.text, tuple(signatures)).serialise(), tuple(problems)

    def close(self) -> None:
        """Ends the connections."""
        self._runner.run(self._client.close())
        self._runner.close()

    def __enter__(self) -> Cosigner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _ask_all(self, asked: _Asked) -> list[NoteSignature | WitnessProblem]:
        """One answer for each witness, in their order; all are asked at once."""

        async def one(witness: WitnessAt) -> NoteSignature | WitnessProblem:
            until, pause, reason = self._paused.get(witness.key, (0.0, 0.0, None))
            if reason is not None and self._monotonic() < until:
                return WitnessProblem(witness, reason)
            try:
                signature = await self._ask(witness, asked)
                self._paused.pop(witness.key, None)
                return signature
            except WitnessUnreachable as error:
                pause = min(max(2 * pause, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
                self._paused[witness.key] = self._monotonic() + pause, pause, error
                return WitnessProblem(witness, error)
            except (HistoryRefused, WitnessAhead) as error:
                return WitnessProblem(witness, error, *await self._evidence(witness, asked))
            except WitnessFault as error:
                return WitnessProblem(witness, error)

        return await asyncio.gather(*map(one, self._witnesses))

    async def _ask(self, witness: WitnessAt, asked: _Asked) -> NoteSignature:
        text, given = self._given.get(witness.key, (b"", None))
        if given is not None and text == asked.note.text and self._age(given) < _FRESH_S:
            return given
        old = min(self._sizes.get(witness.key, 0), asked.head.size)
        introduction, corrected = asked.introduction, False
        while True:
            try:
                answer = await self._client.add_checkpoint(witness.url, asked.after(old))
            except (KeyUnknown, LogUnknown):
                if introduction is None:
                    raise
                await self._client.add_boot(witness.url, introduction)
                introduction = None
                continue
            if isinstance(answer, Cosigned):
                signature = self._verified(witness.key, asked, answer.lines)
                self._sizes[witness.key] = asked.head.size
                self._given[witness.key] = asked.note.text, signature
                return signature
            self._sizes[witness.key] = answer.size
            if answer.size > asked.head.size:
                raise WitnessAhead(
                    f"{witness.url} has cosigned more leaves of this log than there are here",
                    expected=f"at most {asked.head.size}",
                    actual=answer.size,
                    remedy="leaves were lost, an old copy was restored, or the log is forked: keep"
                    " this copy as it is, and look for the other history",
                )
            if answer.size == old == asked.head.size:  # so said C2SP until 2026: now it is 422
                raise HistoryRefused(
                    f"{witness.url} has cosigned another history of {old} leaves",
                    remedy="keep this copy as it is, and look for the other history",
                )
            if corrected or answer.size == old:
                raise WitnessBusy(
                    f"{witness.url} moves on while it is asked",
                    remedy="is a second keeper at work on this log?",
                )
            old, corrected = answer.size, True

    async def _evidence(self, witness: WitnessAt, asked: _Asked) -> tuple[bytes | None, bool]:
        """What the witness did cosign and the stored log does not show; whether it contradicts."""
        try:
            found = await self._client.checkpoint(witness.url, asked.origin)
            note = None if found is None else Note.parse(found)
            if note is None or witness.key not in note.verify([witness.key]):
                return None, False
            checkpoint = Checkpoint.parse(note.text)
        except (WitnessFault, LogError):
            return None, False
        head, within = checkpoint.head, checkpoint.head.size <= asked.head.size
        contained = within and proofs.head(head.size, asked.reader.hashes) == head
        if checkpoint.origin != asked.origin or contained:
            return None, False
        return found, within

    def _age(self, signature: NoteSignature) -> float:
        return abs(self._now() - int.from_bytes(signature.value[:8], "big"))

    def _verified(self, key: VerifierKey, asked: _Asked, lines: bytes) -> NoteSignature:
        """The one line by the witness's key, proved to be its cosignature of this head, made now.

        Lines by other keys are ignored, as the protocol demands.
        """
        try:
            found = Note.parse(asked.note.text + b"\n" + lines)
            times = found.verify([key]) if found.text == asked.note.text else {}
        except (NoteMalformed, SignatureWrong) as error:
            raise CosignatureWrong(
                f"the answer of {key.name} is no cosignature of this head",
                expected=f"made by {key}",
                actual=error.actual or error.what,
                remedy="the witness has another key than the manifest names, or signed something"
                " else",
            ) from error
        by_it = [s for s in found.signatures if (s.name, s.key_id) == (key.name, key.id)]
        if len(by_it) != 1 or key not in times:
            raise CosignatureWrong(
                f"{key.name} gives no cosignature, or several, by the key that the manifest names",
                expected=f"one line by {key.name}+{key.id.hex()}",
                actual=", ".join(f"{s.name}+{s.key_id.hex()}" for s in found.signatures),
            )
        if abs(times[key] - self._now()) > MAX_SKEW_S:
            raise CosignatureWrong(
                f"{key.name} dates its cosignature otherwise than now",
                expected=f"within {MAX_SKEW_S} s of {int(self._now())}",
                actual=times[key],
                remedy="one of the two clocks is wrong, or the signature is an old one",
            )
        return by_it[0]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What all witnesses are asked about."""

    note: Note
    origin: str
    head: LogHead
    reader: LogReader
    introduction: Introduction | None

    def after(self, old: int) -> Submission:
        """The submission to a witness that has cosigned `old` leaves."""
        by_log = tuple(s for s in self.note.signatures if s.name == self.origin)
        proof = proofs.consistency_proof(old, self.head.size, self.reader.hashes)
        return Submission(old, proof, Note(self.note.text, by_log).serialise())


def cosign(
    note: bytes,
    reader: LogReader,
    witnesses: Sequence[WitnessAt],
    introduction: Introduction | None = None,
    *,
    now: Callable[[], float] = time.time,
) -> tuple[bytes, tuple[WitnessProblem, ...]]:
    """The note with the cosignatures added that could be had: see `Cosigner.cosign`."""
    if not witnesses:
        return note, ()
    with Cosigner(witnesses, now=now) as cosigner:
        return cosigner.cosign(note, reader, introduction)


def witnesses_at(manifest: Manifest, urls: Sequence[tuple[str, str]]) -> tuple[WitnessAt, ...]:
    """The manifest's witnesses that a URL is known for.

    Raises:
        BadInput: a name is none of the manifest's, or a URL is none.
    """
    keys = {
        witness.name: VerifierKey(
            witness.name, bytes.fromhex(witness.key), SignatureType.COSIGNATURE
        )
        for witness in manifest.witnesses
    }
    for name, _ in urls:
        if name not in keys:
            raise BadInput(
                f"the manifest names no witness {name!r}",
                expected=", ".join(keys) or "none: it has no witnesses",
                remedy="correct --witness, or `strongroom manifest new --witness VKEY`",
            )
    return tuple(WitnessAt(keys[name], url) for name, url in urls)


def parse_witness(text: str) -> tuple[str, str]:
    """Returns a witness's name in the manifest and where to ask it, out of NAME=URL.

    Raises:
        BadInput: it is not that.
    """
    name, equals, url = text.partition("=")
    if not (name and equals and url):
        raise BadInput(f"{text!r} names no witness", expected="NAME=URL, the manifest's name")
    return name, url
