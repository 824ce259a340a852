"""A server for as long as a command needs one: the one that was named, or a folder's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import make_conninfo

from strongroom_host.record_store.embedded import EmbeddedServer
from strongroom_host.record_store.errors import NotInitialised

__all__ = ["administered", "served"]


@contextmanager
def served(folder: Path) -> Iterator[None]:
    """Has the folder's own server run meanwhile, if it has one: logins may be for one elsewhere.

    Raises:
        ServerFailed: it does not start.
    """
    server = EmbeddedServer(folder)
    if not server.exists:
        yield
        return
    with server.running():
        yield


@contextmanager
def administered(folder: Path, admin_dsn: str | None, database: str | None = None) -> Iterator[str]:
    """Yields a superuser's DSN: `admin_dsn`, or of the folder's own server, which runs meanwhile.

    Raises:
        NotInitialised: none is named, and the folder has none.
        ServerFailed: the folder's server does not start.
    """
    inside = {} if database is None else {"dbname": database}
    if admin_dsn is not None:
        yield make_conninfo(admin_dsn, **inside)
        return
    server = EmbeddedServer(folder)
    if not server.exists:
        raise NotInitialised(
            f"there is no server of our own in {folder}",
            remedy="name one with --dsn, or make one with `strongroom db init`",
        )
    with server.running():
        yield make_conninfo(server.dsn(), **inside)
