"""A witness's folder: its signing key, and the memory that belongs to this very key.

    witness-key         PRIVATE+KEY+name+id+base64, as signing keys of notes are written; mode 0600
    memory.db           what was cosigned (`memory`); made before the key, never made again for it

A key without its memory would sign a second history, so a witness that lost it has to begin anew
under another key.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom_host.log.errors import KeyMalformed
from strongroom_host.log.notes import SignatureType, VerifierKey
from strongroom_host.private_files import read_private, write_private
from strongroom_host.witness.errors import FolderInvalid
from strongroom_host.witness.memory import Memory

__all__ = ["WitnessFolder", "WitnessKey"]

_PREFIX: Final = "PRIVATE+KEY+"


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """The key that cosigns. A key is for one witness: cosignatures do not commit to its name."""

    name: str
    private: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> VerifierKey:
        """What manifests name, and verifiers are given."""
        key = self.private.public_key().public_bytes_raw()
        return VerifierKey(self.name, key, SignatureType.COSIGNATURE)

    def serialise(self) -> bytes:
        """The line that the file holds."""
        material = bytes([SignatureType.COSIGNATURE]) + self.private.private_bytes_raw()
        encoded = b64encode(material).decode()
        return f"{_PREFIX}{self.name}+{self.public.id.hex()}+{encoded}\n".encode()

    @classmethod
    def parse(cls, data: bytes) -> WitnessKey:
        """The key in a file.

        Raises:
            FolderInvalid: none, of another kind, or with the id of another.
        """
        try:
            text = data.decode("ascii").removesuffix("\n")
            name, _, encoded = text.removeprefix(_PREFIX).split("+", 2)
            material = b64decode(encoded, validate=True)
            found = cls(name, Ed25519PrivateKey.from_private_bytes(material[1:]))
            same = found.serialise() == f"{text}\n".encode()
        except (ValueError, binascii.Error, KeyMalformed) as error:
            raise FolderInvalid("the file holds no key of a witness") from error
        if not same:
            raise FolderInvalid(
                "the file holds a key of another kind, or with another's id",
                expected=f"{_PREFIX}name+id+base64 of type {SignatureType.COSIGNATURE:d}",
            )
        return found


@dataclass(frozen=True, slots=True)
class WitnessFolder:
    """Where a witness lives."""

    root: Path

    @property
    def key_path(self) -> Path:
        """The signing key."""
        return self.root / "witness-key"

    @property
    def memory_path(self) -> Path:
        """What was cosigned."""
        return self.root / "memory.db"

    def create(self, name: str) -> VerifierKey:
        """Makes a new witness and returns what others know it by.

        Raises:
            FolderInvalid: there is one, or the rest of one.
            KeyMalformed: nothing can have this name.
            MemoryBroken, BadInput: the folder cannot be written.
        """
        key = WitnessKey(name, Ed25519PrivateKey.generate())
        public = key.public
        if self.key_path.exists() or self.memory_path.exists():
            raise FolderInvalid(
                f"{self.root} belongs to a witness already",
                remedy="choose another folder: a new memory for an old key would let it cosign a"
                " second history",
            )
        Memory.create(self.memory_path, public)
        write_private(self.key_path, key.serialise())
        return public

    def key(self) -> WitnessKey:
        """The signing key.

        Raises:
            FolderInvalid: there is none.
            FileExposed: others may read or replace it.
        """
        if not self.key_path.exists():
            raise FolderInvalid(
                f"{self.root} has no key of a witness", remedy="`strongroom witness init` makes one"
            )
        return WitnessKey.parse(read_private(self.key_path))

    def memory(self) -> Memory:
        """The memory of this key: see `Memory`."""
        return Memory(self.memory_path, self.key().public)
