"""What a track record needs around a boot, all of it this test's own: venues, a proxy, a database.

The host here is in one process and in full control: `Tap` sees and cuts every byte that leaves the
enclave, `Site` holds the database and the port, and a test may put anything between them.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.exchanges import DAY_MS, HOUR_MS, LocalExchanges, local_exchanges

__all__ = ["DAY_MS", "HOUR_MS", "Exchanges", "Tap", "exchanges"]

_CHUNK = 1 << 16


class Exchanges(LocalExchanges):
    """Local exchanges, and what of them must not be seen."""

    def marks(self, venue: str) -> set[bytes]:
        """What of the account must be seen nowhere: ids, amounts and prices of its trades, long
        enough that nothing else looks like them. Fees may be: an exact hour with one trade shows
        what it cost."""
        found = set[str]()
        for fill in self.truth(venue).fills:
            found |= {fill.id, fill.order_id, f"{fill.amount:f}", f"{fill.price:f}"}
        return {text.encode() for text in found if len(text.replace(".", "")) >= 7}

    def secrets(self, venue: str) -> set[bytes]:
        """The credentials, which only venue and enclave may hold."""
        login = self.logins[venue]
        return {part.encode() for part in (login.key, login.secret, login.passphrase) if part}


@contextmanager
def exchanges(
    folder: Path, *venues: str, days: int = 4, orders: int = 40, seed: str = "hostile"
) -> Iterator[Exchanges]:
    """Serves these venues, each with one account that traded for some days up to a minute ago."""
    with local_exchanges(folder, *venues, days=days, orders=orders, seed=seed) as made:
        yield Exchanges(made.server, made.logins, made.since_ms)


@dataclass
class Tap:
    """The way out, as the host sees it: whoever connects to `path` is carried to `onward`, and all
    bytes are kept. `cut` drops every connection, as a proxy that was killed does."""

    path: Path
    onward: Callable[[], socket.socket]
    seen: list[bytearray] = field(default_factory=list)
    refusing: bool = False
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "Tap":
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self.path.chmod(0o666)
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()
        self.path.unlink(missing_ok=True)
        self.cut()

    @property
    def carried(self) -> bytes:
        """Everything that passed, both ways."""
        with self._lock:
            return b"\n".join(bytes(part) for part in self.seen)

    def cut(self) -> None:
        """Drops whatever is open now."""
        with self._lock:
            dropped, self._open = self._open, set()
        for sock in dropped:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                if self.refusing:
                    inner.close()
                    continue
                threading.Thread(target=self._carry, args=(inner,), daemon=True).start()

    def _carry(self, inner: socket.socket) -> None:
        with ExitStack() as held:
            held.callback(inner.close)
            try:
                outer = self.onward()
            except OSError:
                return
            held.callback(outer.close)
            outer.settimeout(None)  # a tunnel is silent for as long as it likes
            with self._lock:
                self._open |= {inner, outer}
            back = threading.Thread(target=self._pump, args=(outer, inner), daemon=True)
            back.start()
            self._pump(inner, outer)
            back.join()
            with self._lock:
                self._open -= {inner, outer}

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        kept = bytearray()
        with self._lock:
            self.seen.append(kept)
        with suppress(OSError):
            while part := source.recv(_CHUNK):
                kept += part
                target.sendall(part)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
