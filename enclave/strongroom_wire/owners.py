"""Owner quorum: m of n Ed25519 keys, its root, and statements signed by it.

A statement is bytes plus detached signatures over `pack(domain, bytes)`; the domain says what the
owner meant by signing, so a permit can never be replayed as a manifest.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from strongroom_wire.encoding import digest, emit, pack, u32, unpack_fields
from strongroom_wire.errors import BadSignature, Malformed, QuorumMissing, TooLarge

MAX_OWNERS = 32
_OWNERS = b"strongroom/owners/v1"
_STATEMENT = b"strongroom/statement/v1"
_P = 2**255 - 19
_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
# The y coordinates of the eight points of edwards25519 whose order divides 8.
_SMALL_ORDER = {0, 1, _P - 1, _Y8, _P - _Y8}


def verify_signature(key: bytes, signature: bytes, message: bytes) -> None:
    """Proves that the holder of Ed25519 `key` (32 bytes) signed `message`.

    Under a public key of small order anybody can sign, without a secret: RFC 8032 lets that pass
    and so does the library, so such keys (in any of their encodings) are refused here, once for
    owners, clients and roles.

    Raises:
        BadSignature: it did not.
    """
    if int.from_bytes(key, "little") % 2**255 % _P in _SMALL_ORDER:
        raise BadSignature("Ed25519 key", "a point of large order", key.hex())
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise BadSignature("Ed25519 signature", f"by {key.hex()}", "invalid") from error


class Signature(Struct, frozen=True):
    """One owner's detached Ed25519 signature: 32-byte public key, 64-byte signature."""

    key: bytes
    value: bytes


class Statement(Struct, frozen=True):
    """Exact bytes with the owners' signatures over them; nothing about it is verified yet."""

    payload: bytes
    signatures: tuple[Signature, ...]

    def serialise(self) -> bytes:
        """Returns the canonical encoding; raises `WireError` for what `parse` would refuse."""
        data = pack(_STATEMENT, self.payload, *(s.key + s.value for s in self.signatures))
        return emit(self, data, Statement.parse)

    @classmethod
    def parse(cls, data: bytes) -> "Statement":
        """Returns the statement encoded in `data`.

        Raises:
            Malformed: wrong layout.
            TooLarge: above `MAX_STATEMENT`, or more signatures than owners can exist.
        """
        payload, *rest = unpack_fields(_STATEMENT, data, None, more=True)
        TooLarge.unless(len(rest) <= MAX_OWNERS, "signatures", MAX_OWNERS, len(rest))
        sized = payload and all(len(signature) == 96 for signature in rest)
        Malformed.unless(sized, "statement", "a payload, 96-byte signatures", "another layout")
        return cls(payload, tuple(Signature(s[:32], s[32:]) for s in rest))


class Owners(Struct, frozen=True):
    """The owners' Ed25519 public keys (32 bytes each) and how many of them must agree."""

    keys: tuple[bytes, ...]
    quorum: int

    def __post_init__(self) -> None:
        distinct = len(set(self.keys)) == len(self.keys) <= MAX_OWNERS
        sized = {len(key) for key in self.keys} == {32} and 1 <= self.quorum <= len(self.keys)
        Malformed.unless(distinct and sized, "owners", "1 to 32 keys, a quorum of them", self)

    @property
    def root(self) -> bytes:
        """SHA-256 that names this set and quorum, 32 bytes."""
        return digest(_OWNERS, u32(self.quorum), *self.keys)

    def verify(self, domain: bytes, statement: Statement, quorum: int | None = None) -> bytes:
        """Proves that at least `quorum` (default: the set's own) distinct owners signed.

        Returns the payload, so that callers use what was verified and nothing else. Signatures of
        strangers neither count nor harm: they may be of owners before or after a hand-over.

        Raises:
            BadSignature: a signature of an owner is wrong; none is skipped silently.
            QuorumMissing: too few distinct owners signed; at least one is always needed.
        """
        needed = max(1, self.quorum if quorum is None else quorum)
        message, signed = pack(domain, statement.payload), set()
        for signature in statement.signatures:
            if signature.key in self.keys:
                verify_signature(signature.key, signature.value, message)
                signed.add(signature.key)
        QuorumMissing.unless(len(signed) >= needed, "owner signatures", needed, len(signed))
        return statement.payload
