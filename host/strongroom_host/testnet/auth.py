"""API keys, and the two header schemes that authenticate a request.

L1 proves control of an address (EIP-712 ClobAuth) and yields an API key; L2 proves knowledge of
that key's secret over this very request (HMAC-SHA256). Keys are derived from a server secret, so
the same address and nonce always name the same key, as on the real venue.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from strongroom_host.testnet.contracts import Address, address_from
from strongroom_host.testnet.eip712 import MalformedSignature, clob_auth_message, recover
from strongroom_host.testnet.errors import KeyRefused, L1Rejected, Unauthorized

__all__ = ["ApiKey", "Authenticator", "BuilderKey", "hmac_signature"]

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Credentials of one address. `secret` is base64url text of 32 bytes, as handed out."""

    key: str
    secret: str
    passphrase: str
    address: Address
    nonce: int


@dataclass(frozen=True, slots=True)
class BuilderKey:
    """Credentials with which a builder speaks to the relayer paths."""

    key: str
    secret: str
    passphrase: str
    created_ms: int


def hmac_signature(secret: str, timestamp: str, method: str, path: str, body: bytes) -> str:
    """The L2 signature: base64url HMAC-SHA256 of timestamp, method, path and body bytes.

    `path` carries no query string.
    """
    key = base64.urlsafe_b64decode(secret)
    text = f"{timestamp}{method}{path}".encode() + body
    return _encode(hmac.digest(key, text, hashlib.sha256))


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())


