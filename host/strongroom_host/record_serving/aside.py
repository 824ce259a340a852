"""Pages whose head is beyond their last leaf, until the page comes that leads to it.

What waits in the record's log fills several pages when the host was away for long. Each of them has
the head of all, so the leaves of none but the last can be proved; and the record pushes the next
one only when the one before is acknowledged. So they are put aside, durably, where the keeper of
the signer's log puts such pages too (`Incoming`), and joined with what follows. Until then they
are in no log and no database: a boot that ends in between leaves leaves that nobody was told of.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from strongroom_wire.leaves import Leaf
from strongroom_wire.pages import Entry

from strongroom_host.log.errors import PositionMissed
from strongroom_host.log.incoming import Incoming
from strongroom_host.log.pull import prove_opening

__all__ = ["Aside"]


class Aside:
    """What was put aside in a log's folder. For the log's one writer."""

    def __init__(self, folder: Path) -> None:
        self._incoming = Incoming(folder)

    def joined(self, entries: Sequence[Entry], size: int) -> tuple[Entry, ...]:
        """Returns a page's entries, with those before them that were put aside, from `size` on.

        Raises:
            PositionMissed: some in between never came.
            WireError: one of them is no leaf.
        """
        first = Leaf.parse(entries[0].leaf).index
        if first <= size:
            return tuple(entries)
        kept = self._incoming.entries()
        before = [kept[n] for n in range(size, first) if n in kept]
        if len(before) < first - size:
            raise PositionMissed(
                f"a page of leaves from number {first} on, and those before never came",
                expected=size,
                actual=first,
            )
        return (*before, *entries)

    def put(self, entries: Sequence[Entry]) -> None:
        """Returns when these entries survive a crash. The same ones again take no more room.

        Raises:
            PositionMissed: they do not follow from one another.
            OpeningWrong: one has an opening that is not its own.
            WireError: one of them is no leaf.
            LogUnwritable: they may or may not be kept.
        """
        if not entries:
            return
        first = Leaf.parse(entries[0].leaf).index
        for index, entry in enumerate(entries, first):
            leaf = Leaf.parse(entry.leaf)
            if leaf.index != index:
                raise PositionMissed("leaves out of order", expected=index, actual=leaf.index)
            if entry.opening:
                prove_opening(leaf, entry.opening)
        kept = self._incoming.entries()
        news = [each for index, each in enumerate(entries, first) if kept.get(index) != each]
        if news:
            self._incoming.add(tuple(news))
