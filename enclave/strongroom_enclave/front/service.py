"""The control plane: each call becomes one message to init, and the answer goes back.

What is in them is not read here: this process ends gRPC and TLS, and knows no other layout.

Two listeners. `bootstrap.sock` has no client certificates: what goes through it protects itself.
`control.sock` opens once a manifest names the clients; gRPC verifies that a caller holds one of
their certificates, and here the exact certificate decides which calls it may make.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any

import grpc
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from strongroom_wire.encoding import MAX_STATEMENT
from strongroom_wire.errors import Code
from strongroom_wire.manifest import Client
from strongroom_wire.proto.strongroom_pb2 import Receipt, Request

from strongroom_enclave.messages import ANSWER, Kind, answer
from strongroom_enclave.platform import forward, hardening, links

_SERVER_NAME = "strongroom-enclave"
_TIMEOUT = 60.0
# Calls of one client at a time: each has a thread, and whoever calls and never ends his request
# must not keep them from the one who says stop.
_AT_ONCE = 16
_OPTIONS = [("grpc.max_receive_message_length", MAX_STATEMENT)]


# By service, the calls: the message that each becomes, and the manifest's name for the permission;
# empty means any client of the manifest. A service's socket has its name, in lower case.
_COMMON = {"GetStatus": (Kind.STATUS, ""), "GetEvidence": (Kind.EVIDENCE, "")}
_SERVICES = {
    "Bootstrap": {**_COMMON, "LoadManifest": (Kind.LOAD_MANIFEST, "")},
    "Control": {
        **_COMMON,
        "SubmitPermit": (Kind.SUBMIT_PERMIT, "owner"),
        "SubmitOrder": (Kind.SUBMIT_ORDER, "owner"),
    },
}


class Front:
    """The two gRPC servers and the link to init that they share."""

    def __init__(self, link: links.Link, directory: Path) -> None:
        self._link, self._directory = link, directory
        self._waiting: dict[int, Future[bytes]] = {}
        self._numbers = count(1)
        self._key, self._certificate = _identity()
        link.send(Kind.REGISTER, 0, self._certificate.public_bytes(Encoding.DER))
        self._servers = [self._listen("Bootstrap")]

    def run(self) -> None:
        """Carries init's messages until the link closes, which ends this process."""
        while True:
            kind, number, payload = self._link.receive()
            if kind == Kind.CONFIGURE:
                self._open_control(msgspec.msgpack.decode(payload, type=tuple[Client, ...]))
            else:  # an answer, or HALTED in place of every answer; a call that timed out is gone
                halted = kind == Kind.HALTED
                for asked in tuple(self._waiting) if halted else (number,):
                    if waiting := self._waiting.pop(asked, None):
                        waiting.set_result(answer(Code.HALTED) if halted else payload)

    def _open_control(self, clients: tuple[Client, ...]) -> None:
        """Opens the mutual-TLS listener for exactly these clients; without any, there is none."""
        certificates = (x509.load_der_x509_certificate(c.certificate) for c in clients)
        trusted = b"".join(c.public_bytes(Encoding.PEM) for c in certificates)
        if trusted:
            pair = (self._key, self._certificate.public_bytes(Encoding.PEM))
            tls = grpc.ssl_server_credentials([pair], trusted, require_client_auth=True)
            self._servers.append(self._listen("Control", clients, tls))

    def _listen(
        self, name: str, clients: tuple[Client, ...] = (), tls: grpc.ServerCredentials | None = None
    ) -> grpc.Server:
        callers = [client.certificate for client in clients] or [b""]
        places = {caller: Semaphore(_AT_ONCE) for caller in callers}
        pool = ThreadPoolExecutor(threads := _AT_ONCE * len(places))
        server = grpc.server(pool, options=_OPTIONS, maximum_concurrent_rpcs=4 * threads)
        calls = _SERVICES[name].items()
        made = {call: self._handler(*which, clients, places) for call, which in calls}
        handlers = grpc.method_handlers_generic_handler(f"strongroom.v1.{name}", made)
        server.add_generic_rpc_handlers((handlers,))
        address = f"unix:{self._directory / name.lower()}.sock"
        server.add_secure_port(address, tls) if tls else server.add_insecure_port(address)
        server.start()
        return server

    def _handler(
        self, kind: Kind, call: str, clients: tuple[Client, ...], places: Mapping[bytes, Semaphore]
    ) -> Any:
        """Returns the gRPC handler of a call, for those of `clients` that may make it (for
        everybody if there are none), each as often at a time as there are `places`.

        gRPC accepts whatever chains to a listed certificate, so one that a client made into a CA
        could vouch for others: the certificate itself is compared.
        """
        allowed = {c.certificate for c in clients if not call or call in c.calls}

        def serve(requests: Iterator[Request], context: grpc.ServicerContext) -> Receipt:
            caller = b""
            if clients:
                pem = bytes(context.auth_context()["x509_pem_cert"][0])
                caller = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
                if caller not in allowed:
                    refusal = str(int(Code.CALL_NOT_PERMITTED))
                    context.abort(grpc.StatusCode.PERMISSION_DENIED, refusal)
            if not places[caller].acquire(blocking=False):
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "")
            try:
                told = self._ask(kind, next(requests).value)
                code, signature = ANSWER.unpack_from(told)
                return Receipt(code=code, answer=told[ANSWER.size :], signature=signature)
            except (links.LinkClosed, TimeoutError):
                context.abort(grpc.StatusCode.UNAVAILABLE, "")
            except StopIteration:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "")
            finally:
                places[caller].release()

        # On the wire that is the same as unary; but unary handlers wait for the request before they
        # see whose it is.
        read, write = Request.FromString, Receipt.SerializeToString
        return grpc.stream_unary_rpc_method_handler(serve, read, write)

    def _ask(self, kind: Kind, payload: bytes) -> bytes:
        """Returns init's answer to one request."""
        future: Future[bytes] = Future()
        number = next(self._numbers) & 0xFFFFFFFF
        self._waiting[number] = future
        try:
            self._link.send(kind, number, payload)
            return future.result(_TIMEOUT)
        finally:
            self._waiting.pop(number, None)


def _identity() -> tuple[bytes, x509.Certificate]:
    """Returns a new P-256 key (PKCS #8 PEM) and its self-signed certificate.

    Clients pin exactly this certificate, which the evidence carries; names and dates in it prove
    nothing. The dates are constants, because the host sets this process's clock.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _SERVER_NAME)])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2049, 12, 31, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_SERVER_NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, certificate


def main(arguments: Iterable[str]) -> None:
    """Runs front: directory for its sockets, link descriptor, and listeners to join to them."""
    directory, descriptor, *outside = arguments
    hardening.harden()
    hardening.confine()
    link = links.Link(int(descriptor))
    for listener, name in zip(outside, _SERVICES, strict=False):
        joined = links.inherited(listener), Path(directory) / f"{name.lower()}.sock"
        Thread(target=forward.forward, args=joined, daemon=True).start()
    try:
        with suppress(links.LinkClosed):
            Front(link, Path(directory)).run()
    finally:
        link.close()  # the end of this thread is the end of front, whatever the servers' wait for
