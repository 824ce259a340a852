"""The record's database: jobs through the queue, rows in and out, a year published and read.

A server of our own without fsync, on the machine that measures, so these are the costs of
statements and locks and not of a disk. Each worker is a process.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from time import perf_counter
from typing import Any

from psycopg.rows import class_row
from strongroom_host.record_store.connecting import connect, statement
from strongroom_host.record_store.publishing import publish, see_users
from strongroom_host.record_store.queue import JobQueue
from strongroom_host.record_store.rows import HourlyReturn, JobKind
from strongroom_host.record_store.store import RecordStore, RowTable, SealedRow

from tests.host.record_store.content import KEYS, add_account, period
from tests.host.record_store.databases import Database, Server, server

__all__ = ["rows"]

_JOBS = 1_000
_ROWS = 100_000
_BATCH = 1_000
_HOURS = 8_760


def rows() -> list[dict[str, Any]]:
    """Measure on a fresh server."""
    with server() as postgres:
        jobs = [_jobs(postgres, workers) for workers in (1, 2, 4)]
        database = postgres.fresh()
        with database.as_enclave() as connection:
            add_account(connection, "ada-spot", "ada", KEYS["ada"])
        return [*jobs, *_sealed(database), *_year(database)]


def _jobs(postgres: Server, workers: int) -> dict[str, Any]:
    database = postgres.fresh()
    with database.as_enclave() as connection, connection.transaction():
        queue = JobQueue(connection, "bench")
        for number in range(_JOBS):
            add_account(connection, f"a{number}", "ada", KEYS["ada"])
            queue.enqueue(f"a{number}", JobKind.INCREMENTAL)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        list(pool.map(_nothing, range(workers * 4)))  # started, and everything imported
        started = perf_counter()
        done = sum(pool.map(_drain, [database.enclave] * workers))
        seconds = perf_counter() - started
    if done != _JOBS:
        raise AssertionError(done)
    name = f"jobs claimed and done, {workers} worker{'s' if workers > 1 else ''}"
    return {"name": name, "unit": "jobs/s", "value": round(_JOBS / seconds)}


def _nothing(_number: int) -> int:
    return os.getpid()


def _drain(dsn: str) -> int:
    done = 0
    with connect(dsn, "bench") as connection:
        queue = JobQueue(connection, f"bench {os.getpid()}")
        while (lease := queue.claim()) is not None:
            queue.done(lease)
            done += 1
    return done


def _sealed(database: Database) -> Iterator[dict[str, Any]]:
    sealed = [
        SealedRow(number.to_bytes(32, "big"), KEYS["ada"], bytes(12), bytes(160))
        for number in range(_ROWS)
    ]
    with database.as_enclave() as connection:
        store = RecordStore(connection)
        started = perf_counter()
        for first in range(0, _ROWS, _BATCH):
            store.put(RowTable.TRADES, "ada-spot", first, sealed[first : first + _BATCH])
        put = _ROWS / (perf_counter() - started)
        yield {"name": "encrypted rows put, by 1,000", "unit": "rows/s", "value": round(put)}
        started = perf_counter()
        found = 0
        for first in range(0, _ROWS, _BATCH):
            found += len(store.get(RowTable.TRADES, "ada-spot", first, _BATCH))
        got = found / (perf_counter() - started)
        yield {"name": "encrypted rows got, by 1,000", "unit": "rows/s", "value": round(got)}


def _year(database: Database) -> Iterator[dict[str, Any]]:
    one = replace(period("ada-spot", "ada", 0), encoded=bytes(120), receipt=bytes(300))
    year = [replace(one, start_ms=hour * 3_600_000, position=hour) for hour in range(_HOURS)]
    with database.as_enclave() as connection:
        started = perf_counter()
        publish(connection, year)
        seconds = perf_counter() - started
        yield {"name": "a year of hours published", "unit": "s", "value": round(seconds, 3)}
    with database.as_gateway() as connection, connection.transaction():
        see_users(connection, ["ada"])
        with connection.cursor(row_factory=class_row(HourlyReturn)) as cursor:
            started = perf_counter()
            text = statement(f"{HourlyReturn.SELECT} WHERE account = 'ada-spot' ORDER BY start_ms")
            found = len(cursor.execute(text).fetchall())
            seconds = perf_counter() - started
        if found != _HOURS:
            raise AssertionError(found)
        yield {"name": "and read by the gateway", "unit": "s", "value": round(seconds, 3)}
