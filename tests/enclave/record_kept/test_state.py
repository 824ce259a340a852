"""States, their root, and what a boot believes of the states that it is handed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack
from msgspec.structs import replace
from msgspec.structs import replace as altered
from strongroom_enclave.datakeys import KeyUnknown, SealForged
from strongroom_enclave.log import ledger
from strongroom_enclave.record.connectors.rules import Cursor
from strongroom_enclave.record.errors import AccountForked, StatesOld, StoreBroken, StoreRefused
from strongroom_enclave.record.returns import Doubt, Flag
from strongroom_enclave.record.state import AccountState, root_of
from strongroom_host.contract.openings import record_in
from strongroom_wire.encoding import digest, pack
from strongroom_wire.errors import Code, Malformed, Refused, WireError
from strongroom_wire.leaves import Kind

from tests.enclave.record_kept.logs import NOW, Host, Log
from tests.enclave.record_kept.samples import EVENTS, KEY, KEYS, OTHER, sealed, state, texts
from tests.wire.test_record import RETURNS, SYNC

TIMES = st.integers(0, 2**63 - 1)
STATES = st.builds(
    AccountState,
    st.just(state().credentials),
    st.builds(lambda number: replace(SYNC, number=number), TIMES),
    st.none() | st.just(RETURNS),
    st.dictionaries(
        texts(), st.builds(Cursor, TIMES, st.integers(-1, 2**60), st.text()), max_size=4
    ),
    st.just(state().markets),
    st.lists(EVENTS["cash_flows"] | EVENTS["trades"], max_size=3),
    st.lists(
        st.builds(Doubt, TIMES, TIMES, st.sampled_from([Flag.GAP, Flag.UNEXPLAINED])), max_size=3
    ),
)


@given(STATES)
def test_a_state_opens_as_what_it_was(value: AccountState) -> None:
    made = value.seal(KEY)
    assert AccountState.open(KEYS, value.sync.account, made) == value
    assert made == value.seal(KEY)


def test_a_state_opens_as_itself_only() -> None:
    made = sealed("ada")
    for account, flaw, error in (
        ("eve", made, SealForged),
        ("ada", made[:-1], SealForged),
        ("ada", sealed("eve"), SealForged),
        ("ada", OTHER.seal(b"", b""), KeyUnknown),
        ("ada", b"", KeyUnknown),
    ):
        with pytest.raises(error):
            AccountState.open(KEYS, account, flaw)


def test_a_state_of_another_layout_is_refused() -> None:
    place = pack(b"strongroom/record/state/v3", b"ada")
    content = msgpack.decode(msgpack.encode(state()))
    for flaw in (b"", msgpack.encode({}), msgpack.encode({**content, "more": 1})):
        with pytest.raises(Malformed):
            AccountState.open(KEYS, "ada", KEY.seal(place, flaw))


def test_credentials_are_nowhere_in_clear() -> None:
    assert b"the secret" not in sealed()
    assert "secret" not in repr(state())


def test_the_root_is_the_documented_one_and_changes_with_every_part() -> None:
    ada, eve = sealed("ada", 1), sealed("eve", 2)
    whole = {"eve": eve, "ada": ada}
    assert root_of(whole) == digest(b"strongroom/record/root/v2", b"ada", ada, b"eve", eve)
    assert root_of({}) == bytes(32)
    roots = {
        root_of(states)
        for states in (
            {},
            {"ada": ada},
            {"eve": eve},
            whole,
            {"ada": ada, "eva": eve},
            {"ada": ada, "eve": eve[:-1] + b"\0\0"},
            {"ada": ada, "eve": ada},
            {"ada": eve, "eve": ada},
        )
    }
    assert len(roots) == 8


@pytest.fixture
def log() -> Log:
    return Log()


def test_states_of_the_permit_go_on_in_the_next_boot(log: Log) -> None:
    host = Host()
    book = log.boot(host)
    made = [log.commit(book, host, account, number) for account, number in (("ada", 0), ("eve", 0))]
    made += [log.commit(book, host, "ada", 1)]
    leaves = host.leaves()
    assert [leaf.kind for leaf in leaves] == [Kind.BOOT, Kind.SYNC, Kind.SYNC, Kind.SYNC]
    assert [leaf.public for leaf in leaves[1:]] == [
        root_of({"ada": made[0]}),
        root_of({"ada": made[0], "eve": made[1]}),
        root_of({"ada": made[2], "eve": made[1]}),
    ]
    assert book.head.size == 4
    again = log.boot(host)
    assert again.states == {"ada": made[2], "eve": made[1]} == book.states
    log.commit(again, host, "eve", 1)
    assert [leaf.kind for leaf in host.leaves()] == [leaf.kind for leaf in leaves] + [
        Kind.BOOT,
        Kind.SYNC,
    ]


def test_what_is_not_the_permits_is_refused(log: Log) -> None:
    host = Host()
    book = log.boot(host)
    old = log.commit(book, host, "ada", 0)
    eve = log.commit(book, host, "eve", 0)
    new = log.commit(book, host, "ada", 1)
    for states in (
        {"ada": old, "eve": eve},
        {"ada": new},
        {"eve": eve},
        {},
        {"ada": new, "eve": eve, "new": sealed("new")},
        {"ada": new, "eve": new},
        {"eve": new, "ada": eve},
        {"ada": sealed("ada", 99), "eve": eve},
    ):
        host.told = [field for name in states for field in (name.encode(), states[name])]
        with pytest.raises(StatesOld):
            log.boot(host)
    host.told = [b"ada", new, b"ada", old, b"eve", eve]
    with pytest.raises(StatesOld):
        log.boot(host)
    host.told = [b"ada", old, b"eve", eve, b"ada", new, b"odd"]
    assert log.boot(host).states == {"ada": new, "eve": eve}


def test_before_there_is_a_state_none_is_believed(log: Log) -> None:
    host = Host()
    host.told = [b"ada", sealed("ada")]
    with pytest.raises(StatesOld):
        log.boot(host)


def test_one_state_goes_on_once(log: Log) -> None:
    host = Host()
    book = log.boot(host)
    first = log.commit(book, host, "ada", 0)
    second = log.commit(book, host, "ada", 1)
    size = len(host.leaves())
    for before in (None, first, b"", sealed("eve")):
        value = state("ada", 2)
        with pytest.raises(AccountForked):
            book.commit(host.store, before, value, KEY, Kind.SYNC)
    assert book.states == {"ada": second}
    assert len(host.leaves()) == size
    assert host.puts == 2


def test_without_a_permit_that_is_valid_nothing_is_asked_or_logged(log: Log) -> None:
    host = Host()
    book = log.boot(host, resume=False)
    log.now = NOW + 10_001
    value = state("ada")
    with pytest.raises(Refused):
        book.resume(host.store)
    with pytest.raises(Refused):
        book.commit(host.store, None, value, KEY, Kind.SYNC)
    assert not host.asked
    book.permit(altered(log.permit, not_after=NOW + 20_000))
    book.resume(host.store)
    book.commit(host.store, None, value, KEY, Kind.SYNC)
    assert [leaf.kind for leaf in host.leaves()] == [Kind.BOOT, Kind.SYNC]


def test_a_later_permit_does_not_turn_states_back(log: Log) -> None:
    host = Host()
    book = log.boot(host)
    first = log.commit(book, host, "ada", 0)
    head, pages = book.head, host.pages
    book.permit(altered(log.permit, record_root=root_of({"ada": first})))
    assert book.head == head
    book.resume(host.store)
    assert host.pages == pages
    second = log.commit(book, host, "ada", 1)
    book.resume(host.store)
    assert book.states == {"ada": second}


def test_a_state_that_is_not_stored_is_not_logged(log: Log) -> None:
    host = Host()
    book = log.boot(host)
    host.refused = {"put-state"}
    with pytest.raises(StoreRefused):
        log.commit(book, host, "ada", 0)
    assert book.states == {}
    assert len(host.leaves()) == 1
    host.refused = set()
    log.commit(book, host, "ada", 0)
    assert len(host.leaves()) == 2


def test_nothing_tells_of_leaves_that_the_host_does_not_have(log: Log) -> None:
    host = Host()
    book = log.boot(host)
    head = book.head
    assert head.size == 1
    host.lost = {"log"}
    with pytest.raises(StoreBroken):
        log.commit(book, host, "ada", 0)
    assert book.head == head
    assert len(host.leaves()) == 1
    # The next one over a connection that holds hands over both.
    host.lost = set()
    log.commit(book, host, "eve", 0)
    assert [leaf.index for leaf in host.leaves()] == [0, 1, 2]
    assert book.head == log.ledger.head


def test_nothing_is_stored_that_the_log_has_no_room_for(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_KEPT", 256 << 10)
    host = Host()
    book = log.boot(host)
    host.lost = {"log"}
    errors = list[type[WireError]]()
    for number in range(300):
        with pytest.raises(WireError) as caught:
            log.commit(book, host, "ada", number)
        errors.append(caught.type)
    assert set(errors) == {StoreBroken, Refused}
    assert caught.value.code is Code.BUSY
    assert host.puts == errors.count(StoreBroken) < 300
    host.lost = set()
    book.resume(host.store)
    log.commit(book, host, "ada", 999)
    assert len(host.leaves()) == host.puts + 1


def test_a_log_of_many_leaves_is_handed_over_page_by_page(log: Log) -> None:
    host = Host()
    book = log.boot(host)
    host.lost = {"log"}
    for number in range(300):
        with pytest.raises(StoreBroken):
            log.commit(book, host, "ada", number)
    host.lost = set()
    book.resume(host.store)
    assert [leaf.index for leaf in host.leaves()] == list(range(301))
    assert host.pages > 2
    assert book.head == log.ledger.head


def test_each_kind_of_leaf_has_its_receipt(log: Log) -> None:
    host = Host()
    book = log.boot(host)
    both = state("ada")
    both.returns = replace(RETURNS, account="ada")
    host.staged["ada"] = bytes.fromhex(RETURNS.root), []
    before = None
    for kind, receipt in ((Kind.SYNC, both.sync), (Kind.RETURNS, both.returns)):
        entry = book.commit(host.store, before, both, KEY, kind)
        before = both.seal(KEY)
        leaf = host.leaves()[-1]
        assert leaf.kind is kind
        assert (entry.leaf, record_in(leaf, entry.opening)) == (
            leaf.serialise(),
            receipt.serialise(),
        )
