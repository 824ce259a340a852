"""The store port from end to end: the protocol, a socket, the server, a real database."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from strongroom_host.record_store.connecting import Connection
from strongroom_host.record_store.port import StorePort
from strongroom_host.record_store.port_serving import serving
from strongroom_wire.encoding import pack, u64

from tests.host.record_store.databases import Database
from tests.host.record_store.speaking import (
    ASK,
    CONFLICT,
    GAP,
    MALFORMED,
    REFUSED,
    TOLD,
    UNKNOWN,
    Record,
)

KEY = b"K" * 16
NONE = u64(0)


def row(number: int, size: int = 160) -> bytes:
    return number.to_bytes(32) + KEY + bytes(12) + bytes(size)


def state(number: int) -> bytes:
    return KEY + number.to_bytes(12) + bytes(90)


@dataclass
class Log:
    """Notes which pages came."""

    origin: str = "log"

    def keep(self, connection: Connection, page: bytes) -> None:
        raise AssertionError(page)


@contextmanager
def client(address: tuple[str, int]) -> Iterator[Record]:
    with socket.create_connection(address, timeout=20) as sock, sock.makefile("rwb") as stream:
        yield Record(stream)


@pytest.fixture
def address(database: Database) -> Iterator[tuple[str, int]]:
    with serving(database.enclave, log=Log()) as where:
        yield where


@pytest.fixture
def record(address: tuple[str, int]) -> Iterator[Record]:
    with client(address) as opened:
        opened.done(b"connect", b"ada", b"user", b"kraken", b"test")
        opened.done(b"connect", b"eve", b"user", b"kraken", b"test")
        opened.done(b"put-key", b"user", KEY, bytes(60))
        yield opened


def test_rows_come_back_in_order(record: Record, address: tuple[str, int]) -> None:
    rows = [row(number) for number in range(2500)]
    record.done(b"put", b"trades", b"ada", NONE, *rows[:1000])
    record.done(b"put", b"trades", b"ada", u64(900), *rows[900:])
    record.done(b"put", b"trades", b"ada", u64(2500))
    record.done(b"put", b"cash_flows", b"ada", NONE, row(7))
    with client(address) as again:
        assert again.done(b"get", b"trades", b"ada", NONE) == rows
        assert again.done(b"get", b"trades", b"ada", u64(2499)) == rows[-1:]
        assert again.done(b"get", b"trades", b"ada", u64(2500)) == []
        assert again.done(b"get", b"cash_flows", b"ada", NONE) == [row(7)]
        assert again.done(b"get", b"trades", b"eve", NONE) == []
        assert again.done(b"keys", b"user") == [bytes(60)]


def test_nothing_is_replaced(record: Record) -> None:
    record.done(b"put", b"trades", b"ada", NONE, row(0), row(1))
    refusals: list[tuple[int, tuple[bytes, ...]]] = [
        (CONFLICT, (b"put", b"trades", b"ada", NONE, row(9))),
        (GAP, (b"put", b"trades", b"ada", u64(3), row(9))),
        (UNKNOWN, (b"put", b"trades", b"nobody", NONE, row(9))),
        (UNKNOWN, (b"put-state", b"nobody", bytes(32), state(0))),
        (CONFLICT, (b"connect", b"ada", b"eve", b"kraken", b"test")),
        (CONFLICT, (b"connect", b"ada", b"user", b"bybit", b"test")),
        (CONFLICT, (b"connect", b"ada", b"user", b"kraken", b"live")),
        (REFUSED, (b"connect", b"new", b"user", b"kraken", b"real")),
        (CONFLICT, (b"put-key", b"user", KEY, bytes(61))),
        (CONFLICT, (b"publish", b"ada", bytes(32), b"row")),
        (MALFORMED, (b"put", b"users", b"ada", NONE, row(9))),
        (MALFORMED, (b"put", b"trades", b"ada", u64(2), bytes(75))),
    ]
    for outcome, asked in refusals:
        assert record.ask(*asked) == (outcome, []), asked
    assert record.done(b"get", b"trades", b"ada", NONE) == [row(0), row(1)]


def test_states_are_those_that_had_counted_at_a_root(record: Record, database: Database) -> None:
    for number in range(3):
        record.done(b"put-state", b"ada", number.to_bytes(32), state(number))
        record.done(b"put-state", b"eve", (10 + number).to_bytes(32), state(10 + number))
    assert record.done(b"states", (1).to_bytes(32)) == []
    with database.as_enclave() as connection:
        for index, root in enumerate((1, 10, 12)):
            connection.execute(
                "INSERT INTO logged_states SELECT 'log', %s, account, version FROM account_states"
                " WHERE root = %s",
                [index, root.to_bytes(32)],
            )
    assert record.done(b"states", (1).to_bytes(32)) == [b"ada", state(1)]
    assert record.done(b"states", (12).to_bytes(32)) == [b"ada", state(1), b"eve", state(12)]
    assert record.done(b"states", bytes(32)) == []


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"?" * 40,
        pack(ASK),
        pack(ASK, b"drop"),
        pack(ASK, b"get", b"trades"),
        pack(ASK, b"get", b"trades", b"ada", b"1"),
        pack(ASK, b"states", b""),
        pack(ASK, b"keys", b"\xff"),
        pack(ASK, b"put-state", b"ada", bytes(32), bytes(43)),
        pack(TOLD, b"keys", b"ada"),
        pack(b"strongroom/store/ask/v1", b"keys", b"ada"),
    ],
)
def test_what_is_no_request_is_answered_so(database: Database, request_: bytes) -> None:
    with database.as_enclave() as connection:
        assert StorePort(connection).answer(request_) == pack(TOLD, bytes([MALFORMED]))


def test_several_records_are_served_at_once_and_all_end(database: Database) -> None:
    with serving(database.enclave) as where, client(where) as one, client(where) as other:
        assert one.done(b"keys", b"ada") == other.done(b"keys", b"ada") == []
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(where, timeout=5)


def test_without_its_database_a_connection_ends_and_another_has_one(
    record: Record, address: tuple[str, int], database: Database
) -> None:
    with database.as_admin() as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'strongroom store port'"
        )
    assert record.ask(b"keys", b"user") == (4, [])
    assert record.stream.read(1) == b""
    with client(address) as again:
        assert again.done(b"keys", b"user") == [bytes(60)]


def test_a_message_that_is_too_long_ends_the_connection(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=20) as sock:
        sock.sendall((1 << 31).to_bytes(4))
        assert sock.recv(1) == b""


def test_large_rows_come_in_several_answers(record: Record) -> None:
    rows = [row(number, 65_000) for number in range(400)]
    record.done(b"put", b"trades", b"ada", NONE, *rows)
    found: list[bytes] = []
    while some := record.done(b"get", b"trades", b"ada", u64(len(found))):
        assert sum(map(len, some)) <= (16 << 20) + 70_000
        found += some
    assert found == rows
