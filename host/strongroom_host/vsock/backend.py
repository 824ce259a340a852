"""The backend process: one loop that waits for the front-end, kicks, clients and services.

Nothing in the loop blocks: every socket is non-blocking, and what cannot go on waits for an event.
Streams are watched edge-triggered, so a connection that has to wait costs nothing.
"""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from strongroom_host.vsock.connection import Connection
from strongroom_host.vsock.device import Device
from strongroom_host.vsock.errors import BadMapping, FrontEndFault, GuestFault
from strongroom_host.vsock.frontend import FrontEnd
from strongroom_host.vsock.heartbeat import Heartbeat
from strongroom_host.vsock.listeners import dial, listen, pair
from strongroom_host.vsock.messages import MAX_DESCRIPTORS, MessageReader
from strongroom_host.vsock.streams import DialRefused, SocketStream
from strongroom_host.vsock.table import PARENT_CID, Limits

__all__ = ["Backend", "BackendConfig"]

_EVENTS: Final = 64
_BACKLOG: Final = 128
_PAUSE_S: Final = 0.1
"""How long accepting rests when this process is out of descriptors."""
_STREAM: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_GONE: Final = select.EPOLLHUP | select.EPOLLERR
_ANCILLARY: Final = socket.CMSG_SPACE((MAX_DESCRIPTORS + 1) * array.array("i").itemsize)
"""Room for one descriptor too many: so the message that has too many is seen to."""


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """What is joined to what.

    Attributes:
        device: Unix socket for the front-end (QEMU's chardev), which connects to it once.
        cid: The guest's; 4 or more, as we are 3.
        listen: For each port of the guest, the Unix socket where clients of the host connect.
        connect: For each port of the host, the Unix socket where a service listens.
        heartbeat: Port of the host that answers a starting enclave's heartbeat.
        limits: Counts, sizes, times.
    """

    device: Path
    cid: int
    listen: Mapping[int, Path] = field(default_factory=dict)
    connect: Mapping[int, Path] = field(default_factory=dict)
    heartbeat: int | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuses what cannot be served.

        Raises:
            BadMapping: a CID or port out of range, a port or path twice.
        """
        ports = [*self.listen, *self.connect, *([] if self.heartbeat is None else [self.heartbeat])]
        if not PARENT_CID < self.cid < 0xFFFFFFFF:
            raise BadMapping(
                "no CID an enclave can have", expected="4 to 4294967294", actual=self.cid
            )
        for port in ports:
            if not 0 <= port < 0xFFFFFFFF:
                raise BadMapping("no vsock port", expected="0 to 4294967294", actual=port)
        if self.heartbeat in self.connect:
            raise BadMapping("the heartbeat's port leads elsewhere as well", actual=self.heartbeat)
        paths = [self.device, *self.listen.values()]
        if len(set(paths)) != len(paths):
            raise BadMapping("two sockets have the same path", actual=", ".join(map(str, paths)))


class Backend:
    """One guest's device. `run` serves one front-end from its connection to its end."""

    def __init__(
        self, config: BackendConfig, report: Callable[[str], None] = lambda _: None
    ) -> None:
        """Binds nothing yet.

        Args:
            config: What is joined to what.
            report: Called with ``ready`` once all sockets can be connected to, and ``heartbeat``
                when the first heartbeat arrived.
        """
        self._config, self._report = config, report
        self.device = Device(config.cid, self._dial, config.limits)
        self._session = FrontEnd(self.device, config.cid, self._watch_kick)
        self._reader = MessageReader()
        self._front: socket.socket | None = None
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._stopper, self._stopped = socket.socketpair()
        self._stopper.setblocking(False)
        self._running = True
        self._transmitting = False
        self._paused: list[tuple[socket.socket, int]] = []
        self._resume_at = 0.0
        self._hearts: set[Heartbeat] = set()
        self._beaten = False

    def run(self) -> None:
        """Serves until the front-end closes or `stop` is called; removes the sockets it made.

        Raises:
            BackendRefused: a socket cannot be bound.
            FrontEndFault: the front-end broke the protocol.
            GuestFault: the guest broke its rings.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self._close)
            self._watch(self._stopped.fileno(), select.EPOLLIN, lambda _: self._end())
            door = stack.enter_context(listen(self._config.device, 1))
            self._watch(door.fileno(), select.EPOLLIN, lambda _: self._admit(door))
            for port, path in self._config.listen.items():
                listener = stack.enter_context(listen(path, _BACKLOG))
                self._watch_listener(listener, port)
            self._report("ready")
            try:
                self._serve()
            except GuestFault:
                with contextlib.suppress(FrontEndFault):
                    self._session.fail()
                raise

    def stop(self) -> None:
        """Ends `run`; from any thread or signal handler."""
        with contextlib.suppress(OSError):  # it ended already
            self._stopper.send(b"x")

    # The loop.

    def _serve(self) -> None:
        timeout: float | None = None
        while self._running:
            for descriptor, events in self._epoll.poll(timeout, _EVENTS):
                handler = self._handlers.get(descriptor)  # none if an earlier event closed it
                if handler is not None:
                    handler(events)
            now = time.monotonic()
            due = self.device.tick(now)
            if self._transmitting:
                self._transmitting = self.device.transmit(now)
            again = self.device.fill(now) or self._transmitting
            self._session.notify()
            if self._paused:
                due = self._resume(now, due)
            timeout = 0 if again else None if due is None else max(0.0, due - now)

    def _end(self) -> None:
        self._running = False

    def _watch(self, descriptor: int, events: int, handler: Callable[[int], None]) -> None:
        self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def _unwatch(self, descriptor: int) -> None:
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _close(self) -> None:
        self.device.restart()
        self._session.close()
        self._reader.close()
        if self._front is not None:
            self._front.close()
        for heart in self._hearts:
            heart.close()
        self._epoll.close()
        self._stopper.close()
        self._stopped.close()

    # The front-end.

    def _admit(self, door: socket.socket) -> None:
        """Takes the one front-end in, and closes the door behind it."""
        self._front, _ = door.accept()
        self._front.setblocking(False)
        self._unwatch(door.fileno())
        door.close()
        self._watch(self._front.fileno(), select.EPOLLIN, lambda _: self._listen_to(self._front))

    def _listen_to(self, front: socket.socket | None) -> None:
        while front is not None and self._running:
            try:
                data, ancillary, _, _ = front.recvmsg(
                    self._reader.wanted, _ANCILLARY, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                data, ancillary = b"", []  # it died
            if not data:
                self._end()
                return
            message = self._reader.receive(data, _descriptors(ancillary))
            if message is not None and (answer := self._session.handle(message)) is not None:
                self._answer(front, answer)

    def _answer(self, front: socket.socket, answer: bytes) -> None:
        try:
            sent = front.send(answer)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end()
            return
        if sent != len(answer):
            raise FrontEndFault("the front-end does not read its replies")

    def _watch_kick(self, old: int | None, new: int | None) -> None:
        if old is not None:
            self._unwatch(old)
        if new is not None:
            self._watch(new, select.EPOLLIN, lambda _: self._kicked(new))
            self._transmitting = True  # what was there before the kick descriptor

    def _kicked(self, descriptor: int) -> None:
        try:
            usable = bool(os.read(descriptor, 8))
        except BlockingIOError:
            usable = True
        except OSError:
            usable = False
        if not usable:
            raise FrontEndFault("a kick descriptor cannot be read")
        # Buffers to receive may also be what sending was waiting for.
        self._transmitting = True

    # Clients and services of the host.

    def _watch_listener(self, listener: socket.socket, port: int) -> None:
        self._watch(listener.fileno(), select.EPOLLIN, lambda _: self._accept(listener, port))

    def _accept(self, listener: socket.socket, port: int) -> None:
        for _ in range(_EVENTS):
            try:
                client, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # out of descriptors, most likely: the client waits a little
                self._unwatch(listener.fileno())
                self._paused.append((listener, port))
                self._resume_at = time.monotonic() + _PAUSE_S
                return
            stream = self._stream(client)
            connection = self.device.open(port, stream, time.monotonic())
            if connection is not None:
                self._watch_stream(client, connection)

    def _resume(self, now: float, due: float | None) -> float | None:
        """Accepts again, after a rest; returns when to look again."""
        if self._resume_at <= now:
            for listener, port in self._paused:
                self._watch_listener(listener, port)
            self._paused.clear()
            return due
        return self._resume_at if due is None else min(due, self._resume_at)

    def _dial(self, connection: Connection) -> SocketStream:
        """Connects a guest to a service of the host, without waiting.

        Raises:
            DialRefused: there is none.
            DialBusy: it has too many to accept already.
        """
        port = connection.key.host_port
        if port == self._config.heartbeat:
            near, far = pair()
            heart = Heartbeat(far, self._heard)
            self._hearts.add(heart)
            self._watch(heart.fileno(), select.EPOLLIN, lambda _: self._beat(heart))
        elif port in self._config.connect:
            near = dial(self._config.connect[port])
        else:
            raise DialRefused
        stream = self._stream(near)
        self._watch_stream(near, connection)
        return stream

    def _stream(self, sock: socket.socket) -> SocketStream:
        return SocketStream(sock, lambda: self._unwatch(sock.fileno()))

    def _watch_stream(self, sock: socket.socket, connection: Connection) -> None:
        def handle(events: int) -> None:
            self.device.ready(
                connection,
                time.monotonic(),
                readable=bool(events & (select.EPOLLIN | select.EPOLLRDHUP | _GONE)),
                writable=bool(events & select.EPOLLOUT),
                hung_up=bool(events & _GONE),
            )

        self._watch(sock.fileno(), _STREAM, handle)

    def _beat(self, heart: Heartbeat) -> None:
        if not heart.move():
            self._unwatch(heart.fileno())
            self._hearts.discard(heart)
            heart.close()

    def _heard(self) -> None:
        if not self._beaten:
            self._beaten = True
            self._report("heartbeat")


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """Returns the descriptors that came with a message; they are open from now on."""
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    return list(found)
