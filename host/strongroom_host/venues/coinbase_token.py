"""Proof of a Coinbase request: a token signed with ES256 by the client's own P-256 key."""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

__all__ = ["TokenRefused", "key_named_by", "verify"]

_LIFETIME_S: Final = 120
_LEEWAY_S: Final = 5


class TokenRefused(Exception):
    """The token does not prove this request; the text says which check failed."""


class _Header(msgspec.Struct):
    alg: str
    kid: str
    nonce: str
    typ: str = "JWT"


class _Claims(msgspec.Struct):
    sub: str
    iss: str
    nbf: int
    exp: int
    uri: str
    aud: list[str] = []


def _part(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise TokenRefused("a part is no base64") from error


def _parsed(token: str) -> tuple[_Header, _Claims, bytes, bytes]:
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenRefused("not three parts")
    try:
        header = msgspec.json.decode(_part(parts[0]), type=_Header)
        claims = msgspec.json.decode(_part(parts[1]), type=_Claims)
    except msgspec.MsgspecError as error:
        raise TokenRefused("header or claims are malformed") from error
    return header, claims, ".".join(parts[:2]).encode("ascii", "replace"), _part(parts[2])


def key_named_by(token: str) -> str:
    """The name of the key that a token says it is signed with; nothing is verified yet.

    Raises:
        TokenRefused: the token is malformed.
    """
    return _parsed(token)[0].kid


def verify(token: str, public_key_pem: str, request: str, now_s: int) -> None:
    """Proves that the holder of the key made this request (``GET host/path``) just now.

    Raises:
        TokenRefused: another algorithm, key, request or time, or the signature is wrong.
    """
    header, claims, signed, signature = _parsed(token)
    if header.alg != "ES256":
        raise TokenRefused("algorithm")
    if claims.sub != header.kid or claims.iss not in ("cdp", "coinbase-cloud"):
        raise TokenRefused("subject or issuer")
    if claims.uri != request:
        raise TokenRefused("another request")
    fresh = claims.nbf - _LEEWAY_S <= now_s <= claims.exp + _LEEWAY_S
    if not fresh or claims.exp - claims.nbf > _LIFETIME_S:
        raise TokenRefused("time")
    key = serialization.load_pem_public_key(public_key_pem.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey) or len(signature) != 64:
        raise TokenRefused("signature")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise TokenRefused("signature") from error
