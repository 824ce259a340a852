"""Signed files: exact bytes with the owners' signatures, passed from one owner to the next.

    {"payload": <base64 of the exact bytes>, "signatures": [{"key": hex, "value": hex}, ...]}

What a payload is shows in its own first bytes, which the signature's domain repeats, so a file
cannot be presented as something else than what its signers read.
"""

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strongroom_wire.encoding import pack
from strongroom_wire.errors import BadSignature, WireError
from strongroom_wire.manifest import (
    MANIFEST_DOMAIN,
    Manifest,
    VerifiedManifest,
    verify_manifest,
)
from strongroom_wire.owners import Owners, Signature, Statement
from strongroom_wire.statements import ORDER_DOMAIN, PERMIT_DOMAIN, OwnerOrder, Permit

from strongroom_host.owner.errors import DocumentInvalid, NotAnOwner, QuorumIncomplete
from strongroom_host.private_files import read_file, write_atomic

__all__ = ["DocumentKind", "SignedFile", "read_manifest"]

_MAX_FILE = 2 << 20
Hex32 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Hex64 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{128}\Z")]


class DocumentKind(Enum):
    """What owners sign, with the domain that says so."""

    MANIFEST = MANIFEST_DOMAIN
    PERMIT = PERMIT_DOMAIN
    ORDER = ORDER_DOMAIN

    @classmethod
    def of(cls, payload: bytes) -> "DocumentKind":
        """Returns the kind of a payload after parsing all of it.

        Raises:
            DocumentInvalid: none of them, or malformed.
        """
        try:
            if payload.startswith(pack(PERMIT_DOMAIN)):
                Permit.parse(payload)
                return cls.PERMIT
            if payload.startswith(pack(ORDER_DOMAIN)):
                OwnerOrder.parse(payload)
                return cls.ORDER
            Manifest.parse(payload)
        except WireError as error:
            raise DocumentInvalid(
                f"this is not a document that owners sign: {error}",
                expected="a canonical manifest, a permit or an owner order",
                remedy="for a manifest, `strongroom manifest lint --fix FILE` writes the canonical"
                " form and names what is wrong",
            ) from error
        return cls.MANIFEST


class _SignatureJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: Hex32
    value: Hex64


class _FileJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payload: str
    signatures: Annotated[tuple[_SignatureJson, ...], msgspec.Meta(max_length=32)]


@dataclass(frozen=True, slots=True)
class SignedFile:
    """A payload of known kind and the signatures collected so far."""

    kind: DocumentKind
    statement: Statement

    @classmethod
    def unsigned(cls, payload: bytes) -> "SignedFile":
        """Returns a file without signatures, or raises `DocumentInvalid`."""
        return cls(DocumentKind.of(payload), Statement(payload, ()))

    @classmethod
    def parse(cls, data: bytes, source: str = "file") -> "SignedFile":
        """Returns the file in `data`; its signatures are not verified yet.

        Raises:
            DocumentInvalid: not such a file.
        """
        try:
            read = msgspec.json.decode(data, type=_FileJson)
            payload = b64decode(read.payload, validate=True)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DocumentInvalid(
                f"{source} is not a signed file: {error}",
                expected='{"payload": base64, "signatures": [{"key": hex, "value": hex}]}',
                remedy="sign the document first (`strongroom manifest sign`, `permit --out`)",
            ) from error
        except (binascii.Error, ValueError) as error:
            raise DocumentInvalid(
                f"the payload in {source} is not base64: {error}",
                remedy="the file was changed on its way; get it again",
            ) from error
        signatures = tuple(
            Signature(bytes.fromhex(s.key), bytes.fromhex(s.value)) for s in read.signatures
        )
        return cls(DocumentKind.of(payload), Statement(payload, signatures))

    @classmethod
    def load(cls, path: Path) -> "SignedFile":
        """Returns the signed file at `path`.

        Raises:
            DocumentInvalid: not such a file.
            BadInput: it cannot be read.
        """
        return cls.parse(read_file(path, limit=_MAX_FILE), str(path))

    def serialise(self) -> bytes:
        """Returns the file's bytes."""
        file = _FileJson(
            b64encode(self.statement.payload).decode(),
            tuple(_SignatureJson(s.key.hex(), s.value.hex()) for s in self.statement.signatures),
        )
        return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"

    def save(self, path: Path) -> None:
        """Writes the file in one step."""
        write_atomic(path, self.serialise())

    def signed_by(self, key: Ed25519PrivateKey, owners: Owners) -> "SignedFile":
        """Returns the file with this owner's signature added, or replaced by an equal one.

        Raises:
            NotAnOwner: the key is not one of `owners`.
        """
        public = key.public_key().public_bytes_raw()
        if public not in owners.keys:
            raise NotAnOwner(
                "this key is not among the owners named in the document",
                expected=" or ".join(k.hex() for k in owners.keys),
                actual=public.hex(),
                remedy="use the right owner folder (--owner), or name this key as an owner first",
            )
        value = key.sign(pack(self.kind.value, self.statement.payload))
        others = tuple(s for s in self.statement.signatures if s.key != public)
        statement = Statement(self.statement.payload, (*others, Signature(public, value)))
        return SignedFile(self.kind, statement)

    def progress(self, owners: Owners) -> tuple[int, int]:
        """Returns how many owners have signed validly, and how many must.

        Raises:
            DocumentInvalid: a signature of an owner is wrong, or somebody else signed.
        """
        strangers = [s.key.hex() for s in self.statement.signatures if s.key not in owners.keys]
        if strangers:
            raise DocumentInvalid(
                "somebody who is no owner signed this file",
                expected=[key.hex() for key in owners.keys],
                actual=strangers,
                remedy="remove that signature, or check whose document this is",
            )
        signed = len({s.key for s in self.statement.signatures})
        try:
            if signed:
                owners.verify(self.kind.value, self.statement, quorum=1)
        except BadSignature as error:
            raise DocumentInvalid(
                f"a signature in this file is wrong ({error.expected})",
                remedy="the document changed after it was signed; that owner has to sign again",
            ) from error
        return signed, owners.quorum

    def require_quorum(self, owners: Owners) -> Statement:
        """Returns the statement after proving that enough owners signed it.

        Raises:
            QuorumIncomplete: more have to sign.
            DocumentInvalid: see `progress`.
        """
        signed, quorum = self.progress(owners)
        if signed < quorum:
            raise QuorumIncomplete(
                "too few owners have signed",
                expected=f"{quorum} of {len(owners.keys)}",
                actual=signed,
                remedy=f"{quorum - signed} more must sign this file on their machines",
            )
        return self.statement


def read_manifest(path: Path) -> tuple[VerifiedManifest, Statement]:
    """Returns the manifest in a signed file after proving its quorum.

    Raises:
        DocumentInvalid: not a signed manifest, or signatures or hand-overs are wrong.
        QuorumIncomplete: more owners have to sign.
    """
    file = SignedFile.load(path)
    if file.kind is not DocumentKind.MANIFEST:
        raise DocumentInvalid(
            f"{path} is not a manifest",
            expected="manifest",
            actual=file.kind.name.lower(),
            remedy="name the signed manifest",
        )
    try:
        owners = Manifest.parse(file.statement.payload).owners()
        file.require_quorum(owners)
        return verify_manifest(file.statement), file.statement
    except WireError as error:
        raise DocumentInvalid(
            f"{path}: {error}",
            remedy="`strongroom manifest lint` says more; a hand-over between owners has to be"
            " signed by the owners before it",
        ) from error
