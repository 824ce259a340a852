"""The service that a starting enclave tells that it lives: it sends 0xB7 and gets it back.

A Nitro hypervisor considers an enclave started only then, so its init does this before all else.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Final

__all__ = ["HEARTBEAT", "Heartbeat"]

HEARTBEAT: Final = 0xB7


class Heartbeat:
    """One connection to the heartbeat's port. Answers one byte, and keeps the connection."""

    def __init__(self, sock: socket.socket, heard: Callable[[], None]) -> None:
        """Takes the socket over; `heard` is called when the byte came."""
        sock.setblocking(False)
        self._socket, self._heard = sock, heard

    def fileno(self) -> int:
        """Returns the socket's descriptor."""
        return self._socket.fileno()

    def move(self) -> bool:
        """Reads what came; returns whether the connection is to be kept.

        It is not once the enclave closed it, or sent anything but the byte.
        """
        try:
            data = self._socket.recv(1)
            if data != bytes([HEARTBEAT]):
                return False
            self._socket.send(data)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._heard()
        return True

    def close(self) -> None:
        """Ends the connection."""
        with contextlib.suppress(OSError):
            self._socket.close()
