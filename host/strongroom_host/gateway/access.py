"""From a request's headers to what it may do: key or token, limit, scope, in that order.

A token's key is looked up at each request, so that revoking it ends its tokens at once, and both
take from one bucket, so that tokens buy nobody more requests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from strongroom_host.gateway.errors import KeyRefused, ScopeMissing
from strongroom_host.gateway.guarding import LEFT
from strongroom_host.gateway.keys import KEY_PREFIX, Access, ApiKey, KeyStore, Scope
from strongroom_host.gateway.limits import Buckets
from strongroom_host.gateway.tokens import TokenSigner, narrowed

__all__ = ["HEAVY", "LIGHT", "Admission", "Gate"]

LIGHT: Final = 1
HEAVY: Final = 10
"""Tokens that an answer costs which is computed from up to 100,000 rows."""

_BEARER = HTTPBearer(
    auto_error=False, description="An API key, or a token of POST /v1/tokens (JWT, EdDSA)."
)
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key.")


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that may pass: what it may do, by which key, and whether it had the key itself."""

    access: Access
    key: ApiKey
    by_key: bool


class Gate:
    """Lets requests in; `clock` returns ms since the epoch."""

    def __init__(
        self, keys: KeyStore, tokens: TokenSigner, limits: Buckets, clock: Callable[[], int]
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._limits = limits
        self._clock = clock

    def admit(
        self, request: Request, shown: str | None, scope: Scope | None, cost: int
    ) -> Admission:
        """Proves that a request may be made, and takes it off its key's bucket.

        Raises:
            KeyRefused, TokenRefused: it shows neither a key nor a token in force.
            TooManyRequests: the key's bucket is empty.
            ScopeMissing: the key or the token is for something else.
        """
        now_ms = self._clock()
        if not shown:
            raise KeyRefused(
                "this needs a key",
                expected="Authorization: Bearer KEY, or X-API-Key: KEY",
                remedy="ask whoever runs this gateway for one",
            )
        by_key = shown.startswith(KEY_PREFIX)
        if by_key:
            key = self._keys.open(shown, now_ms)
            access = key.access
        else:
            claimed = self._tokens.read(shown, now_ms)
            key = self._keys.still(claimed.key, now_ms)
            # Narrowed again: never more than the key has now, whatever a token says.
            access = narrowed(key.access, claimed.scopes, claimed.users)
        request.scope[LEFT] = self._limits.take(key.id, now_ms, cost)
        if scope is not None and scope not in access.scopes:
            raise ScopeMissing(
                "this key is not for that",
                expected=f"the scope {scope}",
                actual=", ".join(sorted(access.scopes)),
                remedy="ask whoever runs this gateway for a key that has it",
            )
        return Admission(access, key, by_key)

    def needs(self, scope: Scope | None, cost: int = LIGHT) -> Callable[..., Admission]:
        """Returns the dependency of a route that needs a scope."""

        def admitted(
            request: Request,
            bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
            header: Annotated[str | None, Security(_HEADER)],
        ) -> Admission:
            shown = header if bearer is None else bearer.credentials
            return self.admit(request, shown, scope, cost)

        return admitted
