"""An enclave of the wire contract, in this process: real documents from the software NSM, real TLS
and sockets, honest unless told otherwise. Nothing of `strongroom_enclave` runs in it."""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec.structs import replace
from strongroom_host.trust.record import EvidencePolicy, Image, Trust
from strongroom_local.measure import Measurements
from strongroom_local.nsm import SoftwareNsm
from strongroom_local.pki import Issued, new_root
from strongroom_wire.bundle import Bundle, Role, RoleKeys, hpke_info, receipt_message
from strongroom_wire.encoding import pack
from strongroom_wire.errors import Code
from strongroom_wire.frames import (
    ChannelOpen,
    ChannelOpened,
    Direction,
    SealedChannel,
    channel_keys,
)
from strongroom_wire.hpke import open_sealed
from strongroom_wire.owners import Statement
from strongroom_wire.pages import Entry, answer_body
from strongroom_wire.proto import strongroom_pb2 as pb
from strongroom_wire.proto import strongroom_pb2_grpc as rpc

MEASURED = Measurements(*(bytes([n]) * 48 for n in (1, 2, 3)))
MANIFEST = sha256(b"the manifest").digest()
OWNERS = sha256(b"the owners").digest()
ROOT = new_root(datetime.now(UTC))


def server_certificate(curve: ec.EllipticCurve | None = None) -> tuple[bytes, bytes]:
    """Returns key (PEM) and certificate (DER), as front makes them."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "strongroom-enclave")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2049, 12, 31, tzinfo=UTC))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("strongroom-enclave")]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, certificate.public_bytes(Encoding.DER)


@dataclass
class Boot:
    """One boot: its keys, its bundle, and the NSM that attests to it."""

    root: Issued = ROOT
    measured: Measurements = MEASURED
    manifest: bytes | None = MANIFEST
    extra: tuple[tuple[int, bytes], ...] = ()
    """Further extends, before the registers are locked."""
    lock: int = 32
    roles: tuple[Role, ...] = (Role.INIT, Role.SIGNER)
    nsm: SoftwareNsm = field(init=False)
    bundle: Bundle = field(init=False)

    def __post_init__(self) -> None:
        self.nsm = SoftwareNsm(self.root, self.measured)
        self.hpke = {role: X25519PrivateKey.generate() for role in Role}
        self.receipt = {role: Ed25519PrivateKey.generate() for role in Role}
        self.tls_key, certificate = server_certificate()
        boot_id = sha256(self.tls_key).digest()
        if self.manifest is None:
            self.bundle = Bundle(boot_id)
            return
        roles = tuple(
            RoleKeys(
                role,
                self.hpke[role].public_key().public_bytes_raw(),
                self.receipt[role].public_key().public_bytes_raw(),
            )
            for role in self.roles
        )
        self.bundle = Bundle(boot_id, self.manifest, OWNERS, certificate, roles)
        for index, data in ((16, self.manifest), *self.extra):
            self.ask({"ExtendPCR": {"index": index, "data": data}})
        self.ask({"LockPCRs": {"range": self.lock}})

    def ask(self, request: object) -> Any:
        return cbor2.loads(self.nsm.handle(cbor2.dumps(request)))

    def document(self, nonce: bytes, commitment: bytes | None = None) -> bytes:
        """Returns a document over this boot's commitment, or a given one."""
        data = self.bundle.commitment if commitment is None else commitment
        fields = {"user_data": data, "nonce": nonce, "public_key": None}
        answer = self.ask({"Attestation": fields})
        document: bytes = answer["Attestation"]["document"]
        return document

    def sign_receipt(self, role: Role, request: bytes, code: Code, answer: bytes) -> bytes:
        message = receipt_message(self.bundle.boot_id, request, code, answer)
        return self.receipt[role].sign(message)

    @property
    def trust(self) -> Trust:
        """The trust file that means this boot's image and root, in development."""
        names = ("pcr0", "pcr1", "pcr2")
        values = {name: getattr(self.measured, name).hex() for name in names}
        root = sha256(self.root.der).hexdigest()
        image = Image("simulated", **values)
        return Trust("strongroom-trust/1", "development", (root,), (image,), None, None, {})

    @property
    def policy(self) -> EvidencePolicy:
        return EvidencePolicy(self.trust, MANIFEST, OWNERS)

    def answer_opening(self, opening: bytes, channel: int = 7) -> tuple[bytes, SealedChannel]:
        """Returns the signer's answer to a channel opening, and its side of the channel."""
        parsed = ChannelOpen.parse(opening)
        info = hpke_info(self.bundle, Role.SIGNER, b"channel")
        secret = open_sealed(parsed.sealed, self.hpke[Role.SIGNER], info)
        random = sha256(opening).digest()
        unsigned = ChannelOpened(channel, random, bytes(64))
        signature = self.receipt[Role.SIGNER].sign(unsigned.message(opening))
        keys = channel_keys(secret, opening, random)
        sealed = SealedChannel(channel, keys, Direction.FROM_ENCLAVE)
        return replace(unsigned, signature=signature).serialise(), sealed


