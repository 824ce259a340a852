"""What nobody is shown: the gateway's role is refused trades, and a superuser reads ciphertext."""

import base64
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from psycopg import sql
from psycopg.conninfo import make_conninfo

from strongroom_host.demo.accounts import EXCHANGES, USER
from strongroom_host.demo.exchange_truth import truth_of
from strongroom_host.demo.processes import Child
from strongroom_host.demo.recording import RecorderReady
from strongroom_host.demo.stage import Stage
from strongroom_host.demo.story import expect_refusal, require
from strongroom_host.record_store.connecting import Connection, connect, guarded, transaction
from strongroom_host.record_store.embedded import EmbeddedServer
from strongroom_host.record_store.errors import DatabaseRefused
from strongroom_host.record_store.logins import Logins
from strongroom_host.record_store.publishing import see_users
from strongroom_host.record_store.roles import DATABASE, GATEWAY

__all__ = ["secrecy_chapter"]

_CLOSED: Final = (
    "trades",
    "cash_flows",
    "account_states",
    "data_encryption_keys",
    "exchange_connections",
    "sync_jobs",
)
_NOT_PERMITTED: Final = "42501"
"""PostgreSQL's code for a privilege that is missing."""


def secrecy_chapter(stage: Stage, recording: Child[RecorderReady]) -> None:
    """Tries to read trades as the gateway, then looks for them with every right there is.

    Raises:
        DemoFailed: a trade, or a credential, can be read.
    """
    _refused_to_the_gateway(stage)
    _unreadable_to_a_superuser(stage, recording)


def _refused_to_the_gateway(stage: Stage) -> None:
    story, said = stage.story, list[str]()
    login = Logins(stage.folders.database).dsn(GATEWAY)
    with connect(login, "strongroom demo") as connection:
        for table in _CLOSED:
            refusal = expect_refusal(
                DatabaseRefused,
                f"reading {table} as the gateway",
                partial(_read, connection, table),
            )
            words = str(refusal.actual)
            require(
                words.startswith(_NOT_PERMITTED), "the wrong refusal", actual=words, expected=table
            )
            said.append(words.partition(": ")[2])
        shown = _count(connection, "hourly_returns")
    require(shown > 0, "the gateway reads no returns either")
    story.proved(
        "gateway_reads_no_trade",
        f"the gateway's login reads {shown} returns; asked for trades, PostgreSQL answers:"
        f" {said[0]}; and the same for {len(said) - 1} more tables",
    )


def _unreadable_to_a_superuser(stage: Stage, recording: Child[RecorderReady]) -> None:
    story, truths = stage.story, {
        name: truth_of(stage.exchanges, exchange) for name, exchange in EXCHANGES.items()
    }  # fmt: skip
    server = EmbeddedServer(stage.folders.database)
    with connect(make_conninfo(server.dsn(database=DATABASE)), "strongroom demo") as admin:
        rows = _count(admin, "trades")
        places = {"the database": b"\n".join(_everything(admin))}
    trades = sum(truth.trades for truth in truths.values())
    require(rows == trades, "not every trade is kept", expected=trades, actual=rows)
    logs = [recording.log, stage.folders.console, stage.folders.database / "server.log"]
    for path in (*logs, *_files(stage.folders.host), *_files(stage.folders.record_log)):
        places[str(path)] = path.read_bytes()
    logins = [stage.exchanges.logins[exchange] for exchange in EXCHANGES.values()]
    secrets = {part for login in logins for part in (login.key, login.secret) if part}
    marks = {mark for truth in truths.values() for mark in truth.marks} | secrets
    found = [(place, mark) for place, data in places.items() for mark in _inside(data, marks)]
    require(not found, "something can be read that must not be", actual=found[:3])
    story.facts["trades_kept"] = rows
    story.proved(
        "superuser_reads_ciphertext",
        f"{rows} trades are in the database, and a superuser reads none of them: of"
        f" {len(marks)} ids, amounts, prices and keys that are in them, not one is in a table, a"
        " message or a file of the host",
    )


def _read(connection: Connection, table: str) -> None:
    with guarded(connection) as open_:
        open_.execute(sql.SQL("SELECT * FROM {} LIMIT 1").format(sql.Identifier(table)))


def _count(connection: Connection, table: str) -> int:
    """Returns how many rows this login sees of the user's."""
    with transaction(connection):
        see_users(connection, [USER])
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        found = connection.execute(query).fetchone()
    return 0 if found is None else int(found[0])


def _everything(admin: Connection) -> Iterator[bytes]:
    """Yields every value of every table, bytes as they are and the rest as text."""
    tables = admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    for (table,) in tables:
        for row in admin.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))):
            for value in row:
                yield bytes(value) if isinstance(value, bytes) else str(value).encode()


def _inside(data: bytes, marks: Iterable[str]) -> Iterator[str]:
    """Yields the marks that are in `data`: as text, in hex, or in base64."""
    for mark in marks:
        raw = mark.encode()
        forms = raw.hex().encode(), base64.b64encode(raw).rstrip(b"=")[:-1]
        if any(form in data for form in forms) or _written(data, mark):
            yield mark


def _written(data: bytes, mark: str) -> bool:
    """Returns whether a text, or a number in any spelling, stands in `data`. A longer number that
    begins like it is another one: equity may well begin like a price."""
    number = "." in mark and mark.replace(".", "").isdigit()
    raw = (mark.rstrip("0") if number else mark).encode()
    if not number or raw not in data:
        return raw in data
    return re.search(rb"(?<![0-9.])" + re.escape(raw) + rb"0*(?![0-9])", data) is not None


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
