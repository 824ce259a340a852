"""The published calls and WatchSync over real gRPC, from a database that a record filled."""

import io
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import msgspec
import pytest
from strongroom_host.errors import BadInput
from strongroom_host.private_files import FileExposed
from strongroom_host.record_serving import calls as calls_module
from strongroom_host.record_serving.listening import CallsAddress, calls_channel
from strongroom_host.record_serving.service import (
    PortTaken,
    RecordPlan,
    RecordService,
    record_service,
)
from strongroom_host.record_serving.telling import OperatorLog
from strongroom_wire.proto import enclave_pb2 as pb
from strongroom_wire.proto import enclave_pb2_grpc, strongroom_pb2, strongroom_pb2_grpc

from tests.host.record_serving.certificates import client_certificate, mutual
from tests.host.record_serving.pages import RECORD_ORIGIN, source_of
from tests.host.record_serving.recording import FIRST_HOUR, HOUR_MS, FakeRecord, hour
from tests.host.record_store.databases import Database
from tests.host.record_store.speaking import Record


@dataclass
class World:
    service: RecordService
    record: FakeRecord
    address: CallsAddress
    calls: enclave_pb2_grpc.EnclaveServiceStub
    watching: strongroom_pb2_grpc.RecordStub
    told: io.StringIO
    database: Database

    @contextmanager
    def works(self, *, code: int = 0, syncs: int = 1, hours: int = 2) -> Iterator[None]:
        """A record that does so many jobs meanwhile."""

        def work() -> None:
            with self.record.connection() as port:
                for _ in range(syncs):
                    found: list[bytes] = []
                    while not found:
                        found = port.job(b"ada", b"bob")
                    account = found[0].decode()
                    if code == 0:
                        end = self.record.ends[account] - FIRST_HOUR
                        rows = [hour(end + at) for at in range(hours)]
                        self.record.sync(port, account, rows)
                    port.ended(found[0], code)

        thread = threading.Thread(target=work)
        thread.start()
        yield
        thread.join(30)


def plan_of(database: Database, folder: Path, calls: CallsAddress) -> RecordPlan:
    return RecordPlan(
        dsn=database.enclave,
        disclosed_dsn=database.gateway,
        log=folder / "log",
        origin=RECORD_ORIGIN,
        vouched=lambda: source_of(1),
        port=("127.0.0.1", 0),
        calls=calls,
    )


@contextmanager
def running(database: Database, folder: Path) -> Iterator[World]:
    address = CallsAddress(f"unix:{folder / 'calls.sock'}")
    told = io.StringIO()
    with ExitStack() as stack:
        plan = plan_of(database, folder, address)
        service = stack.enter_context(record_service(plan, OperatorLog(told)))
        channel = stack.enter_context(calls_channel(address))
        calls = enclave_pb2_grpc.EnclaveServiceStub(channel)
        watching = strongroom_pb2_grpc.RecordStub(channel)
        yield World(service, FakeRecord(service.port), address, calls, watching, told, database)


@pytest.fixture
def world(database: Database, tmp_path: Path) -> Iterator[World]:
    with running(database, tmp_path) as world:
        with world.record.connection() as port:
            world.record.boot(port)
            world.record.connect(port, "ada")
            _first_job(port, "ada")
        yield world


def _first_job(port: Record, account: str) -> None:
    """What was connected is synchronised at once: that is not what these tests ask for."""
    assert port.job(account.encode())
    assert port.ended(account.encode()) == 0


def synced(world: World, account: str, hours: int, *, exact: bool = True) -> None:
    with world.record.connection() as port:
        first = world.record.ends[account] - FIRST_HOUR
        rows = [hour(first + at, exact=exact) for at in range(hours)]
        world.record.sync(port, account, rows)


def test_a_synchronisation_is_asked_for_and_awaited(world: World) -> None:
    with world.works(hours=3):
        answer = world.calls.ProcessSyncJob(
            pb.SyncJobRequest(user_uid="user", exchange="binance", type=pb.FULL), timeout=20
        )
    assert (answer.success, answer.error) == (True, "")
    assert (answer.user_uid, answer.exchange) == ("user", "binance")
    assert (answer.synced, answer.hourly_returns_generated) == (9, 3)
    assert answer.latest_snapshot.equity_exact == "1000.000000000000000001"
    assert answer.latest_snapshot.timestamp == (FIRST_HOUR + 3) * HOUR_MS
    assert "Never that these are all accounts" in answer.completeness


