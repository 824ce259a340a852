"""Following a synchronisation from another process: through the service if it runs here, in all its
stages, else as far as the database says."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

import grpc
from strongroom_wire.proto import strongroom_pb2 as pb
from strongroom_wire.proto import strongroom_pb2_grpc

from strongroom_host.record_serving.listening import CallsAddress, calls_channel
from strongroom_host.record_serving.progress import Follower
from strongroom_host.record_serving.waiting import SOCKET
from strongroom_host.record_store.desk import Event, Stage
from strongroom_host.record_store.errors import AccountUnknown
from strongroom_host.record_store.failures import failure
from strongroom_host.record_store.rows import JobKind

__all__ = ["followed"]

_MOMENT_S: Final = 0.5
_STARTS: Final = {
    JobKind.FULL: pb.WatchSyncRequest.FULL,
    JobKind.INCREMENTAL: pb.WatchSyncRequest.INCREMENTAL,
}


def followed(
    folder: Path, dsn: str, account: str, kind: JobKind, timeout_s: float
) -> Iterator[Event | None]:
    """Asks for a synchronisation and yields its stages until it ended, or time is up; None whenever
    nothing came for a moment.

    `folder` is where the service has its socket, `dsn` the login of the role `enclave`.

    Raises:
        AccountUnknown: it was never connected.
        DatabaseUnavailable, DatabaseRefused: it cannot be asked for or followed.
    """
    if (folder / SOCKET).exists():
        request = pb.WatchSyncRequest(account=account, start=_STARTS[kind])
        with calls_channel(CallsAddress(f"unix:{folder / SOCKET}")) as channel:
            call = strongroom_pb2_grpc.RecordStub(channel).WatchSync(request, timeout=timeout_s)
            try:
                yield from _told(call, account)
                return
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    raise AccountUnknown(
                        f"no account {account} was ever connected",
                        remedy="connect it first: `strongroom record connect`",
                    ) from error
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    return  # time is up
            finally:
                call.cancel()
    # No service, or a socket that a crash left.
    yield from Follower(dsn).watch(account, timeout_s, kind)


def _told(call: Iterable[pb.SyncStage], account: str) -> Iterator[Event | None]:
    """What a call tells, which a thread waits for; its `RpcError` is raised here."""
    news = SimpleQueue[Event | grpc.RpcError | None]()

    def wait() -> None:
        try:
            for told in call:
                stage = Stage[pb.SyncStage.Stage.Name(told.stage)]
                news.put(Event(account, stage, failure(told.code, told.reason)))
            news.put(None)
        except grpc.RpcError as error:
            news.put(error)

    threading.Thread(target=wait, name="stages", daemon=True).start()
    while True:
        try:
            event = news.get(timeout=_MOMENT_S)
        except Empty:
            yield None
            continue
        if event is None:
            return
        if isinstance(event, grpc.RpcError):
            raise event
        yield event
