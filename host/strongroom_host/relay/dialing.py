"""New connections to the venue, made by a thread of their own: verified, pinned, without delay.

Resolving a name and shaking hands takes milliseconds; whoever carries orders must not wait for it.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_host.pins import PinMismatch
from strongroom_host.venue import MalformedRequest

__all__ = ["Dialer", "Dialled", "Venue"]

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3))


@dataclass(frozen=True, slots=True)
class Venue:
    """Where requests go.

    Attributes:
        host: The name that its certificate proves and the Host header carries.
        port: TCP port.
        context: Verifies certificate and name, and pins if it is `pins.pinned_context`.
        addresses: Where to dial, in order of preference; empty for the name's own.

    Raises:
        MalformedRequest: the context would accept any peer.
    """

    host: str
    port: int
    context: ssl.SSLContext
    addresses: Sequence[tuple[str, int]] = ()

    def __post_init__(self) -> None:
        if self.context.verify_mode is not ssl.CERT_REQUIRED or not self.context.check_hostname:
            raise MalformedRequest(
                "the TLS context must verify certificate and name",
                remedy="use strongroom_host.pins.pinned_context, or verifying_context",
            )


@dataclass(frozen=True, slots=True)
class Dialled:
    """A connection, or why there is none."""

    connection: ssl.SSLSocket | None
    address: str
    failure: str = ""


class Dialer:
    """Makes connections on demand and hands each over through `take`, saying so on `wakes`.

    Args:
        venue: Where to.
        timeout_s: For one address: TCP and TLS together.
    """

    def __init__(self, venue: Venue, timeout_s: float = 5.0) -> None:
        self._venue, self._timeout_s = venue, timeout_s
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._made: queue.SimpleQueue[Dialled] = queue.SimpleQueue()
        self.wakes, self._bell = os.pipe()
        os.set_blocking(self.wakes, False)
        os.set_blocking(self._bell, False)
        self._stopping = threading.Event()
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="relay-dialer", daemon=True)
        self._thread.start()

    def order(self) -> None:
        """Have one connection made; there will be one `Dialled` for it."""
        self._orders.put(True)

    def take(self) -> Dialled | None:
        """The next result, if there is one."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wakes, 4096)
        try:
            return self._made.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """Stops the thread; what it has made and nobody took is closed."""
        self._stopping.set()
        self._orders.put(False)
        self._thread.join(timeout=2 * self._timeout_s)
        while (left := self.take()) is not None:
            if left.connection is not None:
                left.connection.close()
        os.close(self._bell)
        os.close(self.wakes)

    def _run(self) -> None:
        while self._orders.get() and not self._stopping.is_set():
            if self._failures:
                longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures, 10))
                self._stopping.wait(longest * random.uniform(0.5, 1))  # noqa: S311  a pause
            made = self._dial()
            self._failures = 0 if made.connection is not None else self._failures + 1
            self._made.put(made)
            with contextlib.suppress(BlockingIOError):
                os.write(self._bell, b"\0")

    def _dial(self) -> Dialled:
        """The first address that lets itself be verified."""
        failures = []
        try:
            addresses = self._addresses()
        except OSError as error:
            return Dialled(None, self._venue.host, f"cannot resolve {self._venue.host}: {error}")
        for address in addresses:
            try:
                connection = self._connect(address)
            except (OSError, ssl.SSLError) as error:
                failures.append(f"{address[0]}:{address[1]}: {_words(error)}")
                continue
            return Dialled(connection, f"{address[0]}:{address[1]}")
        return Dialled(None, self._venue.host, "; ".join(failures) or "no address")

    def _addresses(self) -> list[tuple[str, int]]:
        if self._venue.addresses:
            return list(self._venue.addresses)
        found = socket.getaddrinfo(self._venue.host, self._venue.port, type=socket.SOCK_STREAM)
        return [(str(entry[4][0]), int(entry[4][1])) for entry in found]

    def _connect(self, address: tuple[str, int]) -> ssl.SSLSocket:
        deadline = time.monotonic() + self._timeout_s
        plain = socket.create_connection(address, timeout=self._timeout_s)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _keep_alive(plain)
            plain.settimeout(max(0.1, deadline - time.monotonic()))
            connection = self._venue.context.wrap_socket(plain, server_hostname=self._venue.host)
        except BaseException:
            plain.close()
            raise
        connection.setblocking(False)
        return connection


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        option = getattr(socket, name, None)  # not every system has each
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _words(error: Exception) -> str:
    if isinstance(error, PinMismatch):
        return f"{error.what}: expected {error.expected}, found {error.actual}; do: {error.remedy}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate was not accepted: {error.verify_message}"
    return str(error) or type(error).__name__
