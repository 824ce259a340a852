"""A proof that a leaf is in a log, as a file: C2SP tlog-proof, version 1.

    c2sp.org/tlog-proof@v1
    extra BASE64                the leaf itself, so that the file suffices; left out if empty
    index N
    BASE64                      the hashes beside the path, lowest first (RFC 6962, section 2.1.1)
                                an empty line
    the signed checkpoint, as it is

Whoever has the keys of the log checks it offline, with this or any other tool of that document.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

from strongroom_wire.merkle import leaf_hash

from strongroom_host.log.errors import ProofMalformed
from strongroom_host.log.notes import MAX_NOTE, SignedHead
from strongroom_host.log.proofs import verify_inclusion
from strongroom_host.log.tiles import MAX_ENTRY

__all__ = ["MAX_PROOF_FILE", "PROOF_HEADER", "InclusionProof"]

PROOF_HEADER: Final = b"c2sp.org/tlog-proof@v1\n"
MAX_PROOF_FILE: Final = MAX_NOTE + 2 * MAX_ENTRY + 8192
"""Upper bound in bytes: a note, an entry in base64, and the hashes."""
_MAX_HASHES: Final = 64
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,19})")


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """The file's parts; what they are worth, `check` says."""

    index: int
    hashes: tuple[bytes, ...]
    note: bytes
    extra: bytes = b""

    def check(self, leaf: bytes, signed: SignedHead) -> None:
        """Proves that the leaf is at `index` of the log of a head that was opened from `note`.

        Raises:
            NotIncluded: it is not.
        """
        verify_inclusion(leaf_hash(leaf), self.index, signed.head, self.hashes)

    def serialise(self) -> bytes:
        """The file's bytes."""
        lines = [f"extra {b64encode(self.extra).decode()}"] if self.extra else []
        lines += [f"index {self.index}", *(b64encode(each).decode() for each in self.hashes), ""]
        return PROOF_HEADER + "".join(f"{line}\n" for line in lines).encode() + self.note

    @classmethod
    def parse(cls, data: bytes) -> InclusionProof:
        """The proof in a file; `serialise` gives the same bytes back.

        Raises:
            ProofMalformed: too long, another header, an index or a hash that is none, or another
                spelling of one.
        """
        if len(data) > MAX_PROOF_FILE:
            raise ProofMalformed("a proof is too long", expected=MAX_PROOF_FILE, actual=len(data))
        before, empty, note = data.removeprefix(PROOF_HEADER).partition(b"\n\n")
        try:
            lines = before.decode("ascii").split("\n")
            extra = b""
            if lines[0].startswith("extra "):
                extra = b64decode(lines.pop(0).removeprefix("extra "), validate=True)
            index = _INDEX.fullmatch(lines[0] if lines else "")
            hashes = tuple(b64decode(line, validate=True) for line in lines[1:])
        except (UnicodeDecodeError, binascii.Error) as error:
            raise ProofMalformed("no tlog-proof", actual=str(error)[:200]) from error
        found = cls(int(index[1]) if index else 0, hashes, note, extra)
        whole = len(hashes) <= _MAX_HASHES and all(len(each) == 32 for each in hashes)
        if not (index and empty and whole and found.index < 1 << 64 and found.serialise() == data):
            raise ProofMalformed(
                "no tlog-proof",
                expected="c2sp.org/tlog-proof@v1, index, hashes, an empty line, a checkpoint",
                actual=data[:80],
            )
        return found
