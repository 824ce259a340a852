"""States, their root, and what a boot believes of the states that it is handed."""

from collections.abc import Iterable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack
from msgspec.structs import replace
from strongroom_enclave.record.errors import (
    AccountForked,
    HistoryForked,
    KeyUnknown,
    SealForged,
    StatesOld,
)
from strongroom_enclave.record.state import AccountState, Book, SealedState, resumed
from strongroom_wire.bundle import LogHead
from strongroom_wire.encoding import digest, pack, u64
from strongroom_wire.errors import Malformed, WireError
from strongroom_wire.leaves import Kind
from strongroom_wire.merkle import Frontier, leaf_hash

from tests.enclave.record_kept.samples import KEY, KEYS, OTHER, leaf, sealed, state, texts
from tests.wire.test_record import RETURNS, SYNC

TIMES = st.integers(0, 2**63 - 1)
STATES = st.builds(
    AccountState,
    st.builds(lambda number: replace(SYNC, number=number), TIMES),
    st.none() | st.just(RETURNS),
    st.binary(min_size=32, max_size=32),
    st.dictionaries(texts(), st.tuples(TIMES, st.integers(-1, 2**60), st.text()), max_size=4),
    st.dictionaries(texts(), st.lists(st.tuples(TIMES, TIMES), max_size=3).map(tuple), max_size=4),
    st.lists(texts(), max_size=4).map(tuple),
)


@given(STATES, st.integers(0, 2**63))
def test_a_state_opens_as_what_it_was(value: AccountState, version: int) -> None:
    made = SealedState.seal(KEY, version, value)
    assert made.open(KEYS) == value
    assert made == SealedState.seal(KEY, version, value)
    assert made.account == value.sync.account


def test_the_order_of_streams_says_nothing() -> None:
    value = state()
    turned = replace(value, cursors=dict(reversed(value.cursors.items())))
    assert SealedState.seal(KEY, 1, turned) == SealedState.seal(KEY, 1, value)


def test_a_state_opens_as_itself_only() -> None:
    made = sealed("ada", 3)
    for flaw, error in (
        (replace(made, account="eve"), SealForged),
        (replace(made, version=4), SealForged),
        (replace(made, sealed=made.sealed[:-1]), SealForged),
        (replace(made, sealed=sealed("ada", 4).sealed), SealForged),
        (SealedState("ada", 3, OTHER.seal(b"", b"")), KeyUnknown),
    ):
        with pytest.raises(error):
            flaw.open(KEYS)


def test_a_state_of_another_layout_is_refused() -> None:
    place = pack(b"strongroom/record/state/v1", b"ada", u64(0))
    content = msgpack.decode(msgpack.encode(state()))
    for flaw in (b"", msgpack.encode({}), msgpack.encode({**content, "more": 1})):
        with pytest.raises(Malformed):
            SealedState("ada", 0, KEY.seal(place, flaw)).open(KEYS)


def test_the_root_is_the_documented_one() -> None:
    made = [sealed("eve", 2), sealed("ada", 7)]
    entries = [
        digest(
            b"strongroom/record/root/v1",
            pack(b"strongroom/record/state/v1", each.account.encode(), u64(each.version)),
            each.sealed,
        )
        for each in reversed(made)
    ]
    assert Book(made).root == digest(b"strongroom/record/root/v1", *entries)
    assert Book(reversed(made)).root == Book(made).root
    assert Book().root == sha256(pack(b"strongroom/record/root/v1")).digest()
    assert len(Book(made).newest) == 2


def test_the_root_changes_with_every_part_of_every_state() -> None:
    ada, eve = sealed("ada", 7), sealed("eve", 2)
    roots = {
        Book(states).root
        for states in (
            [],
            [ada],
            [eve],
            [ada, eve],
            [ada, replace(eve, version=3)],
            [ada, replace(eve, account="eva")],
            [ada, replace(eve, sealed=eve.sealed[:-1] + b"\0\0")],
            [ada, replace(eve, sealed=ada.sealed)],
            [replace(ada, sealed=eve.sealed), replace(eve, sealed=ada.sealed)],
        )
    }
    assert len(roots) == 9


def test_one_account_leased_twice_is_refused() -> None:
    start = sealed("ada", 0)
    book = Book([start, sealed("eve")])
    one, other = sealed("ada", 1, number=1), sealed("ada", 1, number=2)
    root = book.root
    book.advance(start, one)
    assert book.root != root
    assert book.root == Book([one, sealed("eve")]).root
    for before, after in (
        (start, other),
        (start, one),
        (None, sealed("ada", 9)),
        (None, sealed("eve", 9)),
        (sealed("eve"), sealed("ada", 9)),
        (one, one),
        (one, sealed("ada", 0)),
        (sealed("new"), sealed("new", 1)),
    ):
        with pytest.raises(AccountForked):
            book.advance(before, after)
    assert book.root == Book([one, sealed("eve")]).root
    book.advance(one, sealed("ada", 5))
    book.advance(None, sealed("new"))
    assert len(book.newest) == 3


