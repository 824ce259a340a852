"""The gateway starts with a login that reads two tables, and with no other."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo
from strongroom_host.gateway.errors import PrivilegesTooWide
from strongroom_host.gateway.keys import Access, Scope
from strongroom_host.gateway.privileges import require_gateway
from strongroom_host.gateway.reading import Reader
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.errors import DatabaseOutdated
from strongroom_host.record_store.roles import create_reader

from tests.host.gateway.world import World, running
from tests.host.record_store.databases import Database, Server

EVERYBODY = Access("key", frozenset(Scope), None)
GRANTS = {
    "a table": ("GRANT SELECT ON trades TO {}", "REVOKE SELECT ON trades FROM {}"),
    "a column": ("GRANT SELECT (venue) ON exchange_connections TO {}",
                 "REVOKE SELECT (venue) ON exchange_connections FROM {}"),
    "writing": ("GRANT INSERT ON hourly_returns TO {}", "REVOKE INSERT ON hourly_returns FROM {}"),
    "writing a column": ("GRANT UPDATE (value) ON hourly_returns TO {}",
                         "REVOKE UPDATE (value) ON hourly_returns FROM {}"),
    "emptying": ("GRANT TRUNCATE ON balance_snapshots TO {}",
                 "REVOKE TRUNCATE ON balance_snapshots FROM {}"),
    "a sequence": ("GRANT USAGE ON SEQUENCE sync_jobs_id_seq TO {}",
                   "REVOKE USAGE ON SEQUENCE sync_jobs_id_seq FROM {}"),
    "a schema": ("GRANT CREATE ON SCHEMA public TO {}", "REVOKE CREATE ON SCHEMA public FROM {}"),
    "a view": ("CREATE VIEW peek AS SELECT * FROM trades; GRANT SELECT ON peek TO {}",
               "DROP VIEW peek"),
    "everybody's table": ("GRANT SELECT ON trades TO PUBLIC",
                          "REVOKE SELECT ON trades FROM PUBLIC"),
    "a function": ("CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS"
                   " 'SELECT count(*) FROM public.trades'; GRANT EXECUTE ON FUNCTION peek() TO {}",
                   "DROP FUNCTION peek()"),
    "the catalogue": ("GRANT SELECT ON pg_catalog.pg_authid TO {}",
                      "REVOKE SELECT ON pg_catalog.pg_authid FROM {}"),
    "no policy": ("ALTER TABLE hourly_returns DISABLE ROW LEVEL SECURITY",
                  "ALTER TABLE hourly_returns ENABLE ROW LEVEL SECURITY"),
    "no forced policy": ("ALTER TABLE hourly_returns NO FORCE ROW LEVEL SECURITY",
                         "ALTER TABLE hourly_returns FORCE ROW LEVEL SECURITY"),
    "owning": ("ALTER TABLE log_heads OWNER TO {}",
               "ALTER TABLE log_heads OWNER TO strongroom_migrate"),
    "another role": ("GRANT strongroom_enclave TO {}", "REVOKE strongroom_enclave FROM {}"),
    "a role without inheritance": ("GRANT strongroom_enclave TO {} WITH INHERIT FALSE",
                                   "REVOKE strongroom_enclave FROM {}"),
    "reading everything": ("GRANT pg_read_all_data TO {}", "REVOKE pg_read_all_data FROM {}"),
    "reading files": ("GRANT pg_read_server_files TO {}", "REVOKE pg_read_server_files FROM {}"),
    "making roles": ("ALTER ROLE {} CREATEROLE", "ALTER ROLE {} NOCREATEROLE"),
    "making databases": ("ALTER ROLE {} CREATEDB", "ALTER ROLE {} NOCREATEDB"),
    "replicating": ("ALTER ROLE {} REPLICATION", "ALTER ROLE {} NOREPLICATION"),
    "passing by": ("ALTER ROLE {} BYPASSRLS", "ALTER ROLE {} NOBYPASSRLS"),
    "superuser": ("ALTER ROLE {} SUPERUSER", "ALTER ROLE {} NOSUPERUSER"),
    "temporary tables": ("GRANT TEMPORARY ON DATABASE {database} TO {}",
                         "REVOKE TEMPORARY ON DATABASE {database} FROM {}"),
    "schemas": ("GRANT CREATE ON DATABASE {database} TO {}",
                "REVOKE CREATE ON DATABASE {database} FROM {}"),
}  # fmt: skip


def check(dsn: str) -> None:
    with connect(dsn, "test") as connection:
        require_gateway(connection)


@pytest.fixture
def altered(database: Database) -> Iterator[Callable[[str, str], None]]:
    """Grants something to a role, and takes it back: roles are the whole server's."""
    undo = []
    with database.as_admin() as admin:
        (name,) = admin.execute("SELECT current_database()").fetchone() or ("",)

        def alter(what: str, role: str) -> None:
            forth, back = (text.format(role, database=name) for text in GRANTS[what])
            undo.append(back)
            admin.execute(forth)

        yield alter
        for text in undo:
            admin.execute(text)