Answer = tuple[Code, bytes, bytes | None]
"""Code, answer, and the signature in place of the right one (None: the right one)."""


class Server:
    """The bootstrap and control listeners of a boot, on Unix sockets in a folder."""

    def __init__(self, boot: Boot, folder: Path, clients: tuple[bytes, ...] = ()) -> None:
        self.boot, self.folder, self.clients = boot, folder, clients
        self.phase = bytes([pb.CONFIGURED])
        self.loaded: Boot | None = None
        self.answer: Callable[[Statement, Role], Answer] = lambda s, r: (Code.OK, b"ok", None)
        self.abort: tuple[grpc.StatusCode, str] | None = None
        self.evidence_code = Code.OK
        self.entry = Entry()
        """What the signer's log says of owner orders."""
        self.tls: tuple[bytes, bytes] = (boot.tls_key, boot.bundle.certificate)
        self.sealed: SealedChannel
        self._servers: list[grpc.Server] = []

    def __enter__(self) -> "Server":
        bootstrap = grpc.server(ThreadPoolExecutor(2))
        rpc.add_BootstrapServicer_to_server(self._servicer(rpc.BootstrapServicer), bootstrap)
        bootstrap.add_insecure_port(f"unix:{self.folder / 'bootstrap.sock'}")
        self._servers.append(bootstrap)
        if self.clients:
            control = grpc.server(ThreadPoolExecutor(2))
            rpc.add_ControlServicer_to_server(self._servicer(rpc.ControlServicer), control)
            pem = [x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
                   for der in (self.tls[1], *self.clients)]  # fmt: skip
            credentials = grpc.ssl_server_credentials(
                [(self.tls[0], pem[0])], b"".join(pem[1:]), require_client_auth=True
            )
            control.add_secure_port(f"unix:{self.folder / 'control.sock'}", credentials)
            self._servers.append(control)
        for server in self._servers:
            server.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.stop(None).wait()

    def _servicer(self, base: type[Any]) -> Any:
        outer = self

        class Servicer(base):  # type: ignore[misc]
            def GetStatus(self, request: Any, context: Any) -> pb.Receipt:  # noqa: N802
                return pb.Receipt(answer=outer.phase)

            def GetEvidence(self, request: Any, context: Any) -> pb.Receipt:  # noqa: N802
                boot, code = outer.boot, outer.evidence_code
                if code is not Code.OK:
                    return pb.Receipt(code=code)
                document = boot.document(request.value)
                return pb.Receipt(answer=pack(b"evidence", document, boot.bundle.serialise()))

            def LoadManifest(self, request: Any, context: Any) -> pb.Receipt:  # noqa: N802
                if outer.loaded is not None:
                    outer.boot = outer.loaded
                return outer.receipt(request, context, Role.INIT)

            def SubmitPermit(self, request: Any, context: Any) -> pb.Receipt:  # noqa: N802
                return outer.receipt(request, context, Role.INIT)

            def SubmitOrder(self, request: Any, context: Any) -> pb.Receipt:  # noqa: N802
                return outer.receipt(request, context, Role.SIGNER)

        return Servicer()

    def receipt(self, request: Any, context: Any, role: Role) -> pb.Receipt:
        if self.abort:
            context.abort(*self.abort)
        statement = Statement.parse(request.value)
        code, answer, signature = self.answer(statement, role)
        if signature is None:
            if role is Role.SIGNER and code is Code.OK:
                answer = answer_body(answer, self.entry)
            signature = self.boot.sign_receipt(role, statement.serialise(), code, answer)
        return pb.Receipt(code=code, answer=answer, signature=signature)


def serve_frames(
    boot: Boot, sock: socket.socket, script: Callable[[SealedChannel, bytes], bytes | None]
) -> threading.Thread:
    """Answers a channel opening on `sock`, then each frame with what `script` returns; None ends
    the connection."""

    def run() -> None:
        with suppress(OSError), sock:
            stream = sock.makefile("rb")
            opening = stream.read(int.from_bytes(stream.read(4), "big"))
            answer, sealed = boot.answer_opening(opening)
            sock.sendall(len(answer).to_bytes(4, "big") + answer)
            while size := int.from_bytes(stream.read(4), "big"):
                reply = script(sealed, stream.read(size))
                if reply is None:
                    return
                sock.sendall(len(reply).to_bytes(4, "big") + reply)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
