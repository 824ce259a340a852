"""The API credential and the L2 signature, HMAC-SHA256 over timestamp, method, path and body.

The secret goes into a keyed HMAC object on arrival and is kept in no other form. `l2_signature`
authenticates whatever it is given, so it has one caller: `clob`, which gives it only requests that
it serialised itself (a test scans the enclave for a second).
"""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import InitVar, dataclass, field

from strongroom_enclave.signer import errors

__all__ = ["ApiCredential"]

_API_KEY = re.compile(r"[A-Za-z0-9-]{1,64}")
_PASSPHRASE = re.compile(r"[A-Za-z0-9._~+/=-]{1,128}")


@dataclass(frozen=True, slots=True, eq=False)
class ApiCredential:
    """An L2 credential: API key, passphrase, and the raw secret (16 to 64 bytes; the venue's have
    32), which is kept as a keyed HMAC only.

    Both strings go into headers, and the key into JSON bodies: their alphabets hold nothing that
    ends a header line or a JSON string, and no apostrophe or percent sign.

    Raises:
        ApiKeyMalformed, PassphraseMalformed, SecretMalformed: see there.
    """

    api_key: str
    secret: InitVar[bytes]
    passphrase: str = field(repr=False)
    _mac: hmac.HMAC = field(init=False, repr=False)

    def __post_init__(self, secret: bytes) -> None:
        if type(self.api_key) is not str or not _API_KEY.fullmatch(self.api_key):
            raise errors.ApiKeyMalformed("API key", _API_KEY.pattern, "something else")
        if type(self.passphrase) is not str or not _PASSPHRASE.fullmatch(self.passphrase):
            raise errors.PassphraseMalformed("passphrase", _PASSPHRASE.pattern, "something else")
        if type(secret) is not bytes or not 16 <= len(secret) <= 64:
            raise errors.SecretMalformed("API secret", "16 to 64 bytes", "another length or type")
        object.__setattr__(self, "_mac", hmac.new(secret, digestmod="sha256"))

    @classmethod
    def parse(cls, api_key: str, secret: str, passphrase: str) -> "ApiCredential":
        """Returns the credential whose secret is spelled as the venue does: padded base64url.

        Only the canonical spelling passes, so that a truncated or mistyped secret is an error here
        and not a rejected request later.

        Raises:
            ApiKeyMalformed, PassphraseMalformed, SecretMalformed: see there.
        """
        try:
            raw = urlsafe_b64decode(secret)  # skips what is not base64: hence the comparison
        except (ValueError, TypeError):
            raw = b""
        if not raw or urlsafe_b64encode(raw).decode() != secret:
            raise errors.SecretMalformed("API secret", "canonical base64url, padded", "another")
        return cls(api_key, raw, passphrase)

    def l2_signature(self, timestamp: int, method: str, path: str, body: str) -> str:
        """Returns the POLY_SIGNATURE header: base64url(HMAC(timestamp || method || path || body)).

        44 characters, padded. `timestamp` is in unix seconds; `path` has no query string; `body`
        is what goes on the wire.
        """
        mac = self._mac.copy()
        mac.update(f"{timestamp}{method}{path}{body}".encode("ascii"))
        return urlsafe_b64encode(mac.digest()).decode()
