"""A role's append-only log, in bounded memory: the tree's frontier and the latest leaves.

Leaves and tree live with the host, who stores them, and with the clients, who are handed each leaf
with the answer it is about. Kept here is what it takes to append, and every leaf until somebody has
read it: while those fill the room there is, nothing more is decided, so that none is lost.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from secrets import token_bytes

from strongroom_wire.bundle import LogHead, Role
from strongroom_wire.checkpoint import checkpoint_text, log_origin
from strongroom_wire.errors import Code, require
from strongroom_wire.leaves import Kind, Leaf, commitment
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.pages import Entry, LogPage

from strongroom_enclave.identity import Identity

# Bytes of leaves and openings, of which each has a KiB at least (what Python needs for the small
# ones): 16,384 decisions. The longest of them is an owner's statement, of a MiB.
_KEPT = 16 << 20
_WAITING = 64
_PAGE = 60_000  # bytes of leaves and openings in one answer


class Ledger:
    """The log of `role` in this boot, `opened` when a permit says which history it continues.

    What happens before that (keys can be made, and a kill switch pulled, without a permit) waits in
    order, and is appended after the boot's own leaf, with the time at which it happened.
    """

    def __init__(
        self, identity: Identity, role: Role, account: str, now: Callable[[], int]
    ) -> None:
        """`now` returns ms since the epoch, or 0 where there is no time to be had."""
        self._identity, self._now = identity, now
        self._origin = log_origin(identity.boot.owner_root, account, role)
        self._tree, self.opened = Frontier(), False
        self._waiting: list[tuple[Kind, bytes, bytes, int]] = []
        self._recent, self._kept, self._read = deque[Entry](), 0, 0

    def open(self, tree: Frontier, record: bytes, public: bytes) -> None:
        """Continues `tree` with this boot's leaf, and with what waited for it."""
        self._tree, self.opened = tree, True
        self.append(Kind.BOOT, record, public)
        for event in self._waiting:
            self.append(*event)
        self._waiting.clear()

    @property
    def head(self) -> LogHead:
        """The tree's head, of an empty tree while closed."""
        return self._tree.head

    def admit(self, eighths: int = 7) -> None:
        """Says whether one more event can be logged, before it happens, in so much of the room: the
        last eighth is for what takes risk away.

        Raises:
            Refused: BUSY, when more waits for the log to open, or to be read, than has room.
        """
        require(
            len(self._waiting) < _WAITING and not self._full(eighths), Code.BUSY, "unread leaves"
        )

    def append(
        self, kind: Kind, record: bytes, public: bytes = b"", at: int | None = None
    ) -> Entry:
        """Appends one leaf and returns it, to be handed out with the answer it is about; or, while
        the log is closed, nothing. Room is for `admit` to ask about: what stops something, and an
        owner's permit, goes in without."""
        at = self._now() if at is None else at
        if not self.opened:
            self._waiting.append((kind, record, public, at))
            return Entry()
        self._full(8)
        opening, boot = token_bytes(32) + record, self._identity.boot.boot_id
        leaf = Leaf(kind, boot, self._tree.size, at, commitment(opening), public).spelled()
        self._tree.append(leaf_hash(leaf))
        self._recent.append(entry := Entry(leaf, opening))
        self._kept += _room(entry)
        return entry

    def _full(self, eighths: int) -> bool:
        """Forgets the oldest leaves, if they were read, until there is room; says if none is."""
        size, recent = self._tree.size, self._recent
        while (full := self._kept * 8 >= _KEPT * eighths) and size - len(recent) < self._read:
            self._kept -= _room(recent.popleft())
        return full

    def page(self, start: int, *, opened: bool) -> bytes:
        """Returns the signed head and the leaves from index `start` on that are still here, as many
        as fit; if `opened` with their openings, except one that fits no page: whoever asked for
        what it is about was handed it with the answer. The reader has all before `start`, or says
        so: those may be forgotten. Whoever has more than there is gets the head, to see it.

        Raises:
            Refused: WRONG_LOG_HEAD, when the log is closed.
        """
        require(self.opened, Code.WRONG_LOG_HEAD, "log", "an open one", start)
        if start <= self._tree.size:
            self._read = max(self._read, start)
        text = checkpoint_text(self._origin, self._tree.head)
        first, room, entries = self._tree.size - len(self._recent), _PAGE, list[Entry]()
        for entry in islice(self._recent, max(min(start, self._tree.size) - first, 0), None):
            given = entry if opened and len(entry.opening) < _PAGE // 2 else Entry(entry.leaf)
            room -= len(given.leaf) + len(given.opening) + 8
            if room < 0:
                break
            entries.append(given)
        return LogPage(text, self._identity.sign(text), tuple(entries)).serialise()


def _room(entry: Entry) -> int:
    return max(1024, len(entry.leaf) + len(entry.opening))
