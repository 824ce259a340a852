"""A log with boots one after another, and a host that keeps its pages and the states."""

import socket
from collections.abc import Callable

from strongroom_enclave.identity import Identity
from strongroom_enclave.log.ledger import Ledger
from strongroom_enclave.record.errors import StoreBroken, StoreRefused
from strongroom_enclave.record.state import Book, Store
from strongroom_host.contract.openings import record_in
from strongroom_wire.bundle import EMPTY_LOG, Bundle, LogHead, Role, RoleKeys
from strongroom_wire.encoding import uint
from strongroom_wire.leaves import Boot, Kind, Leaf
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.pages import Entry, LogPage
from strongroom_wire.record import ReturnsReceipt
from strongroom_wire.statements import Permit

from tests.enclave.record_kept.samples import KEY, state

__all__ = ["NOW", "Host", "Log"]

NOW = 1_800_000_000_000


class Host:
    """Keeps what it is asked to; `told`, if set, is what it says when it is asked for states. With
    `dies` requests more the connection breaks, `before` or after that one is done."""

    def __init__(self) -> None:
        self.asked = list[str]()
        self.told: list[bytes] | None = None
        self.refused, self.lost = set[str](), set[str]()
        self.dies, self.before = 0, True
        self.newest, self.puts, self.pages = dict[str, bytes](), 0, 0
        self.rows = dict[tuple[str, str], list[bytes]]()
        self.staged = dict[str, tuple[bytes, list[bytes]]]()
        self.published = dict[str, list[tuple[ReturnsReceipt, list[bytes]]]]()
        self._leaves, self._openings = list[bytes](), list[bytes]()
        self._roots = {bytes(32): dict[str, bytes]()}
        self.store = _Told(self._answer)

    def leaves(self) -> list[Leaf]:
        return [Leaf.parse(each) for each in self._leaves]

    @property
    def tree(self) -> Frontier:
        tree = Frontier()
        for each in self._leaves:
            tree.append(leaf_hash(each))
        return tree

    @property
    def root(self) -> bytes:
        return next(
            (leaf.public for leaf in reversed(self.leaves()) if len(leaf.public) == 32), bytes(32)
        )

    def _answer(self, verb: str, *fields: str | bytes) -> list[bytes]:
        self.asked.append(verb)
        self.dies -= 1
        if self.dies == 0 and self.before:
            raise StoreBroken("store", "an answer", "OSError")
        found = self._done(verb, *fields)
        if self.dies == 0:
            raise StoreBroken("store", "an answer", "OSError")
        return found

    def _done(self, verb: str, *fields: str | bytes) -> list[bytes]:
        if verb in self.refused:
            raise StoreRefused(verb, "done", "01")
        if verb in self.lost:
            raise StoreBroken("store", "an answer", "OSError")
        match verb, *fields:
            case "put-state", str(account), bytes(root), bytes(sealed):
                self.puts += 1
                self.newest = {**self.newest, account: sealed}
                self._roots[root] = self.newest
            case "states", bytes(root):
                kept = self._roots.get(root, {})
                states = [field for name in kept for field in (name.encode(), kept[name])]
                return states if self.told is None else self.told
            case "log", bytes(data):
                self.pages += 1
                for entry in LogPage.parse(data).entries:
                    self._append(entry)
            case "put", str(table), str(account), bytes(first), *rows:
                self._put(table, account, uint(first, 8), [bytes(row) for row in rows])  # type: ignore[arg-type]
            case "get", str(table), str(account), bytes(first):
                at = uint(first, 8)
                return self.rows.get((table, account), [])[at : at + 700]
            case "publish", str(account), bytes(root), *rows:
                self.staged[account] = root, [bytes(row) for row in rows]  # type: ignore[arg-type]
            case _:
                raise AssertionError(verb)
        return []

    def _put(self, table: str, account: str, first: int, rows: list[bytes]) -> None:
        """As the database does it: the same bytes again are no error."""
        kept = self.rows.setdefault((table, account), [])
        if first > len(kept) or any(a != b for a, b in zip(kept[first:], rows, strict=False)):
            raise StoreRefused("put", "done", "01")
        kept.extend(rows[len(kept) - first :])

    def _append(self, entry: Entry) -> None:
        leaf = Leaf.parse(entry.leaf)
        record = record_in(leaf, entry.opening)
        if leaf.index < len(self._leaves):
            assert self._leaves[leaf.index] == entry.leaf
            return
        assert leaf.index == len(self._leaves)
        self._leaves.append(entry.leaf)
        self._openings.append(entry.opening)
        if leaf.kind is Kind.RETURNS:
            receipt = ReturnsReceipt.parse(record)
            root, rows = self.staged.pop(receipt.account)
            assert root.hex() == receipt.root
            self.published.setdefault(receipt.account, []).append((receipt, rows))

    def receipts(self, kind: Kind) -> list[bytes]:
        """The records of all leaves of a kind."""
        both = zip(self.leaves(), self._openings, strict=True)
        return [record_in(leaf, opening) for leaf, opening in both if leaf.kind is kind]


class _Told(Store):
    """A store whose host is a function."""

    def __init__(self, answer: Callable[..., list[bytes]]) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            super().__init__(ours.makefile("rwb"))
        self._answer = answer

    def ask(self, verb: str, *fields: str | bytes) -> list[bytes]:
        return self._answer(verb, *fields)


class Log:
    """Boots of one record; `now` is the time."""

    def __init__(self) -> None:
        self.now = NOW

    def boot(self, host: Host, *, resume: bool = True) -> Book:
        """A new boot, permitted to go on where the host's log ends."""
        identity = Identity(Role.RECORD)
        keys = (RoleKeys(Role.RECORD, identity.public[:32], identity.public[32:]),)
        identity.boot = Bundle(
            bytes([len(host.leaves()) % 256]) * 32, b"m" * 32, b"o" * 32, b"", keys
        )
        tree, empty = host.tree, Frontier().serialise()
        self.permit = Permit(
            b"o" * 32,
            b"m" * 32,
            b"k" * 32,
            0,
            0,
            NOW + 10_000,
            empty,
            EMPTY_LOG,
            b"",
            (),
            tree.serialise(),
            LogHead(0, EMPTY_LOG.root),
            host.root,
        )
        self.ledger = Ledger(identity, Role.RECORD, "account", lambda: self.now)
        book = Book(self.ledger, lambda: self.now)
        start = Boot(tree.head, b"m" * 32, b"k" * 32, b"p" * 32, "1")
        self.ledger.open(tree, b"the permit", start.serialise())
        book.permit(self.permit)
        if resume:
            book.resume(host.store)
        return book

    def commit(self, book: Book, host: Host, account: str, number: int) -> bytes:
        value = state(account, number)
        book.commit(host.store, book.states.get(account), value, KEY, Kind.SYNC)
        return value.seal(KEY)
