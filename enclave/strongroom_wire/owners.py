"""Owner quorum: m of n Ed25519 keys, its root, and statements signed by it.

A statement is bytes plus detached signatures over `pack(domain, bytes)`; the domain says what the
owner meant by signing, so a permit can never be replayed as a manifest.
"""

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom_wire.encoding import MAX_STATEMENT, digest, pack, u32, unpack
from strongroom_wire.errors import BadSignature, Malformed, QuorumMissing, TooLarge

__all__ = ["MAX_OWNERS", "Owners", "Signature", "Statement", "verify_signature"]

MAX_OWNERS = 32
_OWNERS = b"strongroom/owners/v1"
_STATEMENT = b"strongroom/statement/v1"


def verify_signature(key: bytes, signature: bytes, message: bytes) -> None:
    """Proves that the holder of Ed25519 `key` (32 bytes) signed `message`.

    Raises:
        BadSignature: it did not.
    """
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise BadSignature("Ed25519 signature", f"by {key.hex()}", "invalid") from error


@dataclass(frozen=True, slots=True)
class Signature:
    """One owner's detached Ed25519 signature: 32-byte public key, 64-byte signature."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """Exact bytes with the owners' signatures over them; nothing about it is verified yet."""

    payload: bytes
    signatures: tuple[Signature, ...]

    def serialise(self) -> bytes:
        """Returns the canonical encoding."""
        return pack(_STATEMENT, self.payload, *(s.key + s.value for s in self.signatures))

    @classmethod
    def parse(cls, data: bytes) -> "Statement":
        """Returns the statement encoded in `data`.

        Raises:
            Malformed: wrong layout.
            TooLarge: above `MAX_STATEMENT`, or more signatures than owners can exist.
        """
        payload, *rest = unpack(_STATEMENT, data, limit=MAX_STATEMENT) or [b""]
        if len(rest) > MAX_OWNERS:
            raise TooLarge("signatures", MAX_OWNERS, len(rest))
        if any(len(s) != 96 for s in rest):
            raise Malformed("signature", "96 bytes", [len(s) for s in rest])
        if not payload:
            raise Malformed("payload", "at least one byte", 0)
        return cls(payload, tuple(Signature(s[:32], s[32:]) for s in rest))


@dataclass(frozen=True, slots=True)
class Owners:
    """The owners' Ed25519 public keys (32 bytes each) and how many of them must agree."""

    keys: tuple[bytes, ...]
    quorum: int

    def __post_init__(self) -> None:
        if not 1 <= self.quorum <= len(set(self.keys)) == len(self.keys) <= MAX_OWNERS:
            raise Malformed("owners", "distinct keys, 1 <= quorum <= owners <= 32", len(self.keys))
        if any(len(key) != 32 for key in self.keys):
            raise Malformed("owner key", "32 bytes", [len(key) for key in self.keys])

    @property
    def root(self) -> bytes:
        """SHA-256 that names this set and quorum, 32 bytes."""
        return digest(_OWNERS, u32(self.quorum), *self.keys)

    def verify(self, domain: bytes, statement: Statement, quorum: int | None = None) -> bytes:
        """Proves that at least `quorum` (default: the set's own) distinct owners signed.

        Returns the payload, so that callers use what was verified and nothing else.

        Raises:
            BadSignature: a signature of an owner is wrong; none is skipped silently.
            QuorumMissing: too few distinct owners signed.
        """
        message, signed = pack(domain, statement.payload), set()
        for signature in statement.signatures:
            if signature.key in self.keys:
                verify_signature(signature.key, signature.value, message)
                signed.add(signature.key)
        if len(signed) < (quorum or self.quorum):
            raise QuorumMissing("owner signatures", quorum or self.quorum, len(signed))
        return statement.payload
