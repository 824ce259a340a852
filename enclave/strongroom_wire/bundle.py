"""The bundle: every public value an attestation commits to, and the commitment itself.

Commitment = SHA-512 of the bundle's canonical encoding, 64 bytes: Nitro's `user_data` and SNP's
`report_data`. A bundle without roles is what a Booted enclave has: no keys, nothing to trust yet.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from hashlib import sha256, sha384, sha512

from strongroom_wire.encoding import emit, member, pack, u64, uint, unpack_fields
from strongroom_wire.errors import Malformed

__all__ = ["EMPTY_LOG", "Bundle", "LogHead", "Role", "RoleKeys", "hpke_info", "pcr16"]

_BUNDLE = b"strongroom/bundle/v1"
_ROLE = b"strongroom/role/v1"
_INFO = b"strongroom/hpke/v1"
MAX_BUNDLE = 16 * 1024


class Role(IntEnum):
    """A process inside the enclave that holds keys of its own."""

    INIT = 1
    SIGNER = 2
    RECORD = 3


@dataclass(frozen=True, slots=True)
class LogHead:
    """RFC 6962 tree head: number of leaves and 32-byte root."""

    size: int
    root: bytes

    def serialise(self) -> bytes:
        """Returns the 40 bytes of it: u64 size, root."""
        return u64(self.size) + self.root

    @classmethod
    def parse(cls, data: bytes) -> "LogHead":
        """Returns the head in 40 bytes, or raises `Malformed`."""
        return cls(uint(data[:-32], 8), data[-32:])


EMPTY_LOG = LogHead(0, sha256(b"").digest())
"""Head of a log without leaves (RFC 6962, section 2.1)."""


@dataclass(frozen=True, slots=True)
class RoleKeys:
    """One role's public keys (X25519 for HPKE, Ed25519 for receipts; 32 bytes each) and log."""

    role: Role
    hpke: bytes
    receipt: bytes
    head: LogHead = EMPTY_LOG

    def fields(self) -> bytes:
        """Returns the canonical encoding."""
        head = (u64(self.head.size), self.head.root)
        return pack(_ROLE, bytes([self.role]), self.hpke, self.receipt, *head)

    @classmethod
    def parse(cls, data: bytes) -> "RoleKeys":
        """Returns the role encoded in `data`.

        Raises:
            Malformed: wrong layout, field length or unknown role.
        """
        role, hpke, receipt, size, root = unpack_fields(_ROLE, data, 1, 32, 32, 8, 32)
        return cls(member(Role, role[0]), hpke, receipt, LogHead(uint(size, 8), root))


@dataclass(frozen=True, slots=True)
class Bundle:
    """What the evidence of one boot commits to.

    `manifest_digest` and `owner_root` are SHA-256 values (zero before Configured), `boot_id` is 32
    random bytes, `certificate` the DER of front's TLS certificate, `nonce` the verifier's challenge
    where the platform has no field of its own for it (SNP), otherwise empty.
    """

    boot_id: bytes
    manifest_digest: bytes = bytes(32)
    owner_root: bytes = bytes(32)
    certificate: bytes = b""
    roles: tuple[RoleKeys, ...] = ()
    nonce: bytes = b""

    def serialise(self) -> bytes:
        """Returns the canonical encoding, the preimage of the commitment.

        Raises:
            WireError: a bundle that `parse` would refuse.
        """
        head = (self.boot_id, self.manifest_digest, self.owner_root, self.certificate, self.nonce)
        data = pack(_BUNDLE, *head, *(role.fields() for role in self.roles))
        return emit(self, data, Bundle.parse)

    @classmethod
    def parse(cls, data: bytes) -> "Bundle":
        """Returns the bundle encoded in `data`; says nothing about whether it is attested.

        Raises:
            TooLarge: above 16 KiB.
            Malformed: wrong layout, or roles out of order or repeated.
        """
        sizes = (32, 32, 32, None, None)
        fields = unpack_fields(_BUNDLE, data, *sizes, more=True, limit=MAX_BUNDLE)
        boot_id, manifest, owner, certificate, nonce, *rest = fields
        roles = tuple(RoleKeys.parse(field) for field in rest)
        order = [entry.role for entry in roles]
        if order != sorted(set(order)):
            raise Malformed("bundle roles", "each once, ascending", order)
        return cls(boot_id, manifest, owner, certificate, roles, nonce)

    @property
    def commitment(self) -> bytes:
        """SHA-512 of the encoding, 64 bytes."""
        return sha512(self.serialise()).digest()

    @property
    def keys_digest(self) -> bytes:
        """SHA-256 of the bundle without nonce and log heads: the identity of this boot's keys."""
        roles = tuple(replace(entry, head=EMPTY_LOG) for entry in self.roles)
        return sha256(replace(self, nonce=b"", roles=roles).serialise()).digest()

    def role(self, role: Role) -> RoleKeys:
        """Returns the keys of `role`.

        Raises:
            Malformed: this boot has none (not Configured, or no such process).
        """
        for entry in self.roles:
            if entry.role is role:
                return entry
        raise Malformed("bundle", f"keys of {role.name.lower()}", [r.role.name for r in self.roles])


def hpke_info(bundle: Bundle, role: Role, purpose: bytes) -> bytes:
    """Returns the HPKE `info` that ties a ciphertext to manifest, boot, role and purpose."""
    return pack(_INFO, bundle.manifest_digest, bundle.boot_id, bytes([role]), purpose)


def pcr16(manifest_digest: bytes) -> bytes:
    """Returns the value PCR16 has once `manifest_digest` is extended into it: 48 bytes."""
    return sha384(bytes(48) + manifest_digest).digest()
