"""`strongroom db`: make, migrate and run the database of the track record."""

import json
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from strongroom_host.cli.output import print_json, say, warn
from strongroom_host.private_files import write_private
from strongroom_host.record_store.condition import Condition, condition
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.embedded import EmbeddedServer
from strongroom_host.record_store.errors import InitialisedAlready, NotInitialised, ServerFailed
from strongroom_host.record_store.logins import Logins
from strongroom_host.record_store.migrations import apply, migrations_folder, read_migrations
from strongroom_host.record_store.roles import (
    DATABASE,
    MIGRATE,
    READER_PREFIX,
    create_database,
    create_reader,
    new_logins,
)
from strongroom_host.record_store.serving import administered, served

__all__ = ["app"]

app = typer.Typer(
    name="db", help="Make, migrate and run the track record's database.", no_args_is_help=True
)

FolderOption = Annotated[
    Path,
    typer.Option(
        "--folder",
        envvar="STRONGROOM_DB",
        metavar="DIR",
        help="How to log in, and the server's data if it is our own.",
    ),
]
DEFAULT_FOLDER = Path("/var/lib/strongroom/db" if os.geteuid() == 0 else "~/.strongroom/db")
AdminOption = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        envvar="STRONGROOM_ADMIN_DSN",
        metavar="DSN",
        help="A superuser's login at a server of yours; without it, the server of the folder.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command()
def init(folder: FolderOption = DEFAULT_FOLDER, dsn: AdminOption = None) -> None:
    """Make the database, its roles and its tables; a login per role goes into the folder."""
    place = folder.expanduser()
    logins = Logins(place)
    if logins.exist:
        raise InitialisedAlready(
            f"a database was made with {place} already",
            remedy="`strongroom db migrate` brings it up to date",
        )
    steps = read_migrations(migrations_folder())
    if dsn is None and not (server := EmbeddedServer(place)).exists:
        server.create()
    with administered(place, dsn) as admin:
        logins.write(create_database(admin))
        applied = apply(logins.dsn(MIGRATE), steps)
    say(f"made the database {DATABASE} with {len(applied)} migrations")
    say(f"logins are in {place}: migrate.dsn, enclave.dsn, gateway.dsn; give each to its service")
    if dsn is None:
        say("`strongroom record serve` and `gateway run` run it, or alone: strongroom db run")


@app.command()
def migrate(folder: FolderOption = DEFAULT_FOLDER) -> None:
    """Apply the migrations that the database lacks, each whole or not at all."""
    place = folder.expanduser()
    steps = read_migrations(migrations_folder())
    with served(place):
        applied = apply(Logins(place).dsn(MIGRATE), steps)
    for name in applied:
        say(f"applied {name}")
    say("the database is up to date")


@app.command()
def status(folder: FolderOption = DEFAULT_FOLDER, as_json: JsonOption = False) -> None:
    """Say what the database has had, and how its queue is. Exit status 3 if it lacks anything."""
    place = folder.expanduser()
    steps = read_migrations(migrations_folder())
    with served(place), connect(Logins(place).dsn(MIGRATE), "strongroom status") as open_:
        found = condition(open_, steps)
    if as_json:
        print_json(
            {
                "server": found.server,
                "applied": list(found.applied),
                "pending": list(found.pending),
                "jobs": found.jobs,
                "paused": list(found.paused),
            }
        )
    else:
        _tell(found)
    if found.pending:
        raise typer.Exit(3)


@app.command()
def passwords(folder: FolderOption = DEFAULT_FOLDER, dsn: AdminOption = None) -> None:
    """Give each role a new password, and write the logins anew. Services have to be told."""
    place = folder.expanduser()
    with administered(place, dsn) as admin:
        Logins(place).write(new_logins(admin))
    say(f"new logins are in {place}")


@app.command()
def reader(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    user: Annotated[list[str], typer.Option("--user", help="A user that it may read. Repeatable.")],
    folder: FolderOption = DEFAULT_FOLDER,
    dsn: AdminOption = None,
) -> None:
    """Make a login that reads what the gateway reads, of some users only.

    The database holds it to that. A second call replaces its password and users.
    """
    place = folder.expanduser()
    with administered(place, dsn, DATABASE) as admin:
        login = create_reader(admin, name, user)
    path = Logins(place).path(READER_PREFIX + name)
    write_private(path, login.encode(), replace=True)
    say(f"its login is in {path}")


@app.command()
def run(
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready.")
    ] = False,
) -> None:
    """Run the folder's own server until Ctrl-C or SIGTERM."""
    place = folder.expanduser()
    server = EmbeddedServer(place)
    if not server.exists:
        raise NotInitialised(
            f"there is no server of our own in {place}", remedy="`strongroom db init` makes one"
        )
    if server.alive():
        raise ServerFailed("it runs already", actual=str(place))
    stopped = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    # Before the start, so that a signal during it is not lost.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    process = server.start()
    try:
        if as_json:
            typer.echo(json.dumps({"ready": True, "folder": str(place)}))
        else:
            say(f"the database answers; its logins are in {place}")
        while not stopped and process.poll() is None:
            time.sleep(0.1)
    finally:
        server.stop(process)
    if not stopped:
        raise ServerFailed(
            "the database server ended by itself", remedy=f"see {place / 'server.log'}"
        )


def _tell(found: Condition) -> None:
    say(f"PostgreSQL {found.server}")
    for name in found.applied:
        say(f"  applied  {name}")
    for name in found.pending:
        say(f"  PENDING  {name}")
    if found.pending:
        say("it lacks migrations: strongroom db migrate")
    jobs = ", ".join(f"{count} {state.lower()}" for state, count in sorted(found.jobs.items()))
    say(f"jobs: {jobs or 'none'}")
    for account in found.paused:
        warn(f"{account} is paused after too many failures")
