"""The store port from end to end: the enclave's client, a socket, the server, a real database."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from hashlib import sha256

import pytest
from strongroom_enclave.record.errors import StatesOld, StoreRefused
from strongroom_enclave.record.rows import FLOWS, TRADES, Chain
from strongroom_enclave.record.state import Book, SealedState, resumed
from strongroom_enclave.record.store import Store
from strongroom_enclave.record.vault import DataKey, kept, recalled
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.port import StorePort
from strongroom_host.record_store.port_serving import serving
from strongroom_wire.encoding import pack, u64
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.record import UNCHAINED, Credentials, PublishedHour, ReturnsReceipt

from tests.enclave.record_kept.samples import KEY, KEYS, VENUE, flow, leaf, sealed, trade
from tests.host.record_store.databases import Database

ROLE_KEY = b"r" * 32
HOUR = 3_600_000
MONEY = "1000.000000000000000001"


@contextmanager
def client(address: tuple[str, int]) -> Iterator[Store]:
    with socket.create_connection(address, timeout=20) as sock, sock.makefile("rwb") as stream:
        yield Store(stream)


@pytest.fixture
def address(database: Database) -> Iterator[tuple[str, int]]:
    with serving(database.enclave) as where:
        yield where


@pytest.fixture
def store(address: tuple[str, int]) -> Iterator[Store]:
    with client(address) as opened:
        opened.put_key(KEY, KEY.wrapped(ROLE_KEY, 1))
        for account in ("ada", "eve"):
            credentials = Credentials(account, VENUE, "the key", "the secret", "")
            opened.connect(account, "ada", VENUE, "test", kept(KEY, credentials))
        yield opened


def outcome(number: int) -> str:
    return f"got {number:02x}"


def test_a_boot_finds_everything_again(store: Store, address: tuple[str, int]) -> None:
    chains = {name: Chain("ada", VENUE, name) for name in (TRADES, FLOWS)}
    trades = [chains[TRADES].add(KEY, trade(number)) for number in range(2500)]
    flows = [chains[FLOWS].add(KEY, flow(number)) for number in range(3)]
    store.put(TRADES, "ada", 0, trades)
    store.put(FLOWS, "ada", 0, flows)
    state = sealed("ada", 0)
    store.put_state(state)
    with client(address) as again:
        [wrapped] = again.keys("ada")
        key = DataKey.unwrapped(ROLE_KEY, 1, "ada", wrapped)
        assert list(again.states(Book([state]).root)) == [state]
        assert state.open({key.id: key}).sync.account == "ada"
        found = Chain("ada", VENUE, TRADES).read(
            {key.id: key}, again.rows(TRADES, "ada"), chains[TRADES].tip
        )
        assert found == [trade(number) for number in range(2500)]
        assert list(again.rows(FLOWS, "ada")) == flows
        assert list(again.rows(FLOWS, "eve")) == list(again.rows(TRADES, "eve")) == []
        user, stored = again.connection("ada")
        assert user == "ada"
        newest = sha256(stored).digest()
        assert recalled(KEYS, stored, "ada", VENUE, newest).secret == "the secret"


def test_whoever_was_interrupted_goes_on(store: Store) -> None:
    chain = Chain("ada", VENUE, TRADES)
    rows = [chain.add(KEY, trade(number)) for number in range(8)]
    store.put(TRADES, "ada", 0, rows[:5])
    store.put(TRADES, "ada", 3, rows[3:])
    store.put(TRADES, "ada", 0, rows)
    store.put(TRADES, "ada", 8, [])
    state = sealed("ada", 0)
    store.put_state(state)
    store.put_state(state)
    assert list(store.rows(TRADES, "ada")) == rows


def test_nothing_is_replaced(store: Store) -> None:
    chain, fork = Chain("ada", VENUE, TRADES), Chain("ada", VENUE, TRADES)
    rows = [chain.add(KEY, trade(number)) for number in range(3)]
    other = [fork.add(KEY, trade(9 - number)) for number in range(3)]
    store.put(TRADES, "ada", 0, rows)
    store.put_state(sealed("ada", 0))
    refusals: list[tuple[int, Callable[[], object]]] = [
        (1, lambda: store.put(TRADES, "ada", 0, other)),
        (2, lambda: store.put(TRADES, "ada", 4, other)),
        (3, lambda: store.put(TRADES, "nobody", 0, rows)),
        (1, lambda: store.put_state(sealed("ada", 0, number=7))),
        (1, lambda: store.put_state(sealed("ada", 2))),
        (3, lambda: store.put_state(sealed("nobody", 0))),
        (1, lambda: store.connect("ada", "eve", VENUE, "test", bytes(60))),
        (1, lambda: store.connect("ada", "ada", "kraken", "test", bytes(60))),
        (1, lambda: store.connect("ada", "ada", VENUE, "live", bytes(60))),
        (3, lambda: store.connection("nobody")),
        (5, lambda: store.connect("new", "ada", VENUE, "real", KEY.id + bytes(44))),
        (1, lambda: store.put_key(KEY, KEY.wrapped(ROLE_KEY, 2))),
        (6, lambda: store.put("users", "ada", 0, rows)),
        (6, lambda: store.put(TRADES, "ada", 3, [bytes(75)])),
    ]
    for number, ask in refusals:
        with pytest.raises(StoreRefused, match=outcome(number)):
            ask()
    assert list(store.rows(TRADES, "ada")) == rows
    assert store.connection("ada")[0] == "ada"


def test_credentials_are_replaced_and_keys_are_added(store: Store) -> None:
    new = DataKey.generate("ada")
    store.put_key(new, new.wrapped(ROLE_KEY, 1))
    assert len(store.keys("ada")) == 2
    stored = kept(new, Credentials("ada", VENUE, "newer", "secret", ""))
    store.connect("ada", "ada", VENUE, "test", stored)
    assert store.connection("ada") == ("ada", stored)
    assert store.keys("bob") == []


@pytest.mark.parametrize("lost", [[], ["ada"], ["eve"], ["ada", "eve"]])
def test_states_that_were_stored_and_never_logged_are_left_aside(
    store: Store, lost: list[str]
) -> None:
    """Killed between a state and its leaf, once or twice: the log's own states are handed over."""
    logged = {account: sealed(account, 3, number=3) for account in ("ada", "eve")}
    for account in logged:
        for version in range(3):
            store.put_state(sealed(account, version, number=version))
        store.put_state(logged[account])
    for account in lost:
        store.put_state(sealed(account, 4, number=4))
    root = Book(logged.values()).root
    assert list(store.states(root)) == list(logged.values())
    last = leaf(0, list(logged.values()))
    tree = Frontier()
    tree.append(leaf_hash(last))
    book = resumed(tree.head, Frontier(), [last], store.states)
    for account in lost:
        state = sealed(account, 5, number=5)
        store.put_state(state)
        book.advance(logged[account], state)
        logged[account] = state
    assert list(store.states(book.root)) == list(logged.values())


