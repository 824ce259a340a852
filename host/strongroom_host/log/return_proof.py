"""One disclosed return as a file that proves itself: from the platform's evidence down to the row.

    evidence of boots ─► image, manifest, the record's key ─► signed head ─► leaf (C2SP tlog-proof)
    leaf ─► its opening, the returns receipt ─► root of the receipt's rows ─► path ─► row

JSON, bytes in base64. Whoever is given it needs a trust file and knows whose record it has to be;
nothing is asked of a network. It discloses the one row and the receipt, which names how many rows
there are and no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from strongroom_wire.bundle import Bundle, Role
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Leaf

from strongroom_host.contract.roles import role_keys
from strongroom_host.log.attested import ProvedBoot, prove_boot
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.errors import BootUnproved, OutsideLog, ProofMalformed, ReceiptUnfit
from strongroom_host.log.notes import Note, SignedHead, VerifierKey, open_checkpoint
from strongroom_host.log.returns import ProvedHour, prove_hour
from strongroom_host.log.sources import LogSource, read_boot, reader_of
from strongroom_host.log.stored import head_of
from strongroom_host.log.tlog_proof import InclusionProof
from strongroom_host.log.tree import LogReader
from strongroom_host.trust.record import Trust

__all__ = ["MAX_RETURN_PROOF", "ProvedReturn", "ReturnProof", "prove_return", "return_proof"]

MAX_RETURN_PROOF: Final = 16 << 20
"""Upper bound of a file in bytes."""
_HASH: Final = 32


class ReturnProof(Struct, frozen=True, forbid_unknown_fields=True):
    """The file's parts; what they are worth, `prove_return` says.

    Attributes:
        row: A `PublishedHour` as it was signed.
        position: Its place among the rows of its receipt.
        path: The hashes beside the way from it to the receipt's root, lowest first.
        opening: What the leaf commits to: 32 bytes of salt, and the `ReturnsReceipt`.
        inclusion: The leaf, its place in the log, and a signed head (C2SP tlog-proof).
        evidence: `StoredBoot` files: of the boot that wrote the leaf and signed the head.
    """

    format: Literal["strongroom-return/1"]
    row: bytes
    position: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    path: tuple[bytes, ...]
    opening: bytes
    inclusion: bytes
    evidence: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=4)]

    @property
    def note(self) -> bytes:
        """The signed head.

        Raises:
            ProofMalformed: there is none.
        """
        return InclusionProof.parse(self.inclusion).note

    def serialise(self) -> bytes:
        """Returns the file's bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> ReturnProof:
        """Returns what is in a file.

        Raises:
            ProofMalformed: too long, or no such file.
        """
        if len(data) > MAX_RETURN_PROOF:
            raise ProofMalformed("a proof is too long", expected=MAX_RETURN_PROOF, actual=len(data))
        try:
            found = msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProofMalformed("this is no proof of a return", actual=error) from error
        if any(len(each) != _HASH for each in found.path):
            raise ProofMalformed("a hash of the path is none", expected=f"{_HASH} bytes each")
        return found


@dataclass(frozen=True, slots=True)
class ProvedReturn:
    """A return that is proved, and by which boot it was written.

    Attributes:
        found: The row and its receipt.
        leaf: The log's leaf that commits to the receipt.
        signed: The head that has the leaf.
        writer: The boot that computed it, and signed the head: image and manifest.
    """

    found: ProvedHour
    leaf: Leaf
    signed: SignedHead
    writer: ProvedBoot


def return_proof(
    source: LogSource,
    leaf_index: int,
    row: bytes,
    position: int,
    path: Sequence[bytes],
    opening: bytes,
) -> ReturnProof:
    """Puts a file together from a log and what a reader has of one row; nothing is verified.

    Raises:
        OutsideLog: no signed head that is stored has the leaf.
        LogError: the log cannot be read, or lacks the evidence of a boot.
    """
    if not 0 <= leaf_index < source.size:
        raise _unsigned(source, leaf_index)
    [entry] = reader_of(source).entries(leaf_index, leaf_index + 1)
    try:
        writer = read_boot(source, Leaf.parse(entry).epoch)
    except WireError as error:
        raise OutsideLog(f"no leaf stands at {leaf_index}", actual=error) from error
    note = _newest(source, leaf_index, writer)
    reader = LogReader(source, head_of(note), source.size)
    proved = InclusionProof(leaf_index, reader.inclusion_proof(leaf_index), note, entry)
    parts = row, position, tuple(path), opening, proved.serialise(), (writer.serialise(),)
    return ReturnProof("strongroom-return/1", *parts)


