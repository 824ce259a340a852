"""The keeper's socket, mode 0600: clients of this user ask here before they act on an answer."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from strongroom_wire.errors import WireError
from strongroom_wire.pages import Entry

from strongroom_host.errors import EnvironmentFault, HostError
from strongroom_host.log.errors import LeafConflict, OpeningWrong
from strongroom_host.log.keeper import KeeperStopped, NotKeptYet
from strongroom_host.log.keeper_frames import (
    Answer,
    Outcome,
    read_question,
    receive,
    send,
)

__all__ = ["KeeperSocket", "Keeping", "SocketUnusable"]

MAX_CLIENTS: Final = 64
_SENDING_S: Final = 10
_PATH_LIMIT: Final = 100


class SocketUnusable(EnvironmentFault):
    """The keeper's socket cannot be made where it was named."""


class Keeping(Protocol):
    """What answers the questions; `Keeper` is one."""

    @property
    def size(self) -> int:
        """How many leaves are stored."""

    def keep(self, entries: tuple[Entry, ...]) -> None:
        """See `Keeper.keep`."""


class KeeperSocket:
    """Listens until it is closed. A context manager.

    What a crash left at `path` is replaced; a second keeper cannot be there, as it would hold the
    log's lock. The socket stays when it is closed: a client that finds it, and nobody behind it,
    must not go on as if there had never been a keeper.

    Raises:
        SocketUnusable: it cannot be made.
    """

    def __init__(self, path: Path, keeper: Keeping) -> None:
        self._keeper, self._closing = keeper, False
        self._streams: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = _listen(path)
        self._thread = threading.Thread(target=self._accept, name="keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends all connections; whoever waits learns nothing of his leaves."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for stream in self._streams:
                with contextlib.suppress(OSError):
                    stream.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def __enter__(self) -> KeeperSocket:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closing:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                continue
            with self._lock:
                room = len(self._streams) < MAX_CLIENTS
                if room:
                    self._streams.add(stream)
            if room:
                threading.Thread(target=self._serve, args=(stream,), daemon=True).start()
            else:
                stream.close()

    def _serve(self, stream: socket.socket) -> None:
        """Answers one client's questions, one after another, until it closes."""
        try:
            with stream, contextlib.suppress(OSError):
                # One who asks and does not take his answer must not hold this thread for good.
                stream.setsockopt(
                    socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SENDING_S, 0)
                )
                while not self._closing:
                    send(stream, self._answer(receive(stream)).serialise())
        finally:
            with self._lock:
                self._streams.discard(stream)

    def _answer(self, message: bytes) -> Answer:
        outcome, error = Outcome.KEPT, HostError("")
        try:
            self._keeper.keep(read_question(message))
        except WireError as fault:
            outcome, error = Outcome.REFUSED, HostError(f"no leaf of a log: {fault}")
        except (LeafConflict, OpeningWrong) as fault:
            outcome, error = Outcome.REFUSED, fault
        except NotKeptYet as fault:
            outcome, error = Outcome.NOT_YET, fault
        except KeeperStopped as fault:
            outcome, error = Outcome.STOPPED, fault
        return Answer(outcome, self._keeper.size, error.what, error.remedy)


def _listen(path: Path) -> socket.socket:
    """Listens at `path`; nobody else can connect, not even for a moment."""
    path = path.absolute()
    if len(os.fsencode(path)) > _PATH_LIMIT:
        raise SocketUnusable(
            "the path of a socket is too long",
            expected=f"at most {_PATH_LIMIT} bytes",
            actual=path,
            remedy="name a shorter one",
        )
    listener = socket.socket(socket.AF_UNIX)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
            raise SocketUnusable(f"{path} is there and is no socket", remedy="name another path")
        new.unlink(missing_ok=True)
        listener.bind(str(new))
        new.chmod(0o600)  # before it listens, so before anybody can connect
        listener.listen(MAX_CLIENTS)
        new.replace(path)
    except OSError as error:
        listener.close()
        raise SocketUnusable(
            f"cannot listen at {path}", actual=error, remedy="check the folder's permissions"
        ) from error
    except SocketUnusable:
        listener.close()
        raise
    return listener
