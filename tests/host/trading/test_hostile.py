"""A venue that answers nonsense, late, or not at all; a host that dies at the worst moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import monotonic_ns

import pytest
from strongroom_host.ring.tick import Side
from strongroom_host.store import Journal, OrderState
from strongroom_host.strategy.port import CancelAll, OrderType, Reason
from strongroom_host.trading.ending import end_session
from strongroom_host.trading.orders import read_matched, read_size_matched
from strongroom_host.trading.outlet import Outlet, Pending
from strongroom_host.trading.path import OrderPath
from strongroom_host.trading.questions import cancelled_in
from strongroom_host.venue import NotSent, OutcomeUnknown, VenueResponse

from tests.host.trading.world import QUICK, World, buy

GTC = OrderType.GTC
DEEP = b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":"\xff","makingAmount":"\xff","size_matched":"\xff","canceled":["\xff"]}',
        DEEP,
        b'{"status":"live","makingAmount":"9e999999","size_matched":"9e999999"}',
        b'{"status":"live","makingAmount":"9e99999","size_matched":"9e99999"}',
        b'{"status":"live","makingAmount":"1_0","size_matched":"-1"}',
    ],
)
def test_no_answer_of_a_venue_raises_or_is_a_number_beyond_measure(body: bytes) -> None:
    answer = VenueResponse(200, (), body)
    assert read_matched(answer, Side.BUY).cash == 0
    assert read_size_matched(answer) is None
    assert cancelled_in(answer) == []


class Lossy:
    """The way to the venue; what begins with `what` is lost `times` times."""

    def __init__(self, inner: Outlet, what: bytes, times: int) -> None:
        self.inner, self.what, self.times = inner, what, times
        self.lost: list[bytes] = []

    def begin(self, request: bytes, deadline_ns: int) -> Pending:
        if request.startswith(self.what) and len(self.lost) < self.times:
            self.lost.append(request)
            raise NotSent("lost on the way")
        return self.inner.begin(request, deadline_ns)

    def pump(self, timeout_s: float = 0.0) -> object:
        return self.inner.pump(timeout_s)

    def close(self) -> None:
        self.inner.close()


@dataclass
class Answer:
    """An answer that comes when the test says so."""

    request: bytes
    value: VenueResponse | OutcomeUnknown | None = None
    relay_ns: int = 0
    upstream_ns: int = 0

    @property
    def done(self) -> bool:
        return self.value is not None

    def result(self) -> VenueResponse:
        if isinstance(self.value, VenueResponse):
            return self.value
        raise self.value or OutcomeUnknown("no answer yet")


@dataclass
class ByHand:
    """A venue's answers, by hand."""

    sent: list[Answer] = field(default_factory=list)

    def begin(self, request: bytes, deadline_ns: int) -> Pending:
        self.sent.append(Answer(request))
        return self.sent[-1]

    def pump(self, timeout_s: float = 0.0) -> object:
        return None

    def close(self) -> None:
        return None

    def of(self, what: bytes) -> list[Answer]:
        return [each for each in self.sent if each.request.startswith(what)]


def turned(path: OrderPath, until: Callable[[], bool]) -> bool:
    """Whether it holds, soon."""
    deadline = time.monotonic() + 60
    while not until() and time.monotonic() < deadline:
        path.turn()
        path.poll()
        time.sleep(0.002)
    return until()


def next_life(world: World, outlet: Outlet) -> OrderPath:
    limits = replace(QUICK, absence_s=300.0)
    return OrderPath(world.signer, world.writer, world.journal, outlet, world.figures, limits)


def cancelled(world: World, order_hash: bytes) -> bool:
    order = world.server.clob.orders.get(order_hash)
    return order is not None and order.status.value.startswith("CANCEL")


def told(key: bytes, status: str) -> VenueResponse:
    body = b'{"id":"0x%s","status":"%s","size_matched":"0"}'
    return VenueResponse(200, (), body % (key.hex().encode(), status.encode()))


