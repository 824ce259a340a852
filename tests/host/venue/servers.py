"""A TLS server that answers each connection from a script: the venue on its worst days."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from strongroom_host.testnet.certificates import issue

Script = Callable[["Peer"], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """The server's end of one connection."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self.tls = tls
        self.received = b""

    def read(self, until: bytes = b"\r\n\r\n") -> bytes:
        """Read until the marker (or the end); returns everything so far."""
        while until not in self.received:
            chunk = self.tls.recv(65536)
            if not chunk:
                break
            self.received += chunk
        got, self.received = self.received, b""
        return got

    def send(self, data: bytes) -> None:
        self.tls.sendall(data)

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.tls.close()


class ScriptedVenue:
    """Plays one script per connection, the last one for all that follow."""

    def __init__(self, folder: Path, scripts: list[Script]) -> None:
        certificate = issue(folder, ("venue.test",), datetime.datetime.now(datetime.UTC))
        self.ca = certificate.ca
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.chain, certificate.key)
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self.connections = 0
        self._stopped = False
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            thread = threading.Thread(target=self._play, args=(plain, script), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _play(self, plain: socket.socket, script: Script) -> None:
        with contextlib.suppress(OSError), plain:
            plain.settimeout(20)
            with self._context.wrap_socket(plain, server_side=True) as tls:
                script(Peer(tls))

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(timeout=10)
        for thread in self._threads:
            thread.join(timeout=10)


@contextlib.contextmanager
def venue(folder: Path, *scripts: Script) -> Iterator[ScriptedVenue]:
    server = ScriptedVenue(folder, list(scripts))
    try:
        yield server
    finally:
        server.stop()
