"""A release: the record of one image, believed because enough pinned keys signed its exact bytes.

Sans-I/O but for `load`. `verify_release` is the one way to a `VerifiedRelease`; a record without
signatures becomes one only through `accept_unsigned`, whose result says so for as long as it lives.
"""

import re
from collections.abc import Iterable
from dataclasses import InitVar, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from strongroom_attest.nitro.roots import AWS_NITRO_ROOT_G1_SHA256
from strongroom_eif.recipe.errors import RecipeError
from strongroom_eif.recipe.record import ReleaseRecord, parse_record

from strongroom_host.private_files import read_file
from strongroom_host.trust.dsse import MAX_ENVELOPE, Envelope, EnvelopeSignature
from strongroom_host.trust.record import Image, Trust
from strongroom_host.trust.release_errors import (
    KeyNotInForce,
    KeyRevoked,
    KeyUnknown,
    PayloadTypeWrong,
    RecordContradictsItself,
    ReleaseMalformed,
    ReleaseUnsigned,
    SignaturesTooFew,
    SignatureWrong,
)
from strongroom_host.trust.release_keys import KeyEntry, KeyRing

__all__ = [
    "RELEASE_TYPE",
    "VerifiedRelease",
    "accept_unsigned",
    "load_release",
    "pcr_values",
    "production_trust",
    "read_record",
    "verify_release",
]

RELEASE_TYPE: Final = "application/vnd.strongroom.release+json"
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")


def read_record(data: bytes, source: str = "the payload") -> ReleaseRecord:
    """Returns the record in `data`.

    Raises:
        ReleaseMalformed: It is not one.
        RecordContradictsItself: Its sections cannot be in a file of the size it states.
    """
    try:
        record = parse_record(data)
    except RecipeError as error:
        raise ReleaseMalformed(
            f"{source} is not a release record: {error.what}",
            expected=error.expected,
            actual=error.actual,
            remedy="take it from reproducible-build/releases of the source you audited",
        ) from error
    _check_version(record)
    _check_size(record)
    return record


def pcr_values(record: ReleaseRecord) -> tuple[bytes, bytes, bytes]:
    """Returns PCR0 to PCR2, 48 bytes each."""
    return (
        bytes.fromhex(record.pcrs["0"]),
        bytes.fromhex(record.pcrs["1"]),
        bytes.fromhex(record.pcrs["2"]),
    )


class _Proof:
    __slots__ = ()


_PROOF: Final = _Proof()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRelease:
    """A record and who vouches for it; only this module makes one.

    Attributes:
        record: What it says.
        payload: The exact bytes that were signed.
        signers: The pinned keys whose signatures count; none if it was accepted unsigned.
        ignored: Signatures that do not count, with the reason.
    """

    record: ReleaseRecord
    payload: bytes
    signers: tuple[KeyEntry, ...]
    ignored: tuple[str, ...] = ()
    proof: InitVar[_Proof]

    def __post_init__(self, proof: _Proof) -> None:
        if proof is not _PROOF:
            raise TypeError("a VerifiedRelease comes from verify_release or accept_unsigned")

    @property
    def signed(self) -> bool:
        """Whether anybody vouches for it."""
        return bool(self.signers)


def verify_release(
    data: bytes, ring: KeyRing, at: datetime, source: str = "the release"
) -> VerifiedRelease:
    """Proves that enough pinned keys, each in force at `at` and not revoked, signed this record.

    A key's life is judged at the reader's time, not at one that the record states: whoever steals
    an expired key could state any. So the releases that readers still need are signed again when a
    key expires.

    Raises:
        ReleaseUnsigned: A bare record.
        ReleaseMalformed: Neither an envelope nor a record.
        PayloadTypeWrong: Signed as something else.
        SignatureWrong: A pinned key's signature does not hold.
        SignaturesTooFew: Or its leaf that says what was wrong with the others.
        RecordContradictsItself: The record cannot be true.
    """
    # 1. One form: bytes, type, signatures.
    envelope = _envelope(data, source)
    # 2. Meant as a release record, and nothing else that these keys may sign.
    _check_type(envelope)
    # 3. Each signature on its own: it counts, does not, or is wrong.
    counting: dict[str, KeyEntry] = {}
    ignored: list[tuple[type[SignaturesTooFew], str]] = []
    for signature in envelope.signatures:
        entry = ring.keys.get(signature.keyid)
        if entry is None:
            ignored.append((KeyUnknown, f"the key {signature.keyid} is not pinned"))
            continue
        _check_signature(signature, entry, envelope)
        if (reason := _not_counting(entry, at)) is not None:
            ignored.append(reason)
        else:
            counting[entry.id] = entry  # by id: one key counts once, however often it signed
    # 4. Enough of each role.
    _check_threshold(counting.values(), ring, ignored)
    # 5. Only now is the record read.
    record = read_record(envelope.payload)
    return VerifiedRelease(
        record=record,
        payload=envelope.payload,
        signers=tuple(counting.values()),
        ignored=tuple(reason for _, reason in ignored),
        proof=_PROOF,
    )