def test_a_new_account_whose_connection_was_never_logged_is_left_aside(store: Store) -> None:
    store.put_state(sealed("ada", 0))
    store.put_state(sealed("eve", 0))
    assert list(store.states(Book([sealed("ada", 0)]).root)) == [sealed("ada", 0)]
    assert list(store.states(Book().root)) == []


def test_an_old_database_has_only_what_the_record_refuses(store: Store) -> None:
    store.put_state(sealed("ada", 0))
    last, tree = leaf(0, [sealed("ada", 1)]), Frontier()
    tree.append(leaf_hash(last))
    with pytest.raises(StatesOld):
        resumed(tree.head, Frontier(), [last], store.states)


def test_states_are_pruned_and_the_newest_stay(store: Store, database: Database) -> None:
    for version in range(40):
        store.put_state(sealed("ada", version, number=version))
    newest = sealed("ada", 39, number=39)
    assert list(store.states(Book([newest]).root)) == [newest]
    with connect(database.admin, "test") as admin:
        found = admin.execute("SELECT count(*) FROM account_states").fetchone()
    assert found == (16,)


def hours(exact: bool = True) -> list[PublishedHour]:
    details = (MONEY, None, MONEY, MONEY, "-" + MONEY, MONEY, MONEY, 4, 17) if exact else None
    return [
        PublishedHour(HOUR, 1, "-0.100000000000", MONEY, 8, details, "a" * 32),
        PublishedHour(2 * HOUR, 1, None, "0.000000000000000000", 1, None, "b" * 32),
        PublishedHour(3 * HOUR, 1, None, None, 4, None, "c" * 32),
    ]


def receipt(rows: list[bytes], account: str = "ada") -> ReturnsReceipt:
    tree = Frontier()
    for row in rows:
        tree.append(leaf_hash(row))
    root, count = tree.head.root.hex(), len(rows)
    chained = (account, VENUE, "test", 0, UNCHAINED, "0" * 64)
    said = ("development", "USDT", "exact", "unbroken")
    return ReturnsReceipt(*chained, *said, 2, HOUR, 4 * HOUR, count, root)  # type: ignore[arg-type]


def test_what_is_published_is_what_readers_see(store: Store, database: Database) -> None:
    rows = [hour.serialise() for hour in hours()]
    opening = bytes(32) + receipt(rows).serialise()
    store.publish("ada", 12, opening, rows)
    store.publish("ada", 12, opening, rows)
    with connect(database.admin, "test") as admin:
        found = admin.execute(
            "SELECT start_ms, hours, user_id, venue, environment, currency, value, closing,"
            " opening, flows, pnl, realised, unrealised, fees, funding, trades, mark_age_ms, flags,"
            " encoded, receipt, position, leaf_index FROM hourly_returns ORDER BY start_ms"
        ).fetchall()
        balances = admin.execute(
            "SELECT at_ms, user_id, currency, equity, leaf_index FROM balance_snapshots ORDER BY 1"
        ).fetchall()
    money = Decimal(MONEY)
    whose = ("ada", VENUE, "test", "USDT")
    detailed = (money, None, money, money, -money, money, money, 4, 17)
    numbers = [
        (Decimal("-0.1"), money, *detailed, 8),
        (None, Decimal(0), *[None] * 9, 1),
        (None, None, *[None] * 9, 4),
    ]
    assert found == [
        ((at + 1) * HOUR, 1, *whose, *numbers[at], rows[at], opening, at, 12) for at in range(3)
    ]
    assert balances == [
        (2 * HOUR, "ada", "USDT", money, 12),
        (3 * HOUR, "ada", "USDT", Decimal(0), 12),
    ]


