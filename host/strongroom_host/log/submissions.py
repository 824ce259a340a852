"""What a log sends to its witnesses: C2SP tlog-witness `add-checkpoint`, and boots to be accepted.

The first is that document's; any witness understands it. The second, `add-boot`, is ours: a log
here is signed by a new key in every boot, and a witness that follows the log by its owners takes
the key from what they signed (`witness/decisions/0001-keys-by-permit.md`).
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from strongroom_wire.encoding import MAX_STATEMENT, pack, unpack_fields
from strongroom_wire.errors import WireError

from strongroom_host.log.notes import MAX_NOTE
from strongroom_host.log.witness_errors import SubmissionMalformed

__all__ = [
    "ADD_BOOT",
    "ADD_CHECKPOINT",
    "MAX_PROOF",
    "MAX_SUBMISSION",
    "SIZE_TYPE",
    "Introduction",
    "Submission",
    "checkpoint_path",
    "parse_size",
]

ADD_CHECKPOINT: Final = "add-checkpoint"
ADD_BOOT: Final = "add-boot"
SIZE_TYPE: Final = "text/x.tlog.size"
"""Media type of the answer that names the size the witness has cosigned."""
MAX_PROOF: Final = 63
"""Upper bound of hashes in a consistency proof: no tree below 2**64 leaves has a longer one."""
MAX_SUBMISSION: Final = MAX_NOTE + 4096
"""Upper bound in bytes: a note, and the lines before it."""
_INTRODUCTION: Final = b"strongroom/introduction/v1"
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,19}")


@dataclass(frozen=True, slots=True)
class Submission:
    """A signed checkpoint, with the proof that it contains the `old` leaves cosigned before."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    def serialise(self) -> bytes:
        """The body of the request."""
        lines = (f"old {self.old}", *(b64encode(each).decode() for each in self.proof), "")
        return "".join(f"{line}\n" for line in lines).encode() + self.note

    @classmethod
    def parse(cls, data: bytes) -> Submission:
        """The submission in `data`; the note in it is not looked at. `serialise` gives the same.

        Raises:
            SubmissionMalformed: too long, no old size, or a line before the empty one that is no
                hash of 32 bytes in canonical base64.
        """
        if len(data) > MAX_SUBMISSION:
            raise SubmissionMalformed(
                "a submission is too long", expected=MAX_SUBMISSION, actual=len(data)
            )
        before, empty, note = data.partition(b"\n\n")
        try:
            first, *lines = before.decode("ascii").split("\n")
            old = parse_size(first.removeprefix("old "))
            proof = tuple(b64decode(line, validate=True) for line in lines)
        except (UnicodeDecodeError, binascii.Error, ValueError) as error:
            raise SubmissionMalformed("no submission", actual=str(error)[:200]) from error
        found = cls(old, proof, note)
        whole = len(proof) <= MAX_PROOF and all(len(each) == 32 for each in proof)
        if not (empty and whole and found.serialise() == data):
            raise SubmissionMalformed(
                "no submission",
                expected=f"`old N`, up to {MAX_PROOF} hashes, an empty line, a checkpoint",
                actual=data[:80],
            )
        return found


@dataclass(frozen=True, slots=True)
class Introduction:
    """What shows a witness that a boot's key is the log's: the manifest and a permit, each with the
    owners' signatures (serialised `Statement`), and the bundle that the permit names by its keys.

    It discloses limits and budgets to the witness, and no secret.
    """

    manifest: bytes
    permit: bytes
    bundle: bytes

    def serialise(self) -> bytes:
        """The body of the request."""
        return pack(_INTRODUCTION, self.manifest, self.permit, self.bundle)

    @classmethod
    def parse(cls, data: bytes) -> Introduction:
        """The introduction in `data`; what it is worth is not said.

        Raises:
            SubmissionMalformed: another layout, or above 1 MiB.
        """
        try:
            return cls(*unpack_fields(_INTRODUCTION, data, None, None, None, limit=MAX_STATEMENT))
        except WireError as error:
            raise SubmissionMalformed(f"no introduction of a boot: {error}") from error


def parse_size(text: str) -> int:
    """The tree size in plain decimal, or ValueError."""
    # The pattern refuses what `int` also takes: signs, underscores, spaces, other digits.
    if _SIZE.fullmatch(text) is None or int(text) >> 64:
        raise ValueError(f"no tree size: {text[:40]!r}")
    return int(text)


def checkpoint_path(origin: str) -> str:
    """Where a witness serves the newest head of this log that it cosigned, for monitors."""
    return f"{sha256(origin.encode()).hexdigest()}/checkpoint"
