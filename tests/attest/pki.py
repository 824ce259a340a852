"""A throw-away Nitro: a certificate hierarchy of AWS's shape and a security module that signs.

The baseline (`mint()`) is a good document in every respect. A test changes one thing about it and
shows that this one thing is what gets it refused.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from strongroom_attest.nitro import NitroPolicy, Roots
from strongroom_attest.policy import Exactly, Unchecked
from strongroom_attest.result import Mode

__all__ = [
    "ABSENT",
    "AUTHORITY_USES",
    "AWS_SHAPE",
    "ES384",
    "LEAF_USES",
    "NONCE",
    "NOW",
    "NOW_MS",
    "PCRS",
    "PUBLIC_KEY",
    "ROOTS",
    "USER_DATA",
    "CertificateSpec",
    "cose_sign",
    "development_policy",
    "encode",
    "fields",
    "head",
    "issue",
    "key",
    "map_of",
    "mint",
    "root_certificate",
    "sign1",
    "with_link",
]

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
ES384 = {1: -35}
PCRS = {index: bytes([index + 1]) * 48 for index in range(16)} | {16: b"\x99" * 48}
PUBLIC_KEY = b"public key of the channel"
USER_DATA = b"what the enclave commits to"
NONCE = bytes(range(32))

AUTHORITY_USES = frozenset({"digital_signature", "key_cert_sign", "crl_sign"})
LEAF_USES = frozenset({"digital_signature", "content_commitment"})
_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """Returns the P-384 key of this name, the same throughout one test run."""
    return ec.generate_private_key(ec.SECP384R1())


@dataclass(frozen=True)
class CertificateSpec:
    """One certificate. `issuer` and `signer` are the certificate above unless they are given."""

    name: str
    life: tuple[timedelta, timedelta]
    ca: bool | None = True
    path_length: int | None = None
    uses: frozenset[str] | None = AUTHORITY_USES
    key: ec.EllipticCurvePrivateKey | None = None
    issuer: str | None = None
    signer: ec.EllipticCurvePrivateKey | None = None
    algorithm: hashes.SHA256 | hashes.SHA384 = field(default_factory=hashes.SHA384)
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = ()
    patch: Callable[[bytes], bytes] | None = None

    @property
    def private_key(self) -> ec.EllipticCurvePrivateKey:
        return self.key or key(self.name)


def _life(before: float, after: float) -> tuple[timedelta, timedelta]:
    return timedelta(hours=-before), timedelta(hours=after)


AWS_SHAPE = (
    CertificateSpec("test root", _life(24 * 365, 24 * 3650)),
    CertificateSpec("regional", _life(100, 381), path_length=2),
    CertificateSpec("zonal", _life(50, 94), path_length=1),
    CertificateSpec("instance", _life(6, 18), path_length=0, uses=frozenset({"key_cert_sign"})),
    CertificateSpec("leaf", _life(1 / 60, 3), ca=False, uses=LEAF_USES),
)


def issue(specs: Iterable[CertificateSpec], at: datetime = NOW) -> list[bytes]:
    """Returns the chain in DER, root first, each signed by the one before (the root by itself)."""
    chain: list[bytes] = []
    above: CertificateSpec | None = None
    for spec in specs:
        above = above or spec
        builder = (
            x509.CertificateBuilder()
            .serial_number(x509.random_serial_number())
            .subject_name(_name(spec.name))
            .issuer_name(_name(spec.issuer or above.name))
            .public_key(spec.private_key.public_key())
            .not_valid_before(at + spec.life[0])
            .not_valid_after(at + spec.life[1])
        )
        if spec.ca is not None:
            constraints = x509.BasicConstraints(spec.ca, spec.path_length if spec.ca else None)
            builder = builder.add_extension(constraints, critical=True)
        if spec.uses is not None:
            usage = x509.KeyUsage(**{use: use in spec.uses for use in _USES})
            builder = builder.add_extension(usage, critical=True)
        for extension, critical in spec.extensions:
            builder = builder.add_extension(extension, critical)
        signed = builder.sign(spec.signer or above.private_key, spec.algorithm)
        der = signed.public_bytes(Encoding.DER)
        chain.append(spec.patch(der) if spec.patch else der)
        above = spec
    return chain


def with_link(name: str, **changes: object) -> tuple[CertificateSpec, ...]:
    """Returns the AWS shape with one certificate changed."""
    return tuple(replace(s, **changes) if s.name == name else s for s in AWS_SHAPE)  # type: ignore[arg-type]


@cache
def _baseline() -> list[bytes]:
    return issue(AWS_SHAPE)


def root_certificate() -> bytes:
    """Returns the DER of the root that `ROOTS` pins."""
    return _baseline()[0]


class _Absent:
    """A field left out altogether."""


ABSENT = _Absent()


def fields(chain: list[bytes] | None = None, **changes: object) -> dict[str, object]:
    """Returns the payload's fields in AWS's order, with some changed or left out."""
    chain = chain or _baseline()
    payload: dict[str, object] = {
        "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
        "digest": "SHA384",
        "timestamp": NOW_MS,
        "pcrs": PCRS,
        "certificate": chain[-1],
        "cabundle": chain[:-1],
        "public_key": PUBLIC_KEY,
        "user_data": USER_DATA,
        "nonce": NONCE,
    }
    payload |= changes
    return {name: value for name, value in payload.items() if value is not ABSENT}


def head(major: int, argument: int, width: int | None = None) -> bytes:
    """Returns a CBOR head; `width` (1, 2, 4, 8) forces a longer form than needed."""
    if width is None:
        width = next((w for w in (0, 1, 2, 4, 8) if argument < (24 if w == 0 else 1 << 8 * w)), 8)
    if width == 0:
        return bytes([major << 5 | argument])
    info = {1: 24, 2: 25, 4: 26, 8: 27}[width]
    return bytes([major << 5 | info]) + argument.to_bytes(width, "big")


def map_of(pairs: Iterable[tuple[bytes, bytes]], *, indefinite: bool = False) -> bytes:
    """Returns a CBOR map of encoded keys and values, in this order, repeats included."""
    items = [key + value for key, value in pairs]
    start = b"\xbf" if indefinite else head(5, len(items))
    return start + b"".join(items) + (b"\xff" if indefinite else b"")


def encode(payload: Mapping[str, object], *, indefinite: bool = False) -> bytes:
    """Returns the payload's CBOR."""
    pairs = ((cbor2.dumps(name), cbor2.dumps(value)) for name, value in payload.items())
    return map_of(pairs, indefinite=indefinite)