class Authenticator:
    """The API keys of one venue. Timestamps are Unix seconds; skews are inclusive."""

    def __init__(
        self, master_secret: bytes, chain_id: int, *, l1_skew_s: int, l2_skew_s: int
    ) -> None:
        self._master = master_secret
        self._chain_id = chain_id
        self._l1_skew_s = l1_skew_s
        self._l2_skew_s = l2_skew_s
        self._keys: dict[str, ApiKey] = {}
        self._builders: dict[str, BuilderKey] = {}

    def _derive(self, purpose: str) -> bytes:
        return hmac.digest(self._master, purpose.encode(), hashlib.sha512)

    def _key_for(self, address: Address, nonce: int) -> ApiKey:
        seed = self._derive(f"api-key {address} {nonce}")
        return ApiKey(
            key=str(uuid.UUID(bytes=seed[:16], version=5)),
            secret=_encode(self._derive(f"secret {address} {nonce}")[:32]),
            passphrase=seed[32:].hex(),
            address=address,
            nonce=nonce,
        )

    def l1(self, headers: Mapping[str, str], now_s: int) -> tuple[Address, int]:
        """The address that L1 headers prove control of, and their nonce.

        Raises:
            L1Rejected: a header is missing or malformed, the timestamp is outside the window, or
                the signature is not by that address for this chain.
        """
        try:
            address = address_from(headers["POLY_ADDRESS"])
            timestamp, nonce = headers["POLY_TIMESTAMP"], headers["POLY_NONCE"]
            signature = headers["POLY_SIGNATURE"]
        except (KeyError, ValueError) as error:
            raise L1Rejected(actual=str(error)) from error
        if _DECIMAL.fullmatch(timestamp) is None or _DECIMAL.fullmatch(nonce) is None:
            raise L1Rejected(expected="decimal timestamp and nonce", actual=(timestamp, nonce))
        if abs(now_s - int(timestamp)) > self._l1_skew_s:
            raise L1Rejected(expected=now_s, actual=timestamp)
        message = clob_auth_message(address, timestamp, int(nonce), self._chain_id)
        try:
            if not signature.startswith("0x"):
                raise MalformedSignature("no 0x")
            signer = recover(message, bytes.fromhex(signature[2:]))
        except ValueError as error:
            raise L1Rejected(actual=str(error)) from error
        if signer != address:
            raise L1Rejected(expected=address, actual=signer)
        return address, int(nonce)

    def create(self, address: Address, nonce: int) -> ApiKey:
        """Create the key of (address, nonce).

        Raises:
            KeyRefused: it exists already; the client is to derive it.
        """
        key = self._key_for(address, nonce)
        if key.key in self._keys:
            raise KeyRefused("Could not create api key", actual=key.key)
        self._keys[key.key] = key
        return key

    def derive(self, address: Address, nonce: int) -> ApiKey:
        """The existing key of (address, nonce).

        Raises:
            KeyRefused: none was created, or it was deleted.
        """
        key = self._key_for(address, nonce)
        if key.key not in self._keys:
            raise KeyRefused("Could not derive api key!", actual=key.key)
        return key

    def adopt(self, key: ApiKey) -> None:
        """Make a key known whose secret is given (replaying recorded requests)."""
        self._keys[key.key] = key

    def keys_of(self, address: Address) -> tuple[str, ...]:
        """The ids of all live keys of `address`."""
        return tuple(key.key for key in self._keys.values() if key.address == address)

    def delete(self, key: ApiKey) -> None:
        """Forget a key; creating it anew gives the same one."""
        self._keys.pop(key.key, None)

    def l2(
        self, headers: Mapping[str, str], method: str, path: str, body: bytes, now_s: int
    ) -> ApiKey:
        """The API key whose holder sent exactly this request.

        Raises:
            Unauthorized: a header is missing, the key is unknown, the address or passphrase is
                not the key's, the timestamp is outside the window, or the HMAC does not match.
        """
        presented = _presented(headers, "POLY_")
        try:
            address = address_from(headers["POLY_ADDRESS"])
        except (KeyError, ValueError) as error:
            raise Unauthorized(actual=str(error)) from error
        key = self._keys.get(presented.key)
        if key is None:
            raise Unauthorized(expected="a known key", actual=presented.key)
        if key.address != address:
            raise Unauthorized(expected=key.address, actual=address)
        self._check(key, presented, (method, path, body), now_s)
        return key

    def create_builder(self, now_ms: int, salt: bytes) -> BuilderKey:
        """A new builder key."""
        seed = self._derive(f"builder {salt.hex()}")
        builder = BuilderKey(
            key=str(uuid.UUID(bytes=seed[:16], version=5)),
            secret=_encode(seed[16:48]),
            passphrase=seed[48:].hex(),
            created_ms=now_ms,
        )
        self._builders[builder.key] = builder
        return builder

    def builder(
        self, headers: Mapping[str, str], method: str, path: str, body: bytes, now_s: int
    ) -> BuilderKey:
        """The builder key that authenticates this request (``POLY_BUILDER_*`` headers).

        Raises:
            Unauthorized: as for `l2`.
        """
        presented = _presented(headers, "POLY_BUILDER_")
        key = self._builders.get(presented.key)
        if key is None:
            raise Unauthorized(expected="a known builder key", actual=presented.key)
        self._check(key, presented, (method, path, body), now_s)
        return key

    def _check(
        self,
        key: ApiKey | BuilderKey,
        presented: _Presented,
        request: tuple[str, str, bytes],
        now_s: int,
    ) -> None:
        timestamp = presented.timestamp
        if _DECIMAL.fullmatch(timestamp) is None or abs(now_s - int(timestamp)) > self._l2_skew_s:
            raise Unauthorized(expected=now_s, actual=timestamp)
        if not _same(key.passphrase, presented.passphrase):
            raise Unauthorized(expected="the key's passphrase")
        if not _same(hmac_signature(key.secret, timestamp, *request), presented.signature):
            raise Unauthorized(expected="HMAC over this request")


@dataclass(frozen=True, slots=True)
class _Presented:
    """What the headers claim, before any of it is believed."""

    key: str
    passphrase: str
    timestamp: str
    signature: str


def _presented(headers: Mapping[str, str], prefix: str) -> _Presented:
    try:
        return _Presented(
            key=headers[f"{prefix}API_KEY"],
            passphrase=headers[f"{prefix}PASSPHRASE"],
            timestamp=headers[f"{prefix}TIMESTAMP"],
            signature=headers[f"{prefix}SIGNATURE"],
        )
    except KeyError as error:
        raise Unauthorized(actual=str(error)) from error