def prove_return(proof: ReturnProof, trust: Trust, owner_root: bytes) -> ProvedReturn:
    """Proves that a trusted image of these owners computed the return and logged its receipt.

    The boot that computed it has to have signed the head itself. A later one takes the leaves
    before its own from the permit of its owners: whoever owns a record could put some in there.

    Not proved by one file: that the log is the one that others are shown (witnesses, and `log
    verify`), and that rows which nobody handed over do not exist.

    Raises:
        BootUnproved: the evidence of the boot that wrote the leaf, or signed the head, is not there
            or proves nothing.
        CheckpointUnsigned, SignatureWrong, NotIncluded, ProofMalformed: the leaf is not in the log.
        WrongOpening, ReceiptUnfit, NotIncluded, Malformed: the row is not what the leaf commits to.
    """
    boots = [
        prove_boot(StoredBoot.parse(each), trust, owner_root, Role.RECORD)
        for each in proof.evidence
    ]
    inclusion = InclusionProof.parse(proof.inclusion)
    origin = boots[0].key.name
    keys = [boot.key for boot in boots]
    inclusion.check(inclusion.extra, signed := open_checkpoint(inclusion.note, origin, keys))
    leaf = Leaf.parse(inclusion.extra)
    writer = [boot for boot in boots if boot.boot_id == leaf.epoch]
    if not writer:
        raise BootUnproved(
            "no evidence of the boot that computed the return",
            expected=leaf.epoch.hex(),
            actual=[boot.boot_id.hex() for boot in boots],
        )
    if writer[0].key not in signed.signers:
        raise BootUnproved(
            "the boot that computed the return did not sign the head that has it",
            expected=str(writer[0].key),
            actual=", ".join(map(str, signed.signers)),
            remedy="ask whoever keeps the record's log for a proof under a head of that boot",
        )
    found = prove_hour(proof.row, proof.position, proof.path, leaf, proof.opening)
    _require_of(writer[0], found)
    return ProvedReturn(found, leaf, signed, writer[0])


def _require_of(boot: ProvedBoot, found: ProvedHour) -> None:
    """Proves that the receipt says of the account what the boot's manifest does, tier and all."""
    document, receipt = boot.manifest.manifest, found.receipt
    said = (
        *(receipt.account, receipt.venue, receipt.environment),
        *(receipt.currency, receipt.tier, receipt.mode),
    )
    meant = [
        (
            *(each.name, each.venue, each.environment, each.currency),
            *(msgspec.json.encode(each.tier).decode(), document.mode),
        )
        for each in document.accounts
        if each.name == receipt.account
    ]
    if [said] != meant:
        raise ReceiptUnfit(
            "the receipt is of an account that the boot's manifest does not have",
            expected=meant,
            actual=said,
        )


def _key_of(boot: StoredBoot, origin: str) -> VerifierKey:
    try:
        return VerifierKey(origin, role_keys(Bundle.parse(boot.bundle), Role.RECORD).receipt)
    except WireError as error:
        raise BootUnproved("a boot's evidence has no record's key", actual=error) from error


def _origin(note: bytes) -> str:
    return Note.parse(note).text.split(b"\n", 1)[0].decode()


def _newest(source: LogSource, leaf_index: int, writer: StoredBoot) -> bytes:
    """Returns the largest head that has a leaf, of those that its writer signed if there are."""
    notes = [note for note in (source.checkpoint, source.note, writer.note) if note]
    fit = [note for note in notes if leaf_index < head_of(note).size <= source.size]
    if not fit:
        raise _unsigned(source, leaf_index)

    def worth(note: bytes) -> tuple[bool, int]:
        found = Note.parse(note)
        key = _key_of(writer, _origin(note)).id
        return key in {each.key_id for each in found.signatures}, head_of(note).size

    return max(fit, key=worth)


def _unsigned(source: LogSource, leaf_index: int) -> OutsideLog:
    return OutsideLog(
        "no signed head that is stored has this leaf",
        expected=f"a head of at least {leaf_index + 1} leaves",
        actual=f"{source.size} leaves stored",
    )
