"""A role's append-only log, in constant memory: the tree's frontier and the latest leaves.

Leaves and tree live with the host, who stores them, and with the clients, who are handed each leaf
with the answer it is about. What is kept here is what it takes to append, and to hand out again
what a host or client lost in a crash.
"""

from collections import deque
from collections.abc import Callable
from secrets import token_bytes

from strongroom_wire.bundle import LogHead, Role
from strongroom_wire.checkpoint import checkpoint_text, log_origin
from strongroom_wire.errors import Code, Refused
from strongroom_wire.leaves import Kind, Leaf, commitment
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.pages import Entry, LogPage

from strongroom_enclave.identity import Identity

__all__ = ["Ledger"]

_RECENT = 4096
_KEPT = 8 << 20  # bytes of recent leaves and openings; the longest of them is an owner's statement
_WAITING = 64
_PAGE = 60_000  # bytes of leaves and openings in one answer


class Ledger:
    """The log of `role` in this boot. Closed until a permit says which history it continues.

    What happens before that (keys can be made, and a kill switch pulled, without a permit) waits in
    order, and is appended after the boot's own leaf.
    """

    def __init__(
        self, identity: Identity, role: Role, account: str, now: Callable[[], int]
    ) -> None:
        """`now` returns ms since the epoch, or 0 where there is no time to be had."""
        self._identity, self._now = identity, now
        self._origin = log_origin(identity.boot.owner_root, account, role)
        self._tree: Frontier | None = None
        self._waiting: list[tuple[Kind, bytes, bytes]] = []
        self._recent, self._kept = deque[Entry](), 0

    def open(self, tree: Frontier, record: bytes, public: bytes) -> None:
        """Continues `tree` with this boot's leaf, and with what waited for it."""
        self._tree = tree
        self.append(Kind.BOOT, record, public)
        for event in self._waiting:
            self.append(*event)
        self._waiting.clear()

    @property
    def opened(self) -> bool:
        """Whether it says already which history it continues."""
        return self._tree is not None

    @property
    def head(self) -> LogHead:
        """The tree's head, of an empty tree while closed."""
        return (self._tree or Frontier()).head

    def admit(self) -> None:
        """Says whether one more event can be logged, before it happens.

        Raises:
            Refused: BUSY, when more waits for the log to open than it holds.
        """
        if self._tree is None and len(self._waiting) >= _WAITING:
            raise Refused(Code.BUSY, "events before the first permit", _WAITING, "more")

    def append(self, kind: Kind, record: bytes, public: bytes = b"") -> Entry:
        """Appends one leaf and returns it, to be handed out with the answer it is about.

        Raises:
            Refused: see `admit`.
        """
        self.admit()
        if self._tree is None:
            self._waiting.append((kind, record, public))
            return Entry()
        opening, boot = token_bytes(32) + record, self._identity.boot.boot_id
        place = self._tree.size, self._now()
        leaf = Leaf(kind, boot, *place, commitment(opening), public).serialise()
        self._tree.append(leaf_hash(leaf))
        self._recent.append(entry := Entry(leaf, opening))
        self._kept += len(leaf) + len(opening)
        while len(self._recent) > _RECENT or self._kept > _KEPT:
            self._kept -= sum(map(len, self._recent.popleft()))
        return entry

    def page(self, start: int, *, opened: bool) -> bytes:
        """Returns the signed head and the leaves from index `start` on that are still here, as many
        as fit; if `opened` with their openings, except one that fits no page: whoever asked for
        what it is about was handed it with the answer.

        Raises:
            Refused: WRONG_LOG_HEAD, when the log is closed, or `start` is beyond its end.
        """
        if self._tree is None or start > self._tree.size:
            raise Refused(Code.WRONG_LOG_HEAD, "index", "one of an open log", start)
        text = checkpoint_text(self._origin, self._tree.head)
        first, room, entries = self._tree.size - len(self._recent), _PAGE, list[Entry]()
        for entry in list(self._recent)[max(start - first, 0) :]:
            given = entry if opened and len(entry.opening) < _PAGE // 2 else Entry(entry.leaf)
            room -= len(given.leaf) + len(given.opening) + 8
            if room < 0:
                break
            entries.append(given)
        return LogPage(text, self._identity.sign(text), tuple(entries)).serialise()
