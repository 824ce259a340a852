"""What a track record needs around a boot, all of it this test's own: venues, a proxy, a database.

The host here is in one process and in full control: `Tap` sees and cuts every byte that leaves the
enclave, `Site` holds the database and the port, and a test may put anything between them.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from strongroom_host.venues.defaults import (
    Login,
    default_market,
    default_venues,
    make_account,
    plan_for,
)
from strongroom_host.venues.history import History
from strongroom_host.venues.server import VenuesServer
from strongroom_host.venues.world import VenueClock, World

__all__ = ["DAY_MS", "HOUR_MS", "Exchanges", "Tap", "exchanges"]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Exchanges:
    """A running server of venues whose truth is known, and how to log in."""

    server: VenuesServer
    logins: Mapping[str, Login]
    since_ms: int
    """A full hour before anything happened."""

    @property
    def root(self) -> bytes:
        """The CA's certificate, DER."""
        return ssl.PEM_cert_to_DER_cert(self.server.ca_path.read_text())

    def truth(self, venue: str) -> History:
        """What really happened in the account at that venue."""
        return self.server.world.named(venue, "main").history

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
    clock = VenueClock()
    now = clock() - 60_000  # before what counts as too fresh
    market = default_market(seed, now)
    accounts, logins = [], {}
    start = now - days * DAY_MS
    for venue in venues:
        account, logins[venue] = make_account(
            venue, market, plan_for(venue, market, start, now, orders=orders), seed
        )
        accounts.append(account)
    world = World(market, accounts)
    with VenuesServer(world, default_venues(world, limits=False), folder, clock=clock) as server:
        yield Exchanges(server, logins, start // HOUR_MS * HOUR_MS)


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
