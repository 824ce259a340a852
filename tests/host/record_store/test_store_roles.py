"""Each role can do what it is for, and is refused everything else, by trying."""

from dataclasses import asdict

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from strongroom_host.record_store import rows
from strongroom_host.record_store.connecting import Connection, connect, statement
from strongroom_host.record_store.connections import connect_account
from strongroom_host.record_store.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    InitialisedAlready,
    Unlimited,
)
from strongroom_host.record_store.roles import (
    ENCLAVE,
    GATEWAY,
    MIGRATE,
    create_database,
    create_reader,
)
from strongroom_host.record_store.rows import (
    BalanceSnapshot,
    ExchangeConnection,
    HourlyReturn,
    Trade,
)

from tests.host.record_store.content import KEYS, period, snapshot, two_accounts
from tests.host.record_store.databases import TEMPLATE, Database, Server

TABLES = {row.TABLE: row for name in rows.__all__ if hasattr(row := getattr(rows, name), "TABLE")}
DISCLOSED = {"hourly_returns", "balance_snapshots"}
APPEND_ONLY = ["trades", "cash_flows", "log_leaves", "log_heads", *sorted(DISCLOSED)]


@pytest.fixture(scope="module")
def filled(postgres: Server) -> Database:
    database = postgres.fresh()
    with database.as_enclave() as connection:
        two_accounts(connection)
        for account, user in (("ada-spot", "ada"), ("bob-perp", "bob")):
            for hour in range(3):
                connection.execute(HourlyReturn.INSERT, asdict(period(account, user, hour)))
                connection.execute(BalanceSnapshot.INSERT, asdict(snapshot(account, user, hour)))
            connection.execute(Trade.INSERT, _trade(account, KEYS[user], 0))
    return database


def _trade(account: str, key: bytes, sequence: int) -> dict[str, object]:
    return {
        "account": account,
        "sequence": sequence,
        "row_id": sequence.to_bytes(32, "big"),
        "key_id": key,
        "nonce": bytes(12),
        "ciphertext": bytes(48),
    }


def _refused(connection: Connection, text: str) -> bool:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(statement(text))
    return caught.value.sqlstate == "42501"


# --- gateway


@pytest.mark.parametrize("table", sorted(TABLES.keys() - DISCLOSED) + ["_prisma_migrations"])
def test_the_gateway_cannot_read_what_was_not_disclosed(filled: Database, table: str) -> None:
    with filled.as_gateway() as connection:
        connection.execute("SET strongroom.users = '*'")
        assert _refused(connection, f'SELECT 1 FROM "{table}"')
        assert _refused(connection, f'SELECT count(*) FROM "{table}"')
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(statement(f'COPY "{table}" TO STDOUT'))


@pytest.mark.parametrize("table", sorted(TABLES))
def test_the_gateway_cannot_write(filled: Database, table: str) -> None:
    column = TABLES[table].KEY[0]
    with filled.as_gateway() as connection:
        connection.execute("SET strongroom.users = '*'")
        assert _refused(connection, f'INSERT INTO "{table}" DEFAULT VALUES')
        assert _refused(connection, f'UPDATE "{table}" SET "{column}" = NULL')
        assert _refused(connection, f'DELETE FROM "{table}"')
        assert _refused(connection, f'TRUNCATE "{table}"')


@pytest.mark.parametrize(
    "text",
    [
        "SET ROLE strongroom_migrate",
        "SET SESSION AUTHORIZATION strongroom_migrate",
        "ALTER ROLE strongroom_gateway BYPASSRLS",
        "CREATE TABLE mine (x int)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "CREATE TEMP TABLE mine (x int)",
        "ALTER TABLE hourly_returns DISABLE ROW LEVEL SECURITY",
        "DROP POLICY readers ON hourly_returns",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT * FROM pg_authid",
    ],
)
@pytest.mark.parametrize("role", ["enclave", "gateway"])
def test_neither_service_can_help_itself(filled: Database, role: str, text: str) -> None:
    with connect(getattr(filled, role), "test") as connection:
        assert _refused(connection, text)


def test_the_gateway_cannot_become_the_enclave_s_role(filled: Database) -> None:
    with filled.as_gateway() as connection:
        assert _refused(connection, "SET ROLE strongroom_enclave")
        assert _refused(connection, "SET SESSION AUTHORIZATION strongroom_enclave")


def test_the_enclave_s_role_cannot_pass_on_what_it_may(filled: Database) -> None:
    with filled.as_enclave() as connection:
        connection.execute("GRANT SELECT ON trades TO strongroom_gateway")  # a warning only
    with filled.as_gateway() as connection:
        assert _refused(connection, "SELECT 1 FROM trades")


