"""What a person hands to `strongroom attest`: files and options, read strictly.

Every mistake is a `BadInput` with one sentence on what was wrong and one on what to do.
"""

import base64
import binascii
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from strongroom_attest import AttestationError, Challenge
from strongroom_attest.nitro import MAX_DOCUMENT_BYTES, NitroPolicyTree, Roots, load_policy

from strongroom_host.errors import BadInput

__all__ = [
    "read_challenge",
    "read_document",
    "read_nonce",
    "read_policy",
    "read_roots",
    "read_time",
]

MAX_FILE_BYTES = 4 * MAX_DOCUMENT_BYTES
"""A document as hex, with line breaks, is a little over twice its size."""

_HEX = re.compile(rb"[0-9a-fA-F]+")
_FINGERPRINT = re.compile(r"(?:[0-9a-fA-F]{2}:?){32}")


def read_document(file: str) -> bytes:
    """Returns the document in a file (`-`: standard input), given raw, as hex or as base64.

    Raises:
        BadInput: Unreadable, empty, too large, or in none of the three forms.
    """
    data = _read(file, MAX_FILE_BYTES)
    # A COSE_Sign1 starts with 0x84, or 0xd2 for its tag: neither is ASCII.
    if data[:1] in (b"\x84", b"\xd2"):
        return data
    text = b"".join(data.split())
    if not text:
        raise BadInput(f"{file} is empty", remedy="Give the attestation document as received.")
    if not text.isascii():
        # Neither form of text: let the verifier say what is wrong with the bytes.
        return data
    if _HEX.fullmatch(text) and len(text) % 2 == 0:
        return bytes.fromhex(text.decode())
    try:
        return base64.b64decode(text.translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    except binascii.Error as error:
        raise BadInput(
            f"{file} is neither a raw document nor hex nor base64",
            remedy="Give the bytes of the COSE_Sign1, or their hex or base64 text.",
        ) from error


def read_policy(file: Path) -> NitroPolicyTree:
    """Returns the policy in a JSON file; repeated members are refused.

    Raises:
        BadInput: Unreadable, no JSON, or no policy.
    """
    try:
        return load_policy(json.loads(_read(str(file), 1 << 20), object_pairs_hook=_unique))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{file} is not JSON: {error}") from error
    except AttestationError as error:
        raise BadInput(
            f"{file}: {error}",
            remedy="attestation/README.md shows the form of a policy.",
        ) from error


def read_roots(given: list[str]) -> Roots:
    """Returns the trust anchors: fingerprints or certificate files; AWS's root if none is given.

    Raises:
        BadInput: Neither a SHA-256 in hex nor a readable certificate.
    """
    fingerprints: frozenset[bytes] = frozenset()
    for text in given:
        if _FINGERPRINT.fullmatch(text):
            fingerprints |= Roots.of(text).fingerprints
        else:
            fingerprints |= Roots.of_certificates(_certificate(text)).fingerprints
    return Roots(fingerprints) if given else Roots.aws()


def read_time(text: str, option: str = "--at") -> datetime:
    """Returns an ISO 8601 time that carries a zone.

    Raises:
        BadInput: It is not one.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            f'{option}: {text!r} is not a time in ISO 8601, nor "document"',
            remedy=f"For instance {option} {datetime.now(UTC).isoformat(timespec='seconds')}",
        ) from error
    if moment.tzinfo is None:
        raise BadInput(
            f"{option}: {text!r} does not say in which time zone",
            remedy=f"Add the offset, or Z for UTC: {option} {text}Z",
        )
    return moment


def read_challenge(text: str) -> Challenge:
    """Returns the challenge for a nonce in hex.

    Raises:
        BadInput: Not hex, or not 16..1024 bytes.
    """
    try:
        return Challenge(read_nonce(text))
    except AttestationError as error:
        raise BadInput(f"--nonce: {error}") from error


def read_nonce(text: str) -> bytes:
    """Returns the bytes of a nonce in hex, of any length: archived documents have short ones.

    Raises:
        BadInput: Not hex.
    """
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise BadInput("--nonce is not hex", remedy="Give an even number of hex digits.") from error


def _read(file: str, limit: int) -> bytes:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(limit + 1)
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror or error}") from error
    if len(data) > limit:
        raise BadInput(f"{file} has more than {limit} bytes, too many for what it should hold")
    return data


def _certificate(file: str) -> bytes:
    data = _read(file, 1 << 16)
    try:
        load = (
            x509.load_pem_x509_certificate
            if data.lstrip().startswith(b"-----")
            else x509.load_der_x509_certificate
        )
        return load(data).public_bytes(Encoding.DER)
    except (ValueError, x509.InvalidVersion) as error:
        raise BadInput(
            f"--root: {file} is not a certificate",
            remedy="Give the SHA-256 of the root in hex, or a PEM or DER file of one certificate.",
        ) from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        repeated = next(name for name, _ in pairs if sum(n == name for n, _ in pairs) > 1)
        raise ValueError(f"the member {repeated!r} stands there twice")
    return members
