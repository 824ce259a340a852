"""What is longer than a datagram: cut into pieces, and put together again within limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from strongroom_host.relay.frames_v2 import OVERHEAD
from strongroom_host.relay.messages import FRAGMENT_OVERHEAD
from strongroom_host.relay.reasons import Reason, Rejected

__all__ = ["MAX_DATAGRAM", "MAX_PIECE", "Pieces", "cut"]

MAX_DATAGRAM: Final = 1232
"""IPv6's least MTU less its headers: fits every path, also below tunnels, without IP fragments."""

MAX_PIECE: Final = MAX_DATAGRAM - OVERHEAD - FRAGMENT_OVERHEAD


def cut(whole: bytes, size: int = MAX_PIECE) -> Sequence[bytes]:
    """The pieces of `whole`, which is not empty, all but the last `size` bytes long."""
    if len(whole) <= size:
        return (whole,)
    return [whole[start : start + size] for start in range(0, len(whole), size)]


class Pieces:
    """A message in the making.

    Args:
        total: Of how many pieces it is.
        max_size: The bytes it may have.
    """

    __slots__ = ("_found", "_max_size", "size", "total")

    def __init__(self, total: int, max_size: int) -> None:
        if total > max_size // (MAX_PIECE // 8) + 1:
            # Pieces may be smaller than ours, but not so small that counting them costs more.
            raise Rejected(Reason.REQUEST_TOO_LONG, f"{total} pieces")
        self.total, self._max_size = total, max_size
        self.size = 0
        self._found: dict[int, bytes] = {}

    def add(self, number: int, total: int, piece: bytes) -> bytes | None:
        """The whole message once its last missing piece is there; a piece may come again.

        Raises:
            Rejected: it contradicts what is there, or the whole is too long.
        """
        if total != self.total:
            raise Rejected(Reason.FRAGMENTS_CONTRADICT, f"of {self.total}, then of {total} pieces")
        known = self._found.get(number)
        if known is not None:
            if known != piece:
                raise Rejected(Reason.FRAGMENTS_CONTRADICT, f"piece {number} in two versions")
        else:
            if self.size + len(piece) > self._max_size:
                raise Rejected(Reason.REQUEST_TOO_LONG, f"above {self._max_size} bytes")
            self._found[number] = piece
            self.size += len(piece)
        if len(self._found) < self.total:
            return None
        return b"".join(self._found[at] for at in range(self.total))

    def missing(self, width: int) -> tuple[int, int]:
        """The first missing number, and as bits which of `width` from there on are missing."""
        base = next((at for at in range(self.total) if at not in self._found), self.total)
        ahead = range(base, min(base + width, self.total))
        return base, sum(1 << at - base for at in ahead if at not in self._found)
