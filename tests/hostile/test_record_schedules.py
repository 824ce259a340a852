"""Any order of synchronisations, faults, kills, restarts and reconnections: the same record after.

A schedule is drawn from a seed: what is asked for and when, at which requests connections break or
the process is killed, how the venue fails, whether the owners connect anew. In the end one quiet
synchronisation has to leave exactly the events that happened, and the hours that an undisturbed
record publishes. Some schedules in `make test`, 1,200 in `make soak`.
"""

import random
from collections import Counter
from collections.abc import Iterator
from functools import cache

import pytest
from strongroom_host.record_store.connecting import Connection
from strongroom_host.record_store.rows import JobKind
from strongroom_wire.errors import Code

from tests.conftest import SOAK, Progress
from tests.host.record_store.databases import server
from tests.hostile.record_exchange import Exchange, Told
from tests.hostile.record_flow import Flow, Killed, Wire
from tests.hostile.recording import HOUR_MS

SCHEDULES = 1200 if SOAK else 32
HISTORIES = 12 if SOAK else 3
pytestmark = pytest.mark.timeout(7200 if SOAK else 300)
Published = list[tuple[object, ...]]


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with server() as running, running.fresh().as_enclave() as open_:
        yield open_


@cache
def exchange_of(number: int) -> Exchange:
    return Exchange(f"history-{number}")


class Fate:
    """What happens to one schedule at each request of its record: nothing, a break, a kill."""

    def __init__(self, luck: random.Random) -> None:
        self._luck, self._left = luck, 0
        self.struck = Counter[str]()

    def draw(self) -> None:
        """Decides how many moments there are before the next blow; 0 is none."""
        self._left = self._luck.choice((0, self._luck.randint(1, 12), self._luck.randint(1, 60)))

    def __call__(self, wire: Wire, verb: str) -> None:
        self._left -= 1
        if self._left != 0:
            return
        if self._luck.randrange(2):
            self.struck["killed at " + verb] += 1
            raise Killed(verb)
        self.struck["broken at " + verb] += 1
        wire.broken()


def performed(connection: Connection, seed: str) -> tuple[Flow, Counter[str]]:
    """Plays a schedule, up to a quiet end; returns what it leaves."""
    luck = random.Random(seed)  # noqa: S311  a schedule is no secret
    exchange = exchange_of(luck.randrange(HISTORIES))
    exchange.now_ms = exchange.since_ms + luck.randint(2, 40) * HOUR_MS
    flow, fate = Flow(connection, exchange), Fate(luck)
    flow.happens = fate
    for _ in range(luck.randint(3, 9)):
        flow.trouble = luck if luck.randrange(2) else None
        fate.draw()
        try:
            if not flow.connected or luck.randrange(8) == 0:
                flow.connect()
            if flow.connected:
                flow.sync(JobKind.FULL if luck.randrange(4) == 0 else JobKind.INCREMENTAL)
            if luck.randrange(6) == 0:
                flow.boot()
        except Killed:
            flow.boot()
        exchange.now_ms = min(exchange.now_ms + luck.randint(0, 14) * HOUR_MS, exchange.end_ms)
    flow.trouble, flow.happens, exchange.now_ms = None, lambda _wire, _verb: None, exchange.end_ms
    if not flow.connected:
        assert flow.connect()
    for kind in (JobKind.INCREMENTAL, JobKind.FULL):
        assert flow.sync(kind) == Code.OK, f"{seed}: the quiet end was not quiet: {flow.ends}"
    return flow, fate.struck


@pytest.fixture(scope="module")
def undisturbed(connection: Connection) -> dict[int, Published]:
    """What is published of each history where nothing goes wrong."""
    found = dict[int, Published]()
    for number in range(HISTORIES):
        exchange = exchange_of(number)
        exchange.now_ms = exchange.end_ms
        flow = Flow(connection, exchange)
        assert flow.connect()
        assert flow.sync() == Code.OK
        found[number] = flow.published()
        assert len(found[number]) == (exchange.end_ms - exchange.since_ms) // HOUR_MS
        assert sum(row[2] is not None for row in found[number]) > 40
    return found


@pytest.mark.parametrize("part", range(8))
def test_any_schedule_leaves_the_same_record(
    part: int, connection: Connection, undisturbed: dict[int, Published], progress: Progress
) -> None:
    struck = Counter[str]()
    for number in range(part, SCHEDULES, 8):
        progress(number // 8, SCHEDULES // 8)
        flow, blows = performed(connection, seed := f"schedule-{number}")
        struck += blows
        truth = sorted(flow.exchange.events, key=lambda event: event.order)
        assert sorted(flow.events(), key=lambda event: event.order) == truth, seed
        history = next(at for at in range(HISTORIES) if exchange_of(at) is flow.exchange)
        assert flow.published() == undisturbed[history], seed
    progress(SCHEDULES // 8, SCHEDULES // 8)
    assert struck, "no blow ever fell"


def test_schedules_strike_everywhere(connection: Connection) -> None:
    """Over some more schedules every request is broken or killed at, and every fault told."""
    verbs, ends = set[str](), set[int]()
    for number in range(200 if SOAK else 24):
        flow, blows = performed(connection, f"coverage-{number}")
        verbs |= {blow.rpartition(" ")[2] for blow in blows}
        ends |= set(flow.ends)
    assert verbs >= {"get", "put", "put-state", "log", "publish", "keys"}
    assert {Code.OK, Code.VENUE_REFUSED} <= ends


def test_a_clock_that_is_set_back_meanwhile_delays_and_loses_nothing(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a venue has settled goes by a clock that is anchored anew while the record waits."""
    exchange = exchange_of(0)
    exchange.now_ms = exchange.end_ms
    behind = iter([5, 3, 2])
    settled = Told.settled_ms
    monkeypatch.setattr(Told, "settled_ms", lambda told: settled(told) - next(behind, 0))
    flow = Flow(connection, exchange)
    assert flow.connect()
    assert flow.sync() == Code.OK
    assert flow.published(), "it ended well, and had not looked"
