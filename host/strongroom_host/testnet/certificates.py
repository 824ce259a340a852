"""A throw-away CA and a server certificate for loopback, made into a folder."""

from __future__ import annotations

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["ServerCertificate", "issue", "issued_or_kept"]


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Paths of the CA certificate (what clients trust), the server chain and its key."""

    ca: Path
    chain: Path
    key: Path


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def issue(
    folder: Path, names: tuple[str, ...], now: datetime.datetime, *, days: int = 30
) -> ServerCertificate:
    """Make a fresh CA and a certificate for `names`, localhost and both loopback addresses.

    The CA's key is thrown away, so nothing else can ever be issued under it. Keys are P-256.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    start, end = now - datetime.timedelta(minutes=5), now + datetime.timedelta(days=days)
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "strongroom testnet CA")])
    ca = (
        x509.CertificateBuilder()
        .subject_name(ca_name)
        .issuer_name(ca_name)
        .public_key(ca_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    alternatives: list[x509.GeneralName] = [
        x509.DNSName(name) for name in dict.fromkeys((*names, "localhost"))
    ]
    alternatives += [
        x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")
    ]
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "strongroom testnet")]))
        .issuer_name(ca_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
            critical=False,
        )
        .sign(ca_key, hashes.SHA256())
    )
    made = _paths(folder)
    pem = serialization.Encoding.PEM
    _write(made.ca, ca.public_bytes(pem), 0o644)
    _write(made.chain, leaf.public_bytes(pem) + ca.public_bytes(pem), 0o644)
    _write(
        made.key,
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        0o600,
    )
    return made


def issued_or_kept(
    folder: Path, names: tuple[str, ...], now: datetime.datetime
) -> ServerCertificate:
    """The folder's certificate while it covers `names` for another day, else a fresh one.

    Keeping it lets clients that pinned the CA survive a restart of the venue.
    """
    kept = _paths(folder)
    try:
        ca = x509.load_pem_x509_certificate(kept.ca.read_bytes())
        leaf = x509.load_pem_x509_certificate(kept.chain.read_bytes())
        key = serialization.load_pem_private_key(kept.key.read_bytes(), password=None)
        leaf.verify_directly_issued_by(ca)
        covered = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return issue(folder, names, now)
    lasts = now + datetime.timedelta(days=1) < leaf.not_valid_after_utc
    covers = set(names) <= set(covered.get_values_for_type(x509.DNSName))
    if lasts and covers and key.public_key() == leaf.public_key():
        return kept
    return issue(folder, names, now)


def _paths(folder: Path) -> ServerCertificate:
    return ServerCertificate(folder / "ca.pem", folder / "server.pem", folder / "server.key")
