"""Data keys and what is kept under them; the host stores all of it, and opens none.

A user's data key is made here, and leaves only under the role's sealing key. Two keys derive from
it: one encrypts, the other makes nonces and names, from content. So the same content in the same
place is the same ciphertext: whoever was interrupted writes it again, and says nothing new by it.
A ciphertext is stored as the key's name (16 bytes), the nonce (12), the content and its tag (16).
"""

import hmac
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from strongroom_wire.encoding import digest, pack, unpack_fields
from strongroom_wire.errors import Code, WireError

from strongroom_enclave.sealing import seal, unseal

_KEY = b"strongroom/record/data-key/v1"
_SEALED = b"strongroom/record/sealed/v1"


class SealForged(WireError, code=Code.SEALED_STATE_REFUSED):
    """A ciphertext is not what was sealed for this place: edited, or from another one."""


class KeyUnknown(SealForged):
    """A ciphertext names a data key that its user does not have."""


class DataKey:
    """A key of one user, named by a digest of itself: no name leads to another key."""

    def __init__(self, user: str, secret: bytes) -> None:
        self.user, self.id, self._secret = user, digest(_KEY, secret)[:16], secret
        keys = HKDF(SHA256(), length=64, salt=None, info=_KEY).derive(secret)
        self._cipher, self._naming = AESGCM(keys[:32]), keys[32:]

    def wrapped(self, role_key: bytes, version: int) -> bytes:
        """Returns the key under the role's sealing key; see `sealing.seal`."""
        return seal(role_key, version, pack(_KEY, self.user.encode(), self._secret))

    @classmethod
    def unwrapped(cls, role_key: bytes, version: int, user: str, blob: bytes) -> "DataKey":
        """Returns a key that was wrapped for this user.

        Raises:
            Malformed, Refused: see `sealing.unseal`.
            SealForged: it is another user's.
        """
        name, secret = unpack_fields(_KEY, unseal(role_key, version, blob), None, 32)
        SealForged.unless(name == user.encode(), "data key", "this user's", "another's")
        return cls(user, secret)

    def name(self, *fields: bytes) -> bytes:
        """Returns 32 bytes that name these fields to whoever has the key, and nobody else."""
        return hmac.digest(self._naming, pack(_SEALED, *fields), "sha256")

    def seal(self, place: bytes, content: bytes) -> bytes:
        """Returns `content` so that it opens for this place only."""
        nonce = self.name(b"nonce", place, content)[:12]
        return self.id + nonce + self._cipher.encrypt(nonce, content, pack(_SEALED, place, self.id))

    def open(self, place: bytes, sealed: bytes) -> bytes:
        """Returns what was sealed under this key for this place, or raises `SealForged`."""
        try:
            context = pack(_SEALED, place, self.id)
            return self._cipher.decrypt(sealed[16:28], sealed[28:], context)
        except (InvalidTag, ValueError) as error:
            raise SealForged("ciphertext", "what was sealed for this place", "not") from error


# The keys of one user by their names; never more than one user's.
Keys = Mapping[bytes, DataKey]


def opened(keys: Keys, place: bytes, sealed: bytes) -> bytes:
    """Returns what was sealed for this place under one of these keys.

    Raises:
        KeyUnknown, SealForged: it was not.
    """
    if (key := keys.get(sealed[:16])) is None:
        raise KeyUnknown("data key", "one of the user's", sealed[:16].hex())
    return key.open(place, sealed)
