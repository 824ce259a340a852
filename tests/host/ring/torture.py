"""A producer and consumers that check every tick, as processes to be paused and killed.

Each field of a tick is a function of its sequence, so half of one tick and half of another never
make a third. Each consumer keeps a tally in a file that outlasts it.
"""

import mmap
import os
import random
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from strongroom_host.ring.errors import ConsumerTaken, DependencyGone, RingAbsent
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.tick import SIZE
from strongroom_host.ring.waiting import Wait
from strongroom_host.ring.writer import RingWriter

__all__ = [
    "BEGAN",
    "BROKEN",
    "LANES",
    "PASSED",
    "POSITION",
    "SEEN",
    "TORN",
    "TWICE",
    "attached",
    "lanes",
    "publish",
    "tally",
]

LANES = struct.Struct("<8Q")
SEEN, TORN, TWICE, POSITION, PASSED, BEGAN = range(6)
"""Words of a tally: ticks seen, torn ones, ones at or before the position, the last tick handled,
ticks seen before the leader was done with them, the first tick not from before its time."""


def lanes(sequence: int) -> tuple[int, ...]:
    """Returns what the eight words of a tick must be."""
    low, byte = sequence & 0xFFFF_FFFF, sequence >> 9 & 0xFF
    last = low | (byte * 0x0101_0101) << 32
    return (sequence, *[sequence] * 4, low << 32 | low, last, sequence)


def publish(writer: RingWriter, count: int) -> None:
    """Publishes ticks whose fields are those of `lanes`."""
    put, first = writer.publish, writer.position + 1
    for n in range(first, first + count):
        low, byte = n & 0xFFFF_FFFF, n >> 9 & 0xFF
        put(byte, byte, byte, byte, low, low, low, n, n, n, n, n)


def tally(path: Path) -> memoryview:
    """Returns a tally's words, mapped from a file made if need be."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(descriptor, 64)
    words = memoryview(mmap.mmap(descriptor, 64)).cast("Q")
    os.close(descriptor)
    return words


def produce(name: str, slots: int, total: int, seed: int) -> None:
    """Publishes up to the tick `total` in bursts, and leaves the ring to whoever comes next."""
    with_pauses = random.Random(seed)  # noqa: S311  (a schedule, not a secret)
    writer = RingWriter.create(name, slots=slots)
    while writer.position < total:
        publish(writer, min(total - writer.position, with_pauses.randrange(1, 2_500)))
        if with_pauses.random() < 0.7:
            time.sleep(with_pauses.random() * 0.004)
    writer.close(keep=True)


class NeverInvalid(RingWriter):
    """Leaves the old sequence in place while it writes the new payload."""

    def publish_record(self, buffer: bytes | bytearray | memoryview, offset: int = 0) -> int:
        sequence = self._next
        at = (sequence & self._mask) << 3
        self._slots[(at << 3) + 8 : (at << 3) + 64] = memoryview(buffer)[offset + 8 : offset + 64]
        self._words[at] = sequence
        self._next = sequence + 1
        return sequence


class Hasty(RingWriter):
    """Publishes the sequence before the payload."""

    def publish_record(self, buffer: bytes | bytearray | memoryview, offset: int = 0) -> int:
        sequence = self._next
        at = (sequence & self._mask) << 3
        self._words[at] = 0
        self._words[at] = sequence
        self._slots[(at << 3) + 8 : (at << 3) + 64] = memoryview(buffer)[offset + 8 : offset + 64]
        self._next = sequence + 1
        return sequence


BROKEN = {"never-invalid": NeverInvalid, "hasty": Hasty}


def race(name: str, slots: int, how: str) -> None:
    """Publishes without a pause until it is killed, if need be with a step left out."""
    writer = BROKEN.get(how, RingWriter).create(name, slots=slots)
    while not how:
        publish(writer, 10_000)
    while True:
        put, first = writer.publish_record, writer.position + 1
        records = [LANES.pack(*lanes(n)) for n in range(first, first + 10_000)]
        for record in records:
            put(record)


def consume(name: str, consumer: str, after: str, how: str, total: int, path: Path) -> None:
    """Reads and checks ticks up to `total`."""
    reader = attached(name, consumer, after or None, Wait(how.partition("-")[0]))
    words = tally(path)
    words[BEGAN] = words[BEGAN] or reader.position + 1
    get: Callable[[], memoryview | None] = lambda: reader.next(0.05)  # noqa: E731
    if how.endswith("-many"):
        get = reader.poll_many
    while reader.position < total:
        try:
            ticks = get()
        except DependencyGone:  # killed, and slow to be started again
            ticks = None
        if ticks is None:
            continue
        for at in range(0, len(ticks), SIZE):
            check(reader, words, LANES.unpack_from(ticks, at), reader.gap if not at else 0)
    reader.poll()  # it is done with the last one, as those who come after it will want to know
    while True:  # its name stays taken until the test has seen the end
        time.sleep(0.05)


def check(reader: RingReader, words: memoryview, tick: tuple[int, ...], gap: int) -> None:
    """Counts a tick, and what is wrong with it."""
    sequence, position = tick[0], words[POSITION]
    words[TORN] += tick != lanes(sequence)
    words[TWICE] += sequence <= position
    if reader._leader is not None and reader._leader.done() < sequence:
        words[PASSED] += 1
    words[SEEN] += 1
    words[POSITION] = sequence


def attached(name: str, consumer: str, after: str | None, wait: Wait) -> RingReader:
    """Returns a reader that goes on where the one of its name was; waits for the ring."""
    while True:
        try:
            return RingReader.attach(
                name, consumer=consumer, after=after, wait=wait, from_start=True
            )
        except (RingAbsent, ConsumerTaken, DependencyGone):
            time.sleep(0.01)


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "produce":
        produce(rest[0], int(rest[1]), int(rest[2]), int(rest[3]))
    elif role == "race":
        race(rest[0], int(rest[1]), rest[2])
    else:
        consume(rest[0], rest[1], rest[2], rest[3], int(rest[4]), Path(rest[5]))
