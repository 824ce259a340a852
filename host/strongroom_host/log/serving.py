"""A log on a socket, in a thread of a process that does something else as well."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import Final

import uvicorn
from starlette.applications import Starlette

from strongroom_host.errors import EnvironmentFault

__all__ = ["LogServer", "NotServing"]

_START_S: Final = 20.0
_MAX_CONNECTIONS: Final = 512
_MAX_HEADERS: Final = 16 * 1024


class NotServing(EnvironmentFault):
    """The server did not start."""


class LogServer:
    """Serves `app` on a listening socket until it is closed. A context manager.

    Raises:
        NotServing: it did not start.
    """

    def __init__(self, app: Starlette, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            limit_concurrency=_MAX_CONNECTIONS,
            h11_max_incomplete_event_size=_MAX_HEADERS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="http", daemon=True
        )
        self._thread.start()
        until = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                self.close()
                raise NotServing("the HTTP server did not start")
            time.sleep(0.005)

    def close(self) -> None:
        """Ends it at once: whoever reads a log asks again."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_START_S)

    def __enter__(self) -> LogServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
