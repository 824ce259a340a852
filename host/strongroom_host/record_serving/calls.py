"""The published calls, and following a synchronisation, over gRPC: from disclosed rows alone.

What a double cannot hold is beside it as text. A number that was not disclosed, or that no return
stands for, is NaN in the double and empty in the text: never 0, which would be an answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal
from threading import Semaphore
from typing import Final

import grpc
from strongroom_wire.proto import enclave_pb2 as pb
from strongroom_wire.proto import enclave_pb2_grpc as published
from strongroom_wire.proto import strongroom_pb2, strongroom_pb2_grpc

from strongroom_host.errors import BadInput, EnvironmentFault, HostError
from strongroom_host.record_serving.disclosed import MOST, Disclosed
from strongroom_host.record_serving.lending import Lending
from strongroom_host.record_serving.progress import Follower
from strongroom_host.record_store.asking import accounts_of
from strongroom_host.record_store.desk import Event, Stage
from strongroom_host.record_store.errors import AccountUnknown
from strongroom_host.record_store.failures import shown
from strongroom_host.record_store.rows import BalanceSnapshot, HourlyReturn, JobKind

__all__ = ["COMPLETENESS", "PublishedCalls", "RecordCalls", "Status", "Waiting"]

COMPLETENESS: Final = (
    "Of each account, as its venue's API answered, up to its last synchronisation: everything, or"
    " with its gaps named, as the receipt of each period says. Never that these are all accounts of"
    " their owner, nor that a period that is not here was 0. Believe none of this before its"
    " receipt was checked against the log (`strongroom record verify`)."
)
_LONGEST_WAIT_S: Final = 3600.0
_WAITING: Final = 12
"""Calls that may wait for a synchronisation at a time: each has a thread, and others need one."""
_MARGIN_S: Final = 0.25
"""How long before a call's deadline its answer is made."""
_NONE: Final = math.nan
_EXACT: Final = Context(prec=1000)
_KINDS: Final = {
    pb.INCREMENTAL: JobKind.INCREMENTAL,
    pb.HISTORICAL: JobKind.FULL,
    pb.FULL: JobKind.FULL,
}
_STARTS: Final = {
    strongroom_pb2.WatchSyncRequest.INCREMENTAL: JobKind.INCREMENTAL,
    strongroom_pb2.WatchSyncRequest.FULL: JobKind.FULL,
}
_ALL_TIME: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Status:
    """Whether synchronisations get done: `healthy`, and whether the enclave's record asks."""

    healthy: bool
    enclave: bool
    version: str
    uptime_s: float


class Waiting:
    """Holds those who wait for synchronisations to so many that others are still answered."""

    def __init__(self, most: int = _WAITING) -> None:
        self._places = Semaphore(most)

    @contextmanager
    def __call__(self, context: grpc.ServicerContext) -> Iterator[None]:
        """One place, for as long as the block lasts; the call is refused if there is none."""
        if not self._places.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many wait already: ask again")
        try:
            yield
        finally:
            self._places.release()


class PublishedCalls(published.EnclaveServiceServicer):
    """`enclave.EnclaveService` as first published, with exact text beside its doubles."""

    def __init__(
        self,
        disclosed: Disclosed,
        follower: Follower,
        lending: Lending,
        waiting: Waiting,
        status: Callable[[], Status],
    ) -> None:
        """`lending` is of the role `enclave`: whose accounts there are, and nothing else."""
        self._disclosed, self._follower = disclosed, follower
        self._lending, self._waiting, self._status = lending, waiting, status

    def ProcessSyncJob(  # noqa: N802  the contract's name
        self, request: pb.SyncJobRequest, context: grpc.ServicerContext
    ) -> pb.SyncJobResponse:
        """Synchronises a user's accounts at a venue, or all of them, and waits for the end.

        What is counted is what was disclosed since, so that counting tells nothing more. The record
        begins where the manifest says: dates of a request change nothing.
        """
        with _told(context), self._waiting(context):
            until = time.monotonic() + _patience(context)
            user, venue = request.user_uid, request.exchange
            accounts = self._accounts(user, venue)
            before = {each: self._disclosed.newest_leaf(user, each) for each in accounts}
            for account in accounts:
                self._follower.ask(account, _KINDS[request.type])
            problems = list(filter(None, (self._wait(account, until) for account in accounts)))
            counts = [self._disclosed.since(user, each, leaf) for each, leaf in before.items()]
            return pb.SyncJobResponse(
                success=not problems,
                user_uid=user,
                exchange=venue,
                synced=sum(trades for _, trades in counts),
                hourly_returns_generated=sum(periods for periods, _ in counts),
                latest_snapshot=_snapshot(self._disclosed.snapshot(user, accounts)),
                error="; ".join(problems),
                completeness=COMPLETENESS,
            )

    def CalculateHistoricalReturns(  # noqa: N802  the contract's name
        self, request: pb.HistoricalReturnsRequest, context: grpc.ServicerContext
    ) -> pb.HistoricalReturnsResponse:
        """Returns disclosed periods that begin in a span of ms since the epoch; an end of 0 is
        open."""
        with _told(context):
            rows = self._disclosed.returns(
                request.user_uid,
                request.exchange,
                request.start_date,
                request.end_date or _ALL_TIME,
            )
            if len(rows) > MOST:
                return pb.HistoricalReturnsResponse(
                    success=False, error=f"more than {MOST} periods: ask for a shorter span"
                )
            return pb.HistoricalReturnsResponse(
                success=True, returns=map(_period, rows), completeness=COMPLETENESS
            )

    def GetAggregatedMetrics(  # noqa: N802  the contract's name
        self, request: pb.AggregatedMetricsRequest, context: grpc.ServicerContext
    ) -> pb.AggregatedMetricsResponse:
        """Returns sums over what was disclosed of a user's accounts, if they are of one currency.

        Balance and equity are one: only equity is disclosed. `last_sync` is the end of the newest
        disclosed period: when else an account was looked at is no reader's business.
        """
        with _told(context):
            user = request.user_uid
            found = self._disclosed.totals(user, self._accounts(user, request.exchange))
            if not found:
                raise AccountUnknown("nothing was disclosed of such accounts")
            if len(found) > 1:
                named = ", ".join(each.currency for each in found)
                raise BadInput(
                    f"the accounts are kept in several currencies ({named}), which have no sum",
                    remedy="name one exchange",
                )
            [sums] = found
            return pb.AggregatedMetricsResponse(
                total_balance=_double(sums.equity),
                total_equity=_double(sums.equity),
                total_realized_pnl=_double(sums.realised),
                total_unrealized_pnl=_double(sums.unrealised),
                total_fees=_double(sums.fees),
                total_trades=sums.trades or 0,
                last_sync=sums.end_ms,
                total_equity_exact=_text(sums.equity),
                total_realized_pnl_exact=_text(sums.realised),
                total_unrealized_pnl_exact=_text(sums.unrealised),
                total_fees_exact=_text(sums.fees),
                total_trades_exact="" if sums.trades is None else str(sums.trades),
                currency=sums.currency,
                completeness=COMPLETENESS,
            )

    def HealthCheck(  # noqa: N802  the contract's name
        self, _request: pb.HealthCheckRequest, _context: grpc.ServicerContext
    ) -> pb.HealthCheckResponse:
        """Returns whether synchronisations get done here; `enclave` is whether its record asks."""
        status, answer = self._status(), pb.HealthCheckResponse
        return answer(
            status=answer.HEALTHY if status.healthy else answer.UNHEALTHY,
            enclave=status.enclave,
            version=status.version,
            uptime=status.uptime_s,
        )

    def _accounts(self, user: str, venue: str) -> list[str]:
        found = accounts_of(self._lending.connection(), user, venue)
        if not found:
            raise AccountUnknown("this user has connected no such account")
        return found

    def _wait(self, account: str, until: float) -> str:
        """Returns why an account is not synchronised, nothing if it is."""
        last: Event | None = None
        for last in self._follower.follow(account, max(0.0, until - time.monotonic())):
            if last.failure:
                return f"{account}: {last.stage.value}: {shown(last.failure)}"
        if last is not None and last.stage is Stage.DONE:
            return ""
        return f"{account}: not done by the deadline; follow it with WatchSync"


