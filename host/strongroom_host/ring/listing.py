"""What rings there are, who is on them, and removing those that nobody writes to."""

import os
from dataclasses import dataclass
from pathlib import Path

from strongroom_host.ring import layout
from strongroom_host.ring.claiming import taken
from strongroom_host.ring.consumers import Consumer, Consumers
from strongroom_host.ring.errors import RingAbsent, RingInvalid
from strongroom_host.ring.instruments import InstrumentTable
from strongroom_host.ring.locks import PRODUCER, is_held, try_lock
from strongroom_host.ring.places import name_of, ring_folder, ring_path
from strongroom_host.ring.segment import (
    Producer,
    Segment,
    Shape,
    open_file,
    read_shape,
    unlink_ring,
)

__all__ = ["RingFacts", "look_at", "remove_ring", "ring_names"]

_PATIENCE_S = 0.5


@dataclass(frozen=True, slots=True)
class RingFacts:
    """A ring at one moment."""

    name: str
    path: Path
    shape: Shape
    producer: Producer
    alive: bool
    generation: int
    newest: int
    consumers: tuple[Consumer, ...]
    instruments: tuple[str, ...]


def ring_names() -> list[str]:
    """Returns the names of this user's rings, also of what only looks like one."""
    try:
        found = [name_of(path) for path in ring_folder().iterdir()]
    except OSError:
        return []
    return sorted(name for name in found if name is not None)


def look_at(name: str) -> RingFacts:
    """Returns what can be said of a ring without disturbing it.

    Raises:
        NameInvalid, RingAbsent, RingInvalid: there is no such ring of this version and user.
    """
    path, user = ring_path(name), os.geteuid()
    descriptor = open_file(path, writable=False, user=user)
    try:
        segment = Segment(path, descriptor, read_shape(descriptor, path), user, writable=False)
    except BaseException:
        os.close(descriptor)
        raise
    region = segment.bytes[layout.CONSUMERS_OFFSET : layout.SLOTS_OFFSET]
    consumers = Consumers(region, segment.shape.consumers, descriptor)
    try:
        return RingFacts(
            name=name,
            path=path,
            shape=segment.shape,
            producer=segment.producer(),
            alive=is_held(descriptor, PRODUCER),
            generation=segment.header[layout.GENERATION],
            newest=segment.newest(),
            consumers=tuple(consumers.all()),
            instruments=tuple(InstrumentTable(segment.bytes).names()),
        )
    finally:
        consumers.release()
        segment.close()


def remove_ring(name: str) -> None:
    """Removes a ring that has no producer; its readers are told that it was ended.

    What is no ring of this version is removed as well, if it is this user's file.

    Raises:
        NameInvalid: rings cannot be called that.
        RingAbsent: there is none.
        RingTaken: its producer is alive.
        RingInvalid: it is not safely this user's.
    """
    path, user = ring_path(name), os.geteuid()
    descriptor = open_file(path, writable=True, user=user)
    try:
        if not try_lock(descriptor, PRODUCER, _PATIENCE_S):
            raise taken(path, descriptor)
        segment = _segment_of(path, descriptor, user)
        if segment is None:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            return
    except BaseException:
        os.close(descriptor)
        raise
    segment.end()
    segment.close()


def _segment_of(path: Path, descriptor: int, user: int) -> Segment | None:
    """Returns the ring, or None if it cannot be used; its slots' file is removed then."""
    try:
        shape = read_shape(descriptor, path)
    except (RingAbsent, RingInvalid):
        return None
    try:
        return Segment(path, descriptor, shape, user, writable=True)
    except RingInvalid:
        unlink_ring(path, shape)
        return None
