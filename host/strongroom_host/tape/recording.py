"""From a ring onto a tape, until told to stop; and from a tape back into a ring."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom_host.errors import BadInput
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.tick import SIZE
from strongroom_host.tape.reader import TapeReader
from strongroom_host.tape.sink import Sink
from strongroom_host.tape.writer import TapeWriter

__all__ = ["Recorded", "record", "replay", "speed_of"]

_PATIENCE_S: Final = 0.2
_NS: Final = 1_000_000_000
_INSTRUMENT: Final = slice(40, 44)
_EPOCH: Final = slice(44, 48)
_MASK: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many ticks were put onto a tape, and how many were lost before they could be."""

    ticks: int
    missed: int


def record(
    reader: RingReader,
    tape: TapeWriter,
    stopped: Callable[[], bool],
    *,
    sync_s: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
) -> Recorded:
    """Puts every tick of a ring onto a tape, until `stopped`.

    What is missing shows on the tape: the ring's own count jumps there. At most `sync_s` of ticks
    are not yet on the disk at any time.

    Raises:
        TapeUnwritten: the disk is full, or failed.
        TapeInvalid: the ring was made anew meanwhile, and counts from 1 again.
    """
    known, missed, synced = 0, 0, clock()
    while True:
        # Asked first, so that what is there when it comes true is still taken.
        ending = stopped()
        first = reader.next(0 if ending else _PATIENCE_S)
        ticks: memoryview | None = first
        while ticks is not None:
            missed += reader.gap
            if len(reader.instruments) > known:
                names = reader.instruments.names()
                tape.name_instruments(["", *names])
                known = len(names)
            for offset in range(0, len(ticks), SIZE):
                tape.publish_record(ticks, offset)
            if clock() - synced >= sync_s:
                break
            ticks = reader.poll_many()
        if clock() - synced >= sync_s:
            tape.sync()
            synced = clock()
        if ending and first is None:
            return Recorded(tape.ticks, missed)


def speed_of(text: str) -> float | None:
    """Returns how many times as fast as recorded a tape is to be played; None: as fast as it goes.

    Raises:
        BadInput: it is neither `max` nor a number from 0.001 to 100,000.
    """
    if text == "max":
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0.001 <= factor <= 100_000:
        raise BadInput(
            "that is no speed", expected="1 as recorded, 0.001 to 100000, or max", actual=text
        )
    return factor


def replay(
    tape: TapeReader,
    sink: Sink,
    *,
    speed: float | None = 1.0,
    restamp: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], int] = time.monotonic_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Publishes a tape's ticks and returns how many.

    A ring counts by itself, so ticks that the tape lacks would not be missed in it: after each such
    place all feeds have a new epoch, and a consumer sees that something is missing.

    Args:
        tape: What is played.
        sink: A ring, or another tape.
        speed: 1 as recorded, 10 ten times as fast; None as fast as it goes.
        restamp: Give each tick the time at which it is published, for measurements of latency.
        stopped: Ends it early.
        clock: CLOCK_MONOTONIC in ns.
        sleep: Waits for so many seconds.
    """
    places = _places(tape.names, sink)
    moved = any(index != place for index, place in enumerate(places))
    ticks, began, first = tape.ticks, clock(), 0
    before = broken = count = 0
    scratch = bytearray(SIZE)
    for view in tape:
        if stopped():
            break
        sequence, received = view.sequence, view.received_ns
        if not before:
            first = received
        elif sequence != before + 1:
            broken += 1
        before = sequence
        if speed is not None:
            due = began + int((received - first) / speed)
            while (left := due - clock()) > 0 and not stopped():
                sleep(min(left / _NS, _PATIENCE_S))
        offset = count * SIZE
        if moved or broken or restamp:
            scratch[:] = ticks[offset : offset + SIZE]
            index = view.instrument
            place = places[index] if index < len(places) else 0
            scratch[_INSTRUMENT] = place.to_bytes(4, "little")
            scratch[_EPOCH] = (view.epoch + broken & _MASK).to_bytes(4, "little")
            if restamp:
                scratch[8:16] = clock().to_bytes(8, "little")
            sink.publish_record(scratch, 0)
        else:
            sink.publish_record(ticks, offset)
        count += 1
    return count


def _places(names: Sequence[str], sink: Sink) -> list[int]:
    """Returns the sink's index of each of the tape's instruments."""
    return [sink.instrument(name) if name else 0 for name in names]
