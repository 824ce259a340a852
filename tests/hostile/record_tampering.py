"""What a superuser does to the record's tables. Triggers and constraints are no obstacle to him."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import LiteralString

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from strongroom_host.record_store.connecting import Connection, connect

from tests.host.record_store.databases import Database

__all__ = ["TAMPERINGS", "Tampering", "copied", "dump", "over_all_rules"]

Tampering = Callable[[Connection, str], None]
"""Changes the rows of an account."""

_ASIDE = 1_000_000_000
_COLUMNS: LiteralString = "row_id, key_id, nonce, ciphertext"


@contextmanager
def over_all_rules(database: Database) -> Iterator[Connection]:
    """A superuser's transaction in which no trigger and no foreign key is looked at."""
    with connect(database.admin, "tampering") as admin, admin.transaction():
        admin.execute("SET LOCAL session_replication_role = replica")
        yield admin


def _last(admin: Connection, account: str) -> int:
    found = admin.execute(
        "SELECT max(sequence) FROM trades WHERE account = %s", [account]
    ).fetchone()
    assert found is not None
    assert found[0] is not None, "nothing to tamper with"
    return int(found[0])


def newest_deleted(admin: Connection, account: str) -> None:
    """The last trade never happened."""
    admin.execute(
        "DELETE FROM trades WHERE account = %s AND sequence = %s", [account, _last(admin, account)]
    )


def middle_deleted(admin: Connection, account: str) -> None:
    """A trade in between never happened, and those after it are one earlier."""
    middle = _last(admin, account) // 2
    admin.execute("DELETE FROM trades WHERE account = %s AND sequence = %s", [account, middle])
    admin.execute(
        "UPDATE trades SET sequence = sequence + %s WHERE account = %s AND sequence > %s",
        [_ASIDE, account, middle],
    )
    admin.execute(
        "UPDATE trades SET sequence = sequence - %s WHERE account = %s AND sequence > %s",
        [_ASIDE + 1, account, _ASIDE],
    )


def all_deleted(admin: Connection, account: str) -> None:
    """Nothing ever happened."""
    admin.execute("DELETE FROM trades WHERE account = %s", [account])
    admin.execute("DELETE FROM cash_flows WHERE account = %s", [account])


def swapped(admin: Connection, account: str) -> None:
    """Two trades have changed places."""
    for old, new in ((0, _ASIDE), (1, 0), (_ASIDE, 1)):
        admin.execute(
            "UPDATE trades SET sequence = %s WHERE account = %s AND sequence = %s",
            [new, account, old],
        )


def doubled(admin: Connection, account: str) -> None:
    """The first trade happened a second time, in the place of the second one."""
    admin.execute("ALTER TABLE trades DROP CONSTRAINT IF EXISTS trades_account_row_id_key")
    admin.execute("DROP INDEX IF EXISTS trades_account_row_id_key")
    admin.execute("DELETE FROM trades WHERE account = %s AND sequence = 1", [account])
    admin.execute(
        sql.SQL(
            "INSERT INTO trades (account, sequence, {0}) SELECT account, 1, {0} FROM trades"
            " WHERE account = %s AND sequence = 0"
        ).format(sql.SQL(_COLUMNS)),
        [account],
    )


def bit_flipped(admin: Connection, account: str) -> None:
    """One bit of one ciphertext."""
    admin.execute(
        "UPDATE trades SET ciphertext = set_byte(ciphertext, 3, get_byte(ciphertext, 3) # 1)"
        " WHERE account = %s AND sequence = 2",
        [account],
    )


def renamed_row(admin: Connection, account: str) -> None:
    """A row under another name, so that the same trade would be taken for a new one."""
    admin.execute(
        "UPDATE trades SET row_id = set_byte(row_id, 0, get_byte(row_id, 0) # 1)"
        " WHERE account = %s AND sequence = 2",
        [account],
    )


def moved_table(admin: Connection, account: str) -> None:
    """A trade stands where a flow was."""
    admin.execute(
        "UPDATE cash_flows SET (row_id, key_id, nonce, ciphertext) = (SELECT row_id, key_id, nonce,"
        " ciphertext FROM trades WHERE account = %(account)s AND sequence = 0)"
        " WHERE account = %(account)s AND sequence = 0",
        {"account": account},
    )


TAMPERINGS: dict[str, Tampering] = {
    change.__name__: change
    for change in (
        newest_deleted,
        middle_deleted,
        all_deleted,
        swapped,
        doubled,
        bit_flipped,
        renamed_row,
        moved_table,
    )
}


def copied(database: Database, name: str) -> Database:
    """Returns a copy of the database as it is now, such as somebody restores later. Nobody may be
    connected meanwhile, so everybody is thrown out."""
    whole = conninfo_to_dict(database.admin)
    with connect(make_conninfo(database.admin, dbname="postgres"), "tampering") as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [whole["dbname"]],
        )
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(str(whole["dbname"]))
            )
        )
    logins = (database.admin, database.migrate, database.enclave, database.gateway)
    return Database(*(make_conninfo(login, dbname=name) for login in logins))


def dump(database: Database) -> bytes:
    """Returns everything that a superuser reads: every table, as text and as raw bytes."""
    found = list[bytes]()
    with connect(database.admin, "tampering") as admin:
        tables = admin.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
        assert len(tables) > 8, "these are not the record's tables"
        for (table,) in tables:
            name = sql.Identifier(table)
            with admin.cursor() as cursor:
                for row in cursor.execute(sql.SQL("SELECT * FROM {}").format(name)):
                    for value in row:
                        raw = isinstance(value, bytes | memoryview)
                        found.append(bytes(value) if raw else str(value).encode())
            found.append(table.encode())
    return b"\n".join(found)