def test_the_gateway_reads_the_users_that_its_transaction_names(filled: Database) -> None:
    def seen(users: str | None) -> set[str]:
        with filled.as_gateway() as connection, connection.transaction():
            if users is not None:
                connection.execute("SELECT set_config('strongroom.users', %s, true)", [users])
            found = connection.execute("SELECT user_id FROM hourly_returns").fetchall()
            found += connection.execute("SELECT user_id FROM balance_snapshots").fetchall()
            return {user for (user,) in found}

    assert seen("*") == {"ada", "bob"}
    assert seen("ada") == {"ada"}
    assert seen("ada,bob") == {"ada", "bob"}
    assert seen("eve") == seen("") == seen(None) == set()


def test_a_setting_of_one_transaction_is_not_the_next_one_s(filled: Database) -> None:
    with filled.as_gateway() as connection:
        with connection.transaction():
            connection.execute("SELECT set_config('strongroom.users', '*', true)")
            assert connection.execute("SELECT 1 FROM hourly_returns").fetchall()
        assert not connection.execute("SELECT 1 FROM hourly_returns").fetchall()


# --- limited readers


def test_a_reader_sees_its_users_whatever_it_sets(filled: Database) -> None:
    dsn = create_reader(filled.admin, "ada_only", ["ada"])
    with connect(dsn, "test") as connection:
        for users in ("*", "ada,bob", "ada"):
            connection.execute("SELECT set_config('strongroom.users', %s, false)", [users])
            found = connection.execute("SELECT DISTINCT user_id FROM hourly_returns").fetchall()
            assert found == [("ada",)]
        connection.execute("SELECT set_config('strongroom.users', 'bob', false)")
        assert connection.execute("SELECT 1 FROM balance_snapshots").fetchall() == []
        # It inherits the gateway; becoming it does not lift the limit.
        connection.execute("SET ROLE strongroom_gateway")
        connection.execute("SELECT set_config('strongroom.users', '*', false)")
        found = connection.execute("SELECT DISTINCT user_id FROM balance_snapshots").fetchall()
        assert found == [("ada",)]
        assert _refused(connection, "SELECT 1 FROM reader_limits")
        assert _refused(connection, "SELECT 1 FROM trades")


def test_a_condition_with_side_effects_sees_no_hidden_row(filled: Database) -> None:
    dsn = create_reader(filled.admin, "ada_side", ["ada"])
    with connect(dsn, "test") as connection:
        connection.execute("SELECT set_config('strongroom.users', '*', false)")
        # Division by zero for any row of bob, were the condition asked before the policy.
        connection.execute(
            "SELECT 1 / (CASE user_id WHEN 'bob' THEN 0 ELSE 1 END) FROM hourly_returns"
        )
        connection.execute(
            "SELECT 1 FROM hourly_returns WHERE 1 / (CASE user_id WHEN 'bob' THEN 0 ELSE 1 END) = 1"
        )


def test_a_reader_s_limits_are_replaced_and_never_empty(filled: Database) -> None:
    create_reader(filled.admin, "changing", ["ada"])
    dsn = create_reader(filled.admin, "changing", ["bob"])
    with connect(dsn, "test") as connection:
        connection.execute("SELECT set_config('strongroom.users', '*', false)")
        found = connection.execute("SELECT DISTINCT user_id FROM hourly_returns").fetchall()
        assert found == [("bob",)]
    with pytest.raises(Unlimited):
        create_reader(filled.admin, "changing", [])
    with filled.as_admin() as admin:
        admin.execute("DELETE FROM reader_limits")
    with connect(dsn, "test") as connection:
        connection.execute("SELECT set_config('strongroom.users', '*', false)")
        assert connection.execute("SELECT 1 FROM hourly_returns").fetchall() == []


# --- enclave


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_the_enclave_s_role_cannot_change_what_was_appended(filled: Database, table: str) -> None:
    column = TABLES[table].KEY[0]
    with filled.as_enclave() as connection:
        assert _refused(connection, f'UPDATE "{table}" SET "{column}" = "{column}"')
        assert _refused(connection, f'DELETE FROM "{table}"')
        assert _refused(connection, f'TRUNCATE "{table}"')


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_nor_can_the_owner_of_the_table(filled: Database, table: str) -> None:
    column = TABLES[table].KEY[0]
    statements = [
        f'UPDATE "{table}" SET "{column}" = "{column}"',
        f'DELETE FROM "{table}"',
        f'TRUNCATE "{table}"',
    ]
    with connect(filled.migrate, "test") as connection:
        for text in statements:
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
                connection.execute(statement(text))