def test_counts_are_of_what_was_disclosed(world: World) -> None:
    """Under a tier that shows no trades the answer shows none either."""

    def work() -> None:
        with world.record.connection() as port:
            while not port.job(b"ada"):
                pass
            world.record.sync(port, "ada", [hour(0, exact=False)])
            port.ended(b"ada")

    thread = threading.Thread(target=work)
    thread.start()
    answer = world.calls.ProcessSyncJob(pb.SyncJobRequest(user_uid="user"), timeout=20)
    thread.join()
    assert (answer.synced, answer.hourly_returns_generated) == (0, 1)


def test_a_failure_is_told_by_its_code(world: World) -> None:
    with world.works(code=403):
        answer = world.calls.ProcessSyncJob(pb.SyncJobRequest(user_uid="user"), timeout=20)
    assert not answer.success
    assert "more than read" in answer.error
    assert '"level": "error"' in world.told.getvalue()


def test_whoever_waits_is_answered_before_his_deadline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_module, "_MARGIN_S", 20.0)  # a busy machine is not to miss it
    answer = world.calls.ProcessSyncJob(pb.SyncJobRequest(user_uid="user"), timeout=21)
    assert not answer.success
    assert "not done by the deadline" in answer.error


def test_stages_are_told_as_they_are_reached(world: World) -> None:
    request = strongroom_pb2.WatchSyncRequest(
        account="ada", start=strongroom_pb2.WatchSyncRequest.INCREMENTAL
    )
    with world.works():
        names = [
            strongroom_pb2.SyncStage.Stage.Name(each.stage)
            for each in world.watching.WatchSync(request, timeout=20)
        ]
    work = ["STARTED", "READING", "COMMITTING", "PUBLISHING", "COMMITTING"]
    assert names == ["QUEUED", *work, "DONE"]
    again = list(world.watching.WatchSync(strongroom_pb2.WatchSyncRequest(account="ada")))
    assert [each.stage for each in again] == [strongroom_pb2.SyncStage.DONE]


def test_what_is_asked_for_while_one_runs_is_waited_for(world: World) -> None:
    request = strongroom_pb2.WatchSyncRequest(
        account="ada", start=strongroom_pb2.WatchSyncRequest.FULL
    )
    with world.record.connection() as port:
        world.calls.ProcessSyncJob(pb.SyncJobRequest(user_uid="user"), timeout=0.5)
        assert port.job(b"ada") == [b"ada", b"INCREMENTAL"]
        told: list[int] = []

        def watch() -> None:
            told.extend(each.stage for each in world.watching.WatchSync(request, timeout=20))

        watching = threading.Thread(target=watch)
        watching.start()
        while not _asked_again(world):
            time.sleep(0.05)
        port.ended(b"ada")
        assert port.job(b"ada") == [b"ada", b"FULL"]
        assert watching.is_alive(), "the first one's end is not that of what was asked for"
        port.ended(b"ada")
        watching.join(20)
    assert told[-1] == strongroom_pb2.SyncStage.DONE


def _asked_again(world: World) -> bool:
    with world.database.as_admin() as admin:
        found = admin.execute("SELECT again FROM sync_jobs ORDER BY id DESC LIMIT 1").fetchone()
    return found is not None and found[0] is not None


def test_returns_have_their_exact_text(world: World) -> None:
    synced(world, "ada", 3)
    with world.record.connection() as port:
        world.record.sync(port, "ada", [hour(3, None), hour(4, exact=False)])
    asked = pb.HistoricalReturnsRequest(user_uid="user", exchange="binance")
    answer = world.calls.CalculateHistoricalReturns(asked)
    assert answer.success
    assert len(answer.returns) == 5
    first, flagged, withheld = answer.returns[0], answer.returns[3], answer.returns[4]
    assert first.percentage_return == 1.0
    assert first.percentage_return_exact == "1.0000000000"
    assert first.net_return_exact == "10.000000000000000003"
    assert first.balance_exact == "1000.000000000000000001"
    assert first.start_ms == str(FIRST_HOUR * HOUR_MS)
    assert first.environment == "test"
    assert first.period.endswith(":00:00Z")
    assert math.isnan(flagged.percentage_return)
    assert (flagged.percentage_return_exact, flagged.flags) == ("", "1")
    assert math.isnan(withheld.net_return)
    assert withheld.net_return_exact == ""
    asked.start_date, asked.end_date = (FIRST_HOUR + 1) * HOUR_MS, (FIRST_HOUR + 3) * HOUR_MS
    assert len(world.calls.CalculateHistoricalReturns(asked).returns) == 2
    asked.exchange = "kraken"
    assert len(world.calls.CalculateHistoricalReturns(asked).returns) == 0


