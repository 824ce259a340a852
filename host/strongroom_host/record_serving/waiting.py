"""Why a synchronisation waits, in words for whoever asked for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
from strongroom_wire.proto import enclave_pb2 as pb
from strongroom_wire.proto import enclave_pb2_grpc

from strongroom_host.record_serving.listening import CallsAddress, calls_channel
from strongroom_host.record_store.asking import Standing, standings
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.failures import remedy, shown
from strongroom_host.record_store.queue import Limits

__all__ = ["SOCKET", "next_attempt", "why_it_waits"]

SOCKET: Final = "calls.sock"
"""Where a service answers calls, in the record's folder."""
_ANSWER_S: Final = 5.0


def why_it_waits(folder: Path, dsn: str, account: str) -> str:
    """Returns in a sentence what an account's synchronisation waits for, and what helps.

    Args:
        folder: Where the service has its socket.
        dsn: The login of the role `enclave`.
        account: It was connected.

    Raises:
        DatabaseUnavailable, DatabaseRefused: it cannot be asked.
    """
    with connect(dsn, "strongroom record") as connection:
        found = standings(connection, account)
    if not found:
        return "no such account was ever connected: `strongroom record connect`"
    [standing] = found
    if standing.state == "LEASED":
        if standing.silent:
            return "whoever had it is not heard of any more; it is given to the next who asks"
        return (
            f"an enclave has worked on it since {_time(standing.last_started_at)}; the first time"
            " takes as long as the venue needs to tell everything, and each time some seconds until"
            " the venue has booked what happened last"
        )
    if standing.state == "QUEUED" and standing.delayed:
        last = standing.job_failure
        why = f"; the last one: {shown(last)}; do: {remedy(last)}" if last else ""
        return f"{next_attempt(standing)}{why}"
    if (asks := _record_asks(folder)) is None:
        return (
            f"`strongroom record serve` does not answer in {folder}, and only through it an enclave"
            " gets work: start it, or name its folder with --record"
        )
    if not asks:
        return (
            "no enclave asks for work: it has to run with `host run --record`, with this account in"
            " its manifest, and under a permit (`strongroom permit`)"
        )
    return (
        "the enclave asks for work, and not for this account: four others go first, or it does not"
        " have the account (its manifest, or `strongroom record connect` in this log)"
    )


def next_attempt(standing: Standing) -> str:
    """Returns when an account is tried again, and how often it was."""
    if standing.paused:
        return f"given up until `strongroom record revive {standing.account}`"
    tried = f"attempt {standing.attempts} of {Limits().attempts}"
    when = standing.run_after if standing.state == "QUEUED" else standing.due_at
    return f"{tried}, the next one at {_time(when)}"


def _record_asks(folder: Path) -> bool | None:
    """Whether an enclave's record asks the service for work; None where no service answers."""
    if not (folder / SOCKET).exists():
        return None
    with calls_channel(CallsAddress(f"unix:{folder / SOCKET}")) as channel:
        try:
            health = enclave_pb2_grpc.EnclaveServiceStub(channel).HealthCheck(
                pb.HealthCheckRequest(), timeout=_ANSWER_S
            )
        except grpc.RpcError:
            return None
    return bool(health.enclave)


def _time(at: datetime | None) -> str:
    return "an unknown time" if at is None else at.astimezone(UTC).strftime("%H:%M:%S UTC, %d %b")
