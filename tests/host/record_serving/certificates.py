"""Certificates for mutual TLS: a server's, and a client's that signs itself."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from strongroom_host.record_serving.listening import CallsAddress
from strongroom_host.testnet.certificates import issue

__all__ = ["client_certificate", "mutual"]


def client_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Return PEM files of a certificate that is its own root, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    chain, secret = folder / f"{name}.pem", folder / f"{name}.key"
    chain.write_bytes(made.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    secret.chmod(0o600)
    return chain, secret


def mutual(folder: Path) -> tuple[CallsAddress, CallsAddress]:
    """Return a server's side at a free port, and its client's, but for the port."""
    now = datetime.datetime.now(datetime.UTC)
    server = issue(folder / "server", ("record.test",), now)
    chain, key = client_certificate(folder, "reader")
    return (
        CallsAddress("localhost:0", server.chain, server.key, chain),
        CallsAddress("localhost:1", chain, key, server.ca),
    )
