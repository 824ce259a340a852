"""The kill switch: one owner is enough, nothing undoes it, and cancels still pass."""

import secrets
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from msgspec.structs import replace
from strongroom_wire import frames
from strongroom_wire.errors import Code, Rule
from strongroom_wire.owners import Statement
from strongroom_wire.proto import strongroom_pb2 as pb
from strongroom_wire.statements import ORDER_DOMAIN, Action, Budget, OwnerOrder

from tests.hostile.conftest import Start
from tests.hostile.driver import Boot, Bot, Channel, Desk, Owners, now_ms


def denied(channel: Channel, key: int = 0) -> Rule:
    reply = channel.ask(channel.boot.buying(1, key=key))
    assert reply.code is Code.DENIED
    assert reply.request == b""
    return reply.rule


@pytest.fixture(scope="module")
def both(start: Start) -> Boot:
    """A boot with two keys that sign."""
    boot = start(Desk()).make_ready()
    assert boot.order(Action.GENERATE, "brief")[0] is Code.OK
    assert boot.enrol("brief")[0] is Code.OK
    return boot


def kill_order(boot: Boot, key: str = "") -> OwnerOrder:
    return OwnerOrder(Action.KILL, boot.bundle.boot_id, boot.bundle.manifest_digest, key)


def test_nobody_but_an_owner_of_this_boot_can_stop_it(both: Boot) -> None:
    order = kill_order(both)
    stranger = Owners.new(3).sign(ORDER_DOMAIN, order.serialise(), 3)
    assert both.deliver_order(stranger)[0] is Code.QUORUM_MISSING
    assert both.deliver_order(Statement(order.serialise(), ()))[0] is Code.QUORUM_MISSING
    another = replace(order, boot_id=secrets.token_bytes(32)).serialise()
    assert both.deliver_order(both.desk.owners.sign(ORDER_DOMAIN, another))[0] is Code.WRONG_BOOT
    assert both.channel().buy(1).code is Code.OK


def test_killing_one_key_leaves_the_other(both: Boot) -> None:
    channel = both.channel()
    assert both.order(Action.KILL, "brief") == (Code.OK, b"")
    assert denied(channel, 2) is Rule.KILL_SWITCH
    assert channel.buy(1).code is Code.OK


def test_one_owner_stops_everything_and_cancels_still_pass(both: Boot) -> None:
    channel = both.channel()
    assert channel.buy(1).code is Code.OK
    assert both.order(Action.KILL, signers=1) == (Code.OK, b"")
    assert both.order(Action.KILL, signers=1) == (Code.OK, b""), "stopping twice is stopping"
    assert denied(channel) is Rule.KILL_SWITCH
    assert channel.cancel_all().code is Code.OK
    now = now_ms()
    for kind, argument in (
        (frames.Kind.CANCEL, bytes(32)),
        (frames.Kind.CANCEL_MARKET, bytes(64)),
        (frames.Kind.QUERY_ORDER, bytes(32)),
        (frames.Kind.QUERY_OPEN, b""),
        (frames.Kind.QUERY_TRADES, b""),
        (frames.Kind.HEARTBEAT, b""),
    ):
        intent = frames.Intent(kind, 0, now // 1000, now + 60_000, (), argument)
        reply = channel.ask(intent)
        assert reply.code is Code.OK
        assert b"POLY_SIGNATURE" in reply.request


def test_nothing_undoes_it_in_this_boot(both: Boot) -> None:
    channel = both.channel()
    for serial in (2, 3):
        permit = both.permit(serial, budgets=(Budget("main", 1 << 50, 1 << 30),))
        assert both.submit_permit(permit) is Code.OK
        assert denied(channel) is Rule.KILL_SWITCH
    assert both.enrol()[0] is Code.OK
    assert both.order(Action.GENERATE, "main")[0] is Code.OK
    assert both.enclave.load(both.desk.signed).code == Code.WRONG_PHASE
    assert denied(channel) is Rule.KILL_SWITCH
    assert denied(both.channel(both.desk.bots[1])) is Rule.KILL_SWITCH


def test_it_works_before_any_permit(start: Start) -> None:
    boot = start(Desk())
    assert boot.order(Action.KILL, signers=1) == (Code.OK, b"")
    boot.make_ready()
    assert denied(boot.channel()) is Rule.KILL_SWITCH


def test_calls_that_never_end_keep_nobody_from_it(start: Start) -> None:
    """A client who may read the log begins calls and does not send what he asks."""
    desk = Desk(bots=(Bot("bot"), Bot("reader", ("log",))))
    boot, over = start(desk), threading.Event()

    def silent() -> Iterator[pb.Request]:
        over.wait(60)
        yield pb.Request()

    channel = boot.control_channel(desk.bots[1])
    begin: grpc.StreamUnaryMultiCallable[pb.Request, pb.Receipt] = channel.stream_unary(
        "/strongroom.v1.Control/GetStatus",
        pb.Request.SerializeToString,
        pb.Receipt.FromString,
    )
    calls = [begin.future(silent(), timeout=60) for _ in range(60)]
    try:
        while sum(call.done() for call in calls) < 44:
            time.sleep(0.01)
        assert boot.order(Action.KILL) == (Code.OK, b"")
        refused = {call.code() for call in calls if call.done()}
        assert refused == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    finally:
        over.set()
    assert sum(call.code() is grpc.StatusCode.OK for call in calls) == 16


SIGNERS = sorted(set(Action) - {Action.KILL, Action.CONNECT})  # there is no record here


@pytest.mark.parametrize("action", SIGNERS)
def test_every_other_order_needs_the_quorum(both: Boot, action: Action) -> None:
    assert both.order(action, "main", bytes(8), signers=1)[0] is Code.QUORUM_MISSING
