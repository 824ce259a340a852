"""Who keeps the track record on the host: a database, made by an errand, and the record's service.

Both are processes of their own, so that nothing of them outlives the demo however that ends.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from strongroom_host.demo.folders import Folders
from strongroom_host.demo.processes import CLI, Child, ChildDidNotStart
from strongroom_host.runners.console import quoted, tail

__all__ = ["DatabaseMade", "Heard", "RecorderReady", "database", "heard", "recorder", "store_way"]

_STORE: Final = "store.strongroom:1"
"""Where the record looks for its host; the egress proxy alone knows what that is."""
_ERRAND_S: Final = 60.0


class RecorderReady(msgspec.Struct, frozen=True):
    """What `strongroom record serve --json` says when the record may connect."""

    address: str
    log: Path


class Heard(msgspec.Struct, frozen=True):
    """A line of its log about a synchronisation."""

    event: str
    account: str = ""
    stage: str = ""
    means: str = ""


class DatabaseMade(Child[None]):
    """`strongroom db init`, which ends by itself and is never stopped halfway: it runs a server."""

    def finish(self) -> None:
        """Returns once the database is made.

        Raises:
            ChildDidNotStart: it could not be made; with its last words.
        """
        if self.process.wait(_ERRAND_S) != 0:
            raise ChildDidNotStart(
                "the database could not be made",
                actual=quoted(self.log.name, tail(self.log)),
                remedy="`strongroom db init --folder DIR` says more",
            )

    def stop(self) -> bytes:
        """Waits for its end."""
        self.process.wait(_ERRAND_S)
        return super().stop()


def database(folders: Folders) -> DatabaseMade:
    """Returns PostgreSQL in the making, with tables and a login for each role."""
    arguments = ["db", "init", "--folder", str(folders.database)]
    return DatabaseMade("the database", CLI, arguments, folders.recorder / "database.log")


def recorder(folders: Folders, *witnesses: str) -> Child[RecorderReady]:
    """Returns the starting `strongroom record serve`, which runs the database as well.

    It has the log's heads cosigned by `witnesses`, each NAME=URL.
    """
    folder = folders.recorder
    arguments = ["record", "serve", "--record", str(folder), "--db", str(folders.database)]
    arguments += ["--log", str(folders.record_log), "--enclave", f"unix:{folders.enclave}"]
    arguments += ["--manifest", str(folder / "manifest.signed.json")]
    arguments += ["--trust", str(folder / "trust.json"), "--listen", f"unix:{folders.store}"]
    arguments += ["--listen-calls", f"unix:{folders.calls}", "--with-stdin", "--json"]
    for each in witnesses:
        arguments += ["--witness", each]
    return Child("the record's host", CLI, arguments, folder / "recorder.log")


def store_way(folders: Folders) -> str:
    """Returns where the record finds its host, as `strongroom host run --map` takes it."""
    return f"{_STORE}=unix:{folders.store}"


def heard(log: Path) -> Iterator[Heard]:
    """Yields what the record's host has said so far; a line that is being written is left out."""
    for line in log.read_bytes().split(b"\n")[:-1]:
        if line.startswith(b"{"):
            yield msgspec.json.decode(line, type=Heard)
