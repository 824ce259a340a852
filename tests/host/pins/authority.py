"""A small PKI on disk: root, intermediate, leaf; each with its own key, for real TLS servers."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from strongroom_host.pins import pin_of

__all__ = ["Authority", "Identity"]

_PEM = serialization.Encoding.PEM
_DER = serialization.Encoding.DER
_DAY = datetime.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class _Issued:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(_DER)


def _issue(
    subject: str,
    issuer: _Issued | None,
    *,
    names: tuple[str, ...] = (),
    expired: bool = False,
) -> _Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    start, end = (now - 3 * _DAY, now - _DAY) if expired else (now - _DAY, now + 30 * _DAY)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(subject) if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    return _Issued(builder.sign(key if issuer is None else issuer.key, hashes.SHA256()), key)


@dataclass(frozen=True)
class Identity:
    """A server's context, and the pins of leaf, intermediate and root."""

    context: ssl.SSLContext
    leaf: bytes
    intermediate: bytes
    root: bytes
    leaf_der: bytes


class Authority:
    """A root whose certificate is in `ca`, and one intermediate under it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._root = _issue("root", None)
        self._middle = _issue("intermediate", self._root)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self._root.certificate.public_bytes(_PEM))

    def identity(self, *names: str, expired: bool = False) -> Identity:
        """A server with a fresh key and a certificate for `names`."""
        leaf = _issue(names[0], self._middle, names=names, expired=expired)
        path = self._folder / f"{names[0]}-{leaf.certificate.serial_number}.pem"
        path.write_bytes(
            leaf.certificate.public_bytes(_PEM)
            + self._middle.certificate.public_bytes(_PEM)
            + leaf.key.private_bytes(
                _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        pins = [pin_of(item.der) for item in (leaf, self._middle, self._root)]
        return Identity(context, pins[0], pins[1], pins[2], leaf.der)
