"""The payload of a Nitro attestation document: every field's type, size and range.

After the vendor's specification (aws-nitro-enclaves-nsm-api, docs/attestation_process.md, sections
3.1 and 3.2.2.2), corrected by recorded documents where they differ: `public_key`, `user_data` and
`nonce` may have 1,024 bytes and are CBOR null when the enclave gave none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

from strongroom_attest.errors import FieldInvalid, MalformedDocument, shown
from strongroom_attest.nitro import cbor
from strongroom_attest.nitro.cose import MAX_DOCUMENT_BYTES

__all__ = [
    "MAX_CABUNDLE",
    "MAX_CERTIFICATE_BYTES",
    "MAX_USER_BYTES",
    "PCR_LENGTHS",
    "AttestationDocument",
    "parse_payload",
]

MAX_USER_BYTES: Final = 1024
MAX_CERTIFICATE_BYTES: Final = 1024
MAX_CABUNDLE: Final = 8
"""AWS sends four CA certificates. Each one more costs the verifier a signature check."""
PCR_LENGTHS: Final = (32, 48, 64)
MAX_PCRS: Final = 32
_MAX_TIMESTAMP_MS: Final = 253_402_300_799_999  # the last millisecond that datetime can hold
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MEASUREMENT_PCRS: Final = (0, 1, 2)
_REQUIRED: Final = ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")
_OPTIONAL: Final = ("public_key", "user_data", "nonce")


@dataclass(frozen=True, slots=True)
class AttestationDocument:
    """The fields of one document. On its own it proves nothing: see `authenticate`.

    Attributes:
        module_id: `i-<instance>-enc<enclave>`.
        digest: Always "SHA384".
        timestamp_ms: Milliseconds since 1970-01-01 UTC, by the platform's clock.
        pcrs: Index 0..31 -> value. Only locked PCRs are in a document.
        certificate: The leaf, DER.
        cabundle: CA certificates, DER, the root first.
        public_key: What the enclave asked to have attested; None is null, b"" is empty.
        user_data: As `public_key`.
        nonce: As `public_key`.
        notes: Oddities that are not errors, for a person to read.
    """

    module_id: str
    digest: str
    timestamp_ms: int
    pcrs: Mapping[int, bytes]
    certificate: bytes
    cabundle: tuple[bytes, ...]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None
    notes: tuple[str, ...]

    @property
    def timestamp(self) -> datetime:
        """`timestamp_ms` as a UTC datetime, exact to the millisecond."""
        return _EPOCH + timedelta(milliseconds=self.timestamp_ms)

    @property
    def is_debug(self) -> bool:
        """Whether PCR0, 1 and 2 are all zero (or absent), as they are in debug mode.

        Not "all PCRs": PCR4, and PCR3 if the parent has a role, stay set in debug mode.
        """
        return all(not any(self.pcrs.get(index, b"")) for index in _MEASUREMENT_PCRS)


def parse_payload(payload: bytes) -> AttestationDocument:
    """Returns the document in an untrusted payload; unknown keys are ignored and noted.

    Raises:
        MalformedDocument: Or a subclass; `FieldInvalid` names the field.
    """
    fields = cbor.decode(payload, max_bytes=MAX_DOCUMENT_BYTES, indefinite=True)
    if not isinstance(fields, dict):
        raise MalformedDocument("the payload is not a map")
    check_keys(fields)
    return AttestationDocument(
        module_id=read_module_id(fields["module_id"]),
        digest=read_digest(fields["digest"]),
        timestamp_ms=read_timestamp(fields["timestamp"]),
        pcrs=read_pcrs(fields["pcrs"]),
        certificate=read_bytes("certificate", fields["certificate"], 1, MAX_CERTIFICATE_BYTES),
        cabundle=read_cabundle(fields["cabundle"]),
        public_key=read_optional("public_key", fields.get("public_key")),
        user_data=read_optional("user_data", fields.get("user_data")),
        nonce=read_optional("nonce", fields.get("nonce")),
        notes=_notes(fields),
    )


def check_keys(fields: dict[object, object]) -> None:
    """Refuses keys that are not text, and a payload without the required ones."""
    for key in fields:
        if not isinstance(key, str):
            raise MalformedDocument(f"a key of the payload is not text: {shown(key)}")
    for key in _REQUIRED:
        if key not in fields:
            raise FieldInvalid(key, "missing")


def read_module_id(value: object) -> str:
    """Returns a non-empty text."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_USER_BYTES:
        raise FieldInvalid("module_id", "must be a non-empty text", actual=value)
    return value


def read_digest(value: object) -> str:
    """Returns "SHA384", the only digest that the specification allows."""
    if value != "SHA384":
        raise FieldInvalid(
            "digest", f"must be SHA384, not {shown(value)}", expected="SHA384", actual=value
        )
    return "SHA384"


def read_timestamp(value: object) -> int:
    """Returns milliseconds since the epoch, 1 .. the end of year 9999."""
    # bool is an int in Python, and CBOR has both.
    if not isinstance(value, int) or isinstance(value, bool):
        raise FieldInvalid("timestamp", "must be an integer", actual=value)
    if not 1 <= value <= _MAX_TIMESTAMP_MS:
        raise FieldInvalid("timestamp", "out of range", actual=value)
    return value


def read_pcrs(value: object) -> Mapping[int, bytes]:
    """Returns 1..32 PCRs, index 0..31, each of 32, 48 or 64 bytes, unmodifiable."""
    if not isinstance(value, dict) or not 1 <= len(value) <= MAX_PCRS:
        raise FieldInvalid("pcrs", f"must be a map of 1..{MAX_PCRS} entries")
    for index, pcr in value.items():
        if type(index) is not int or not 0 <= index < MAX_PCRS:
            raise FieldInvalid("pcrs", f"index {shown(index)} is not in 0..{MAX_PCRS - 1}")
        if not isinstance(pcr, bytes) or len(pcr) not in PCR_LENGTHS:
            raise FieldInvalid(f"pcrs[{index}]", "must have 32, 48 or 64 bytes", actual=pcr)
    return MappingProxyType(value)


def read_cabundle(value: object) -> tuple[bytes, ...]:
    """Returns 1..`MAX_CABUNDLE` certificates, the root first."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_CABUNDLE:
        raise FieldInvalid("cabundle", f"must be an array of 1..{MAX_CABUNDLE} certificates")
    return tuple(
        read_bytes(f"cabundle[{n}]", der, 1, MAX_CERTIFICATE_BYTES) for n, der in enumerate(value)
    )


def read_optional(field: str, value: object) -> bytes | None:
    """Returns 0..1024 bytes, or None for null: the two are different answers."""
    return None if value is None else read_bytes(field, value, 0, MAX_USER_BYTES)


def read_bytes(field: str, value: object, low: int, high: int) -> bytes:
    """Returns a byte string of `low`..`high` bytes."""
    if not isinstance(value, bytes):
        raise FieldInvalid(field, "must be a byte string", actual=value)
    if not low <= len(value) <= high:
        raise FieldInvalid(
            field, f"has {len(value)} bytes, {low}..{high} are allowed", actual=len(value)
        )
    return value


def _notes(fields: dict[object, object]) -> tuple[str, ...]:
    known = {*_REQUIRED, *_OPTIONAL}
    return (
        *(f"unknown key {shown(key)} ignored" for key in fields if key not in known),
        *(f"{key} is missing; AWS sends null" for key in _OPTIONAL if key not in fields),
    )
