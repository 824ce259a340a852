"""Looking at processes from outside: what still runs, and who started whom."""

import os
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["children", "gone", "until"]

_PATIENCE_S = 30.0


def _parents() -> dict[int, int]:
    """Process id -> parent's, of everything that is no zombie."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            found[int(entry.parent.name)] = int(parent)
    return found


def children(root: int) -> dict[int, str]:
    """Every descendant of `root` that runs, with its command line."""
    parents, family, grown = _parents(), {root}, 0
    while grown != len(family):
        grown = len(family)
        family |= {child for child, parent in parents.items() if parent in family}
    lines = {}
    for member in family - {root}:
        try:
            lines[member] = Path(f"/proc/{member}/cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return lines


def until(holds: Callable[[], bool], what: str) -> None:
    """Returns once `holds` does; fails the test if it never does."""
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def gone(processes: dict[int, str]) -> bool:
    """Whether none of these runs any more (a zombie does not)."""
    return not set(processes) & set(_parents())


def kill(process: int, number: int) -> None:
    """Sends a signal to one process that the test itself started."""
    os.kill(process, number)
