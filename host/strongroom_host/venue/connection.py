"""One keep-alive TLS connection to a venue that sends the enclave's bytes as they are.

Blocking on purpose: an order is written by the thread that got it from the enclave, without a
loop in between. Nothing is ever sent twice by this module.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import h11

from strongroom_host.pins import PinMismatch
from strongroom_host.venue.errors import (
    ConnectFailed,
    MalformedRequest,
    OutcomeUnknown,
    TlsRefused,
)

__all__ = ["ConnectionLimits", "VenueConnection", "VenueResponse"]

_CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Times in seconds, sizes in bytes.

    `answer_s` bounds the whole exchange after the connection stands. `reuse_s` is how long an
    idle connection is trusted: less than servers keep theirs, so that a request is not written
    into a connection that is just being closed, which would leave its outcome unknown.
    """

    connect_s: float = 5.0
    answer_s: float = 15.0
    reuse_s: float = 4.0
    max_body: int = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class VenueResponse:
    """A complete answer. Header names are lower case, in order of arrival; nothing is decoded."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that lower-case name."""
        return next((value for key, value in self.headers if key == name), None)


class VenueConnection:
    """A connection to one venue, opened when first needed and reopened when it went stale.

    Args:
        host: The name the certificate must prove and the Host header must carry.
        port: TCP port.
        ssl_context: Verifying context: a given CA or the system's roots.
        address: Where to dial instead of `host`:`port`, for local venues.
        limits: Times and sizes.
        monotonic: Clock for deadlines.

    Raises:
        MalformedRequest: the context would accept any peer.
    """

    def __init__(
        self,
        host: str,
        port: int,
        ssl_context: ssl.SSLContext,
        *,
        address: tuple[str, int] | None = None,
        limits: ConnectionLimits | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if ssl_context.verify_mode is not ssl.CERT_REQUIRED or not ssl_context.check_hostname:
            raise MalformedRequest(
                "the TLS context must verify certificate and name",
                remedy="use ssl.create_default_context()",
            )
        self._host, self._port = host, port
        self._context = ssl_context
        self._address = address or (host, port)
        self._limits = limits or ConnectionLimits()
        self._monotonic = monotonic
        self._socket: ssl.SSLSocket | None = None
        self._idle_since = 0.0

    def __enter__(self) -> VenueConnection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next exchange opens a new one."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
        self._socket = None

    def open(self) -> None:
        """Have a usable connection now, so that the next exchange need not wait for one.

        Raises:
            ConnectFailed: the venue cannot be reached.
            TlsRefused: whoever answers is not the venue.
        """
        if self._socket is not None and not self._stale(self._socket):
            return
        self.close()
        self._socket = self._connect()
        self._idle_since = self._monotonic()

    def exchange(self, request: bytes) -> VenueResponse:
        """Send `request` unchanged and return the venue's whole answer.

        Raises:
            MalformedRequest: not one complete request to this venue; nothing was sent.
            NotSent: nothing was sent.
            OutcomeUnknown: something was sent, and no whole answer came within the limits.
        """
        parsed = _parse(request, self._host, self._port)
        self.open()
        if self._socket is None:
            raise ConnectFailed("the connection is gone")
        connection = self._socket
        deadline = self._monotonic() + self._limits.answer_s
        reusable = False
        try:
            self._send(connection, request, deadline)
            response, reusable = self._receive(connection, parsed, deadline)
            return response
        finally:
            if reusable:
                self._idle_since = self._monotonic()
            else:
                self.close()

    def _connect(self) -> ssl.SSLSocket:
        try:
            plain = socket.create_connection(self._address, timeout=self._limits.connect_s)
        except OSError as error:
            raise ConnectFailed(
                f"cannot connect to {self._host}:{self._port}",
                actual=error,
                remedy="check the network; --venue-address says where a test venue is",
            ) from error
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._context.wrap_socket(plain, server_hostname=self._host)
        except PinMismatch as error:
            plain.close()
            raise TlsRefused(
                f"{self._host}:{self._port} has none of the pinned keys",
                expected=error.expected,
                actual=error.actual,
                remedy=error.remedy,
            ) from error
        except ssl.SSLCertVerificationError as error:
            plain.close()
            raise TlsRefused(
                f"{self._host}:{self._port} did not prove its name",
                expected=f"a certificate for {self._host} under the trusted roots",
                actual=error.verify_message,
            ) from error
        except OSError as error:
            plain.close()
            raise ConnectFailed(
                f"the TLS handshake with {self._host}:{self._port} failed", actual=error
            ) from error

    def _stale(self, connection: ssl.SSLSocket) -> bool:
        """Whether an idle connection is too old, closed by the venue, or has unasked-for bytes."""
        if self._monotonic() - self._idle_since > self._limits.reuse_s:
            return True
        try:
            connection.setblocking(False)
            connection.recv(1)
        except ssl.SSLWantReadError:
            return False  # silence, or nothing but session tickets
        except OSError:
            return True
        return True  # an end of stream, or bytes that nobody asked for

    def _remaining(self, deadline: float) -> float:
        left = deadline - self._monotonic()
        if left <= 0:
            raise OutcomeUnknown("no answer in time", actual=f"{self._limits.answer_s} s")
        return left

    def _send(self, connection: ssl.SSLSocket, request: bytes, deadline: float) -> None:
        try:
            connection.settimeout(self._remaining(deadline))
            connection.sendall(request)
        except OSError as error:
            # Even a failed write may have delivered everything that mattered.
            raise OutcomeUnknown("the connection broke while sending", actual=error) from error

    def _receive(
        self, connection: ssl.SSLSocket, parsed: list[h11.Event], deadline: float
    ) -> tuple[VenueResponse, bool]:
        machine = h11.Connection(h11.CLIENT)  # which bounds the head to 16 KiB
        for sent in parsed:
            machine.send(sent)  # for its state only: the bytes went out as the enclave made them
        head: h11.Response | None = None
        body = bytearray()
        while True:
            try:
                event = machine.next_event()
            except h11.RemoteProtocolError as error:
                raise OutcomeUnknown(
                    "the answer is not HTTP", actual=error, status=_status(head)
                ) from error
            if isinstance(event, type):  # NEED_DATA; h11 pauses only after an end of message
                machine.receive_data(self._read(connection, deadline, head))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._limits.max_body:
                    raise OutcomeUnknown("the answer is too long", status=_status(head))
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                if machine.trailing_data[1]:
                    # Only the end of the stream ended it, and a cut looks just the same.
                    raise OutcomeUnknown("the answer has no length", status=_status(head))
                break
            elif isinstance(event, h11.ConnectionClosed):
                raise OutcomeUnknown("the venue closed without an answer")
        reusable = machine.our_state is h11.DONE and machine.their_state is h11.DONE
        leftover, _ = machine.trailing_data
        headers = tuple((name.decode(), value.decode("latin-1")) for name, value in head.headers)
        response = VenueResponse(head.status_code, headers, bytes(body))
        return response, reusable and not leftover

    def _read(self, connection: ssl.SSLSocket, deadline: float, head: h11.Response | None) -> bytes:
        try:
            connection.settimeout(self._remaining(deadline))
            return connection.recv(_CHUNK)
        except TimeoutError as error:
            raise OutcomeUnknown(
                "no whole answer in time", actual=error, status=_status(head)
            ) from error
        except OSError as error:
            raise OutcomeUnknown(
                "the connection broke before the answer was whole",
                actual=error,
                status=_status(head),
            ) from error


def _status(head: h11.Response | None) -> int | None:
    return None if head is None else head.status_code


def _parse(request: bytes, host: str, port: int) -> list[h11.Event]:
    """The events of `request`, proven to be one whole request that names this venue.

    An incomplete request would wait for its rest until the venue gives up, and surplus bytes
    would be a second request that nobody journalled.
    """
    if not request:  # to h11, no bytes are the end of the stream
        raise MalformedRequest("the request is empty")
    machine = h11.Connection(h11.SERVER)
    machine.receive_data(request)
    events: list[h11.Event] = []
    try:
        while not (events and isinstance(events[-1], h11.EndOfMessage)):
            event = machine.next_event()
            if isinstance(event, type):  # NEED_DATA
                raise MalformedRequest("the request is incomplete")
            events.append(event)
    except h11.RemoteProtocolError as error:
        raise MalformedRequest("not an HTTP/1.1 request", actual=error) from error
    if machine.trailing_data[0]:
        raise MalformedRequest("bytes follow the request", actual=len(machine.trailing_data[0]))
    head = events[0]
    names = (
        [value.lower() for name, value in head.headers if name == b"host"]
        if isinstance(head, h11.Request)
        else []
    )
    if names not in ([host.encode()], [f"{host}:{port}".encode()]):
        raise MalformedRequest("the request is for another host", expected=host, actual=names)
    return events
