"""Leaves that clients still hold, put into a log whose enclave is gone.

Each client's journal has the leaf and the opening of every request that it was handed. Where a boot
ended before its newest leaves were stored, they are put in from there, before another boot goes on
with the log. Nobody signed a head over them any more: they are the clients' word, and whoever
verifies the log is told that nothing vouches for them until a later boot's head does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Leaf
from strongroom_wire.pages import Entry

from strongroom_host.log.errors import LeafConflict, LogError
from strongroom_host.log.files import LogFiles
from strongroom_host.log.openings import Openings
from strongroom_host.log.pull import prove_opening

__all__ = ["Recovered", "recover"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What came of it.

    Attributes:
        added: How many leaves were put in, after those that were stored.
        opened: How many openings of stored leaves were put in that were missing.
        stranded: Indices of leaves that are held and could not be put in, as one before them is
            held by nobody, or as the log went on with another boot.
        malformed: How many of the entries given are no leaves, or have the opening of another one.
    """

    added: int
    opened: int
    stranded: tuple[int, ...]
    malformed: int


def recover(log: LogFiles, openings: Openings, entries: Iterable[Entry]) -> Recovered:
    """Puts into `log` what clients hold of its newest boot beyond the leaves stored.

    Raises:
        LeafConflict: two clients hold different leaves of one boot for one place, or one holds
            another than is stored. Nothing was put in.
        LogUnwritable: see `LogFiles.append`.
    """
    held: dict[int, dict[bytes, Entry]] = {}
    malformed = 0
    for entry in entries:
        try:
            leaf = Leaf.parse(entry.leaf)
            if entry.opening:
                prove_opening(leaf, entry.opening)
        except (WireError, LogError):
            malformed += 1
            continue
        known = held.setdefault(leaf.index, {}).setdefault(leaf.epoch, entry)
        if known.leaf != entry.leaf:
            raise _conflict(leaf, "two clients hold different leaves")
    epoch = Leaf.parse(log.leaf(log.size - 1)).epoch if log.size else b""
    missing: dict[int, bytes] = {}
    for index in sorted(index for index in held if index < log.size):
        stored = log.leaf(index)
        entry = held[index].pop(Leaf.parse(stored).epoch, Entry())
        if entry.leaf not in (b"", stored):
            raise _conflict(Leaf.parse(entry.leaf), "a client holds another leaf than is stored")
        if entry.opening and openings.get(index) is None:
            missing[index] = entry.opening
    found: list[Entry] = []
    while (following := held.get(log.size + len(found), {})) and epoch in following:
        found.append(following.pop(epoch))
    opened = {log.size + n: entry.opening for n, entry in enumerate(found) if entry.opening}
    openings.put(missing | opened)
    log.append(log.size, [entry.leaf for entry in found])
    stranded = tuple(sorted(index for index, left in held.items() if left))
    return Recovered(len(found), len(missing), stranded, malformed)


def _conflict(leaf: Leaf, what: str) -> LeafConflict:
    return LeafConflict(
        f"{what} for one place",
        expected="one leaf for each place of a boot",
        actual=f"boot {leaf.epoch.hex()[:16]}, leaf {leaf.index}",
        remedy="keep all of them as they are: a boot, a client or a log told two stories",
    )
