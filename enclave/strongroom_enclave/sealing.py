"""Sealing: what survives a restart opens only for this owner, on this platform, in this role.

Key = HKDF-SHA256(platform secret || the owners' unlock share; info names owner root and role). The
platform's half keeps the owner's folder alone from opening the blob, the share keeps a genuine
image that somebody else configured from opening it. Each role is handed its own key only.
"""

from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from strongroom_wire.bundle import Role
from strongroom_wire.encoding import pack, u64, uint, unpack_fields
from strongroom_wire.errors import Code, Malformed, Refused, require

_SEALED, _REFUSED = b"strongroom/sealed/v1", Code.SEALED_STATE_REFUSED


def role_key(platform_secret: bytes, share: bytes, owner_root: bytes, role: Role) -> bytes:
    """Returns the 32-byte AES key of one role.

    Raises:
        Malformed: a half that is not 32 bytes long.
    """
    sizes = len(platform_secret), len(share)
    Malformed.unless(sizes == (32, 32), "sealing secrets", "32 bytes each", sizes)
    info = pack(b"strongroom/sealing/v1", owner_root, bytes([role]))
    return HKDF(SHA256(), length=32, salt=None, info=info).derive(platform_secret + share)


def seal(key: bytes, version: int, state: bytes) -> bytes:
    """Returns `state` under AES-256-GCM, to be opened by manifest `version` or a later one.

    The bound keeps a later, stricter manifest from being undone by restoring what it sealed under
    an earlier one.

    Raises:
        Refused: SEALED_STATE_REFUSED without a key: no permit of this boot carried a share.
    """
    nonce, least = token_bytes(12), u64(version)
    return pack(_SEALED, least, nonce, _cipher(key).encrypt(nonce, state, _SEALED + least))


def unseal(key: bytes, version: int, blob: bytes) -> bytes:
    """Returns what `seal` was given, in this boot or another.

    Raises:
        Malformed: not the layout of a sealed blob.
        Refused: SEALED_STATE_REFUSED when another owner, platform, image or role sealed it, when it
            was altered, or when it asks for a later manifest than `version`.
    """
    least, nonce, content = unpack_fields(_SEALED, blob, 8, 12, None)
    try:
        state = _cipher(key).decrypt(nonce, content, _SEALED + least)
    except InvalidTag as error:
        raise Refused(_REFUSED, "sealed state", "ours", "not") from error
    require(uint(least, 8) <= version, _REFUSED, "manifest version", uint(least, 8), version)
    return state


def _cipher(key: bytes) -> AESGCM:
    require(bool(key), _REFUSED, "unlock share", "in the permit", "none")
    return AESGCM(key)