def test_what_an_earlier_life_left_is_taken_back_though_cancels_are_lost(world: World) -> None:
    world.decide(buy("0.55", "5", GTC))
    world.run(lambda: "LIVE" in world.strategy.outcomes())
    (key,) = world.path.book.open
    way = Lossy(world.outlet, b"DELETE", 3)
    path = next_life(world, way)
    assert path.take_over() == 1
    assert turned(path, lambda: cancelled(world, key))
    assert len(way.lost) == 3


def test_what_comes_to_the_venue_after_its_cancel_is_taken_back(world: World) -> None:
    """Killed after the send, while the way still had it; then the next life cancelled."""
    way = Lossy(world.outlet, b"POST /order ", 1)
    journal = world.journal
    world.path._outlet = way
    world.decide(buy("0.54", "5", GTC))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.path, "_not_sent", _killed)
        with pytest.raises(KeyboardInterrupt):
            world.loop.run()
    (entry,) = journal.entries()
    journal.close()
    world.journal = Journal(world.folder / "journal.db")
    path = next_life(world, world.outlet)
    assert path.take_over() == 1
    assert turned(path, lambda: not path.under_way)
    assert entry.order_hash not in world.server.clob.orders
    world.outlet.begin(way.lost[0], monotonic_ns() + 60 * 10**9)  # now it gets there
    assert turned(path, lambda: cancelled(world, entry.order_hash))


def taken_off(key: bytes) -> VenueResponse:
    return VenueResponse(200, (), b'{"canceled":["0x%s"]}' % key.hex().encode())


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_two_answers_in_another_order_end_nothing(world: World) -> None:
    way = ByHand()
    world.path._outlet = way
    world.decide(buy("0.54", "5", GTC))
    world.run(lambda: len(way.sent) == 1)
    (key,) = world.path.book.open
    way.sent[0].value = OutcomeUnknown("no answer")
    world.run(lambda: bool(way.of(b"GET /data/order/")))
    time.sleep(3 * QUICK.settle_s)
    world.path.poll()
    (asked,) = way.of(b"GET /data/order/")  # one at a time
    world.path.cancel([key])
    way.of(b"DELETE")[0].value = taken_off(key)
    world.path.turn()
    way.of(b"GET /data/order/")[1].value = told(key, "CANCELED")
    world.path.turn()
    asked.value = told(key, "LIVE")  # asked before, answered after
    world.path.turn()
    assert world.journal.get(key).state is OrderState.CLOSED
    assert not world.path.book.open
    assert list(world.path.released) == [1]  # the market is free again


def test_a_cancel_that_is_answered_before_its_order_ends_nothing(world: World) -> None:
    way = ByHand()
    world.path._outlet = way
    world.decide(buy("0.54", "5", GTC))
    world.decide(CancelAll(Reason.SIGNAL_DOWN, bytes(32)))
    world.run(lambda: len(way.sent) == 2)
    (key,) = world.path.book.open
    way.sent[1].value = taken_off(key)
    world.path.turn()
    for asked in way.of(b"GET /data/order/"):
        asked.value = told(key, "CANCELED")
    world.path.turn()
    accepted = b'{"success":true,"errorMsg":"","orderID":"0x%s","status":"live"}'
    way.sent[0].value = VenueResponse(200, (), accepted % key.hex().encode())
    world.path.turn()
    assert turned(world.path, lambda: bool(way.of(b"GET /data/order/")))
    way.of(b"GET /data/order/")[0].value = told(key, "CANCELED")
    assert turned(world.path, lambda: not world.path.book.open)


def test_the_end_insists_on_its_cancels(world: World) -> None:
    world.decide(buy("0.55", "5", GTC))
    world.run(lambda: "LIVE" in world.strategy.outcomes())
    (key,) = world.path.book.open
    world.path._outlet = Lossy(world.outlet, b"DELETE", 2)
    assert end_session(world.loop, 10.0) == ()
    assert cancelled(world, key)
