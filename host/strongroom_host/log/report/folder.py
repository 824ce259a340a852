"""A report as a folder: the page, the tables, the signed head, and the digests of all of them.

It holds what the openings hold, so it is its maker's alone (0700) until he hands it on. It appears
whole or not at all: everything is written beside it first, and then renamed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final

from strongroom_host.errors import BadInput, EnvironmentFault
from strongroom_host.log.report.page import page
from strongroom_host.log.report.people import People
from strongroom_host.log.report.record import Decision
from strongroom_host.log.report.sheet import Sheet
from strongroom_host.log.report.tables import TABLES, DecisionTable, write_table

__all__ = ["SUMS", "ReportFolder", "ReportUnwritable"]

SUMS: Final = "SHA256SUMS"
_PAGE: Final = "report.html"


class ReportUnwritable(EnvironmentFault):
    """The report could not be written; nothing of it is left behind."""


class ReportFolder:
    """A report that is being made. A context manager: without `finish` nothing remains.

    Raises:
        BadInput: there is something at `target` already.
        ReportUnwritable: it cannot be made there.
    """

    def __init__(self, target: Path, people: People) -> None:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise BadInput(
                f"{target} is there already, and a report replaces nothing",
                expected="a folder that does not exist, or an empty one",
                remedy="name another folder with --out",
            )
        self._target, self._people = target, people
        with _explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        try:
            with _explained(target):
                path = self._folder / "decisions.csv"
                self._stream = path.open("w", encoding="utf-8", newline="")
                self._table = DecisionTable(self._stream, people)
        except BaseException:
            self._remove()
            raise

    def add(self, decision: Decision) -> None:
        """Writes one decision; there may be more of them than memory holds."""
        with _explained(self._target):
            self._table.add(decision)

    def finish(self, sheet: Sheet, note: bytes) -> None:
        """Writes the rest, and puts the report in its place.

        Args:
            sheet: What the page shows; all tables are made of its record.
            note: The signed head, put beside as `checkpoint` if there is one.
        """
        with _explained(self._target):
            self._stream.close()
            for name, (columns, rows) in TABLES.items():
                path = self._folder / f"{name}.csv"
                with path.open("w", encoding="utf-8", newline="") as stream:
                    write_table(stream, columns, rows(sheet.record, self._people))
            (self._folder / _PAGE).write_text(page(sheet), encoding="utf-8")
            if note:
                (self._folder / "checkpoint").write_bytes(note)
            sums = (_sum(path) for path in sorted(self._folder.iterdir()))
            (self._folder / SUMS).write_text("".join(sums), encoding="utf-8")
            self._settle()
            self._folder.replace(self._target)

    def __enter__(self) -> ReportFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
        self._remove()

    def _settle(self) -> None:
        """Waits until all of it is on the disk."""
        for path in (*self._folder.iterdir(), self._folder):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReportUnwritable(
            f"cannot write the report {target}",
            actual=error.strerror or error,
            remedy="make room or choose another folder with --out, and run it again",
        ) from error


def _sum(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return f"{digest.hexdigest()}  {path.name}\n"
