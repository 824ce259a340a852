"""Reading a tape in place: its file is mapped, and a view is moved over it."""

import mmap
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from strongroom_host.ring.tick import SIZE
from strongroom_host.strategy.view import TickView
from strongroom_host.tape.errors import TapeDamaged, TapeInvalid
from strongroom_host.tape.layout import FIRST_TICK, Head, Mark, read_instruments

__all__ = ["TapeReader"]


class TapeReader:
    """A tape as it was when it was opened; one that is still being recorded may be read.

    Attributes:
        head: When and where it was recorded.
        names: Instruments by index; "" is none.
        synced: How many ticks the recorder had put onto the disk, and vouches for.
        dropped: Bytes after the last tick that counts: a tail that a crash left unfinished.
    """

    def __init__(self, path: Path, *, verify: bool = True) -> None:
        """Opens a tape; with `verify` it proves that what was synced is what was recorded.

        Raises:
            TapeInvalid: no tape, of another version, or unreadable.
            TapeDamaged: synced ticks or instruments are missing or have changed.
        """
        self._path = path
        self._whole = memoryview(_mapped(path))
        try:
            self.head = Head.parse(self._whole[:FIRST_TICK], verify=verify)
            if len(self._whole) < FIRST_TICK:
                raise TapeDamaged("its beginning is cut off", actual=f"{len(self._whole)} bytes")
            # The mark first: what it vouches for is there already if the tape is being recorded.
            mark = Mark.newest(self._whole)
            self.names = read_instruments(self._whole, mark.instruments, verify=verify)
        except TapeInvalid as error:
            error.what = f"{path}: {error.what}"
            raise
        except TapeDamaged as error:
            raise self._damaged(error.what, error.actual) from error
        room = (len(self._whole) - FIRST_TICK) // SIZE
        if verify and room and not mark.count:  # there is one before the first tick
            raise self._damaged("neither of its marks holds", "ticks that nobody vouches for")
        if mark.ticks > room:
            raise self._damaged("ticks that were on the disk are missing", f"{room} ticks", mark)
        self.synced = mark.ticks
        end = FIRST_TICK + mark.ticks * SIZE
        if verify and zlib.crc32(self._whole[FIRST_TICK:end]) != mark.crc:
            raise self._damaged("ticks that were on the disk have changed", "other bytes", mark)
        self._count = _counted(self._whole[FIRST_TICK:], mark.ticks, room)
        self.dropped = len(self._whole) - FIRST_TICK - self._count * SIZE
        self.ticks = self._whole[FIRST_TICK : FIRST_TICK + self._count * SIZE]

    def __len__(self) -> int:
        return self._count

    @property
    def source(self) -> str:
        """The file's name, for records."""
        return f"tape {self._path.name}"

    def view(self) -> TickView:
        """Returns a view at the first tick, to be moved with `at`."""
        return TickView(self.ticks)

    def __iter__(self) -> Iterator[TickView]:
        """Yields one and the same view, at each tick in turn."""
        view = self.view()
        return map(view.at, range(self._count))

    def _damaged(self, how: str, actual: object, mark: Mark | None = None) -> TapeDamaged:
        expected = "a tape's head and table" if mark is None else f"{mark.ticks} ticks as recorded"
        return TapeDamaged(
            f"{self._path} is not what was recorded: {how}",
            expected=expected,
            actual=actual,
            remedy="take the tape again from where it was recorded; `tape show --damaged` reads on",
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

    def close(self) -> None:
        """Lets go of the file; views of it must not be used any more."""
        self.ticks = self._whole = memoryview(b"")


def _counted(ticks: memoryview, synced: int, room: int) -> int:
    """Returns how many ticks count: the synced ones, and whole ones after them."""
    words: Sequence[int] = ticks[: room * SIZE].cast("Q")
    count = synced
    before = words[8 * (count - 1)] if count else 0
    while count < room and words[8 * count] > before:
        before = words[8 * count]
        count += 1
    return count


def _mapped(path: Path) -> bytes | mmap.mmap:
    try:
        with path.open("rb") as stream:
            if not os.fstat(stream.fileno()).st_size:
                raise TapeInvalid(f"{path} is empty, so no tape")
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise TapeInvalid(
            f"cannot read {path}: {reason}", remedy="check the path and its permissions"
        ) from error