def accept_unsigned(data: bytes, source: str = "the release") -> VerifiedRelease:
    """Returns a record that nobody vouches for: one's own build, asked for in so many words.

    Raises:
        ReleaseMalformed: It is none. An envelope is refused too: its signatures are to be verified.
    """
    record = read_record(data, source)
    return VerifiedRelease(record=record, payload=data, signers=(), proof=_PROOF)


def load_release(
    path: Path, at: datetime, *, keys: Path | None = None, unsigned: bool = False
) -> VerifiedRelease:
    """Returns the release in a file: see `verify_release`, or `accept_unsigned` if asked for.

    Raises:
        BadInput: A file cannot be read or is malformed.
        ReleaseRefused: A leaf per reason.
    """
    data = read_file(path, limit=MAX_ENVELOPE)
    if unsigned:
        return accept_unsigned(data, str(path))
    return verify_release(data, KeyRing.load(keys), at, str(path))


def production_trust(release: VerifiedRelease) -> Trust:
    """Returns a trust record for this image on real hardware, owners and manifest still open."""
    roots = (AWS_NITRO_ROOT_G1_SHA256.hex(),)
    record = release.record
    image = Image(record.version, record.pcrs["0"], record.pcrs["1"], record.pcrs["2"])
    return Trust("strongroom-trust/1", "production", roots, (image,), None, None, {}).check()


def _envelope(data: bytes, source: str) -> Envelope:
    try:
        return Envelope.parse(data, source)
    except ReleaseMalformed:
        # A bare record is the likeliest mistake; anything else is reported as what it should be.
        record = read_record(data, source)
        raise ReleaseUnsigned(
            f"{source} is a bare record of version {record.version}: nobody vouches for it",
            expected="the signed form, VERSION.dsse.json",
            remedy="use the signed file of the release; for an image that you built yourself say"
            " --unsigned-release",
        ) from None


def _check_type(envelope: Envelope) -> None:
    if envelope.payload_type != RELEASE_TYPE:
        raise PayloadTypeWrong(
            "what was signed is not a release record",
            expected=RELEASE_TYPE,
            actual=envelope.payload_type,
            remedy="use the signed release, VERSION.dsse.json",
        )


def _check_signature(signature: EnvelopeSignature, entry: KeyEntry, envelope: Envelope) -> None:
    # A wrong signature under a pinned key is never merely one too few: something was changed.
    if not signature.holds(bytes.fromhex(entry.public), envelope.payload_type, envelope.payload):
        raise SignatureWrong(
            f"the signature of {entry.name!r} does not hold: record or signature were changed",
            expected=f"a signature by {entry.id}",
            remedy="do not use this release; get it again from where it was published",
        )


def _not_counting(entry: KeyEntry, at: datetime) -> tuple[type[SignaturesTooFew], str] | None:
    if entry.revoked is not None:
        when = f"{entry.revoked.at:%Y-%m-%d}"
        return KeyRevoked, f"{entry.name!r} was revoked on {when}: {entry.revoked.reason}"
    if not entry.in_force(at):
        life = f"{entry.not_before:%Y-%m-%d} to {entry.not_after:%Y-%m-%d}"
        return KeyNotInForce, f"{entry.name!r} is in force from {life} only"
    return None


_WORST: Final = (KeyRevoked, KeyNotInForce, KeyUnknown)


def _check_threshold(
    counting: Iterable[KeyEntry],
    ring: KeyRing,
    ignored: list[tuple[type[SignaturesTooFew], str]],
) -> None:
    signed = list(counting)
    for role, needed in ring.threshold.items():
        count = sum(entry.role == role for entry in signed)
        if count >= needed:
            continue
        kinds = [kind for kind, _ in ignored]
        leaf = next((kind for kind in _WORST if kind in kinds), SignaturesTooFew)
        reasons = "".join(f"; {reason}" for _, reason in ignored)
        none = "" if ring.keys else "; no release key is pinned yet"
        raise leaf(
            f"too few pinned keys of the role {role} signed this release{reasons}{none}",
            expected=f"{needed} of them",
            actual=count,
            remedy="get the release from where it was published, and compare the pinned keys with"
            " those of a newer checkout",
        )


def _check_version(record: ReleaseRecord) -> None:
    # It becomes a file's name, and a line on somebody's terminal.
    if not _VERSION.fullmatch(record.version):
        raise ReleaseMalformed(
            "the record's version is none",
            expected="letters, digits, dot, plus, hyphen; 64 at most",
            actual=ascii(record.version[:100]),
        )


def _check_size(record: ReleaseRecord) -> None:
    least = sum(section.length for section in record.sections)
    if record.eif.size < least:
        raise RecordContradictsItself(
            "the record's sections are together longer than its image",
            expected=f"at least {least} bytes",
            actual=record.eif.size,
            remedy="do not use this release",
        )
