"""A client's identity: the TLS certificate and frame key that the manifest names.

Made on the machine that will use it; only the public card travels to the owner, who puts it into
the manifest with the calls it may make.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from strongroom_host.enclave_client.errors import IdentityRefused
from strongroom_host.private_files import read_file, read_private, write_atomic, write_private

__all__ = ["ClientCard", "ClientIdentity"]

_RAW = serialization.Encoding.Raw
_PEM = serialization.Encoding.PEM
_PLAIN = serialization.NoEncryption()
_LIFE = timedelta(days=3650)
"""The manifest decides who may call and for how long; the certificate's own life only has to
outlast manifests."""


class ClientCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The public half: what the owner needs to name this client in a manifest."""

    format: Literal["strongroom-client/1"]
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]
    certificate: Annotated[bytes, msgspec.Meta(min_length=1, max_length=4096)]
    frame_key: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]

    @classmethod
    def load(cls, path: Path) -> "ClientCard":
        """Returns the card in a file.

        Raises:
            IdentityRefused: not a card.
        """
        try:
            return msgspec.json.decode(read_file(path, limit=1 << 14), type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise IdentityRefused(
                f"{path} is not a client card: {error}",
                remedy="make one on the client's machine with `strongroom owner client NAME`",
            ) from error


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Certificate (DER), its P-256 key (PKCS #8 PEM) and the Ed25519 frame key. Holds secrets."""

    name: str
    certificate: bytes
    tls_key: bytes
    frame_key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"ClientIdentity({self.name!r})"

    @property
    def frame_public(self) -> bytes:
        """32 bytes."""
        return self.frame_key.public_key().public_bytes_raw()

    @property
    def certificate_pem(self) -> bytes:
        """The certificate as TLS libraries want it."""
        return x509.load_der_x509_certificate(self.certificate).public_bytes(_PEM)

    @property
    def card(self) -> ClientCard:
        """The public half."""
        return ClientCard(
            "strongroom-client/1", self.name, self.certificate, self.frame_public.hex()
        )

    @classmethod
    def generate(cls, name: str, now: datetime | None = None) -> "ClientIdentity":
        """Returns a new identity with a self-signed P-256 certificate for `name`."""
        start = (now or datetime.now(UTC)) - timedelta(days=1)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"strongroom-client {name}")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + _LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, _PLAIN)
        der = certificate.public_bytes(serialization.Encoding.DER)
        return cls(name, der, private, Ed25519PrivateKey.generate())

    def save(self, folder: Path) -> Path:
        """Writes the secrets and the card into `folder` and returns the card's path.

        Raises:
            BadInput: the folder holds an identity already, or cannot be written.
        """
        write_private(folder / "tls-key.pem", self.tls_key)
        write_private(folder / "frame-key", self.frame_key.private_bytes_raw().hex().encode())
        card = folder / "card.json"
        write_atomic(card, msgspec.json.format(msgspec.json.encode(self.card), indent=2) + b"\n")
        return card

    @classmethod
    def load(cls, folder: Path) -> "ClientIdentity":
        """Returns the identity in `folder`.

        Raises:
            IdentityRefused: a part is missing, malformed, or does not belong to the others.
            FileExposed: other users may read a secret.
        """
        if not folder.is_dir():
            raise IdentityRefused(
                f"no client identity in {folder}",
                remedy=f"make one with `strongroom owner client NAME --out {folder}`",
            )
        card = ClientCard.load(folder / "card.json")
        tls_key = read_private(folder / "tls-key.pem")
        secret = read_private(folder / "frame-key").strip()
        try:
            frame_key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret.decode()))
            key = serialization.load_pem_private_key(tls_key, None)
            certificate = x509.load_der_x509_certificate(card.certificate)
        except (ValueError, TypeError, x509.InvalidVersion) as error:
            raise IdentityRefused(
                f"the client identity in {folder} is damaged: {error}",
                remedy="make a new one with `strongroom owner client` and put its card into the"
                " next manifest",
            ) from error
        identity = cls(card.name, card.certificate, tls_key, frame_key)
        if identity.frame_public.hex() != card.frame_key or key.public_key() != (
            certificate.public_key()
        ):
            raise IdentityRefused(
                f"the parts of the client identity in {folder} do not belong together",
                expected="card.json made from tls-key.pem and frame-key",
                remedy="restore the folder as it was made; do not mix two identities",
            )
        return identity
