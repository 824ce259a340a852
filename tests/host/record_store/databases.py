"""One server per test process, and a fresh, migrated database for whoever asks."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from psycopg import sql
from psycopg.conninfo import make_conninfo
from strongroom_host.record_store.connecting import Connection, connect
from strongroom_host.record_store.embedded import EmbeddedServer
from strongroom_host.record_store.migrations import apply, migrations_folder, read_migrations
from strongroom_host.record_store.roles import ENCLAVE, GATEWAY, MIGRATE, create_database

__all__ = ["TEMPLATE", "Database", "Server", "scratch_folder", "server"]

TEMPLATE = "strongroom"


@dataclass(frozen=True)
class Database:
    """How each role reaches one database."""

    admin: str
    migrate: str
    enclave: str
    gateway: str

    def as_enclave(self) -> Connection:
        return connect(self.enclave, "test")

    def as_gateway(self) -> Connection:
        return connect(self.gateway, "test")

    def as_admin(self) -> Connection:
        return connect(self.admin, "test")


class Server:
    """A running server whose template database has every migration."""

    def __init__(self, embedded: EmbeddedServer, logins: dict[str, str]) -> None:
        self.embedded = embedded
        self._logins = logins
        self._numbers = count()

    def fresh(self) -> Database:
        """Return a new database, a copy of the template."""
        name = f"test_{next(self._numbers)}"
        with connect(self.embedded.dsn(), "test") as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                    sql.Identifier(name), sql.Identifier(TEMPLATE), sql.Identifier(MIGRATE)
                )
            )
            admin.execute(
                sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name))
            )
            for role in (ENCLAVE, GATEWAY):
                admin.execute(
                    sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                        sql.Identifier(name), sql.Identifier(role)
                    )
                )
        return Database(
            self.embedded.dsn(database=name),
            *(
                make_conninfo(self._logins[role], dbname=name)
                for role in (MIGRATE, ENCLAVE, GATEWAY)
            ),
        )

    def empty(self) -> str:
        """Return how `migrate` reaches a new database without a table."""
        name = f"test_{next(self._numbers)}"
        with connect(self.embedded.dsn(), "test") as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(
                    sql.Identifier(name), sql.Identifier(MIGRATE)
                )
            )
        return make_conninfo(self._logins[MIGRATE], dbname=name)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that the server's own user can reach, which pytest's are not when root runs it."""
    folder = Path(tempfile.mkdtemp(prefix="strongroom-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server() -> Iterator[Server]:
    """A server for the tests of one process."""
    with scratch_folder() as folder:
        embedded = EmbeddedServer(folder, durable=False)
        embedded.create()
        with embedded.running():
            logins = create_database(embedded.dsn(), TEMPLATE)
            apply(logins[MIGRATE], read_migrations(migrations_folder()))
            yield Server(embedded, logins)
