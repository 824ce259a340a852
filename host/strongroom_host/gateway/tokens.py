"""Short-lived tokens in the place of a key: JWTs (RFC 7519) signed with Ed25519 (RFC 8037).

For a program that should not hold the key itself, such as a page in a browser. A token can only
narrow what its key may do, and ends with it. There is one algorithm, and the header is compared
byte by byte before anything in it is believed: no `alg`, `jwk` or `kid` of a stranger is ever acted
on.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom_host.gateway.errors import ExpiryInvalid, ScopeMissing, TokenRefused
from strongroom_host.gateway.keys import Access, Scope

__all__ = ["AUDIENCE", "MAX_SECONDS", "TokenSigner", "narrowed"]

AUDIENCE: Final = "strongroom-gateway"
MAX_SECONDS: Final = 900
_SKEW_S: Final = 5
"""Clocks of several gateways; a token is otherwise read by the process that made it."""


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """Makes and reads tokens under one secret of 32 bytes."""

    secret: bytes

    def sign(self, access: Access, now_ms: int, seconds: int) -> str:
        """Returns a token for what `access` may do, for so many seconds.

        Raises:
            ExpiryInvalid: not 1 to 900 seconds.
        """
        if not 1 <= seconds <= MAX_SECONDS:
            raise ExpiryInvalid(
                "a token lives too long, or not at all",
                expected=f"1 to {MAX_SECONDS} s",
                actual=seconds,
            )
        claims = {
            "aud": AUDIENCE,
            "exp": now_ms // 1000 + seconds,
            "iat": now_ms // 1000,
            "scope": " ".join(sorted(access.scopes)),
            "sub": access.key,
            "users": None if access.users is None else sorted(access.users),
        }
        signed = f"{self._header}.{_encode(_json(claims))}"
        return f"{signed}.{_encode(self._key.sign(signed.encode()))}"

    def read(self, text: str, now_ms: int) -> Access:
        """Proves that a token was made here and is in force; returns what it is for. That its key
        still is, and what that may do, is for the caller to ask (`narrowed`).

        Raises:
            TokenRefused: anything else.
        """
        header, _, rest = text.partition(".")
        body, _, signature = rest.partition(".")
        if header != self._header:
            raise _refused("it was not made here")
        try:
            self._key.public_key().verify(_decode(signature), f"{header}.{body}".encode())
            claims = json.loads(_decode(body))
            users = claims["users"]
            access = Access(
                str(claims["sub"]),
                frozenset(map(Scope, claims["scope"].split())),
                None if users is None else frozenset(map(str, users)),
            )
            issued, expires = int(claims["iat"]), int(claims["exp"])
            audience = claims["aud"]
        except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _refused("it was not made here, or was changed") from error
        if audience != AUDIENCE:
            raise _refused("it is for something else")
        if not issued - _SKEW_S <= now_ms // 1000 < expires or expires - issued > MAX_SECONDS:
            raise _refused("it has expired, or is not yet in force")
        return access

    @property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secret)

    @property
    def _header(self) -> str:
        kid = _encode(sha256(self._key.public_key().public_bytes_raw()).digest()[:12])
        return _encode(_json({"alg": "EdDSA", "kid": kid, "typ": "JWT"}))


def narrowed(
    access: Access, scopes: frozenset[Scope] | None, users: frozenset[str] | None
) -> Access:
    """Returns what remains of an access; None narrows nothing.

    Raises:
        ScopeMissing: more was asked for than it has.
    """
    if scopes is not None and not (scopes and scopes <= access.scopes):
        raise ScopeMissing(
            "a token cannot do more than its key",
            expected=f"of {', '.join(sorted(access.scopes))}",
            actual=", ".join(sorted(scopes)) or "nothing",
        )
    if users is not None and not (users and (access.users is None or users <= access.users)):
        raise ScopeMissing("a token cannot see whom its key does not see")
    return Access(
        access.key,
        access.scopes if scopes is None else scopes,
        access.users if users is None else users,
        access.login,
    )


def _refused(why: str) -> TokenRefused:
    return TokenRefused(
        f"this token opens nothing: {why}",
        expected="a token of this gateway, in force",
        remedy="get a new one with the key: POST /v1/tokens",
    )


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Strict: one text per value, so that a token cannot be written in two ways."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("no base64url") from error
    if _encode(data) != text:
        raise ValueError("no canonical base64url")
    return data