def test_nobody_else_s_returns_are_there(world: World) -> None:
    synced(world, "ada", 3)
    for user in ("*", "", "user,other", "other"):
        found = world.calls.CalculateHistoricalReturns(pb.HistoricalReturnsRequest(user_uid=user))
        assert len(found.returns) == 0, user
        with pytest.raises(grpc.RpcError) as caught:
            world.calls.GetAggregatedMetrics(pb.AggregatedMetricsRequest(user_uid=user))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_sums_are_of_what_was_disclosed(world: World) -> None:
    synced(world, "ada", 2)
    with world.record.connection() as port:
        world.record.connect(port, "bob")
        _first_job(port, "bob")
        world.record.sync(port, "bob", [hour(0)])
    answer = world.calls.GetAggregatedMetrics(pb.AggregatedMetricsRequest(user_uid="user"))
    assert answer.total_equity_exact == "2000.000000000000000002"
    assert answer.total_balance == answer.total_equity == 2000.0
    assert answer.total_realized_pnl_exact == "30.000000000000000009"
    assert answer.total_unrealized_pnl_exact == "20.000000000000000006"
    assert answer.total_fees_exact == "3.000000000000000000"
    assert (answer.total_trades, answer.total_trades_exact) == (9, "9")
    assert answer.last_sync == (FIRST_HOUR + 2) * HOUR_MS
    assert answer.currency == "USDT"
    synced(world, "ada", 1)
    again = world.calls.GetAggregatedMetrics(pb.AggregatedMetricsRequest(user_uid="user"))
    assert again.total_realized_pnl_exact == "40.000000000000000012"
    assert again.total_trades == 12
    assert again == world.calls.GetAggregatedMetrics(pb.AggregatedMetricsRequest(user_uid="user"))


def test_sums_lose_no_digit(world: World) -> None:
    large = "123456789012345678901234567890.000000000000000001"
    with world.record.connection() as port:
        for _ in range(2):
            at = world.record.ends["ada"] - FIRST_HOUR
            row = hour(at)
            assert row.exact is not None
            details = (*row.exact[:3], large, *row.exact[4:])
            world.record.sync(port, "ada", [msgspec.structs.replace(row, exact=details)])
            answer = world.calls.GetAggregatedMetrics(pb.AggregatedMetricsRequest(user_uid="user"))
    assert answer.total_realized_pnl_exact == "246913578024691357802469135780.000000000000000002"


def test_what_was_not_disclosed_is_no_zero(world: World) -> None:
    synced(world, "ada", 2, exact=False)
    answer = world.calls.GetAggregatedMetrics(pb.AggregatedMetricsRequest(user_uid="user"))
    assert math.isnan(answer.total_realized_pnl)
    assert math.isnan(answer.total_fees)
    assert (answer.total_realized_pnl_exact, answer.total_trades_exact) == ("", "")
    assert answer.total_equity_exact == "1000.000000000000000001"


def test_a_sum_of_some_is_not_taken_for_all(world: World) -> None:
    synced(world, "ada", 1)
    with world.record.connection() as port:
        world.record.connect(port, "bob")
        _first_job(port, "bob")
        withheld = msgspec.structs.replace(hour(0, exact=False), closing=None)
        world.record.sync(port, "bob", [withheld])
    answer = world.calls.GetAggregatedMetrics(pb.AggregatedMetricsRequest(user_uid="user"))
    assert math.isnan(answer.total_equity)
    assert answer.total_equity_exact == ""
    assert answer.total_realized_pnl_exact == "10.000000000000000003"


def test_unknown_users_and_accounts_are_told(world: World) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        world.calls.ProcessSyncJob(pb.SyncJobRequest(user_uid="nobody"), timeout=20)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as caught:
        list(world.watching.WatchSync(strongroom_pb2.WatchSyncRequest(account="x"), timeout=20))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_is_whether_the_record_asks(database: Database, tmp_path: Path) -> None:
    with running(database, tmp_path) as world:
        before = world.calls.HealthCheck(pb.HealthCheckRequest())
        assert (before.status, before.enclave) == (pb.HealthCheckResponse.UNHEALTHY, False)
        with world.record.connection() as port:
            world.record.boot(port)
            world.record.connect(port, "ada")
            _first_job(port, "ada")
        after = world.calls.HealthCheck(pb.HealthCheckRequest())
        assert (after.status, after.enclave) == (pb.HealthCheckResponse.HEALTHY, True)
        text = world.service.metrics()
        assert "strongroom_record_healthy 1" in text
        assert "strongroom_record_log_leaves 2" in text
        assert 'strongroom_record_jobs_total{stage="done"} 1' in text


def test_the_operator_is_told_in_lines_without_numbers(world: World) -> None:
    with world.works():
        world.calls.ProcessSyncJob(pb.SyncJobRequest(user_uid="user"), timeout=20)
    lines = [json.loads(line) for line in world.told.getvalue().splitlines()]
    assert {line["stage"] for line in lines} >= {"started", "committing", "publishing", "done"}
    for line in lines:
        assert set(line) <= {"at", "level", "event", "account", "stage"}


