"""The host's side of one enclave's track record, all of it together, until it is told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from strongroom_host.errors import EnvironmentFault
from strongroom_host.log.keeper import Source
from strongroom_host.record_serving.calls import PublishedCalls, RecordCalls, Status, Waiting
from strongroom_host.record_serving.disclosed import Disclosed
from strongroom_host.record_serving.kept_log import KeptLog
from strongroom_host.record_serving.lending import Lending
from strongroom_host.record_serving.listening import CallsAddress, serving_calls
from strongroom_host.record_serving.progress import Follower
from strongroom_host.record_serving.telling import OperatorLog, exposition
from strongroom_host.record_store.connecting import connect, guarded
from strongroom_host.record_store.desk import Desk
from strongroom_host.record_store.errors import StoreError
from strongroom_host.record_store.port_serving import Address, serving

__all__ = ["PortTaken", "RecordPlan", "RecordService", "record_service"]

_HEARD_S: Final = 90.0
"""A record that has not asked for a job in so long is not there: it asks every 20 s."""


class PortTaken(EnvironmentFault):
    """Something else listens where the store port should."""


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """What to serve, and where.

    Attributes:
        dsn: How the role `enclave` logs in.
        disclosed_dsn: How the role `gateway` does: what calls answer is asked for with it.
        log: The folder of the record's log.
        origin: The log's name.
        vouched: See `KeptLog`.
        port: Where the record's connections come to, through the egress proxy.
        calls: Where calls are answered; None is nowhere.
        every_s: How often an account is synchronised.
    """

    dsn: str
    disclosed_dsn: str
    log: Path
    origin: str
    vouched: Callable[[], Source]
    port: Address
    calls: CallsAddress | None
    every_s: int = 3600


class RecordService:
    """What runs; see `record_service`.

    Attributes:
        port: Where the store port listens (of a Unix socket: its path and 0).
        calls: The port of calls, 0 where none are answered.
    """

    def __init__(self, lending: Lending, desk: Desk, log: KeptLog, told: OperatorLog) -> None:
        self._lending, self._desk, self._log, self._told = lending, desk, log, told
        self._started = time.monotonic()
        self.port: tuple[str, int] = ("", 0)
        self.calls = 0

    def status(self) -> Status:
        """Returns whether synchronisations get done."""
        here = self._desk.asked_within(_HEARD_S)
        healthy = here and not self._log.stopped and self._database()
        return Status(healthy, here, version("strongroom"), time.monotonic() - self._started)

    def metrics(self) -> str:
        """Returns counters in Prometheus' text format."""
        status = self.status()
        return exposition(
            self._desk.counts,
            {
                "healthy": int(status.healthy),
                "enclave_asks": int(status.enclave),
                "log_leaves": self._log.size,
                "log_stopped": int(self._log.stopped),
                "warnings": self._told.warnings,
            },
        )

    def _database(self) -> bool:
        try:
            with guarded(self._lending.connection()) as open_:
                open_.execute("SELECT 1")
        except (EnvironmentFault, StoreError):
            return False
        return True


@contextmanager
def record_service(plan: RecordPlan, told: OperatorLog) -> Iterator[RecordService]:
    """Serves until the block ends: first the database is brought up to the log.

    Raises:
        DatabaseUnavailable, StoreError: the database is not there, or has another log.
        LogBusy, LogDamaged, LogUnwritable: see `KeptLog`.
        PortTaken, PortBusy: something else listens there.
    """
    desk = Desk(every_s=plan.every_s, heard=told.heard)
    with ExitStack() as stack:
        log = stack.enter_context(KeptLog(plan.log, plan.origin, plan.vouched, told.warn))
        with connect(plan.dsn, "strongroom record") as connection:
            log.catch_up(connection)
        lending = Lending(plan.dsn)
        stack.callback(lending.close)
        service = RecordService(lending, desk, log, told)
        try:
            service.port = stack.enter_context(serving(plan.dsn, plan.port, desk, log))
        except OSError as error:
            raise PortTaken("the store port cannot listen", actual=error) from error
        if plan.calls is not None:
            disclosed = Disclosed(plan.disclosed_dsn)
            stack.callback(disclosed.close)
            follower = Follower(plan.dsn, desk)
            waiting = Waiting()
            calls = PublishedCalls(disclosed, follower, lending, waiting, service.status)
            service.calls = stack.enter_context(
                serving_calls(plan.calls, calls, RecordCalls(follower, waiting))
            )
        yield service
