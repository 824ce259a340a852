"""The ring's table of instruments: what the numbers in its ticks are called."""

from strongroom_host.ring import layout
from strongroom_host.ring.errors import InstrumentsFull, NameInvalid

__all__ = ["InstrumentTable"]


class InstrumentTable:
    """Names by index, 1 to 256, kept beside the slots. The producer appends; nothing changes.

    An entry's length is written after its bytes, so a reader sees a whole name or none.
    """

    def __init__(self, segment_bytes: memoryview) -> None:
        self._bytes = segment_bytes
        self._names: list[str] = []

    def __getitem__(self, index: int) -> str:
        """Returns an instrument's name; of one that is not there, as of 0, an empty string."""
        if not 0 < index <= len(self._names):
            self._read_more()
        return self._names[index - 1] if 0 < index <= len(self._names) else ""

    def __len__(self) -> int:
        self._read_more()
        return len(self._names)

    def names(self) -> list[str]:
        """Returns all names; that of index 1 is the first."""
        self._read_more()
        return list(self._names)

    def index(self, name: str) -> int:
        """Returns a name's index, or 0 if it has none."""
        self._read_more()
        return self._names.index(name) + 1 if name in self._names else 0

    def add(self, name: str) -> int:
        """Returns the index of a name, new or known. For the producer only.

        Raises:
            NameInvalid: it is empty or longer than 95 bytes of UTF-8.
            InstrumentsFull: there are 256 others.
        """
        if known := self.index(name):
            return known
        data = name.encode("utf-8", "replace")
        limit = layout.INSTRUMENT_SIZE - 1
        if not 0 < len(data) <= limit or data.decode() != name:
            raise NameInvalid(
                "an instrument cannot have this name",
                expected=f"1 to {limit} bytes of UTF-8",
                actual=f"{len(data)} bytes",
            )
        count = len(self._names)
        if count >= layout.INSTRUMENTS:
            raise InstrumentsFull(
                f"a ring has {layout.INSTRUMENTS} instruments at most",
                remedy="a second ring for the others; a ring that is made anew forgets old ones",
            )
        at = layout.INSTRUMENTS_OFFSET + count * layout.INSTRUMENT_SIZE
        self._bytes[at + 1 : at + 1 + len(data)] = data
        self._bytes[at] = len(data)
        self._names.append(name)
        return count + 1

    def _read_more(self) -> None:
        for number in range(len(self._names), layout.INSTRUMENTS):
            at = layout.INSTRUMENTS_OFFSET + number * layout.INSTRUMENT_SIZE
            length = self._bytes[at]
            if not length or length >= layout.INSTRUMENT_SIZE:
                return
            name = bytes(self._bytes[at + 1 : at + 1 + length])
            self._names.append(name.decode("utf-8", "replace"))
