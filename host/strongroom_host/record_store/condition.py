"""How a database is: what it has had of the migrations, and what waits in its queue."""

from dataclasses import dataclass

from strongroom_host.record_store.connecting import Connection, transaction
from strongroom_host.record_store.migrations import Migration, standing

__all__ = ["Condition", "condition"]


@dataclass(frozen=True, slots=True)
class Condition:
    """The server's version, migrations by name, jobs by state, and accounts given up for now."""

    server: str
    applied: tuple[str, ...]
    pending: tuple[str, ...]
    jobs: dict[str, int]
    paused: tuple[str, ...]


def condition(connection: Connection, steps: tuple[Migration, ...]) -> Condition:
    """Returns how a database is, as the role `migrate`.

    Raises:
        StoreError: see `standing`.
    """
    found = standing(connection, steps)
    with transaction(connection):
        shown = connection.execute("SHOW server_version").fetchone()
        server = str(shown[0]) if shown else ""
        names = tuple(step.name for step in found.pending)
        if names:  # its tables may not be there yet
            return Condition(server, found.applied, names, {}, ())
        jobs = connection.execute("SELECT state::text, count(*) FROM sync_jobs GROUP BY state")
        states = {str(state): int(number) for state, number in jobs}
        paused = connection.execute("SELECT account FROM sync_statuses WHERE paused ORDER BY 1")
        return Condition(server, found.applied, (), states, tuple(str(row[0]) for row in paused))
