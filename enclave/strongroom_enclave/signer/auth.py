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

_API_KEY = re.compile(r"[A-Za-z0-9-]{1,64}")
_PASSPHRASE = re.compile(r"[A-Za-z0-9._~+/=-]{1,128}")


@dataclass(frozen=True, slots=True, eq=False)
class ApiCredential:
    """An L2 credential: API key, secret, passphrase. The secret is spelled as the venue does, in
    padded base64url of 16 to 64 bytes (the venue's have 32), and kept as a keyed HMAC only.

    Only its canonical spelling passes, so that a truncated or mistyped one is an error here and not
    a rejected request later. The other two go into headers, and the key into JSON bodies: their
    alphabets hold nothing that ends a header line or a JSON string, and no apostrophe or percent
    sign.

    Raises:
        CredentialError: one of the three is spelled otherwise.
    """

    api_key: str
    secret: InitVar[str]
    passphrase: str = field(repr=False)
    _mac: hmac.HMAC = field(init=False, repr=False)

    def __post_init__(self, secret: str) -> None:
        named, spelled = _API_KEY.fullmatch(self.api_key), _PASSPHRASE.fullmatch(self.passphrase)
        errors.CredentialError.unless(named, "API key", _API_KEY.pattern, "another")
        errors.CredentialError.unless(spelled, "passphrase", _PASSPHRASE.pattern, "another")
        try:
            raw = urlsafe_b64decode(secret)  # skips what is not base64: hence the comparison
        except ValueError:
            raw = b""
        canonical = 16 <= len(raw) <= 64 and urlsafe_b64encode(raw).decode() == secret
        errors.CredentialError.unless(canonical, "API secret", "16 to 64 bytes, base64url", "other")
        object.__setattr__(self, "_mac", hmac.new(raw, digestmod="sha256"))

    def l2_signature(self, timestamp: int, method: str, path: str, body: str) -> str:
        """Returns the POLY_SIGNATURE header: base64url(HMAC(timestamp || method || path || body)).

        44 characters, padded. `timestamp` is in unix seconds; `path` has no query string; `body`
        is what goes on the wire.
        """
        mac = self._mac.copy()
        mac.update(f"{timestamp}{method}{path}{body}".encode("ascii"))
        return urlsafe_b64encode(mac.digest()).decode()
