"""Who logs in: `migrate` owns the tables, `enclave` writes, `gateway` reads what was disclosed.

Roles belong to the whole server, so they are no migration's business: migrations only say what each
may do. Passwords are random, leave here as SCRAM verifiers, and are written to one private file per
role, so that each service is given its own and no other.
"""

import secrets
from collections.abc import Iterable
from typing import Final

from psycopg import sql
from psycopg.conninfo import make_conninfo

from strongroom_host.record_store.connecting import Connection, connect, transaction
from strongroom_host.record_store.errors import InitialisedAlready, Unlimited

__all__ = [
    "DATABASE",
    "ENCLAVE",
    "GATEWAY",
    "MIGRATE",
    "READER_PREFIX",
    "ROLES",
    "create_database",
    "create_reader",
    "new_logins",
]

DATABASE: Final = "strongroom"
MIGRATE: Final = "strongroom_migrate"
ENCLAVE: Final = "strongroom_enclave"
GATEWAY: Final = "strongroom_gateway"
ROLES: Final = (MIGRATE, ENCLAVE, GATEWAY)
READER_PREFIX: Final = "strongroom_reader_"

_POWERLESS: Final = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"


def create_database(admin_dsn: str, database: str = DATABASE) -> dict[str, str]:
    """Makes an empty database and the three roles; returns how each of them logs in.

    `admin_dsn` is a superuser's. Roles that exist get new passwords, as by `new_logins`.

    Raises:
        InitialisedAlready: the database exists.
        DatabaseRefused: `admin_dsn` may not do this.
        DatabaseUnavailable: nobody answers.
    """
    with connect(admin_dsn, "strongroom init") as admin:
        found = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if found:
            raise InitialisedAlready(
                f"the server has a database {database} already",
                remedy="`strongroom db passwords` writes down how to reach it, and `db migrate`"
                " brings it up to date",
            )
        logins = new_logins(admin_dsn, database)
        name, owner = sql.Identifier(database), sql.Identifier(MIGRATE)
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0").format(
                name, owner
            )
        )
        admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        for role in (ENCLAVE, GATEWAY):
            admin.execute(
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(role))
            )
    inner = make_conninfo(admin_dsn, dbname=database)
    with connect(inner, "strongroom init") as inside, transaction(inside):
        inside.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(owner))
        inside.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        for role in (ENCLAVE, GATEWAY):
            inside.execute(
                sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(sql.Identifier(role))
            )
    return logins


def new_logins(admin_dsn: str, database: str = DATABASE) -> dict[str, str]:
    """Gives each of the three roles a new password, making those that lack; returns their DSNs.

    Whoever is logged in stays so. Other databases of the same server use the same roles.

    Raises:
        DatabaseRefused: `admin_dsn` may not do this.
        DatabaseUnavailable: nobody answers.
    """
    with connect(admin_dsn, "strongroom logins") as admin, transaction(admin):
        passwords = {role: _log_in(admin, role) for role in ROLES}
    return {
        role: make_conninfo(admin_dsn, user=role, password=password, dbname=database)
        for role, password in passwords.items()
    }


def create_reader(admin_dsn: str, name: str, users: Iterable[str]) -> str:
    """Makes a role that reads what the gateway reads, of some users only; returns its DSN.

    What it is limited to is enforced by the database, whatever the program using it is made to say.
    A second call replaces its password and its limits.

    Raises:
        Unlimited: no user is named.
        DatabaseRefused: `admin_dsn` may not do this, or the name does not fit.
    """
    role, allowed = READER_PREFIX + name, sorted(set(users))
    if not allowed:
        raise Unlimited("a limited reader needs a user that it may read", remedy="name one")
    with connect(admin_dsn, "strongroom reader") as admin, transaction(admin):
        password = _log_in(admin, role)
        admin.execute(
            sql.SQL("GRANT {} TO {}").format(sql.Identifier(GATEWAY), sql.Identifier(role))
        )
        admin.execute("DELETE FROM reader_limits WHERE role = %s", [role])
        for user in allowed:
            admin.execute("INSERT INTO reader_limits (role, user_id) VALUES (%s, %s)", [role, user])
    return make_conninfo(admin_dsn, user=role, password=password)


def _log_in(admin: Connection, role: str) -> str:
    """Makes the role if need be, gives it a new password and returns that."""
    found = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    password = secrets.token_urlsafe(32)
    # The verifier, so that the password itself is in no statement, log or statistics view.
    verifier = admin.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    admin.execute(
        sql.SQL("{verb} ROLE {role} LOGIN {powers} PASSWORD {verifier}").format(
            verb=sql.SQL("ALTER" if found else "CREATE"),
            role=sql.Identifier(role),
            powers=sql.SQL(_POWERLESS),
            verifier=sql.Literal(verifier),
        )
    )
    return password
