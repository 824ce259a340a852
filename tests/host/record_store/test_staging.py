"""Rows and states wait for their leaf: with it they count and are shown, and never without."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from strongroom_host.errors import HostError
from strongroom_host.record_store.connecting import Connection
from strongroom_host.record_store.errors import (
    DatabaseRefused,
    RowsConflict,
    StatesMissing,
    StoreError,
)
from strongroom_host.record_store.leaves import leaf_count
from strongroom_host.record_store.staging import settle, stage
from strongroom_host.record_store.store import RecordStore, SealedRow
from strongroom_wire.errors import Malformed
from strongroom_wire.leaves import Kind, Leaf, commitment
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.pages import Entry
from strongroom_wire.record import UNCHAINED, PublishedHour, ReturnsReceipt

from tests.host.record_store.content import KEYS, two_accounts
from tests.host.record_store.databases import Database

HOUR = 3_600_000
MONEY = "1000.000000000000000001"
LOG = "log/record"


def hours(exact: bool = True) -> list[bytes]:
    details = (MONEY, None, MONEY, MONEY, "-" + MONEY, MONEY, MONEY, 4, 17) if exact else None
    made = [
        PublishedHour(HOUR, 1, "-0.100000000000", MONEY, 8, details, "a" * 32),
        PublishedHour(2 * HOUR, 1, None, "0.000000000000000000", 1, None, "b" * 32),
        PublishedHour(3 * HOUR, 1, None, None, 4, None, "c" * 32),
    ]
    return [hour.serialise() for hour in made]


def root_of(rows: list[bytes]) -> bytes:
    tree = Frontier()
    for row in rows:
        tree.append(leaf_hash(row))
    return tree.head.root


def receipt(rows: list[bytes], **changed: object) -> bytes:
    made = ReturnsReceipt(
        account="ada-spot",
        venue="binance",
        environment="test",
        number=0,
        previous=UNCHAINED,
        sync="0" * 64,
        mode="development",
        currency="USDT",
        tier="exact",
        completeness="unbroken",
        accounts=2,
        first_ms=HOUR,
        end_ms=4 * HOUR,
        count=len(rows),
        root=root_of(rows).hex(),
    )
    return replace_struct(made, changed).serialise()


def replace_struct(made: ReturnsReceipt, changed: dict[str, object]) -> ReturnsReceipt:
    fields = {name: getattr(made, name) for name in made.__struct_fields__} | changed
    return ReturnsReceipt(**fields)


def entry(kind: Kind, index: int, root: bytes, record: bytes) -> Entry:
    opening = bytes(32) + record
    return Entry(Leaf(kind, bytes(32), index, 1, commitment(opening), root).serialise(), opening)


def state(number: int) -> tuple[bytes, SealedRow]:
    return number.to_bytes(32), SealedRow(bytes(32), KEYS["ada"], number.to_bytes(12), bytes(50))


@pytest.fixture
def enclave(database: Database) -> Iterator[Connection]:
    with database.as_enclave() as connection:
        two_accounts(connection)
        yield connection


def shown(connection: Connection) -> int:
    found = connection.execute("SELECT count(*) FROM hourly_returns").fetchone()
    return 0 if found is None else int(found[0])


def staged(connection: Connection) -> int:
    found = connection.execute("SELECT count(*) FROM staged_returns").fetchone()
    return 0 if found is None else int(found[0])


def test_rows_are_shown_with_their_leaf_and_not_before(
    enclave: Connection, database: Database
) -> None:
    rows = hours()
    stage(enclave, "ada-spot", root_of(rows), rows)
    stage(enclave, "ada-spot", root_of(rows), rows)
    assert shown(enclave) == 0
    RecordStore(enclave).put_state("ada-spot", *state(1))
    page = [entry(Kind.RETURNS, 0, state(1)[0], receipt(rows))]
    assert settle(enclave, LOG, page) == 5
    assert settle(enclave, LOG, page) == 0, "pushed again"
    assert staged(enclave) == 0
    with database.as_admin() as admin:
        found = admin.execute(
            "SELECT start_ms, hours, user_id, venue, environment, currency, value, closing,"
            " opening, flows, pnl, realised, unrealised, fees, funding, trades, mark_age_ms, flags,"
            " encoded, receipt, position, leaf_index FROM hourly_returns ORDER BY start_ms"
        ).fetchall()
        balances = admin.execute(
            "SELECT at_ms, user_id, currency, equity, leaf_index FROM balance_snapshots ORDER BY 1"
        ).fetchall()
    money = Decimal(MONEY)
    whose = ("ada", "binance", "test", "USDT")
    detailed = (money, None, money, money, -money, money, money, 4, 17)
    numbers = [
        (Decimal("-0.1"), money, *detailed, 8),
        (None, Decimal(0), *[None] * 9, 1),
        (None, None, *[None] * 9, 4),
    ]
    assert found == [
        ((at + 1) * HOUR, 1, *whose, *numbers[at], rows[at], page[0].opening, at, 0)
        for at in range(3)
    ]
    assert balances == [
        (2 * HOUR, "ada", "USDT", money, 0),
        (3 * HOUR, "ada", "USDT", Decimal(0), 0),
    ]


def test_what_was_staged_before_is_replaced(enclave: Connection) -> None:
    old, new = hours(exact=False), hours()
    stage(enclave, "ada-spot", root_of(old), old)
    stage(enclave, "ada-spot", root_of(new), new)
    RecordStore(enclave).put_state("ada-spot", *state(1))
    with pytest.raises(RowsConflict, match="not staged"):
        settle(enclave, LOG, [entry(Kind.RETURNS, 0, state(1)[0], receipt(old))])
    assert settle(enclave, LOG, [entry(Kind.RETURNS, 0, state(1)[0], receipt(new))]) == 5


def test_only_what_has_its_own_root_is_staged(enclave: Connection) -> None:
    rows = hours()
    for wrong in (rows[:-1], rows[::-1], [*rows[:-1], rows[-1] + b" "]):
        with pytest.raises(RowsConflict):
            stage(enclave, "ada-spot", root_of(rows), wrong)
    with pytest.raises(DatabaseRefused):
        stage(enclave, "nobody", root_of(rows), rows)
    assert staged(enclave) == 0


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"account": "bob-perp"}, RowsConflict),
        ({"venue": "kraken"}, Malformed),
        ({"environment": "live"}, Malformed),
        ({"count": 2}, Malformed),
    ],
)
def test_a_leaf_whose_receipt_is_about_others_is_not_stored(
    enclave: Connection, changed: dict[str, object], error: type[Exception]
) -> None:
    rows = hours()
    stage(enclave, "ada-spot", root_of(rows), rows)
    RecordStore(enclave).put_state("ada-spot", *state(1))
    with pytest.raises(error):
        settle(enclave, LOG, [entry(Kind.RETURNS, 0, state(1)[0], receipt(rows, **changed))])
    assert (leaf_count(enclave, LOG), shown(enclave), staged(enclave)) == (0, 0, 1)


def test_other_rows_for_a_time_are_refused_with_their_leaf(enclave: Connection) -> None:
    store = RecordStore(enclave)
    for index, rows in enumerate((hours(), hours(exact=False))):
        stage(enclave, "ada-spot", root_of(rows), rows)
        store.put_state("ada-spot", *state(index))
        page = [entry(Kind.RETURNS, index, state(index)[0], receipt(rows))]
        if index == 0:
            settle(enclave, LOG, page)
            continue
        with pytest.raises(RowsConflict, match="another one already"):
            settle(enclave, LOG, page)
    assert (leaf_count(enclave, LOG), shown(enclave)) == (1, 3)


def test_a_state_counts_from_its_leaf_on(enclave: Connection) -> None:
    store = RecordStore(enclave)
    store.put_state("ada-spot", *state(1))
    assert store.states_at(LOG, state(1)[0]) == []
    settle(enclave, LOG, [entry(Kind.SYNC, 0, state(1)[0], b"a receipt")])
    assert [found.version for found in store.states_at(LOG, state(1)[0])] == [0]


def test_a_leaf_about_a_state_that_was_never_put_is_not_stored(enclave: Connection) -> None:
    with pytest.raises(StatesMissing):
        settle(enclave, LOG, [entry(Kind.SYNC, 0, state(1)[0], b"a receipt")])
    assert leaf_count(enclave, LOG) == 0


def test_a_database_that_is_brought_up_to_its_log_says_what_it_lacks(enclave: Connection) -> None:
    missed: list[StoreError] = []
    page = [
        entry(Kind.SYNC, 0, state(1)[0], b"a receipt"),
        entry(Kind.RETURNS, 1, state(2)[0], receipt(hours())),
    ]
    RecordStore(enclave).put_state("ada-spot", *state(2))
    assert settle(enclave, LOG, page, missed.append) == 0
    assert [type(error) for error in missed] == [StatesMissing, RowsConflict]
    assert all(isinstance(error, HostError) for error in missed)
    assert leaf_count(enclave, LOG) == 2
