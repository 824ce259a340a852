"""What an archive holds: manifests of digests, events, and the names of objects.

Every object's name ends in the SHA-256 of its content, so a store can be believed nothing: whatever
else lies under a name is not the object. The same log gives the same objects.

    segments/START-END-SHA256.seg       leaves (`segments`)
    openings/START-END-SHA256.sealed    what they commit to, sealed (`sealed`)
    boots/BOOTID-SHA256.json            evidence of a boot (`strongroom_host.log.boots`)
    manifests/SIZE-SHA256.json          what a log of SIZE leaves consists of, with its signed head
    events/TIME-SHA256.json             who did what to the archive, and when by whose clock

Manifests and events are JSON in one canonical form. Every manifest stands for itself: the newest is
the whole archive, and the older ones show that it never had another history.
"""

from __future__ import annotations

import re
from hashlib import sha256
from itertools import zip_longest
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from strongroom_wire.bundle import LogHead
from strongroom_wire.errors import WireError

from strongroom_host.archive.errors import ManifestMalformed
from strongroom_host.archive.segments import cuts
from strongroom_host.log.errors import LogError
from strongroom_host.log.notes import Checkpoint, Note

__all__ = [
    "BOOTS",
    "EVENTS",
    "EVENT_FORMAT",
    "FORMAT",
    "MANIFESTS",
    "MAX_MANIFEST",
    "OPENINGS",
    "SEGMENTS",
    "ArchivedBoot",
    "ArchivedOpenings",
    "ArchivedSegment",
    "Event",
    "Manifest",
    "boot_key",
    "digest_in",
    "openings_key",
    "segment_key",
    "size_in",
]

FORMAT: Final = "strongroom-archive/1"
EVENT_FORMAT: Final = "strongroom-archive-event/1"
MAX_MANIFEST: Final = 64 << 20
SEGMENTS: Final = "segments/"
OPENINGS: Final = "openings/"
BOOTS: Final = "boots/"
MANIFESTS: Final = "manifests/"
EVENTS: Final = "events/"
_KEY: Final = re.compile(
    r"(?:segments/\d{15}-\d{15}-[0-9a-f]{64}\.seg|openings/\d{15}-\d{15}-[0-9a-f]{64}\.sealed"
    r"|boots/[0-9a-f]{64}-[0-9a-f]{64}\.json|(?:manifests|events)/\d{15}-[0-9a-f]{64}\.json)",
    re.ASCII,
)

_Count = Annotated[int, Meta(ge=0, lt=1 << 53)]
_Time = Annotated[int, Meta(ge=0)]
_Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class ArchivedSegment(Struct, frozen=True, forbid_unknown_fields=True):
    """Leaves `start` up to and without `end`; times in ms, 0 where no leaf has one."""

    start: _Count
    end: _Count
    bytes: _Count
    sha256: _Hash
    earliest_ms: _Time
    latest_ms: _Time
    boots: tuple[_Hash, ...]


class ArchivedOpenings(Struct, frozen=True, forbid_unknown_fields=True):
    """The openings, `known` of them, of the segment with this range."""

    start: _Count
    end: _Count
    bytes: _Count
    sha256: _Hash
    known: _Count
    key_id: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]


