"""Writing a tape so that a crash costs at most what was not yet synced."""

import os
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from strongroom_host.ring.tick import RECORD, SIZE
from strongroom_host.tape.errors import TapeInvalid, TapeTaken, TapeUnwritten
from strongroom_host.tape.layout import (
    ENTRY,
    FIRST_TICK,
    INSTRUMENTS,
    INSTRUMENTS_AT,
    MARKS_AT,
    Head,
    Mark,
    instrument_entry,
)

__all__ = ["TapeWriter"]

_BUFFERED: Final = 64 * 1024
_HIGHEST: Final = (1 << 64) - 1


class TapeWriter:
    """A tape that is being recorded; a feed can write to it as it writes to a ring.

    Ticks go to the operating system in whole records, 64 KiB at a time or at `flush`; those survive
    the death of this process. `sync` puts them onto the disk and then a mark that says so; those
    survive a power cut, and a later change of them shows.
    """

    def __init__(
        self,
        path: Path,
        source: str,
        *,
        started_ns: int | None = None,
        monotonic_ns: int | None = None,
        write: Callable[[int, bytes | memoryview], int] = os.write,
    ) -> None:
        """Makes the file. The clocks are read, unless a simulation gives its own.

        Raises:
            TapeTaken: it is there already.
            TapeUnwritten: it cannot be made.
        """
        self._path, self._write = path, write
        head = Head(
            time.time_ns() if started_ns is None else started_ns,
            time.monotonic_ns() if monotonic_ns is None else monotonic_ns,
            source,
        )
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise TapeTaken(
                f"{path} exists already, and a recording has a file of its own",
                remedy="name another file, or move that one away",
            ) from None
        except OSError as error:
            raise self._unwritten(error) from error
        self._names: dict[str, int] = {}
        self._named: dict[int, str] = {}
        self._buffer = bytearray()
        self._ticks = self._last = self._crc = self._marks = 0
        self._synced = 0
        try:
            # Above all, the file has its length before its first tick: what is no name is zeros.
            os.ftruncate(self._file, FIRST_TICK)
            self._at(0, head.serialise())
            self.sync()
            os.lseek(self._file, FIRST_TICK, os.SEEK_SET)
        except OSError as error:
            raise self._unwritten(error) from error

    @property
    def ticks(self) -> int:
        """How many ticks were given so far."""
        return self._ticks

    @property
    def synced(self) -> int:
        """How many of them are on the disk."""
        return self._synced

    def instrument(self, name: str) -> int:
        """Returns the index of an instrument, giving it one if it has none.

        Raises:
            TapeInvalid: the name is too long, or there are 256 already.
        """
        index = self._names.get(name)
        if index is None:
            index = max(self._named, default=0) + 1
            self.name_instrument(index, name)
        return index

    def name_instruments(self, names: Sequence[str]) -> None:
        """Takes over a ring's table, indices and all.

        Raises:
            TapeInvalid: as `name_instrument`.
        """
        for index, name in enumerate(names):
            if name:
                self.name_instrument(index, name)

    def name_instrument(self, index: int, name: str) -> None:
        """Gives an instrument its index, before any tick that mentions it.

        Raises:
            TapeInvalid: the index is out of range or another's, or the name too long.
            TapeUnwritten: the disk failed.
        """
        known = self._named.get(index)
        if known == name:
            return
        if not 0 < index <= INSTRUMENTS:
            raise TapeInvalid("a tape has room for 256 instruments", actual=f"index {index}")
        if known is not None:
            raise TapeInvalid(
                "an instrument of the tape has this index already",
                expected=f"{index} for {known}",
                actual=f"{index} for {name}",
                remedy="a ring that was made anew has a table of its own, and needs its own tape",
            )
        try:
            self._at(INSTRUMENTS_AT + (index - 1) * ENTRY.size, instrument_entry(index, name))
        except OSError as error:
            raise self._unwritten(error) from error
        self._named[index] = name
        self._names.setdefault(name, index)

    def publish(
        self,
        kind: int,
        side: int,
        feed: int,
        flags: int,
        instrument: int,
        epoch: int,
        number: int,
        price: int,
        size: int,
        received_ns: int,
        venue_ns: int,
        detail: int,
    ) -> int:
        """Appends a tick with the next sequence, which it returns: what a ring's writer does."""
        sequence = self._last + 1
        times, amounts = (received_ns, venue_ns), (price, size)
        kinds = (kind, side, feed, flags)
        self._append(
            sequence,
            RECORD.pack(
                sequence, *times, *amounts, instrument, epoch, number & 0xFFFFFFFF, *kinds, detail
            ),
        )
        return sequence

    def publish_record(self, buffer: bytes | bytearray | memoryview, offset: int = 0) -> int:
        """Appends a tick of a ring, with the ring's own sequence; returns that.

        Raises:
            TapeInvalid: its sequence is not above that of the tick before.
        """
        record = bytes(buffer[offset : offset + SIZE])
        sequence = int.from_bytes(record[:8], "little")
        if not self._last < sequence <= _HIGHEST or len(record) != SIZE:
            raise TapeInvalid(
                "the tick is older than the one before it on the tape",
                expected=f"a sequence above {self._last}",
                actual=sequence,
                remedy="a ring that was made anew counts from 1 again, and needs a tape of its own",
            )
        self._append(sequence, record)
        return sequence

    def _append(self, sequence: int, record: bytes) -> None:
        self._buffer += record
        self._last = sequence
        self._ticks += 1
        if len(self._buffer) >= _BUFFERED:
            self.flush()

    def flush(self) -> None:
        """Hands what was given to the operating system.

        Raises:
            TapeUnwritten: the disk is full, or failed. The tape ends with its last whole tick.
        """
        data = memoryview(self._buffer)
        done = 0
        try:
            while done < len(data):
                done += self._write(self._file, data[done:])
        except OSError as error:
            # The tape ends with its last whole tick, and may go on there once there is room again.
            self._ticks -= (len(data) - done + SIZE - 1) // SIZE
            self._keep(data[: done - done % SIZE])
            end = FIRST_TICK + self._ticks * SIZE
            os.ftruncate(self._file, end)
            os.lseek(self._file, end, os.SEEK_SET)
            raise self._unwritten(error) from error
        self._keep(data)

    def _keep(self, data: memoryview) -> None:
        self._crc = zlib.crc32(data, self._crc)
        data.release()
        self._buffer = bytearray()

    def sync(self) -> None:
        """Puts everything onto the disk, and then a mark that says so.

        Raises:
            TapeUnwritten: the disk failed.
        """
        if self._buffer:
            self.flush()
        try:
            os.fsync(self._file)
            self._marks += 1
            mark = Mark(self._marks, self._ticks, self._crc, len(self._named))
            self._at(MARKS_AT[self._marks % 2], mark.serialise())
            os.fsync(self._file)
        except OSError as error:
            raise self._unwritten(error) from error
        self._synced = self._ticks

    def close(self) -> None:
        """Syncs and closes."""
        if self._file >= 0:
            try:
                self.sync()
            finally:
                os.close(self._file)
                self._file = -1

    def _at(self, offset: int, data: bytes) -> None:
        while data:
            written = os.pwrite(self._file, data, offset)
            data, offset = data[written:], offset + written

    def _unwritten(self, error: OSError) -> TapeUnwritten:
        return TapeUnwritten(
            f"cannot write the tape {self._path}: {error.strerror or error}",
            remedy="check the folder, its permissions, and the space that is left",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
