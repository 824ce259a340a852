"""The record's log as it was received: leaves in order and signed heads, for boots and proofs."""

from collections.abc import Sequence

from strongroom_host.record_store.connecting import Connection, guarded, transaction
from strongroom_host.record_store.errors import RowsConflict, RowsLeaveGap

__all__ = ["get_leaves", "leaf_count", "newest_head", "put_head", "put_leaves"]


def put_leaves(connection: Connection, origin: str, first: int, leaves: Sequence[bytes]) -> int:
    """Stores leaves from the index `first` on; returns the log's size then.

    Raises:
        RowsConflict: other bytes have one of these indices already.
        RowsLeaveGap: `first` is beyond the end.
    """
    with transaction(connection):
        # One writer per log at a time; the number is any that others are not likely to use.
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 5))", [origin])
        size = leaf_count(connection, origin)
        if first < 0 or first > size:
            raise RowsLeaveGap(f"leaves of {origin} would leave a gap", expected=size, actual=first)
        known = get_leaves(connection, origin, first, len(leaves))
        if known != list(leaves[: len(known)]):
            raise RowsConflict(f"other leaves of {origin} are stored from {first} on")
        with connection.cursor().copy('COPY log_leaves (origin, "index", leaf) FROM STDIN') as copy:
            for index, leaf in enumerate(leaves[len(known) :], size):
                copy.write_row((origin, index, leaf))
        return max(size, first + len(leaves))


def get_leaves(connection: Connection, origin: str, first: int, count: int) -> list[bytes]:
    """Returns up to `count` leaves, from the index `first` on, in order."""
    with guarded(connection):
        found = connection.execute(
            'SELECT leaf FROM log_leaves WHERE origin = %s AND "index" >= %s'
            ' ORDER BY "index" LIMIT %s',
            [origin, first, max(count, 0)],
        )
        return [bytes(leaf) for (leaf,) in found]


def leaf_count(connection: Connection, origin: str) -> int:
    """Returns the log's size."""
    with guarded(connection):
        found = connection.execute(
            'SELECT coalesce(max("index") + 1, 0) FROM log_leaves WHERE origin = %s', [origin]
        ).fetchone()
    return 0 if found is None else int(found[0])


def put_head(connection: Connection, origin: str, size: int, note: bytes) -> None:
    """Stores a signed head; the first one of a size is kept."""
    with guarded(connection):
        connection.execute(
            "INSERT INTO log_heads (origin, size, note) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [origin, size, note],
        )


def newest_head(connection: Connection, origin: str) -> tuple[int, bytes] | None:
    """Returns size and note of the largest head, None where there is none."""
    with guarded(connection):
        found = connection.execute(
            "SELECT size, note FROM log_heads WHERE origin = %s ORDER BY size DESC LIMIT 1",
            [origin],
        ).fetchone()
    return None if found is None else (int(found[0]), bytes(found[1]))
