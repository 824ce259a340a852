"""A TLS venue that answers every request, counts what it got, and misbehaves on demand."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from strongroom_host.testnet.certificates import issue

__all__ = ["Upstream", "upstream"]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PROBE = b"GET /ok "


class Upstream:
    """`received` has every whole request but probes. `behave` may answer one by itself."""

    def __init__(self, folder: Path, name: str = "venue.test") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        certificate = issue(folder, (name,), datetime.datetime.now(datetime.UTC))
        self.ca, self.chain = certificate.ca, certificate.chain
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.chain, certificate.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self.received: list[bytes] = []
        self.probes = self.connections = 0
        self.answer: bytes = OK
        self.behave: Callable[[ssl.SSLSocket, bytes], bool] = lambda _tls, _request: False
        """Returns True when it has seen to the request itself."""
        self.standing: set[ssl.SSLSocket] = set()
        self.deaf: set[ssl.SSLSocket] = set()
        """Connections that answer no probe."""
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(plain,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(30)
            with self._context.wrap_socket(plain, server_side=True) as tls:
                self.connections += 1
                self.standing.add(tls)
                try:
                    while (request := _read(tls)) is not None:
                        if request.startswith(PROBE):
                            self.probes += 1
                            if tls not in self.deaf:
                                tls.sendall(OK)
                            continue
                        self.received.append(request)
                        if not self.behave(tls, request):
                            tls.sendall(self.answer)
                finally:
                    self.standing.discard(tls)

    def cut_all(self) -> None:
        """Resets every connection that stands."""
        for tls in list(self.standing):
            reset(tls)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(timeout=10)
        until = time.monotonic() + 10
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < until:
            self.cut_all()  # one may have been accepted, and not be among those that stand yet
            time.sleep(0.01)


def reset(tls: ssl.SSLSocket) -> None:
    """Ends a connection with a TCP reset."""
    with contextlib.suppress(OSError):
        tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        socket.socket.shutdown(tls, socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        tls.close()


def _read(tls: ssl.SSLSocket) -> bytes | None:
    """One request; None at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (chunk := tls.recv(65_536)):
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    while len(body) < length:
        if not (chunk := tls.recv(65_536)):
            return None
        body += chunk
    return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def upstream(folder: Path, name: str = "venue.test") -> Iterator[Upstream]:
    server = Upstream(folder, name)
    try:
        yield server
    finally:
        server.stop()
