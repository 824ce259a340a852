"""The append-only Merkle tree of a log (RFC 6962, section 2.1, SHA-256), in constant memory.

A tree of n leaves splits into perfect subtrees, one for each bit set in n. Their roots, the
`Frontier`, are all that appending and computing the head need: at most 64 hashes, however many
leaves there are. The leaves and everything below those roots live outside, where nobody is trusted.
"""

from hashlib import sha256

from strongroom_wire.bundle import EMPTY_LOG, LogHead
from strongroom_wire.encoding import pack, u64, uint, unpack_fields
from strongroom_wire.errors import Malformed

_FRONTIER = b"strongroom/frontier/v1"


def leaf_hash(data: bytes) -> bytes:
    """Returns the hash of a leaf with this content, 32 bytes. Its prefix 0x00 is not a node's, so
    that no node passes for a leaf."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Returns the hash of the node above these two, 32 bytes."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree's size and the roots of its perfect subtrees, largest and leftmost first.

    `size` is also the index of the next leaf. Appending changes both, for as long as a log runs.
    """

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: tuple[bytes, ...] = ()) -> None:
        """Takes a tree apart that exists elsewhere; whether it is the right one, its head says.

        Raises:
            Malformed: not one hash of 32 bytes for each bit of `size`, a number from 0 to 2**64-1.
        """
        sizes = [len(each) for each in hashes]
        Malformed.unless(sizes == [32] * uint(u64(size), 8).bit_count(), "frontier", size, sizes)
        self.size, self.hashes = size, hashes

    @property
    def head(self) -> LogHead:
        """The tree's head. O(log n)."""
        if not self.size:
            return EMPTY_LOG
        root = self.hashes[-1]
        for left in self.hashes[-2::-1]:
            root = node_hash(left, root)
        return LogHead(self.size, root)

    def append(self, leaf: bytes) -> None:
        """Adds a leaf by its hash. Amortised two hashes; nothing changes if it raises.

        Raises:
            Malformed: `leaf` is no hash of 32 bytes, or the tree is full.
        """
        size = self.size + 1
        Malformed.unless(len(leaf) == 32 and not size >> 64, "leaf hash", "32 bytes", len(leaf))
        kept = size.bit_count() - 1
        for left in reversed(self.hashes[kept:]):  # the subtrees that this leaf completes
            leaf = node_hash(left, leaf)
        self.size, self.hashes = size, (*self.hashes[:kept], leaf)

    def serialise(self) -> bytes:
        """Returns the canonical encoding."""
        return pack(_FRONTIER, u64(self.size), b"".join(self.hashes))

    @classmethod
    def parse(cls, data: bytes) -> "Frontier":
        """Returns the frontier encoded in `data`; says nothing about which tree it belongs to.

        Raises:
            TooLarge, Malformed: wrong layout, or not one hash for each bit of the size.
        """
        size, joined = unpack_fields(_FRONTIER, data, 8, None, limit=4096)
        return cls(uint(size, 8), tuple(joined[n : n + 32] for n in range(0, len(joined), 32)))