def test_an_account_that_comes_twice_is_refused() -> None:
    with pytest.raises(AccountForked):
        Book([sealed("ada", 0), sealed("ada", 1)])


class Log:
    """Two accounts: connected, synchronised, published; with a boot and a kill between."""

    def __init__(self) -> None:
        ada, eve = [sealed("ada", n, n) for n in range(3)], [sealed("eve", n, n) for n in range(2)]
        self.history = [ada[:1], [ada[0], eve[0]], [ada[1], eve[0]], [ada[1], eve[1]]]
        self.newest = [ada[2], eve[1]]
        self.leaves = [leaf(0, None)]
        for states in self.history:
            self.leaves.append(leaf(len(self.leaves), states))
        self.leaves.append(leaf(len(self.leaves), None))
        self.leaves.append(leaf(len(self.leaves), self.newest, Kind.RETURNS))
        self.leaves.append(leaf(len(self.leaves), None))

    def tree(self, size: int | None = None) -> Frontier:
        tree = Frontier()
        for each in self.leaves[:size]:
            tree.append(leaf_hash(each))
        return tree

    def resume(
        self,
        states: Iterable[SealedState],
        *,
        start: int = 0,
        leaves: list[bytes] | None = None,
        head: LogHead | None = None,
    ) -> Book:
        tree = self.tree(start) if start else Frontier()
        given_ = self.leaves[start:] if leaves is None else leaves
        made = resumed(head or self.tree().head, tree, given_, lambda root: states)
        assert tree.head == self.tree().head
        return made


LOG = Log()
SIZE = len(LOG.leaves)


@pytest.mark.parametrize("start", range(SIZE - 1))
def test_a_boot_believes_the_newest_states(start: int) -> None:
    book = LOG.resume(LOG.newest, start=start)
    assert book.root == Book(LOG.newest).root


def test_the_states_are_asked_for_by_the_newest_root() -> None:
    asked = []

    def states(root: bytes) -> list[SealedState]:
        asked.append(root)
        return LOG.newest

    resumed(LOG.tree().head, Frontier(), LOG.leaves, states)
    assert asked == [Book(LOG.newest).root]


def test_a_new_log_starts_without_accounts() -> None:
    assert resumed(Frontier().head, Frontier(), [], lambda _: []).newest == {}
    with pytest.raises(StatesOld):
        resumed(Frontier().head, Frontier(), [], lambda _: [sealed()])


def test_a_log_without_accounts_has_none() -> None:
    tree, only = Frontier(), leaf(0, None)
    tree.append(leaf_hash(only))
    assert resumed(tree.head, Frontier(), [only], lambda _: []).newest == {}
    with pytest.raises(StatesOld):
        resumed(tree.head, tree, [], lambda _: [])


def _leaves(start: int, **changed: bytes) -> list[bytes]:
    return [changed.get(f"at_{at}", LOG.leaves[at]) for at in range(start, SIZE)]


REFUSED: dict[str, tuple[type[WireError], dict[str, object]]] = {
    "an old database": (StatesOld, {"states": LOG.history[-1]}),
    "older still": (StatesOld, {"states": LOG.history[0]}),
    "an account dropped": (StatesOld, {"states": LOG.newest[:1]}),
    "an account more": (StatesOld, {"states": [*LOG.newest, sealed("new")]}),
    "no account": (StatesOld, {"states": []}),
    "a state of a fork": (StatesOld, {"states": [sealed("ada", 2, 99), LOG.newest[1]]}),
    "an account twice": (AccountForked, {"states": [*LOG.newest, LOG.history[0][0]]}),
    "no leaf with a root": (StatesOld, {"start": SIZE - 1}),
    "no leaves": (StatesOld, {"start": SIZE}),
    "an old log": (HistoryForked, {"leaves": LOG.leaves[:-2], "states": LOG.history[-1]}),
    "the last leaf dropped": (HistoryForked, {"leaves": LOG.leaves[:-1]}),
    "a leaf dropped": (HistoryForked, {"leaves": LOG.leaves[:3] + LOG.leaves[4:]}),
    "a leaf more": (HistoryForked, {"leaves": [*LOG.leaves, leaf(SIZE, LOG.newest)]}),
    "a leaf changed": (
        HistoryForked,
        {
            "leaves": _leaves(0, **{f"at_{SIZE - 2}": leaf(SIZE - 2, LOG.history[-1])}),
            "states": LOG.history[-1],
        },
    ),
    "two leaves in another order": (
        HistoryForked,
        {"leaves": [*LOG.leaves[:3], LOG.leaves[4], LOG.leaves[3], *LOG.leaves[5:]]},
    ),
    "from another frontier": (HistoryForked, {"start": 2, "leaves": LOG.leaves[3:]}),
    "another permit's head": (HistoryForked, {"head": LOG.tree(SIZE - 1).head}),
    "bytes that are no leaf": (Malformed, {"leaves": [*LOG.leaves[:-1], b"?"]}),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_does_not_lead_to_the_permit_is_refused(how: str) -> None:
    error, handed = REFUSED[how]
    with pytest.raises(error):
        LOG.resume(**{"states": LOG.newest, **handed})  # type: ignore[arg-type]
