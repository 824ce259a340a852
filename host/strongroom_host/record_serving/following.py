"""Following a synchronisation from another process: through the service if it runs here, in all its
stages, else as far as the database says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import grpc
from strongroom_wire.proto import strongroom_pb2 as pb
from strongroom_wire.proto import strongroom_pb2_grpc

from strongroom_host.record_serving.listening import CallsAddress, calls_channel
from strongroom_host.record_serving.progress import Follower
from strongroom_host.record_store.desk import Event, Stage
from strongroom_host.record_store.errors import AccountUnknown
from strongroom_host.record_store.failures import failure
from strongroom_host.record_store.rows import JobKind

__all__ = ["SOCKET", "followed"]

SOCKET: Final = "calls.sock"
"""In the record's folder."""
_STARTS: Final = {
    JobKind.FULL: pb.WatchSyncRequest.FULL,
    JobKind.INCREMENTAL: pb.WatchSyncRequest.INCREMENTAL,
}


def followed(
    folder: Path, dsn: str, account: str, kind: JobKind, timeout_s: float
) -> Iterator[Event]:
    """Asks for a synchronisation and yields its stages until it ended, or time is up.

    `folder` is where the service has its socket, `dsn` the login of the role `enclave`.

    Raises:
        AccountUnknown: it was never connected.
        DatabaseUnavailable, DatabaseRefused: it cannot be asked for or followed.
    """
    if not (folder / SOCKET).exists():
        yield from Follower(dsn).follow(account, timeout_s, kind)
        return
    request = pb.WatchSyncRequest(account=account, start=_STARTS[kind])
    with calls_channel(CallsAddress(f"unix:{folder / SOCKET}")) as channel:
        stub = strongroom_pb2_grpc.RecordStub(channel)
        try:
            for told in stub.WatchSync(request, timeout=timeout_s):
                stage = Stage[pb.SyncStage.Stage.Name(told.stage)]
                yield Event(account, stage, failure(told.code, told.reason))
            return
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise AccountUnknown(f"no account {account} was ever connected") from error
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                return  # time is up
    yield from Follower(dsn).follow(account, timeout_s, kind)  # a socket that a crash left
