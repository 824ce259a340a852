"""`strongroom log recover`: put leaves that clients hold into a log whose enclave is gone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from strongroom_wire.pages import Entry

from strongroom_host.cli.log_options import DEFAULT_LOG, LogOption
from strongroom_host.cli.output import say, warn
from strongroom_host.errors import BadInput
from strongroom_host.log.files import LogFiles
from strongroom_host.log.openings import Openings
from strongroom_host.log.recover import recover
from strongroom_host.log.stored import StoredLog
from strongroom_host.store import Journal

__all__ = ["recover_command"]


def recover_command(
    journals: Annotated[
        list[Path],
        typer.Option(
            "--from",
            metavar="JOURNAL",
            help="A client's journal, or the folder of its journals (CLIENT/journal). Repeatable.",
        ),
    ],
    log: LogOption = DEFAULT_LOG,
) -> None:
    """Put leaves that clients hold into a log whose enclave is gone, before another boot goes on.

    Only what follows the stored leaves without a gap, and is of the same boot. No head is signed
    over it: a permit that continues it needs --unsigned-leaves.
    """
    folder = log.expanduser()
    StoredLog(folder)  # says so where there is none; a log is not begun like this
    files = [file for path in journals for file in _files(path.expanduser())]
    with LogFiles(folder) as stored, Openings(folder, write=True) as openings:
        found = recover(stored, openings, _entries(files))
        size = stored.size
    say(f"{found.added} leaves and {found.opened} missing openings put in; {size} leaves in {log}")
    if found.malformed:
        warn(f"{found.malformed} entries of the journals are no leaves, or have a wrong opening")
    if found.stranded:
        first, count = found.stranded[0], len(found.stranded)
        warn(
            f"{count} leaves could not be put in, the first of them number {first}: one before it"
            " is held by nobody, or the log went on with another boot"
        )


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("*.db"))
    if not path.is_file():
        raise BadInput(f"there is no journal at {path}", remedy="name a file, or a folder of them")
    return [path]


def _entries(files: list[Path]) -> Iterator[Entry]:
    for path in files:
        with Journal(path) as journal:
            yield from journal.logged()
