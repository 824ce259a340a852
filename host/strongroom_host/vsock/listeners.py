"""Unix sockets to listen on and to connect to."""

from __future__ import annotations

import contextlib
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from strongroom_host.vsock.errors import BackendRefused
from strongroom_host.vsock.streams import DialBusy, DialRefused

__all__ = ["dial", "listen", "pair"]


@contextlib.contextmanager
def listen(path: Path, backlog: int) -> Iterator[socket.socket]:
    """Yields a non-blocking listening socket for this user only; removes its path at the end.

    A socket there that nobody listens on is replaced.

    Raises:
        BackendRefused: the path is in use, too long, or not to be had.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.setblocking(False)
        try:
            _remove_stale(path)
            listener.bind(str(path))
            path.chmod(0o600)  # before listening, so that nobody came in by other permissions
            listener.listen(backlog)
        except OSError as error:
            raise BackendRefused(
                f"cannot listen on {path}: {error.strerror or error}",
                remedy="end what uses it, or choose another, shorter path",
            ) from error
        try:
            made = path.stat().st_ino
            yield listener
        finally:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == made:
                    path.unlink()


def dial(path: Path) -> socket.socket:
    """Returns a socket connected to a service.

    Raises:
        DialRefused: nobody listens there.
        DialBusy: its queue is full, or this process is out of descriptors.
    """
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise DialBusy from error
    try:
        sock.connect(str(path))
    except BlockingIOError as error:
        sock.close()
        raise DialBusy from error
    except OSError as error:
        sock.close()
        raise DialRefused from error
    return sock


def pair() -> tuple[socket.socket, socket.socket]:
    """Returns two connected sockets, for a service within this process.

    Raises:
        DialBusy: this process is out of descriptors.
    """
    try:
        return socket.socketpair()
    except OSError as error:
        raise DialBusy from error


def _remove_stale(path: Path) -> None:
    """Removes a socket that nobody listens on.

    Raises:
        OSError: the path is something else, or in use.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError("it exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError("it is in use")
