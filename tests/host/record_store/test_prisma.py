"""Prisma itself agrees: the schema is valid, the migrations make it, and nothing is pending."""

import os
import subprocess
import sys
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict
from strongroom_host.record_store.connecting import connect, statement
from strongroom_host.record_store.migrations import (
    apply,
    migrations_folder,
    read_migrations,
    standing,
)

from tests.architecture.source import ROOT
from tests.host.record_store.catalogue import read_catalogue
from tests.host.record_store.databases import Database, Server

TOOL = [sys.executable, str(ROOT / ".tools/prisma.py")]

pytestmark = pytest.mark.skipif(
    subprocess.run([*TOOL, "installed"], capture_output=True, check=False).returncode != 0,
    reason="Prisma is not installed (.tools/prisma.py install; it needs Node.js)",
)


def prisma(*words: str, dsn: str | None = None) -> str:
    """Run a command of Prisma's that succeeds; return what it printed."""
    environment = {**os.environ, **({} if dsn is None else {"STRONGROOM_DSN": url(dsn)})}
    done = subprocess.run(
        [*TOOL, *words], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def url(dsn: str) -> str:
    """Return the DSN in the form that node-postgres reads."""
    part = {name: quote(str(value), safe="") for name, value in conninfo_to_dict(dsn).items()}
    login = f"{part['user']}:{part['password']}"
    return f"postgresql://{login}@localhost:{part['port']}/{part['dbname']}?host={part['host']}"


def test_the_schema_is_valid_and_formatted() -> None:
    assert "is valid" in prisma("validate")
    prisma("format", "--check")


def test_the_migrations_make_what_prisma_would_make(postgres: Server, database: Database) -> None:
    empty = postgres.empty()
    words = ("--from-empty", "--to-schema-datamodel", "schema.prisma", "--script")
    script = prisma("migrate", "diff", *words, dsn=empty)
    assert "CREATE TABLE" in script
    with connect(empty, "test") as connection:
        start = script.index("-- Create")
        connection.execute(statement(script[start : script.rindex(";") + 1]))
        wanted = read_catalogue(connection)
    with connect(database.migrate, "test") as connection:
        made = read_catalogue(connection)
    assert made.columns == wanted.columns
    assert made.keys == wanted.keys
    assert made.indexes == wanted.indexes
    assert made.enums == wanted.enums


def test_prisma_goes_on_where_our_runner_stopped(database: Database) -> None:
    assert "up to date" in prisma("migrate", "status", dsn=database.migrate)
    assert "No pending" in prisma("migrate", "deploy", dsn=database.migrate)


def test_our_runner_goes_on_where_prisma_stopped(postgres: Server) -> None:
    dsn = postgres.empty()
    prisma("migrate", "deploy", dsn=dsn)
    steps = read_migrations(migrations_folder())
    with connect(dsn, "test") as connection:
        standing(connection, steps).require_current()
    assert apply(dsn, steps) == ()
