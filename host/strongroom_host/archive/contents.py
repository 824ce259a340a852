"""What is in an archive: its manifests, and which of them is the newest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from strongroom_host.archive.errors import ArchiveError, NotArchived, OtherLog
from strongroom_host.archive.manifest import EVENTS, MANIFESTS, Event, Manifest, size_in
from strongroom_host.archive.store import Store, StoredObject
from strongroom_host.errors import HostError

__all__ = ["Contents", "look"]


@dataclass(frozen=True, slots=True)
class Contents:
    """What a store has under names of ours, and what of it could be read as a manifest.

    Attributes:
        objects: All objects by name.
        manifests: Those that were read, by name, that of the most leaves first.
        unreadable: What is wrong with those that could not be, by name.
    """

    objects: Mapping[str, StoredObject]
    manifests: Mapping[str, Manifest]
    unreadable: Mapping[str, HostError]

    @property
    def newest(self) -> Manifest | None:
        """The manifest of the most leaves; of several, the one that names the most besides."""
        return max(
            self.manifests.values(),
            key=lambda each: (each.size, sum(n.known for n in each.openings), len(each.boots)),
            default=None,
        )

    def required(self, place: str) -> Manifest:
        """The newest manifest.

        Raises:
            NotArchived: there is none that can be read.
            OtherLog: there are manifests of more logs than one.
        """
        if self.newest is None:
            why = next(iter(self.unreadable.values()), None)
            raise NotArchived(
                f"there is no archive at {place}",
                expected="a manifest that can be read",
                actual=why,
                remedy="run `strongroom archive export` first, or check the place",
            )
        origins = {each.origin for each in self.manifests.values()}
        if len(origins) > 1:
            raise OtherLog(
                f"{place} holds archives of {len(origins)} logs",
                expected="one prefix or directory for each log",
                actual=", ".join(sorted(origins)),
            )
        return self.newest

    def events(self, store: Store) -> list[Event]:
        """What was done to the archive, the earliest first, as far as it can be read."""
        found = []
        for key in sorted(key for key in self.objects if key.startswith(EVENTS)):
            try:
                found.append(Event.parse(bytes(store.read(key))))
            except ArchiveError:
                continue  # `check` names it
        return found


def look(store: Store, *, every: bool = False) -> Contents:
    """What the store has; of the manifests the newest, or with `every` all of them.

    An archive that is brought up to date each hour has tens of thousands of manifests. The newest
    is the archive; that the others agree with it, `check` proves.

    Raises:
        StoreUnreachable, AccessRefused and the others: it cannot be looked at.
    """
    objects = {each.key: each for each in store.objects()}
    manifests, unreadable = dict[str, Manifest](), dict[str, HostError]()
    names = sorted((key for key in objects if key.startswith(MANIFESTS)), reverse=True)
    for size, keys in groupby(names, size_in):
        for key in keys:
            try:
                manifests[key] = Manifest.parse(bytes(store.read(key)))
            except ArchiveError as error:
                unreadable[key] = error
        if not every and any(each.size == size for each in manifests.values()):
            break
    return Contents(objects, manifests, unreadable)
