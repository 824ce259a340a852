"""The published calls over gRPC: a year of one account's hours in the database, one client.

Server and client are one process here, so that their work is in each figure as well. Jobs go
through the store port over as many connections as the row says, and nothing is done for them.
"""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

from strongroom_host.record_serving.listening import CallsAddress, calls_channel
from strongroom_host.record_serving.service import RecordPlan, record_service
from strongroom_host.record_serving.telling import OperatorLog
from strongroom_host.record_store.desk import Desk
from strongroom_host.record_store.port_serving import serving
from strongroom_host.record_store.publishing import publish
from strongroom_host.record_store.queue import JobQueue
from strongroom_host.record_store.rows import HourlyReturn, JobKind
from strongroom_wire.proto import enclave_pb2 as pb
from strongroom_wire.proto import enclave_pb2_grpc

from tests.host.record_serving.certificates import mutual
from tests.host.record_serving.pages import RECORD_ORIGIN, source_of
from tests.host.record_serving.recording import FakeRecord
from tests.host.record_store.content import KEYS, add_account, period
from tests.host.record_store.databases import Database, Server, server

__all__ = ["rows"]

_CALLS: Final = 400
_HOURS: Final = 8_760
_JOBS: Final = 400
_GOAL_MS: Final = 5.0
_HOUR_MS: Final = 3_600_000


def rows() -> list[dict[str, Any]]:
    """Measure on a fresh server."""
    with server() as postgres:
        return [*_calls(postgres), *(_jobs(postgres, workers) for workers in (1, 2, 4))]


def _calls(postgres: Server) -> Iterator[dict[str, Any]]:
    database = postgres.fresh()
    with database.as_enclave() as connection:
        add_account(connection, "ada", "ada", KEYS["ada"])
        publish(connection, [_exact(hour) for hour in range(_HOURS)])
    with TemporaryDirectory() as folder, ExitStack() as stack:
        for name, address, client in _addresses(Path(folder)):
            calls = stack.enter_context(_served(database, Path(folder), address, client))
            for what, ask in _asked(calls):
                yield _p95(f"{what}, {name}, p95", ask)
            stack.close()


def _asked(
    calls: enclave_pb2_grpc.EnclaveServiceStub,
) -> list[tuple[str, Callable[[], object]]]:
    day = pb.HistoricalReturnsRequest(
        user_uid="ada", start_date=(_HOURS - 24) * _HOUR_MS, end_date=_HOURS * _HOUR_MS
    )
    sums = pb.AggregatedMetricsRequest(user_uid="ada")
    return [
        ("health", lambda: calls.HealthCheck(pb.HealthCheckRequest())),
        ("a day of returns", lambda: calls.CalculateHistoricalReturns(day)),
        ("sums over a year", lambda: calls.GetAggregatedMetrics(sums)),
    ]


def _p95(name: str, ask: Callable[[], object]) -> dict[str, Any]:
    for _ in range(20):
        ask()
    times = []
    for _ in range(_CALLS):
        started = perf_counter()
        ask()
        times.append((perf_counter() - started) * 1000)
    times.sort()
    value = round(times[int(_CALLS * 0.95)], 2)
    return {
        "name": name,
        "unit": "ms",
        "value": value,
        "p50": round(times[_CALLS // 2], 2),
        "peer": "goal",
        "peer_value": _GOAL_MS,
        "ratio": round(_GOAL_MS / value, 2),
    }


def _addresses(folder: Path) -> Iterator[tuple[str, CallsAddress, CallsAddress | None]]:
    yield "Unix socket", CallsAddress(f"unix:{folder / 'calls.sock'}"), None
    service, client = mutual(folder)
    yield "mutual TLS", service, client


@contextmanager
def _served(
    database: Database, folder: Path, address: CallsAddress, client: CallsAddress | None
) -> Iterator[enclave_pb2_grpc.EnclaveServiceStub]:
    plan = RecordPlan(
        dsn=database.enclave,
        disclosed_dsn=database.gateway,
        log=folder / "log",
        origin=RECORD_ORIGIN,
        vouched=lambda: source_of(1),
        port=("127.0.0.1", 0),
        calls=address,
    )
    with record_service(plan, OperatorLog(io.StringIO())) as service:
        reached = (
            address if client is None else replace(client, target=f"localhost:{service.calls}")
        )
        with calls_channel(reached) as channel:
            yield enclave_pb2_grpc.EnclaveServiceStub(channel)


def _exact(hour: int) -> HourlyReturn:
    money = Decimal("1.000000000000000001")
    return replace(
        period("ada", "ada", hour),
        opening=money,
        flows=money,
        pnl=money,
        realised=money,
        unrealised=money,
        fees=money,
        funding=money,
        trades=3,
        mark_age_ms=0,
    )


def _jobs(postgres: Server, workers: int) -> dict[str, Any]:
    database = postgres.fresh()
    with database.as_enclave() as connection, connection.transaction():
        queue = JobQueue(connection, "bench")
        for number in range(_JOBS):
            add_account(connection, f"a{number}", "ada", KEYS["ada"])
            queue.enqueue(f"a{number}", JobKind.INCREMENTAL)
    names = [b"a%d" % number for number in range(_JOBS)]
    with serving(database.enclave, desk=Desk(wait_s=0.1)) as where:
        done: list[int] = []

        def work() -> None:
            with FakeRecord(where).connection() as port:
                count = 0
                while found := port.job(*names):
                    port.ended(found[0])
                    count += 1
                done.append(count)

        threads = [threading.Thread(target=work) for _ in range(workers)]
        started = perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = perf_counter() - started - 0.1
    if sum(done) != _JOBS:
        raise AssertionError(done)
    name = f"jobs through the store port, {workers} connection{'s' if workers > 1 else ''}"
    return {"name": name, "unit": "jobs/s", "value": round(_JOBS / seconds)}
