"""A running backend with sockets on both sides."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pytest
from strongroom_host.errors import HostError
from strongroom_host.vsock import Backend, BackendConfig, Limits

from tests.host.vsock.driver import HANG_S, Driver
from tests.host.vsock.guest import CID, Guest

__all__ = ["SERVICE", "Bench"]

SERVICE, HEARTBEAT = 5002, 9000
PORTS = (5000, 5001, 5003)


class Bench:
    """A backend in a thread, a folder with its sockets, and what plays the other parts."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.config = BackendConfig(
            self.folder / "device.sock",
            CID,
            listen={port: self.folder / f"{port}.sock" for port in PORTS},
            connect={SERVICE: self.folder / "service.sock"},
            heartbeat=HEARTBEAT,
            limits=limits or Limits(),
        )
        self.said: list[str] = []
        self.error: BaseException | None = None
        self._ready = threading.Event()
        self.backend = Backend(self.config, self._hear)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait(HANG_S)

    def _hear(self, word: str) -> None:
        self.said.append(word)
        self._ready.set()

    def _run(self) -> None:
        try:
            self.backend.run()
        except BaseException as error:  # noqa: BLE001  handed to the test
            self.error = error
        self._ready.set()

    def driver(self, *, size: int = 128) -> Driver:
        driver = Driver(self.config.device, size=size)
        self._stack.callback(driver.close)
        return driver

    def boot(
        self,
        *,
        size: int = 128,
        layout: tuple[int, ...] = (3776,),
        buffers: int = 128,
        seed: int = 0,
    ) -> Guest:
        """Returns a guest that is up and has given the device all its buffers."""
        driver = self.driver(size=size)
        driver.negotiate()
        driver.start()
        guest = Guest(driver, layout=layout, rx_buffers=buffers, seed=seed)
        guest.offer()
        return guest

    def client(self, port: int) -> socket.socket:
        """Returns a client connected to the socket of a guest's port."""
        client = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        client.settimeout(HANG_S)
        client.connect(str(self.config.listen[port]))
        return client

    def service(self, backlog: int = 300) -> socket.socket:
        """Returns the listener that the guest's connections to SERVICE reach."""
        listener = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.settimeout(HANG_S)
        listener.bind(str(self.config.connect[SERVICE]))
        listener.listen(backlog)
        return listener

    def accept(self, listener: socket.socket) -> socket.socket:
        """Returns the next connection of the guest to a service."""
        accepted, _ = listener.accept()
        accepted.settimeout(HANG_S)
        return self._stack.enter_context(accepted)

    def wait(self) -> HostError | None:
        """Waits for the backend to end by itself; returns its error, if it was one of ours."""
        self._thread.join(HANG_S)
        assert not self._thread.is_alive(), "the backend goes on"
        if self.error is not None and not isinstance(self.error, HostError):
            raise self.error
        return self.error

    def close(self) -> None:
        self.backend.stop()
        error = self.wait()
        self._stack.close()
        if error is not None:
            raise error

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except HostError:
            if kind is None:
                raise


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A backend with the usual limits."""
    with Bench() as made:
        yield made