def cose_sign(
    protected: bytes, payload: bytes, signer: ec.EllipticCurvePrivateKey | None = None
) -> bytes:
    """Returns r || s, 96 bytes, over the Sig_structure of the two."""
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    r, s = decode_dss_signature((signer or key("leaf")).sign(signed, ec.ECDSA(hashes.SHA384())))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


def sign1(protected: bytes, payload: bytes, signature: bytes, unprotected: object = None) -> bytes:
    """Returns an untagged COSE_Sign1."""
    return cbor2.dumps([protected, unprotected or {}, payload, signature])


def mint(
    payload: bytes | None = None,
    *,
    chain: list[bytes] | None = None,
    signer: ec.EllipticCurvePrivateKey | None = None,
    header: Mapping[int, object] | None = None,
    indefinite: bool = False,
    unprotected: object = None,
    **changes: object,
) -> bytes:
    """Returns a document that is genuine under `ROOTS` at `NOW`, but for what the caller changes.

    The signature is made last, over whatever results, so no test passes by a broken signature
    unless it breaks one itself.
    """
    if payload is None:
        payload = encode(fields(chain, **changes), indefinite=indefinite)
    protected = cbor2.dumps(dict(ES384 if header is None else header))
    return sign1(protected, payload, cose_sign(protected, payload, signer), unprotected)


def development_policy(**changes: object) -> NitroPolicy:
    """Returns a policy that the baseline satisfies under a test root."""
    settings: dict[str, object] = {
        "pcrs": {index: Exactly(PCRS[index]) for index in (0, 1, 2, 16)},
        "public_key": Exactly(PUBLIC_KEY),
        "user_data": Exactly(USER_DATA),
        "nonce": Unchecked("compared with the challenge"),
        "mode": Mode.DEVELOPMENT,
    }
    return NitroPolicy(**(settings | changes))  # type: ignore[arg-type]


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Strongroom tests"),
        ]
    )


ROOTS = Roots.of_certificates(root_certificate())