def test_a_socket_in_use_is_told(database: Database, tmp_path: Path) -> None:
    with running(database, tmp_path) as world:
        taken = replace(
            plan_of(database, tmp_path / "other", world.address), port=world.service.port
        )
        with pytest.raises(PortTaken), record_service(taken, OperatorLog(io.StringIO())):
            pass


def test_over_the_network_it_takes_mutual_tls() -> None:
    with pytest.raises(BadInput, match="mutual TLS"):
        CallsAddress("127.0.0.1:0")
    with pytest.raises(BadInput, match="mutual TLS"):
        CallsAddress("127.0.0.1:0", Path("chain"), Path("key"))
    with pytest.raises(BadInput, match="no TLS"):
        CallsAddress("unix:/x", Path("chain"), Path("key"), Path("ca"))


def test_only_whoever_holds_a_known_certificate_calls(database: Database, tmp_path: Path) -> None:
    server, client = mutual(tmp_path)
    chain, key = client_certificate(tmp_path, "stranger")
    stranger = replace(client, certificate=chain, key=key)
    plan = plan_of(database, tmp_path, server)
    with record_service(plan, OperatorLog(io.StringIO())) as service:
        target = f"localhost:{service.calls}"
        with calls_channel(replace(client, target=target)) as channel:
            stub = enclave_pb2_grpc.EnclaveServiceStub(channel)
            assert stub.HealthCheck(pb.HealthCheckRequest(), timeout=30).version
        with calls_channel(replace(stranger, target=target)) as channel:
            stub = enclave_pb2_grpc.EnclaveServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.HealthCheck(pb.HealthCheckRequest(), timeout=3)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        with grpc.insecure_channel(target) as channel:
            stub = enclave_pb2_grpc.EnclaveServiceStub(channel)
            with pytest.raises(grpc.RpcError):
                stub.HealthCheck(pb.HealthCheckRequest(), timeout=3)


def test_its_key_is_its_own(tmp_path: Path) -> None:
    server, _ = mutual(tmp_path)
    assert server.key is not None
    server.key.chmod(0o644)
    with pytest.raises(FileExposed):
        server.server()


def test_those_who_wait_leave_room_for_others(world: World) -> None:
    request = strongroom_pb2.WatchSyncRequest(
        account="ada", start=strongroom_pb2.WatchSyncRequest.INCREMENTAL
    )
    waiting = [world.watching.WatchSync(request, timeout=20) for _ in range(30)]
    codes = Counter[grpc.StatusCode]()

    def end(call: grpc.Call) -> None:
        try:
            list(call)  # type: ignore[call-overload]
        except grpc.RpcError as error:
            codes[error.code()] += 1

    threads = [threading.Thread(target=end, args=(call,)) for call in waiting]
    for thread in threads:
        thread.start()
    for _ in range(600):
        if codes[grpc.StatusCode.RESOURCE_EXHAUSTED] == 18:
            break
        time.sleep(0.05)
    assert codes == {grpc.StatusCode.RESOURCE_EXHAUSTED: 18}
    assert world.calls.HealthCheck(pb.HealthCheckRequest(), timeout=30).version
    with world.works():
        for thread in threads:
            thread.join(20)
    again = world.watching.WatchSync(strongroom_pb2.WatchSyncRequest(account="ada"), timeout=30)
    assert [each.stage for each in again] == [strongroom_pb2.SyncStage.DONE]


def test_it_ends_in_order(database: Database, tmp_path: Path) -> None:
    started = time.monotonic()
    with running(database, tmp_path) as world, world.record.connection() as port:
        world.record.boot(port)
        port.send(b"job", b"ada")
    assert time.monotonic() - started < 15


def test_whoever_goes_away_leaves_his_place(world: World) -> None:
    """Nobody comes for the job, so nothing is ever told to those who wait."""
    request = strongroom_pb2.WatchSyncRequest(
        account="ada", start=strongroom_pb2.WatchSyncRequest.INCREMENTAL
    )
    calls = [world.watching.WatchSync(request, timeout=60) for _ in range(12)]
    for call in calls:
        assert next(call).stage == strongroom_pb2.SyncStage.QUEUED
    assert not _has_room(world, request)
    for call in calls:
        call.cancel()
    until = time.monotonic() + 60
    while not _has_room(world, request):
        assert time.monotonic() < until, "places are kept for those who have gone"
        time.sleep(0.1)


def _has_room(world: World, request: strongroom_pb2.WatchSyncRequest) -> bool:
    try:
        next(world.watching.WatchSync(request, timeout=60))
    except grpc.RpcError:
        return False
    return True
