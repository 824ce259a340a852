"""Where calls are answered: on a Unix socket of this machine, or over mutual TLS."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from strongroom_wire.proto import enclave_pb2_grpc, strongroom_pb2_grpc

from strongroom_host.errors import BadInput, EnvironmentFault
from strongroom_host.private_files import read_file, read_private
from strongroom_host.record_serving.calls import PublishedCalls, RecordCalls

__all__ = ["CallsAddress", "PortBusy", "calls_channel", "serving_calls"]

_THREADS: Final = 24
_AT_ONCE: Final = 64
_GRACE_S: Final = 2.0
_OPTIONS: Final = [("grpc.max_receive_message_length", 64 * 1024), ("grpc.so_reuseport", 0)]
_MODE: Final = 0o660
_PEM: Final = 1 << 20


class PortBusy(EnvironmentFault):
    """Nothing can listen there."""


@dataclass(frozen=True, slots=True)
class CallsAddress:
    """A Unix socket, or HOST:PORT with the server's key and certificate, and who may call.

    Attributes:
        target: `unix:PATH` or HOST:PORT.
        certificate: PEM file of the server's chain; None on a Unix socket.
        key: PEM file of its private key, of mode 0600.
        clients: PEM file of those who sign certificates of clients: each may ask about every user.
    """

    target: str
    certificate: Path | None = None
    key: Path | None = None
    clients: Path | None = None

    def __post_init__(self) -> None:
        files = (self.certificate, self.key, self.clients)
        if self.local and any(files):
            raise BadInput("a Unix socket has no TLS", remedy="leave the certificates out")
        if not self.local and not all(files):
            raise BadInput(
                "calls over the network need mutual TLS",
                expected="a certificate, its key, and who signs clients' certificates",
                remedy="name them, or listen at unix:PATH",
            )

    @property
    def local(self) -> bool:
        """Whether it is a socket of this machine."""
        return self.target.startswith("unix:")

    def server(self) -> grpc.ServerCredentials | None:
        """Returns the server's side of TLS, None on a Unix socket.

        Raises:
            BadInput, FileExposed: a file cannot be used.
        """
        if self.certificate is None or self.key is None or self.clients is None:
            return None
        pair = read_private(self.key, limit=_PEM), read_file(self.certificate, limit=_PEM)
        roots = read_file(self.clients, limit=_PEM)
        return grpc.ssl_server_credentials([pair], roots, require_client_auth=True)


@contextmanager
def serving_calls(
    address: CallsAddress, calls: PublishedCalls, record: RecordCalls
) -> Iterator[int]:
    """Answers calls until the block ends; yields the port (of a Unix socket, 1).

    Raises:
        PortBusy: nothing can listen there.
        BadInput, FileExposed: see `CallsAddress.server`.
    """
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="calls")
    server = grpc.server(pool, options=_OPTIONS, maximum_concurrent_rpcs=_AT_ONCE)
    enclave_pb2_grpc.add_EnclaveServiceServicer_to_server(calls, server)
    strongroom_pb2_grpc.add_RecordServicer_to_server(record, server)
    credentials = address.server()
    try:
        if credentials is None:
            port = server.add_insecure_port(address.target)
        else:
            port = server.add_secure_port(address.target, credentials)
    except RuntimeError as error:
        raise PortBusy("calls cannot be answered there", actual=address.target) from error
    server.start()
    try:
        if address.local:
            Path(address.target.removeprefix("unix:")).chmod(_MODE)
        yield port
    finally:
        server.stop(_GRACE_S).wait()
        pool.shutdown(cancel_futures=True)


def calls_channel(address: CallsAddress) -> grpc.Channel:
    """Returns a client's channel: the certificate and key are its own then, and `clients` signs the
    server's.

    Raises:
        BadInput, FileExposed: a file cannot be used.
    """
    if address.certificate is None or address.key is None or address.clients is None:
        return grpc.insecure_channel(address.target)
    credentials = grpc.ssl_channel_credentials(
        read_file(address.clients, limit=_PEM),
        read_private(address.key, limit=_PEM),
        read_file(address.certificate, limit=_PEM),
    )
    return grpc.secure_channel(address.target, credentials)
