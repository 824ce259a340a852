"""The leaves that a client was handed with its answers, out of its journal, which is not touched.

For who checks a log: the desk that writes the journal may be running, and opening it as a `Journal`
would resolve what it has in hand.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from strongroom_wire.pages import Entry

from strongroom_host.errors import BadInput

__all__ = ["handed_out"]


def handed_out(path: Path) -> Iterator[Entry]:
    """Every leaf in the journal at `path`, or in each journal of that folder, with its opening.

    Raises:
        BadInput: there is none, or it cannot be read.
    """
    files = sorted(path.glob("*.db")) if path.is_dir() else [path]
    for file in files:
        try:
            address = f"{file.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, uri=True)) as database:
                rows = database.execute("SELECT leaf, opening FROM requests WHERE length(leaf) > 0")
                for leaf, opening in rows:
                    yield Entry(leaf, opening)
        except sqlite3.Error as error:
            raise BadInput(
                f"cannot read the journal {file}",
                actual=error,
                remedy="name a client's journal, or the folder of them (CLIENT/journal)",
            ) from error