class ArchivedBoot(Struct, frozen=True, forbid_unknown_fields=True):
    """The evidence of a boot."""

    boot: _Hash
    bytes: _Count
    sha256: _Hash


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """All that a log of `size` leaves consists of, and the note in which its head is signed."""

    format: Literal["strongroom-archive/1"]
    origin: str
    size: _Count
    root: _Hash
    checkpoint: str
    segments: tuple[ArchivedSegment, ...]
    openings: tuple[ArchivedOpenings, ...]
    boots: tuple[ArchivedBoot, ...]

    @property
    def head(self) -> LogHead:
        """The head that the checkpoint names."""
        return LogHead(self.size, bytes.fromhex(self.root))

    @property
    def key(self) -> str:
        """Its name in the archive."""
        return f"{MANIFESTS}{self.size:015d}-{sha256(self.serialise()).hexdigest()}.json"

    def sizes(self) -> dict[str, int]:
        """The objects it names: key and length in bytes."""
        found = {segment_key(each): each.bytes for each in self.segments}
        found |= {openings_key(each): each.bytes for each in self.openings}
        return found | {boot_key(each): each.bytes for each in self.boots}

    def serialise(self) -> bytes:
        """The canonical bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """The manifest in `data`; whether its head is signed is for the log's keys to say.

        Raises:
            ManifestMalformed: too long, not canonical, its head is not that of its checkpoint, or
                its segments are not those of a log of its size.
        """
        found = _decode(data, cls)
        try:
            named = Checkpoint.parse(Note.parse(found.checkpoint.encode()).text)
        except (LogError, WireError) as error:
            raise ManifestMalformed("a manifest without a checkpoint", actual=error) from error
        if (named.head, named.origin) != (found.head, found.origin):
            raise ManifestMalformed(
                "a manifest of another head than its checkpoint",
                expected=(named.origin, named.head.size, named.head.root.hex()),
                actual=(found.origin, found.size, found.root),
            )
        ranges = [(each.start, each.end) for each in found.segments]
        opened = {(each.start, each.end) for each in found.openings}
        agree = all(one == other for one, other in zip_longest(ranges, cuts(found.size)))
        if not agree or len(opened) != len(found.openings) or opened - {*ranges}:
            raise ManifestMalformed(f"the segments are not those of {found.size} leaves")
        return found


class Event(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that was done to the archive, told by whoever did it.

    Attributes:
        at_ms: When, by the clock of the machine that did it, ms since the epoch of Unix.
        by: Who, as the caller named himself; the store's own access log knows the credentials.
        what: "export", "retain", "hold on" or "hold off".
        why: The reason given, if any.
        manifest: Name of the newest manifest then; an export's own, which is stored after it.
        until_ms: Until when objects are kept, where that was set; 0 otherwise.
        added: Names of the objects that this run had stored.
    """

    format: Literal["strongroom-archive-event/1"]
    at_ms: _Count
    by: str
    what: Literal["export", "retain", "hold on", "hold off"]
    why: str
    manifest: str
    until_ms: _Count
    added: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its name in the archive."""
        return f"{EVENTS}{self.at_ms:015d}-{sha256(self.serialise()).hexdigest()}.json"

    def serialise(self) -> bytes:
        """The canonical bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Event:
        """The event in `data`, or ManifestMalformed."""
        return _decode(data, cls)


def segment_key(entry: ArchivedSegment) -> str:
    """The name of a segment."""
    return f"{SEGMENTS}{entry.start:015d}-{entry.end:015d}-{entry.sha256}.seg"


def openings_key(entry: ArchivedOpenings) -> str:
    """The name of sealed openings."""
    return f"{OPENINGS}{entry.start:015d}-{entry.end:015d}-{entry.sha256}.sealed"


def boot_key(entry: ArchivedBoot) -> str:
    """The name of a boot's evidence."""
    return f"{BOOTS}{entry.boot}-{entry.sha256}.json"


def digest_in(key: str) -> str | None:
    """The SHA-256 that an object's name promises, in hex; None where it is no name of ours."""
    return key.rpartition("-")[2].partition(".")[0] if _KEY.fullmatch(key) else None


def size_in(key: str) -> int:
    """How many leaves the manifest of this name is for."""
    return int(key.removeprefix(MANIFESTS).partition("-")[0])


_Document = TypeVar("_Document", Manifest, Event)


def _decode(data: bytes, kind: type[_Document]) -> _Document:
    """The one document whose canonical bytes these are."""
    try:
        if len(data) > MAX_MANIFEST:
            raise ManifestMalformed("too long", expected=MAX_MANIFEST, actual=len(data))
        found = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ManifestMalformed(f"no {kind.__name__.lower()}", actual=error) from error
    if found.serialise() != data:
        raise ManifestMalformed(f"no {kind.__name__.lower()} in canonical form")
    return found
