"""A throw-away certificate authority in the shape of Nitro's.

Below the root a regional, a zonal and an instance CA, and the leaf that signs documents. Lifetimes,
path lengths, key usages and criticality are those of recorded AWS chains, so that a verifier meets
here what it meets there. The names say what this is, and nobody pins such a root but its owner for
his own run folder.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from strongroom_local.errors import UnusableFile
from strongroom_local.keyfile import read_or_create

__all__ = ["Authority", "Chain", "Issued", "new_root", "root_of_run"]

_RENEW = timedelta(minutes=15)
_DOMAIN = "local.nitro-enclaves"  # short: a common name ends at 64 characters


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and the P-384 key that it names."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """The certificate, DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the DER, 32 bytes: what a policy pins of a root."""
        return hashlib.sha256(self.der).digest()


@dataclass(frozen=True, slots=True)
class Chain:
    """What a document carries and is signed with.

    Attributes:
        cabundle: Root, regional, zonal, instance; DER.
        certificate: The leaf; DER.
        key: The leaf's key, P-384.
    """

    cabundle: tuple[bytes, ...]
    certificate: bytes
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class _Tier:
    """How one kind of certificate is issued.

    Attributes:
        common_name: Of the subject.
        life: From start to end.
        backdated: How long before the moment of issue it starts.
        path_length: Of a CA; None for the root, which has no bound, and for the leaf.
        usage: Names of the `x509.KeyUsage` arguments that are true.
        crl: Whether it names a revocation list. AWS's document says not to use them.
    """

    common_name: str
    life: timedelta
    backdated: timedelta
    path_length: int | None
    usage: tuple[str, ...]
    crl: bool = False

    @property
    def ca(self) -> bool:
        return "key_cert_sign" in self.usage


_SIGNING_CA = ("digital_signature", "key_cert_sign", "crl_sign")
_ROOT = _Tier(
    common_name=_DOMAIN,
    life=timedelta(days=30 * 365),
    backdated=timedelta(days=365),  # tests set the clock back
    path_length=None,
    usage=_SIGNING_CA,
)


def new_root(now: datetime) -> Issued:
    """Returns a new self-signed root, valid for 30 years that began a year before `now`."""
    return _issue(_ROOT, None, now)


def root_of_run(folder: Path, now: datetime) -> Issued:
    """Returns the root of a run folder, made at its first use, so that a restart keeps it.

    `root.pem` holds key and certificate, for its owner alone; `root.der` is the certificate, for
    whoever wants to pin it.

    Raises:
        UnsafeFile: somebody else could read `root.pem` or has made it.
        UnusableFile: `root.pem` does not hold a P-384 key and its certificate.
        OSError: the folder is missing or not writable.
    """
    path = folder / "root.pem"
    content = read_or_create(path, lambda: _pem(new_root(now)))
    try:
        key, certificate = (
            load_pem_private_key(content, None),
            x509.load_pem_x509_certificate(content),
        )
    except ValueError as error:
        raise UnusableFile(str(path), "a key and its certificate", error) from error
    if (
        not isinstance(key, ec.EllipticCurvePrivateKey)
        or key.public_key() != certificate.public_key()
    ):
        raise UnusableFile(str(path), "a P-384 key and its certificate", "a pair that differs")
    root = Issued(certificate, key)
    draft = folder / f".root.der.{secrets.token_hex(8)}"
    draft.write_bytes(root.der)
    draft.replace(folder / "root.der")
    return root


class Authority:
    """Issues the four certificates below a root, and each again before it runs out.

    Each tier keeps its own lifetime: the leaf changes every 2 h 45 min under the same instance
    certificate. A clock set back before a certificate's start counts as run out, so documents stay
    consistent with the clock they are made by, whatever it says; catching it is the reader's part.
    """

    def __init__(self, root: Issued, instance_id: str, module_id: str) -> None:
        """Takes the two names that AWS puts into the instance certificate and the leaf."""
        self._root = root
        self._issued: list[Issued] = []
        self._tiers = (
            _Tier(
                f"{secrets.token_hex(8)}.{_DOMAIN}",
                life=timedelta(days=20, hours=1),
                backdated=timedelta(days=5),
                path_length=2,
                usage=_SIGNING_CA,
                crl=True,
            ),
            _Tier(
                f"{secrets.token_hex(8)}.zonal.{_DOMAIN}",
                life=timedelta(days=5, hours=13),
                backdated=timedelta(days=1),
                path_length=1,
                usage=_SIGNING_CA,
                crl=True,
            ),
            _Tier(
                f"{instance_id}.{_DOMAIN}",
                life=timedelta(hours=24),
                backdated=timedelta(hours=6),
                path_length=0,
                usage=("key_cert_sign",),
            ),
            _Tier(
                f"{module_id}.{_DOMAIN}",
                life=timedelta(hours=3, seconds=3),
                backdated=timedelta(0),
                path_length=None,
                usage=("digital_signature", "content_commitment"),
            ),
        )

    def chain(self, now: datetime) -> Chain:
        """Returns a chain that is valid at `now` and for 15 minutes more."""
        for depth, tier in enumerate(self._tiers):
            if depth < len(self._issued) and _fresh(self._issued[depth].certificate, now):
                continue
            del self._issued[depth:]
            self._issued.append(_issue(tier, (self._root, *self._issued)[-1], now))
        *cabundle, leaf = self._issued
        return Chain(tuple(ca.der for ca in (self._root, *cabundle)), leaf.der, leaf.key)


def _fresh(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc - _RENEW


def _issue(tier: _Tier, issuer: Issued | None, now: datetime) -> Issued:
    """Returns a certificate for a new key, signed by `issuer` or, without one, by itself."""
    key = ec.generate_private_key(ec.SECP384R1())
    signer = issuer.key if issuer else key
    subject = _name(tier.common_name)
    start = now.replace(microsecond=0) - tier.backdated
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + tier.life)
        .add_extension(x509.BasicConstraints(tier.ca, tier.path_length), critical=True)
    )
    if tier.ca and issuer:
        of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(of_issuer, critical=False)
    if tier.ca:
        of_subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(of_subject, critical=False)
    builder = builder.add_extension(_usage(tier.usage), critical=tier.ca)
    if tier.crl:
        url = x509.UniformResourceIdentifier(f"http://crl.invalid/{secrets.token_hex(16)}.crl")
        point = x509.DistributionPoint([url], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    return Issued(builder.sign(signer, SHA384()), key)


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Local development"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Strongroom"),
        ]
    )


def _usage(granted: tuple[str, ...]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature="digital_signature" in granted,
        content_commitment="content_commitment" in granted,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign="key_cert_sign" in granted,
        crl_sign="crl_sign" in granted,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(root: Issued) -> bytes:
    key = root.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key + root.certificate.public_bytes(Encoding.PEM)
