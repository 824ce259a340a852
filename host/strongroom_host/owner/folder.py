"""The owner's folder: signing key, unlock share, client identity, trust file, issued serials.

owner-key.pem          Ed25519, PKCS #8, encrypted with a passphrase (or plain, with a warning)
owner.json             the public half, to be given to the other owners
unlock-share           32 random bytes in hex; sealed state of earlier boots opens only with it
client/                this owner's own client identity (mutual TLS to the control plane)
trust.json             which enclave is the right one
manifest.signed.json   the manifest in force
addresses.json         public addresses of provisioned keys
permit-serial          the last serial issued
heads                  what is remembered of the log: every head that was named, pulled or shown
log/                   the signer's log, as `strongroom log pull` keeps it; permits continue it
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_host.owner.errors import KeyLocked, KeyMissing, OwnerError
from strongroom_host.owner.heads import HeadMemory
from strongroom_host.private_files import read_file, read_private, write_atomic, write_private

__all__ = ["MIN_PASSPHRASE", "OwnerFolder"]

MIN_PASSPHRASE: Final = 8
_SHARE_SIZE: Final = 32
_MAX_SERIAL: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class OwnerFolder:
    """One owner's folder; methods read and write its files, and refuse exposed ones."""

    root: Path

    @property
    def key_path(self) -> Path:
        """The signing key."""
        return self.root / "owner-key.pem"

    @property
    def share_path(self) -> Path:
        """The unlock share."""
        return self.root / "unlock-share"

    @property
    def client_path(self) -> Path:
        """The owner's own client identity."""
        return self.root / "client"

    @property
    def trust_path(self) -> Path:
        """The trust file."""
        return self.root / "trust.json"

    @property
    def manifest_path(self) -> Path:
        """The signed manifest in force."""
        return self.root / "manifest.signed.json"

    @property
    def heads(self) -> HeadMemory:
        """What this owner remembers of his logs."""
        return HeadMemory(self.root / "heads")

    @classmethod
    def create(
        cls, root: Path, name: str, passphrase: bytes | None, *, share: bytes | None = None
    ) -> "OwnerFolder":
        """Makes a new owner: key, unlock share (or the one shared by the owners) and client.

        Args:
            root: The folder; made with mode 0700.
            name: What manifests call this owner's client.
            passphrase: Encrypts the key; None leaves it in clear, protected by its mode alone.
            share: The owners' common unlock share, 32 bytes; None draws a new one.

        Raises:
            OwnerError: the folder holds an owner already, or passphrase or share is unusable.
        """
        folder = cls(root)
        if folder.key_path.exists():
            raise OwnerError(
                f"{root} holds an owner already",
                remedy="choose another folder; a lost owner key cannot be made again",
            )
        if passphrase is not None and len(passphrase) < MIN_PASSPHRASE:
            raise OwnerError(
                "the passphrase is too short",
                expected=f"at least {MIN_PASSPHRASE} characters",
                actual=len(passphrase),
                remedy="choose a longer one",
            )
        if share is not None and len(share) != _SHARE_SIZE:
            raise OwnerError("an unlock share has 32 bytes", expected=32, actual=len(share))
        key = Ed25519PrivateKey.generate()
        lock: KeySerializationEncryption = NoEncryption()
        if passphrase is not None:
            lock = BestAvailableEncryption(passphrase)
        write_private(folder.key_path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
        secret = share if share is not None else secrets.token_bytes(_SHARE_SIZE)
        write_private(folder.share_path, secret.hex().encode() + b"\n")
        ClientIdentity.generate(name).save(folder.client_path)
        public = {"name": name, "owner_key": key.public_key().public_bytes_raw().hex()}
        write_atomic(root / "owner.json", msgspec.json.encode(public) + b"\n")
        return folder

    @property
    def public_key(self) -> bytes:
        """The owner's public key, 32 bytes, read without the passphrase.

        Raises:
            KeyMissing: no owner here.
        """
        self._require()
        try:
            card = msgspec.json.decode(read_file(self.root / "owner.json"), type=dict[str, str])
            return bytes.fromhex(card["owner_key"])
        except (msgspec.DecodeError, ValueError, KeyError) as error:
            raise KeyMissing(
                f"{self.root / 'owner.json'} is damaged: {error}",
                remedy="restore it from a copy of the folder",
            ) from error

    def encrypted(self) -> bool:
        """Returns whether the key needs a passphrase."""
        self._require()
        return b"ENCRYPTED" in read_private(self.key_path)

    def key(self, passphrase: Callable[[], bytes]) -> Ed25519PrivateKey:
        """Returns the signing key; asks for the passphrase only if the key is encrypted.

        Raises:
            KeyMissing: no owner here.
            KeyLocked: the passphrase is wrong.
            FileExposed: other users may read the key.
        """
        self._require()
        pem = read_private(self.key_path)
        password = passphrase() if b"ENCRYPTED" in pem else None
        try:
            key = load_pem_private_key(pem, password)
        except (ValueError, TypeError) as error:
            if password is None:
                raise KeyMissing(
                    f"{self.key_path} is damaged", remedy="restore it from a copy"
                ) from error
            raise KeyLocked(
                f"the passphrase does not open {self.key_path}",
                remedy="try again; without it the key is lost, and the other owners have to hand"
                " over to a new one (`strongroom manifest change-owners`)",
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyMissing(
                f"{self.key_path} holds a key of another kind",
                expected="Ed25519",
                actual=type(key).__name__,
                remedy="restore the owner's own key",
            )
        return key

    def share(self) -> bytes:
        """Returns the unlock share, 32 bytes.

        Raises:
            KeyMissing: there is none, or it is damaged.
            FileExposed: other users may read it.
        """
        if not self.share_path.exists():
            raise KeyMissing(
                f"no unlock share in {self.root}",
                remedy="restore it from a copy; sealed state opens with that share only. Without"
                " sealed state, pass --no-share",
            )
        try:
            share = bytes.fromhex(read_private(self.share_path).decode("ascii").strip())
        except (ValueError, UnicodeDecodeError) as error:
            raise KeyMissing(
                f"{self.share_path} is damaged: {error}", remedy="restore it from a copy"
            ) from error
        if len(share) != _SHARE_SIZE:
            raise KeyMissing(
                f"{self.share_path} is damaged", expected=_SHARE_SIZE, actual=len(share)
            )
        return share

    def client(self) -> ClientIdentity:
        """Returns the owner's own client identity, or raises what `ClientIdentity.load` does."""
        return ClientIdentity.load(self.client_path)

    def next_serial(self, now: int) -> int:
        """Returns a permit serial above every earlier one, and notes it.

        Seconds since the epoch, so that owners who take turns rarely collide; the file keeps it
        growing when the clock does not.
        """
        path = self.root / "permit-serial"
        last = 0
        if path.exists():
            text = read_file(path, limit=64).strip()
            last = int(text) if text.isdigit() else 0
        serial = min(max(now, last + 1), _MAX_SERIAL)
        write_atomic(path, f"{serial}\n".encode())
        return serial

    def addresses(self) -> dict[str, str]:
        """Returns the addresses of provisioned keys by name; public, so kept in clear."""
        path = self.root / "addresses.json"
        if not path.exists():
            return {}
        try:
            return msgspec.json.decode(read_file(path), type=dict[str, str])
        except msgspec.DecodeError as error:
            raise OwnerError(f"{path} is damaged: {error}", remedy="delete it") from error

    def note_address(self, key: str, address: str) -> None:
        """Remembers the address of a provisioned key, for revocation in an emergency."""
        known = {**self.addresses(), key: address}
        text = msgspec.json.format(msgspec.json.encode(known, order="sorted"), indent=2)
        write_atomic(self.root / "addresses.json", text + b"\n")

    def _require(self) -> None:
        if not self.key_path.exists():
            raise KeyMissing(
                f"no owner key in {self.root}",
                remedy="make one with `strongroom owner init`, or name the folder with --owner",
            )