def test_the_gateways_own_login_and_a_readers_are_fit(database: Database) -> None:
    check(database.gateway)
    check(create_reader(database.admin, "fit", ["ada"]))


@pytest.mark.parametrize("what", GRANTS)
def test_a_gateway_that_could_do_more_is_refused(
    database: Database, altered: Callable[[str, str], None], what: str
) -> None:
    check(database.gateway)
    altered(what, "strongroom_gateway")
    with pytest.raises(PrivilegesTooWide):
        check(database.gateway)


@pytest.mark.parametrize("what", ["a table", "another role", "superuser", "passing by", "owning"])
def test_a_reader_that_could_do_more_is_refused(
    database: Database, altered: Callable[[str, str], None], what: str
) -> None:
    dsn = create_reader(database.admin, "wide", ["ada"])
    altered(what, "strongroom_reader_wide")
    with pytest.raises(PrivilegesTooWide):
        check(dsn)


def test_other_logins_are_refused(database: Database) -> None:
    for dsn in (database.admin, database.migrate, database.enclave):
        with pytest.raises(PrivilegesTooWide):
            check(dsn)


def test_a_stranger_with_the_same_grants_is_no_gateway(database: Database) -> None:
    with database.as_admin() as admin:
        admin.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
        (name,) = admin.execute("SELECT current_database()").fetchone() or ("",)
        admin.execute(f"GRANT CONNECT ON DATABASE {name} TO stranger")
        admin.execute("GRANT USAGE ON SCHEMA public TO stranger")
        admin.execute("GRANT SELECT ON hourly_returns, balance_snapshots TO stranger")
    dsn = make_conninfo(database.gateway, user="stranger", password="stranger")
    with pytest.raises(PrivilegesTooWide, match="no gateway"):
        check(dsn)


def test_a_database_without_the_tables_is_refused(postgres: Server, database: Database) -> None:
    empty = postgres.empty()
    dbname = dict(part.split("=", 1) for part in empty.split())["dbname"]
    with connect(make_conninfo(database.admin, dbname=dbname), "test") as admin:
        admin.execute(f"REVOKE ALL ON DATABASE {dbname} FROM PUBLIC")
        admin.execute(f"GRANT CONNECT ON DATABASE {dbname} TO strongroom_gateway")
    with pytest.raises(DatabaseOutdated):
        check(make_conninfo(database.gateway, dbname=dbname))


def test_each_new_connection_is_asked(
    database: Database, altered: Callable[[str, str], None]
) -> None:
    altered("a table", "strongroom_gateway")
    reader = Reader(lambda _login: database.gateway)
    for ask in (reader.check, lambda: reader.accounts(EVERYBODY, "", 1)):
        with pytest.raises(PrivilegesTooWide):
            ask()
    reader.close()


def test_a_gateway_whose_login_was_widened_is_not_ready(
    database: Database, altered: Callable[[str, str], None], tmp_path: Path
) -> None:
    with running(database, tmp_path / "g") as world:
        assert world.get("/health/ready").status_code == 200
        altered("a column", "strongroom_gateway")
        answer = world.get("/health/ready")
        assert (answer.status_code, answer.text) == (503, "not ready\n")
        metrics = world.client.get(f"{world.monitoring}/metrics").text
        assert "strongroom_gateway_database_ready 0" in metrics
        assert world.get("/health/live").status_code == 200


def test_a_database_that_went_away_is_said_without_its_words(
    database: Database, tmp_path: Path
) -> None:
    with running(database, tmp_path / "g") as world:
        key, _ = world.key()
        assert world.get("/v1/accounts", key).status_code == 200
        _end_connections(database)
        answer = world.get("/v1/accounts", key)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"]
        assert answer.json()["actual"] is None
        assert "strongroom_gateway" not in answer.text
        assert world.get("/v1/accounts", key).status_code == 200


def test_broken_connections_cost_one_answer(database: Database, tmp_path: Path) -> None:
    with running(database, tmp_path / "g") as world:
        key, _ = world.key()
        with _held(world, 4):
            pass
        _end_connections(database)
        assert world.get("/v1/accounts", key).status_code == 503
        with _held(world, 4):
            assert world.get("/v1/accounts", key).status_code == 200


def _held(world: World, count: int) -> ExitStack:
    stack = ExitStack()
    for _ in range(count):
        connection = stack.enter_context(world.reader._lent(""))
        connection.execute("SELECT 1")
    return stack


def _end_connections(database: Database) -> None:
    with database.as_admin() as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = 'strongroom_gateway' AND datname = current_database()"
        )
