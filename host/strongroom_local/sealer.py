"""The file sealer: the local stand-in for KMS or the SNP derived key."""

import secrets
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from strongroom_local.errors import UnusableFile
from strongroom_local.keyfile import read_or_create

__all__ = ["FileSealer"]

_SIZE = 32
_DOMAIN = b"strongroom/local/sealer/v1"


class FileSealer:
    """The enclave's `Sealer` port, over 32 random bytes in a file.

    The measurement goes into the derivation, so that a changed source tree loses what an earlier
    one sealed, as a changed image does. Unlike there nothing enforces it: whoever reads the file
    can derive every secret.
    """

    def __init__(self, path: Path, measurement: bytes) -> None:
        """Reads the file, or makes it.

        Args:
            path: The file; mode 0600 and owned by this user.
            measurement: PCR0 of the code that asks, 48 bytes.

        Raises:
            UnsafeFile: somebody else could read the file or has made it.
            UnusableFile: the file does not hold exactly 32 bytes.
            ValueError: the measurement has another size.
            OSError: the folder is missing or not writable.
        """
        if len(measurement) != 48:
            raise ValueError(f"measurement of {len(measurement)} bytes, expected 48")
        self._key = read_or_create(path, lambda: secrets.token_bytes(_SIZE))
        self._measurement = measurement
        if len(self._key) != _SIZE:
            raise UnusableFile(f"size of {path}", _SIZE, len(self._key))

    def secret(self, context: bytes) -> bytes:
        """Returns HKDF-SHA256(file; info = domain || measurement || context), 32 bytes.

        Only the last part has no fixed length, so no two calls share an info by shifting bytes.
        """
        info = _DOMAIN + self._measurement + context
        return HKDF(SHA256(), _SIZE, salt=None, info=info).derive(self._key)
