"""The bundle: every public value an attestation commits to, and the commitment itself.

Commitment = SHA-512 of the bundle's canonical encoding, 64 bytes: Nitro's `user_data` and SNP's
`report_data`. A bundle without roles is what a Booted enclave has: no keys, nothing to trust yet.
"""

from enum import IntEnum
from hashlib import sha256, sha384, sha512
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace

from strongroom_wire.canonical import B32, U64, Canonical
from strongroom_wire.encoding import pack, u32
from strongroom_wire.errors import Code, Malformed

_INFO = b"strongroom/hpke/v1"
_RECEIPT = b"strongroom/receipt/v1"


# A process inside the enclave that holds keys of its own; numbered from 1.
Role = IntEnum("Role", "INIT SIGNER RECORD")


class LogHead(Struct, Canonical, frozen=True):
    """RFC 6962 tree head: number of leaves and 32-byte root."""

    domain: ClassVar = b"strongroom/head/v1"
    size: U64
    root: B32


# Head of a log without leaves (RFC 6962, section 2.1).
EMPTY_LOG = LogHead(0, sha256(b"").digest())


class RoleKeys(Struct, frozen=True):
    """One role's public keys (X25519 for HPKE, Ed25519 for receipts; 32 bytes each) and log."""

    role: Role
    hpke: B32
    receipt: B32
    head: LogHead = EMPTY_LOG


class Bundle(Struct, Canonical, frozen=True):
    """What the evidence of one boot commits to.

    `manifest_digest` and `owner_root` are SHA-256 values (zero before Configured), `boot_id` is 32
    random bytes, `certificate` the DER of front's TLS certificate, `nonce` the verifier's challenge
    where the platform has no field of its own for it (SNP), otherwise empty.
    """

    domain: ClassVar = b"strongroom/bundle/v2"
    longest: ClassVar = 16 * 1024
    boot_id: B32
    manifest_digest: B32 = bytes(32)
    owner_root: B32 = bytes(32)
    certificate: bytes = b""
    roles: tuple[RoleKeys, ...] = ()
    nonce: bytes = b""

    def __post_init__(self) -> None:
        order = [entry.role for entry in self.roles]
        Malformed.unless(order == sorted(set(order)), "bundle roles", "each once, ascending", order)

    @property
    def commitment(self) -> bytes:
        """SHA-512 of the encoding, 64 bytes."""
        return sha512(self.serialise()).digest()

    @property
    def keys_digest(self) -> bytes:
        """SHA-256 of the bundle without nonce and log heads: the identity of this boot's keys."""
        roles = tuple(replace(entry, head=EMPTY_LOG) for entry in self.roles)
        return sha256(replace(self, nonce=b"", roles=roles).serialise()).digest()


def hpke_info(bundle: Bundle, role: Role, purpose: bytes) -> bytes:
    """Returns the HPKE `info` that ties a ciphertext to manifest, boot, role and purpose."""
    return pack(_INFO, bundle.manifest_digest, bundle.boot_id, bytes([role]), purpose)


def receipt_message(boot_id: bytes, request: bytes, code: Code, answer: bytes) -> bytes:
    """Returns what a role signs of its answer: boot, digest of the request, code and answer.

    A reply is believed because of this receipt, not because of the channel it came through: front,
    which carries it, holds no receipt key.
    """
    return pack(_RECEIPT, boot_id, sha256(request).digest(), u32(code), answer)


def pcr16(manifest_digest: bytes) -> bytes:
    """Returns the value PCR16 has once `manifest_digest` is extended into it: 48 bytes."""
    return sha384(bytes(48) + manifest_digest).digest()