def test_rows_that_are_not_the_receipts_are_not_published(store: Store, database: Database) -> None:
    rows = [hour.serialise() for hour in hours(exact=False)]
    opening = bytes(32) + receipt(rows).serialise()
    for account, given in (
        ("ada", rows[:-1]),
        ("ada", rows[::-1]),
        ("ada", [*rows[:-1], rows[-1] + b" "]),
        ("eve", rows),
    ):
        with pytest.raises(StoreRefused, match=outcome(6)):
            store.publish(account, 12, opening, given)
    with pytest.raises(StoreRefused, match=outcome(6)):
        store.publish("ada", 12, opening[1:], rows)
    changed = [hours()[0].serialise()]
    store.publish("ada", 12, opening, rows)
    with pytest.raises(StoreRefused, match=outcome(1)):
        store.publish("ada", 13, bytes(32) + receipt(changed).serialise(), changed)
    with connect(database.admin, "test") as admin:
        assert admin.execute("SELECT count(*) FROM hourly_returns").fetchone() == (3,)


def test_nothing_planted_is_readable_in_the_database(store: Store, database: Database) -> None:
    chain = Chain("ada", VENUE, TRADES)
    store.put(TRADES, "ada", 0, [chain.add(KEY, trade(number)) for number in range(3)])
    store.put_state(sealed("ada", 0))
    with connect(database.admin, "test") as admin:
        dump = b"".join(
            bytes(str(row), "utf-8")
            for table in ("trades", "cash_flows", "account_states", "exchange_connections")
            for row in admin.execute(f"SELECT {table}::text FROM {table}")
        )
    for marked in (b"the secret", b"the key", b"BTC/USDT", b"60000.10"):
        assert marked not in dump
        assert marked.hex().encode() not in dump


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"?" * 40,
        pack(b"strongroom/store/ask/v1"),
        pack(b"strongroom/store/ask/v1", b"drop"),
        pack(b"strongroom/store/ask/v1", b"get", b"trades"),
        pack(b"strongroom/store/ask/v1", b"get", b"trades", b"ada", u64(0), b"1"),
        pack(b"strongroom/store/ask/v1", b"states", b""),
        pack(b"strongroom/store/ask/v1", b"keys", b"\xff"),
        pack(b"strongroom/store/ask/v1", b"put-state", b"ada", u64(0), bytes(43)),
        pack(b"strongroom/store/told/v1", b"keys", b"ada"),
    ],
)
def test_what_is_no_request_is_answered_so(database: Database, request_: bytes) -> None:
    with database.as_enclave() as connection:
        told = StorePort(connection).answer(request_)
    assert told == pack(b"strongroom/store/told/v1", b"\x06")


def test_a_state_that_is_not_kept_is_refused(database: Database) -> None:
    with database.as_enclave() as connection:
        asked = pack(b"strongroom/store/ask/v1", b"state", b"ada", u64(9))
        told = StorePort(connection).answer(asked)
    assert told == pack(b"strongroom/store/told/v1", b"\x03")


def test_several_records_are_served_at_once_and_all_end(database: Database) -> None:
    with serving(database.enclave) as where, client(where) as one, client(where) as other:
        assert one.keys("ada") == other.keys("ada") == []
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(where, timeout=5)


def test_a_message_that_is_too_long_ends_the_connection(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=20) as sock:
        sock.sendall((1 << 31).to_bytes(4))
        assert sock.recv(1) == b""


def test_large_rows_come_in_several_answers(store: Store, database: Database) -> None:
    rows = [number.to_bytes(32) + KEY.id + bytes(65_000) for number in range(400)]
    store.put(TRADES, "ada", 0, rows)
    with database.as_enclave() as connection:
        asked = pack(b"strongroom/store/ask/v1", b"get", b"trades", b"ada", u64(0), b"\0\0\3\xe8")
        assert len(StorePort(connection).answer(asked)) <= (16 << 20) + 70_000
    assert list(store.rows(TRADES, "ada")) == rows


def test_a_state_opens_after_a_rotation(store: Store) -> None:
    new = DataKey.generate("ada")
    store.put_key(new, new.wrapped(ROLE_KEY, 1))
    store.put_state(sealed("ada", 0))
    state = SealedState.seal(new, 1, sealed("ada", 0).open(KEYS))
    store.put_state(state)
    keys = {
        key.id: key
        for key in (DataKey.unwrapped(ROLE_KEY, 1, "ada", each) for each in store.keys("ada"))
    }
    [found] = store.states(Book([state]).root)
    assert found.sealed[:16] == new.id
    assert found.open(keys) == sealed("ada", 0).open(KEYS)
