"""Sealing keys: what survives a restart opens only for this owner, on this platform, in this role.

Key = HKDF-SHA256(platform secret || the owners' unlock share; info names owner root and role). The
platform's half keeps the owner's folder alone from opening the blob, the share keeps a genuine
image that somebody else configured from opening it.
"""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from strongroom_wire.bundle import Role
from strongroom_wire.encoding import pack
from strongroom_wire.errors import Malformed

__all__ = ["role_key"]


def role_key(platform_secret: bytes, share: bytes, owner_root: bytes, role: Role) -> bytes:
    """Returns the 32-byte AES key of one role.

    Raises:
        Malformed: a half that is not 32 bytes long.
    """
    if not len(platform_secret) == len(share) == 32:
        raise Malformed("sealing secrets", "32 bytes each", (len(platform_secret), len(share)))
    info = pack(b"strongroom/sealing/v1", owner_root, bytes([role]))
    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=info)
    return hkdf.derive(platform_secret + share)