def test_the_enclave_s_role_cannot_lift_a_reader_s_limits(filled: Database) -> None:
    with filled.as_enclave() as connection:
        assert _refused(connection, "SELECT 1 FROM reader_limits")
        assert _refused(connection, "INSERT INTO reader_limits VALUES ('x', 'ada')")
        assert _refused(connection, "SELECT limited_users()")
        assert _refused(connection, "DELETE FROM users")


def test_the_owner_of_the_tables_sees_no_disclosed_row(filled: Database) -> None:
    with connect(filled.migrate, "test") as connection:
        assert connection.execute("SELECT 1 FROM hourly_returns").fetchall() == []


# --- shapes

SHAPES = [
    ("hourly_returns", {"value": "'NaN'"}),
    ("hourly_returns", {"value": "-1.000000000001"}),
    ("hourly_returns", {"closing": "'NaN'"}),
    ("hourly_returns", {"start_ms": "1"}),
    ("hourly_returns", {"environment": "'real'"}),
    ("trades", {"nonce": "'\\x00'"}),
    ("trades", {"row_id": "'\\x00'"}),
    ("trades", {"sequence": "-1"}),
    ("users", {"id": "'*'"}),
    ("users", {"id": "'ada,bob'"}),
    ("users", {"id": "''"}),
]


@pytest.mark.parametrize(("table", "change"), SHAPES)
def test_a_row_that_cannot_be_right_is_refused(
    filled: Database, table: str, change: dict[str, str]
) -> None:
    with filled.as_admin() as connection:
        row = TABLES[table]
        columns = {name: f'"{name}"' for name in row.GIVEN} | change
        columns |= {} if table == "users" or "start_ms" in change else {row.KEY[1]: "7200000000"}
        columns |= change
        listed = ", ".join(f'"{name}"' for name in columns)
        values = ", ".join(columns.values())
        text = f'INSERT INTO "{table}" ({listed}) SELECT {values} FROM "{table}" LIMIT 1'
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(statement(text))


# --- logging in


def test_nobody_gets_in_without_the_password(postgres: Server, database: Database) -> None:
    for role in (MIGRATE, ENCLAVE, GATEWAY, "postgres"):
        with pytest.raises(DatabaseUnavailable):
            connect(make_conninfo(database.gateway, user=role, password="wrong"), "test")


def test_passwords_are_kept_as_verifiers_and_in_no_log(
    postgres: Server, database: Database
) -> None:
    password = str(conninfo_to_dict(database.gateway)["password"])
    with database.as_admin() as admin:
        stored: dict[str, str] = dict(
            admin.execute("SELECT rolname, rolpassword FROM pg_authid WHERE rolcanlogin").fetchall()
        )
    assert all(stored[role].startswith("SCRAM-SHA-256$") for role in (MIGRATE, ENCLAVE, GATEWAY))
    assert password not in (postgres.embedded.folder / "server.log").read_text()


def test_what_is_refused_is_in_no_log_and_no_error(postgres: Server, filled: Database) -> None:
    marked = ExchangeConnection(
        account="MARKED",
        user_id="ada",
        venue="MARKED",
        environment="real",
    )
    with filled.as_enclave() as connection, pytest.raises(DatabaseRefused) as caught:
        connect_account(connection, marked)
    assert "exchange_connections_shape" in str(caught.value.actual)
    assert "MARKED" not in f"{caught.value.what} {caught.value.actual}"
    log = (postgres.embedded.folder / "server.log").read_text()
    assert "exchange_connections_shape" in log
    assert "MARKED" not in log


def test_services_cannot_reach_the_server_s_other_databases(database: Database) -> None:
    elsewhere = make_conninfo(database.gateway, dbname=TEMPLATE)
    with connect(elsewhere, "test") as connection:  # its own roles may: it is another such database
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with connect(database.admin, "test") as admin:
        admin.execute("CREATE DATABASE others")
        admin.execute("REVOKE ALL ON DATABASE others FROM PUBLIC")
    with pytest.raises(DatabaseUnavailable):
        connect(make_conninfo(database.gateway, dbname="others"), "test")


def test_a_database_is_made_once(postgres: Server) -> None:
    with pytest.raises(InitialisedAlready):
        create_database(postgres.embedded.dsn(), TEMPLATE)


def test_names_are_quoted(postgres: Server) -> None:
    name = 'x"; DROP DATABASE strongroom; --'
    # A database of that name, with new passwords; the old ones go back for the tests that follow.
    with connect(postgres.embedded.dsn(), "test") as admin:
        kept = admin.execute(
            "SELECT rolname, rolpassword FROM pg_authid WHERE rolname LIKE 'strongroom%'"
        ).fetchall()
        create_database(postgres.embedded.dsn(), name)
        for role, verifier in kept:
            admin.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), verifier)
            )
        found = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        assert found == (1,)
