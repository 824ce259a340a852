"""A venue that tests can make misbehave, behind the CONNECT proxy that the host would run.

One thread: it answers the proxy's part in clear, ends TLS on the same connection under a throw-away
root, reads one request and sends whatever bytes it was told to.
"""

import json
import ssl
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_bytes
from socket import AF_UNIX, SOCK_STREAM, socket
from threading import Event, Thread

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

__all__ = ["HOST", "OK", "PORT", "Authority", "Venue", "credential", "response"]

HOST, PORT = "venue.test", 8443
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Authority:
    """A throw-away P-256 root, and the server certificates that it issues."""

    def __init__(self, name: str = "test root") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._issue(name, self.key.public_key(), ca=True)
        self.der = self.certificate.public_bytes(Encoding.DER)

    def server(self, host: str = HOST) -> ssl.SSLContext:
        """Returns a server context with a certificate for `host` below this root."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(host, key.public_key())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as f:
            secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            f.write(secret + certificate.public_bytes(Encoding.PEM))
            f.flush()
            context.load_cert_chain(f.name)
        return context

    def _issue(
        self, name: str, public: ec.EllipticCurvePublicKey, *, ca: bool = False
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer = subject if ca else self.certificate.subject
        builder = (
            x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2049, 1, 1, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False
            )
        )
        if not ca:
            names = x509.SubjectAlternativeName([x509.DNSName(name)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, SHA256())


def credential() -> dict[str, str]:
    """Returns a new API credential in the spelling of the CLOB."""
    return {
        "apiKey": str(token_bytes(8).hex()),
        "secret": urlsafe_b64encode(token_bytes(32)).decode(),
        "passphrase": token_bytes(32).hex(),
    }


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Returns a complete HTTP answer."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers)
    return "\r\n".join((*lines, "", "")).encode() + body


class Venue:
    """Listens where the host's proxy would. Attributes may be changed between enrolments.

    Attributes:
        path: Of the proxy's socket.
        proxy_answer: What the proxy says to CONNECT; nothing closes the connection.
        tls: Server context.
        hold: Waited for before an answer, if there is one.
        answer: Makes the bytes to send after a request.
        requests: Every request that got through TLS, head only.
        connects: Every CONNECT head.
    """

    def __init__(self, path: Path, authority: Authority) -> None:
        self.path, self.authority, self.tls = path, authority, authority.server()
        self.proxy_answer, self.requests, self.connects = OK, list[bytes](), list[bytes]()
        self.issued: list[dict[str, str]] = []
        self.answer: Callable[[], bytes] = self._issue
        self.hold: Event | None = None
        path.unlink(missing_ok=True)
        self._listener = socket(AF_UNIX, SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(8)
        Thread(target=self._run, name="venue", daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        with suppress(OSError):
            self._listener.shutdown(2)
        self._listener.close()

    def reset(self) -> None:
        """Behaves again."""
        self.proxy_answer, self.answer, self.hold = OK, self._issue, None
        self.tls = self.authority.server()

    def _issue(self) -> bytes:
        self.issued.append(credential())
        return response(json.dumps(self.issued[-1]).encode())

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(20)
            self.connects.append(_head(connection))
            if not self.proxy_answer:
                return
            connection.sendall(self.proxy_answer)
            with self.tls.wrap_socket(connection, server_side=True) as stream:
                self.requests.append(_head(stream))
                if self.hold:
                    self.hold.wait(20)
                stream.sendall(self.answer())
                stream.unwrap()


def _head(connection: socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := connection.recv(1)):
        head += byte
    return head