class RecordCalls(strongroom_pb2_grpc.RecordServicer):
    """`strongroom.v1.Record`: a synchronisation's stages as they are reached."""

    def __init__(self, follower: Follower, waiting: Waiting) -> None:
        self._follower, self._waiting = follower, waiting

    def WatchSync(  # noqa: N802  the contract's name
        self, request: strongroom_pb2.WatchSyncRequest, context: grpc.ServicerContext
    ) -> Iterator[strongroom_pb2.SyncStage]:
        """Asks for one first, if that is wanted; ends with it, or with the call's deadline."""
        with _told(context), self._waiting(context):
            start, patience = _STARTS.get(request.start), _patience(context)
            for event in self._follower.watch(request.account, patience, start):
                if not context.is_active():
                    return  # whoever waited has gone: his place is another's
                if event is None:
                    continue
                code, reason = divmod(max(event.failure, 0), 100)
                yield strongroom_pb2.SyncStage(
                    account=event.account, stage=event.stage.name, code=code, reason=reason
                )


@contextmanager
def _told(context: grpc.ServicerContext) -> Iterator[None]:
    """Ends the call with a status for what went wrong: our own words, nobody's data."""
    try:
        yield
    except AccountUnknown as error:
        context.abort(grpc.StatusCode.NOT_FOUND, error.what)
    except BadInput as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, error.what)
    except EnvironmentFault as error:
        context.abort(grpc.StatusCode.UNAVAILABLE, error.what)
    except HostError as error:
        context.abort(grpc.StatusCode.INTERNAL, error.what)


def _patience(context: grpc.ServicerContext) -> float:
    left: float | None = context.time_remaining()
    if left is None:  # there is none, whatever its type says
        return _LONGEST_WAIT_S
    return min(_LONGEST_WAIT_S, max(0.0, left - _MARGIN_S))


def _period(row: HourlyReturn) -> pb.HistoricalReturn:
    percent = None if row.value is None else row.value.scaleb(2, _EXACT)
    return pb.HistoricalReturn(
        period=datetime.fromtimestamp(row.start_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        net_return=_double(row.pnl),
        percentage_return=_double(percent),
        balance=_double(row.closing),
        net_return_exact=_text(row.pnl),
        percentage_return_exact=_text(percent),
        balance_exact=_text(row.closing),
        account=row.account,
        venue=row.venue,
        environment=row.environment,
        currency=row.currency,
        start_ms=str(row.start_ms),
        hours=str(row.hours),
        flags=str(row.flags),
        leaf_index=str(row.leaf_index),
    )


def _snapshot(row: BalanceSnapshot | None) -> pb.BalanceSnapshot | None:
    if row is None:
        return None
    return pb.BalanceSnapshot(
        balance=float(row.equity),
        equity=float(row.equity),
        timestamp=row.at_ms,
        equity_exact=_text(row.equity),
        currency=row.currency,
        account=row.account,
    )


def _double(number: Decimal | None) -> float:
    return _NONE if number is None else float(number)


def _text(number: Decimal | None) -> str:
    return "" if number is None else f"{number:f}"
