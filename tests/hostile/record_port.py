"""The store port as a host runs it that lies: the real one, and a test between it and the record.

Every request and answer passes `LyingPort`, which keeps them, may alter an answer, and may break
the connection before or after the request was obeyed.
"""

import itertools
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from strongroom_host.record_store import port as honest
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.desk import Desk
from strongroom_host.record_store.errors import DatabaseUnavailable
from strongroom_host.record_store.port import PageKeeper, StorePort
from strongroom_host.record_store.port_serving import serve_stream
from strongroom_wire.encoding import pack, unpack

__all__ = ["Asked", "Lie", "LyingPort", "Strike"]


@dataclass
class Asked:
    """One request of the record: its verb, its fields, and what it was told (outcome, fields).
    When connection number `on` ends, that is one as well, of the verb "gone"."""

    verb: str
    fields: list[bytes]
    on: int
    outcome: int = -1
    told: list[bytes] = field(default_factory=list)

    @property
    def account(self) -> str:
        """The account that it is about, of those verbs that name one."""
        at = 1 if self.verb in ("put", "get") else 0
        return self.fields[at].decode("latin-1") if len(self.fields) > at else ""


Lie = Callable[[Asked], None]
"""Is shown each request with its honest answer, and may change `outcome` and `told`."""
Strike = Callable[[Asked, str], bool]
"""Is called "before" a request is obeyed and "after" it; true breaks the connection there."""


class Broken(Exception):
    """The connection ends here."""


class _Between(StorePort):
    """One connection's port, watched and lied through."""

    owner: "LyingPort"
    number: int

    def answer(self, request: bytes) -> bytes:
        verb, *fields = unpack(honest._ASK, request, limit=honest.MAX_MESSAGE)
        asked = Asked(verb.decode("latin-1"), fields, self.number)
        if self.owner.strike(asked, "before"):
            raise Broken
        told = unpack(honest._TOLD, super().answer(request), limit=honest.MAX_MESSAGE)
        asked.outcome, asked.told = told[0][0], told[1:]
        self.owner.note(asked)
        if self.owner.strike(asked, "after"):
            raise Broken
        self.owner.lie(asked)
        return pack(honest._TOLD, bytes([asked.outcome]), *asked.told)


class LyingPort:
    """Serves the port on a loopback address. `dsn` is that of the role `enclave`; it may be changed
    while no job runs, as when an old copy of the database takes the place of the new one."""

    def __init__(self, dsn: str, desk: Desk, log: PageKeeper | None = None) -> None:
        self.dsn, self.desk, self.log = dsn, desk, log
        self.lie: Lie = lambda _asked: None
        self.strike: Strike = lambda _asked, _when: False
        self.asked: list[Asked] = []
        self._news = threading.Condition()
        self._numbers = itertools.count()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def note(self, asked: Asked) -> None:
        """Keeps what was asked and told, before any lie."""
        with self._news:
            self.asked.append(asked)
            self._news.notify_all()

    def wait_for(
        self, wanted: Callable[[Asked], bool], *, since: int = 0, within: float = 60
    ) -> Asked:
        """Returns the first request like that among those after the first `since`."""

        def found() -> Asked | None:
            return next((asked for asked in self.asked[since:] if wanted(asked)), None)

        with self._news:
            if not self._news.wait_for(found, within):
                verbs = " ".join(asked.verb for asked in self.asked[since:])
                raise AssertionError(f"the record never asked that; it asked: {verbs[-2000:]}")
            asked = found()
        assert asked is not None
        return asked

    def ended(self, account: str, *, since: int = 0, within: float = 60) -> int:
        """Returns the code with which the account's next job ended."""

        def is_end(asked: Asked) -> bool:
            return asked.verb == "ended" and asked.account == account

        return int.from_bytes(self.wait_for(is_end, since=since, within=within).fields[1])

    def drop(self) -> None:
        """Breaks every connection that is open now."""
        for sock in list(self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends everything."""
        self.desk.close()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(10)
        self._listener.close()
        self.drop()
        for thread in list(self._open.values()):
            thread.join(10)

    def __enter__(self) -> "LyingPort":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self._open[sock] = thread
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with (
                suppress(OSError, DatabaseUnavailable, Broken),
                sock,
                connect(self.dsn, "hostile port") as connection,
                sock.makefile("rwb") as stream,
            ):
                number = next(self._numbers)
                between = _Between(connection, self.desk, self.log, f"w{number}")
                between.owner, between.number = self, number
                try:
                    serve_stream(stream, between)
                finally:
                    self.note(Asked("gone", [], number))
                    between.close()
        finally:
            self._open.pop(sock, None)
