"""The demo's other parties as processes: started, read until ready, and always ended.

Each watches its stdin, so that it ends with this process, however that ends.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

import msgspec

from strongroom_host.errors import EnvironmentFault
from strongroom_host.runners.console import explain, quoted, tail

__all__ = [
    "CLI",
    "Child",
    "ChildDidNotStart",
    "ExchangeLogin",
    "ExchangesReady",
    "HostReady",
    "KeeperReady",
    "Market",
    "VenueReady",
    "WitnessReady",
    "exchanges",
    "host",
    "keeper",
    "venue",
    "witness",
]

ReadyT = TypeVar("ReadyT")
_START_S: Final = 90.0
_STOP_S: Final = 20.0
_CHUNK: Final = 1 << 16
CLI: Final = "strongroom_host.cli.main"
_KEEP_EVERY_S: Final = "0.2"


class ChildDidNotStart(EnvironmentFault):
    """A process of the demo ended or stayed silent before it was ready."""


class Market(msgspec.Struct, frozen=True):
    """A market of the testnet: the two outcome tokens, and its price step."""

    condition_id: str
    tokens: tuple[str, str]
    tick_size: str
    neg_risk: bool


class VenueReady(msgspec.Struct, frozen=True):
    """What the testnet says when it serves."""

    url: str
    port: int
    chain_id: int
    ca: Path
    admin_token: str
    markets: tuple[Market, ...]


class HostReady(msgspec.Struct, frozen=True):
    """What `strongroom host run --json` says when the enclave answers."""

    address: str
    run: Path
    root: Path
    enclave_pid: int
    boot_s: float


class WitnessReady(msgspec.Struct, frozen=True):
    """What `strongroom witness run --json` says when it answers."""

    url: str
    key: str


class KeeperReady(msgspec.Struct, frozen=True):
    """What `strongroom log keep --json` says when bots may ask it."""

    socket: Path
    leaves: int


class ExchangeLogin(msgspec.Struct, frozen=True):
    """A read-only key, as the exchange hands it to whoever owns the account."""

    key: str
    secret: str
    passphrase: str

    def __repr__(self) -> str:
        return "ExchangeLogin()"


class ExchangesReady(msgspec.Struct, frozen=True):
    """What the local exchanges say when they serve: where each real name leads."""

    host: str
    port: int
    ca: Path
    admin_token: str
    names: tuple[str, ...]
    logins: dict[str, ExchangeLogin]

    @property
    def ways(self) -> tuple[str, ...]:
        """Each name with where it leads, as `strongroom host run --map` takes it."""
        return tuple(f"{name}={self.host}:{self.port}" for name in self.names)


class Child(Generic[ReadyT]):
    """A running party; a context manager that ends it."""

    def __init__(self, name: str, module: str, arguments: list[str], log: Path) -> None:
        """Starts it; stderr goes to `log`."""
        self.name, self.log = name, log
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(  # noqa: S603  our own interpreter and modules
                [sys.executable, "-P", "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                process_group=0,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def ready(self, shape: type[ReadyT]) -> ReadyT:
        """Returns its ready line.

        Raises:
            ChildDidNotStart: it ended, or said nothing in time; with its last words.
        """
        line = self._line(time.monotonic() + _START_S)
        try:
            return msgspec.json.decode(line, type=shape, dec_hook=_path)
        except msgspec.DecodeError as error:
            lines = tail(self.log)
            raise ChildDidNotStart(
                f"{self.name} did not start",
                expected="a ready line",
                actual=quoted(self.log.name, lines),
                remedy=explain(lines) or "`strongroom host doctor` looks at this machine",
            ) from error

    def stop(self) -> bytes:
        """Asks it to end, and ends it if it does not; returns what it still had to say.

        Harmless when it has ended.
        """
        if self.process.stdin:
            self.process.stdin.close()
        self.process.terminate()
        rest = b""
        try:
            self.process.wait(_STOP_S)
            if self.process.stdout and not self.process.stdout.closed:
                rest = self.process.stdout.read()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        finally:
            if self.process.stdout:
                self.process.stdout.close()
        return rest

    def _line(self, deadline: float) -> bytes:
        """Returns what it prints first, up to a line break; less if it ends or time is up."""
        if self.process.stdout is None:
            return b""
        descriptor, line = self.process.stdout.fileno(), b""
        while not line.endswith(b"\n") and (left := deadline - time.monotonic()) > 0:
            if select.select([descriptor], [], [], left)[0]:
                if not (part := os.read(descriptor, _CHUNK)):
                    break
                line += part
        return line


def _path(kind: type, value: object) -> Path:
    """Returns a path that JSON had to write as text."""
    if kind is not Path or not isinstance(value, str):
        raise NotImplementedError(kind)
    return Path(value)


def venue(folder: Path) -> Child[VenueReady]:
    """Returns a starting testnet venue on a free port, Amoy's contracts, nobody funded."""
    arguments = ["--dir", str(folder), "--chain", "80002", "--with-stdin"]
    return Child("the testnet venue", "strongroom_host.testnet", arguments, folder / "venue.log")


def exchanges(
    folder: Path, names: Sequence[str], days: int, orders: int, flows: int
) -> Child[ExchangesReady]:
    """Returns starting local exchanges with an account each, which traded for some days."""
    arguments = ["--dir", str(folder), "--days", str(days), "--orders", str(orders)]
    arguments += ["--flows", str(flows)]
    for name in names:
        arguments += ["--venue", name]
    module = "strongroom_host.venues"
    return Child("the exchanges", module, [*arguments, "--with-stdin"], folder / "exchanges.log")


def host(folder: Path, run: Path, mapped: Sequence[str], log: str = "host.log") -> Child[HostReady]:
    """Returns a starting `strongroom host run` on free ports, which reaches `mapped` only."""
    arguments = ["host", "run", "--run", str(run), "--state", str(folder / "state")]
    arguments += ["--listen", "127.0.0.1:0", "--with-stdin", "--json"]
    for each in mapped:
        arguments += ["--map", each]
    return Child("the host", CLI, arguments, folder / log)


def witness(folder: Path) -> Child[WitnessReady]:
    """Returns a starting `strongroom witness run` on a free port; its key is in `folder`."""
    arguments = ["witness", "run", "--witness", str(folder), "--listen", "127.0.0.1:0"]
    arguments += ["--with-stdin", "--json"]
    return Child("the witness", CLI, arguments, folder / "witness.log")


def keeper(log: Path, client: Path, enclave: Path, *witnesses: str) -> Child[KeeperReady]:
    """Returns a starting `strongroom log keep` of the enclave at the run directory `enclave`.

    It asks as `client`, and has the log's heads cosigned by `witnesses`, each NAME=URL.
    """
    arguments = ["log", "keep", "--log", str(log), "--client", str(client)]
    arguments += ["--enclave", f"unix:{enclave}", "--every", _KEEP_EVERY_S]
    for each in witnesses:
        arguments += ["--witness", each]
    arguments += ["--listen", str(enclave.parent / "keeper.sock"), "--with-stdin", "--json"]
    return Child("the keeper of the log", CLI, arguments, client / "keeper.log")
