"""Signed notes and checkpoints as C2SP defines them: read, verified, put together.

Follows signed-note, tlog-checkpoint and, for witnesses, tlog-cosignature (Ed25519, cosignature/v1).
Signatures by unknown keys are ignored, as those documents demand; one by a known key that does not
verify makes the whole note worthless.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strongroom_wire.bundle import LogHead
from strongroom_wire.errors import BadSignature, WireError
from strongroom_wire.owners import verify_signature

from strongroom_host.log.errors import (
    CheckpointMalformed,
    CheckpointUnsigned,
    KeyMalformed,
    NoteMalformed,
    SignatureWrong,
)

__all__ = [
    "MAX_NOTE",
    "MAX_SIGNATURES",
    "Checkpoint",
    "Note",
    "NoteSignature",
    "SignatureType",
    "SignedHead",
    "VerifierKey",
    "cosign",
    "open_checkpoint",
    "signed_note",
]

MAX_NOTE: Final = 256 * 1024
"""Upper bound of a note in bytes; sixteen of the longest signatures that are defined fit twice."""
MAX_SIGNATURES: Final = 64
_DASH: Final = "\u2014 "
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,19}")
_MAX_TIME: Final = (1 << 63) - 1


class SignatureType(IntEnum):
    """The kinds of signature that are verified here; the number goes into the key's id."""

    ED25519 = 1
    """By a log, over the note's text."""
    COSIGNATURE = 4
    """By a witness: Ed25519 over time and text. It saw no other history of this log until then."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A 32-byte Ed25519 public key under a name; written as a vkey, `name+id+base64`."""

    name: str
    key: bytes
    kind: SignatureType = SignatureType.ED25519

    def __post_init__(self) -> None:
        if not _is_name(self.name) or len(self.key) != 32:
            raise KeyMalformed(
                "no verifier key",
                expected="a name without spaces or plus, and 32 bytes",
                actual=f"{self.name!r}, {len(self.key)} bytes",
            )

    @property
    def id(self) -> bytes:
        """4 bytes that tell the keys of one name apart."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_encoded(bytes([self.kind]) + self.key)}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """The key that a vkey names.

        Raises:
            KeyMalformed: not one, of another type, or its id is another key's.
        """
        parts = text.split("+", 2)  # base64 has plus signs of its own
        try:
            material = _decoded(parts[2])
            found = cls(parts[0], material[1:], SignatureType(material[0]))
        except (IndexError, ValueError) as error:
            raise KeyMalformed(
                "no verifier key", expected="name+id+base64 of type 1 or 4", actual=text[:200]
            ) from error
        if str(found) != text:
            raise KeyMalformed("a verifier key with a wrong id", expected=str(found), actual=text)
        return found


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line; nothing about it is verified yet."""

    name: str
    key_id: bytes
    value: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {_encoded(self.key_id + self.value)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """Text that ends in a newline, and signatures over it; see `verify`."""

    text: bytes
    signatures: tuple[NoteSignature, ...]

    def serialise(self) -> bytes:
        """The note's bytes."""
        return self.text + b"\n" + "".join(map(str, self.signatures)).encode()

    @classmethod
    def parse(cls, data: bytes) -> Note:
        """The note in `data`; `serialise` gives the same bytes back.

        Raises:
            NoteMalformed: too long, not UTF-8, a control character, no empty line, or a line after
                the last empty one that is no signature in canonical form.
        """
        if len(data) > MAX_NOTE:
            raise NoteMalformed("a note is too long", expected=MAX_NOTE, actual=len(data))
        try:
            whole = data.decode()
        except UnicodeDecodeError as error:
            raise NoteMalformed("a note is UTF-8", actual=str(error)) from error
        text, empty, lines = whole.rpartition("\n\n")
        if not empty or not lines.endswith("\n") or any(c < " " and c != "\n" for c in whole):
            raise NoteMalformed("a note is text, an empty line and signatures, all of it visible")
        signatures = tuple(_signature(line) for line in lines[:-1].split("\n"))
        if len(signatures) > MAX_SIGNATURES:
            raise NoteMalformed(
                "too many signatures", expected=MAX_SIGNATURES, actual=len(signatures)
            )
        return cls(f"{text}\n".encode(), signatures)

    def verify(self, keys: Collection[VerifierKey]) -> Mapping[VerifierKey, int]:
        """Which of `keys` signed, each with the time of its cosignature (Unix s; 0 if it has none).

        A key that signed several times counts once, with its earliest time.

        Raises:
            SignatureWrong: a signature by one of `keys` does not verify.
        """
        known = {(key.name, key.id): key for key in keys}
        signed: dict[VerifierKey, int] = {}
        for signature in self.signatures:
            key = known.get((signature.name, signature.key_id))
            if key is not None:
                time = _verify(key, signature.value, self.text)
                signed[key] = min(time, signed.get(key, time))
        return signed


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's head as text: origin, size, root, and lines that nothing here interprets."""

    origin: str
    head: LogHead
    extensions: tuple[str, ...] = ()

    def text(self) -> bytes:
        """The lines as they are signed."""
        lines = (self.origin, str(self.head.size), _encoded(self.head.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines).encode()

    @classmethod
    def parse(cls, text: bytes) -> Checkpoint:
        """The checkpoint in the text of a note; `text()` gives the same bytes back.

        Raises:
            CheckpointMalformed: not three lines or more, an empty one, a size that is no plain
                decimal below 2**64, or a root that is not 32 bytes in canonical base64.
        """
        try:
            origin, size, root, *extensions = text.decode().removesuffix("\n").split("\n")
            found = cls(origin, LogHead(int(size), _decoded(root)), tuple(extensions))
        except ValueError as error:
            raise CheckpointMalformed("no checkpoint", actual=str(error)) from error
        # The pattern refuses what `int` also takes: signs, underscores, spaces, other digits.
        plain = _SIZE.fullmatch(size) is not None and found.head.size < 1 << 64
        if not (plain and len(found.head.root) == 32 and origin and all(extensions)):
            raise CheckpointMalformed("no checkpoint", actual=text[:200])
        if found.text() != text:
            raise CheckpointMalformed("no canonical checkpoint", actual=text[:200])
        return found


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A checkpoint that a key of its log signed. Witnesses are those given, with the Unix second at
    which each vouches that it knew of no other history."""

    checkpoint: Checkpoint
    signers: tuple[VerifierKey, ...]
    witnesses: Mapping[VerifierKey, int] = field(default_factory=dict)

    @property
    def head(self) -> LogHead:
        """Size and root."""
        return self.checkpoint.head


def open_checkpoint(
    data: bytes,
    origin: str,
    keys: Collection[VerifierKey],
    witnesses: Collection[VerifierKey] = (),
) -> SignedHead:
    """Proves that one of `keys` vouches for the checkpoint in a note, and that it is of `origin`.

    Raises:
        NoteMalformed, CheckpointMalformed: it is none, or is another log's.
        SignatureWrong: a signature by a given key does not verify.
        CheckpointUnsigned: none of the log's keys signed it, whoever else did.
    """
    note = Note.parse(data)
    logs = [key for key in keys if key.kind is SignatureType.ED25519]
    signed = note.verify([*logs, *witnesses])
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.origin != origin:
        raise CheckpointMalformed(
            "a checkpoint of another log", expected=origin, actual=checkpoint.origin
        )
    signers = tuple(key for key in logs if key in signed)
    if not signers:
        raise CheckpointUnsigned(
            "no key of the log signed this checkpoint",
            expected=", ".join(map(str, logs)) or "a key",
            actual=", ".join(f"{s.name}+{s.key_id.hex()}" for s in note.signatures),
            remedy="give the receipt key of the boot that signed it, from its evidence",
        )
    cosigned = {key: signed[key] for key in witnesses if key in signed}
    return SignedHead(checkpoint, signers, cosigned)


def signed_note(text: bytes, key: VerifierKey, signature: bytes) -> bytes:
    """The note of `text` with its first signature, 64 bytes, by the log's `key`."""
    return Note(text, (NoteSignature(key.name, key.id, signature),)).serialise()


def cosign(text: bytes, name: str, key: Ed25519PrivateKey, seconds: int) -> NoteSignature:
    """A witness's signature line for a checkpoint, made at this Unix second."""
    public = VerifierKey(name, key.public_key().public_bytes_raw(), SignatureType.COSIGNATURE)
    signature = key.sign(_cosigned(text, seconds))
    return NoteSignature(name, public.id, seconds.to_bytes(8, "big") + signature)


def _cosigned(text: bytes, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n".encode() + text


def _verify(key: VerifierKey, value: bytes, text: bytes) -> int:
    seconds = 0
    if key.kind is SignatureType.COSIGNATURE:
        seconds, value = int.from_bytes(value[:8], "big"), value[8:]
        text = _cosigned(text, seconds)
    try:
        if seconds > _MAX_TIME:
            raise BadSignature("time of a cosignature", _MAX_TIME, seconds)
        verify_signature(key.key, value, text)
    except WireError as error:
        raise SignatureWrong(
            f"a signature in the name of {key.name} does not verify",
            expected=f"made by {key}",
            actual=str(error),
            remedy="somebody altered the note, or the key is not the one that signed it",
        ) from error
    return seconds


def _signature(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        value = _decoded(encoded)
    except ValueError as error:
        raise NoteMalformed("a signature is base64", actual=line[:200]) from error
    if not line.startswith(_DASH) or not _is_name(name) or len(value) < 5:
        raise NoteMalformed("no signature line", expected=f"{_DASH}name base64", actual=line[:200])
    return NoteSignature(name, value[:4], value[4:])


def _is_name(name: str) -> bool:
    visible = all(not c.isspace() and c >= " " and c != "+" for c in name)
    return bool(name) and visible and not any(0xD800 <= ord(c) < 0xE000 for c in name)


def _encoded(data: bytes) -> str:
    return b64encode(data).decode()


def _decoded(text: str) -> bytes:
    """The bytes of canonical base64, or ValueError: one text for every value."""
    try:
        data = b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {text[:80]!r}") from error
    if _encoded(data) != text:
        raise ValueError(f"not canonical base64: {text[:80]!r}")
    return data
