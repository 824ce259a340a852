"""The device by itself: time is a number, streams are lists, so every limit can be reached."""

from collections.abc import Iterator

import pytest
from strongroom_host.vsock.streams import DialBusy, DialRefused
from strongroom_host.vsock.table import Limits

from tests.host.vsock.desk import SERVICE, Desk, FakeStream
from tests.host.vsock.guest import (
    CID,
    CREDIT_REQUEST,
    CREDIT_UPDATE,
    NO_RECEIVE,
    NO_SEND,
    REQUEST,
    RESPONSE,
    RST,
    RW,
    SHUTDOWN,
    Packet,
)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A device with small limits."""
    made = Desk(Limits(connections=4, window=1000, resets=8))
    yield made
    made.close()


def test_bytes_up(desk: Desk) -> None:
    stream = desk.accept()
    desk.send(desk.packet(RW, b"hello"))
    assert stream.taken == b"hello"


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (Packet(RW, SERVICE, 1000, bytes(1001), buffer=1), "overrun"),
        (Packet(RW, SERVICE, 1000, b"abc", length=4, buffer=1), "overrun"),
        (Packet(RW, SERVICE, 1000, b"abc", buffer=1, consumed=1), "credit lie"),
        (Packet(REQUEST, SERVICE, 1000, buffer=1), "protocol"),
        (Packet(RESPONSE, SERVICE, 1000, buffer=1), "protocol"),
        (Packet(0, SERVICE, 1000, buffer=1), "protocol"),
        (Packet(8, SERVICE, 1000, buffer=1), "protocol"),
        (Packet(0xFFFF, SERVICE, 1000, buffer=1), "protocol"),
    ],
)
def test_what_no_guest_may_send_resets_that_connection(
    desk: Desk, packet: Packet, reason: str
) -> None:
    other = desk.accept(2000)
    stream = desk.accept()
    desk.send(packet)
    assert desk.device.counts[reason] == 1
    assert stream.closed()
    assert stream.taken == b""
    assert [(p.op, p.port) for p in desk.receive()] == [(RST, 1000)]
    assert not other.closed()
    assert len(desk.device) == 1


def test_data_after_the_guests_end_resets(desk: Desk) -> None:
    stream = desk.accept()
    desk.send(desk.packet(SHUTDOWN, flags=NO_SEND), desk.packet(RW, b"late"))
    assert stream.did == ["end writing", "close"]
    assert stream.taken == b""
    assert desk.ops() == [RST]


def test_a_guest_cannot_make_us_hold_more_than_the_window(desk: Desk) -> None:
    """Packet by packet, each within the window, while the host takes nothing."""
    stream = desk.accept()
    stream.room = 0
    desk.send(*(desk.packet(RW, bytes(250)) for _ in range(4)))
    assert not stream.closed()
    desk.send(desk.packet(RW, b"x"))
    assert stream.closed()
    assert desk.device.counts["overrun"] == 1


def test_credit_comes_back_only_as_the_host_takes(desk: Desk) -> None:
    stream = desk.accept()
    stream.room = 300
    desk.send(desk.packet(RW, bytes(1000)))
    [update] = desk.receive()
    assert (update.op, update.buffer, update.consumed) == (CREDIT_UPDATE, 1000, 300)
    desk.send(desk.packet(RW, bytes(300)))
    assert desk.ops() == []
    stream.room = 1 << 20
    desk.ready(writable=True)
    [update] = desk.receive()
    assert update.consumed == 1300
    assert len(stream.taken) == 1300


def test_credit_is_told_when_asked_for(desk: Desk) -> None:
    desk.accept()
    desk.send(desk.packet(CREDIT_REQUEST))
    [update] = desk.receive()
    assert (update.op, update.buffer, update.consumed) == (CREDIT_UPDATE, 1000, 0)


def test_no_byte_leaves_the_host_without_credit(desk: Desk) -> None:
    stream = desk.accept()
    desk.send(Packet(CREDIT_UPDATE, SERVICE, 1000, buffer=100))
    stream.source = bytes(500)
    desk.ready(readable=True)
    assert sum(len(p.payload) for p in desk.receive()) == 100
    assert len(stream.source) == 400
    desk.send(Packet(CREDIT_UPDATE, SERVICE, 1000, buffer=100, consumed=70))
    assert sum(len(p.payload) for p in desk.receive()) == 70


@pytest.mark.parametrize(
    "packet",
    [
        Packet(REQUEST, SERVICE, 1000, source=CID + 1, buffer=1),
        Packet(REQUEST, SERVICE, 1000, source=1 << 40 | CID, buffer=1),
        Packet(REQUEST, SERVICE, 1000, cid=1, buffer=1),
        Packet(REQUEST, SERVICE, 1000, cid=CID, buffer=1),
        Packet(RST, SERVICE, 1000),
        Packet(RST, SERVICE, 1000, kind=2),
    ],
)
def test_what_is_not_for_us_is_dropped(desk: Desk, packet: Packet) -> None:
    desk.send(packet)
    assert desk.ops() == []
    assert not desk.dialled


@pytest.mark.parametrize(
    ("packet", "kind"),
    [
        (Packet(RW, SERVICE, 1000, b"x", buffer=1), 1),
        (Packet(SHUTDOWN, SERVICE, 1000, flags=3), 1),
        (Packet(REQUEST, SERVICE, 1000, kind=2, buffer=1), 2),
        (Packet(REQUEST, SERVICE, 1000, kind=7, buffer=1), 7),
        (Packet(REQUEST, SERVICE, 1000, buffer=1, consumed=5), 1),
    ],
)
def test_what_belongs_to_no_connection_is_reset(desk: Desk, packet: Packet, kind: int) -> None:
    desk.send(packet)
    [reset] = desk.receive()
    assert (reset.op, reset.kind, reset.host, reset.port) == (RST, kind, SERVICE, 1000)
    assert not desk.dialled


@pytest.mark.parametrize("length", [0, 1, 43])
def test_half_a_header_is_dropped(desk: Desk, length: int) -> None:
    desk.tx.add([(1 << 20, length)], writable=False)
    desk.run_tx()
    assert desk.ops() == []
    assert desk.device.counts["malformed"] == 1


def test_a_header_in_pieces_is_read(desk: Desk) -> None:
    data = Packet(REQUEST, SERVICE, 1000, buffer=1).serialise()
    desk.view[1 << 20 : (1 << 20) + 44] = data
    at = 1 << 20
    desk.tx.add([(at, 10), (at + 10, 0), (at + 10, 33), (at + 43, 1)], writable=False)
    desk.run_tx()
    assert desk.ops() == [RESPONSE]


def test_refused_and_busy(desk: Desk) -> None:
    desk.answer = DialRefused
    desk.send(desk.packet(REQUEST))
    assert desk.ops() == [RST]
    desk.answer = DialBusy
    desk.send(desk.packet(REQUEST))
    due = desk.tick(0.005)
    assert due is not None
    assert desk.ops() == []
    dialled = len(desk.dialled)
    desk.tick(0.0)
    assert len(desk.dialled) == dialled  # not more often than promised
    desk.answer = None
    desk.tick(due - desk.now)
    assert desk.ops() == [RESPONSE]


def test_busy_for_too_long_is_refused(desk: Desk) -> None:
    desk.answer = DialBusy
    desk.send(desk.packet(REQUEST))
    desk.tick(9.9)
    assert desk.ops() == []
    desk.tick(0.2)
    assert desk.ops() == [RST]
    assert len(desk.device) == 0


def test_a_guest_that_does_not_answer_a_request(desk: Desk) -> None:
    client = FakeStream()
    desk.device.open(7, client, desk.now)
    assert desk.ops() == [REQUEST]
    assert desk.tick(9.9) is not None
    assert not client.closed()
    desk.tick(0.2)
    assert client.closed()
    assert desk.ops() == [RST]
    assert desk.tick(0) is None


def test_a_guest_that_does_not_confirm_an_end(desk: Desk) -> None:
    stream = desk.accept()
    stream.ended = True
    desk.ready(readable=True, hung_up=True)
    [*_, last] = desk.receive()
    assert (last.op, last.flags) == (SHUTDOWN, NO_RECEIVE | NO_SEND)
    assert stream.closed()
    desk.send(desk.packet(RW, b"in flight"), desk.packet(CREDIT_REQUEST))
    assert desk.ops() == []
    assert len(desk.device) == 1
    desk.tick(8.1)
    assert desk.ops() == [RST]
    assert len(desk.device) == 0


@pytest.mark.parametrize(("op", "answers"), [(RST, []), (SHUTDOWN, [RST]), (REQUEST, [RESPONSE])])
def test_how_a_guest_confirms_an_end(desk: Desk, op: int, answers: list[int]) -> None:
    desk.accept().ended = True
    desk.ready(readable=True, hung_up=True)
    desk.receive()
    desk.stream = FakeStream()
    desk.send(desk.packet(op, flags=3))
    assert desk.ops() == answers
    assert len(desk.device) == (op == REQUEST)


def test_what_a_gone_guest_left_is_kept_while_it_is_taken(desk: Desk) -> None:
    stream = desk.accept()
    stream.room = 0
    desk.send(desk.packet(RW, bytes(900)), desk.packet(SHUTDOWN, flags=NO_RECEIVE | NO_SEND))
    assert desk.ops() == [RST]
    draining = desk.dialled[-1]
    again = desk.accept()  # the guest may use the address again at once
    for _ in range(3):
        desk.tick(50)
        stream.room = 100
        desk.device.ready(draining, desk.now, readable=False, writable=True, hung_up=False)
        assert not stream.closed()
    desk.tick(61)
    assert stream.closed()
    assert len(stream.taken) == 300
    assert not again.closed()
    assert desk.ops() == []  # the address is another's by now


def test_a_draining_connection_ends_with_its_last_byte_or_its_reader(desk: Desk) -> None:
    for hung_up in (False, True):
        stream = desk.accept()
        stream.room = 0
        desk.send(desk.packet(RW, bytes(900)), desk.packet(SHUTDOWN, flags=3))
        assert desk.ops() == [RST]
        stream.room = 1000
        desk.ready(writable=True, hung_up=hung_up)
        assert stream.closed()
        assert len(stream.taken) == (0 if hung_up else 900)
        assert len(desk.device) == 0


def test_a_host_that_reads_no_more_may_still_have_something_to_say(desk: Desk) -> None:
    stream = desk.accept()
    stream.source, stream.broken = b"before I left", True
    desk.send(desk.packet(RW, b"are you there?"))
    stream.broken, stream.ended = False, True
    packets = desk.receive()
    assert b"".join(p.payload for p in packets) == b"before I left"
    assert [p.flags for p in packets if p.op == SHUTDOWN] == [NO_RECEIVE, NO_RECEIVE | NO_SEND]


def test_a_host_that_broke_off_resets(desk: Desk) -> None:
    stream = desk.accept()
    stream.broken = True
    desk.ready(readable=True)
    assert desk.ops() == [RST]
    assert stream.closed()


def test_what_a_guest_will_not_receive_is_not_sent(desk: Desk) -> None:
    stream = desk.accept()
    stream.source = b"too late"
    desk.send(desk.packet(SHUTDOWN, flags=NO_RECEIVE))
    assert stream.did == ["end reading"]
    desk.ready(readable=True)
    assert all(p.op != RW for p in desk.receive())


def test_each_side_has_its_own_limit(desk: Desk) -> None:
    for port in range(5):
        desk.send(Packet(REQUEST, SERVICE, port, buffer=1))
    assert sorted(desk.ops()) == [RESPONSE] * 4 + [RST]
    clients = [FakeStream() for _ in range(5)]
    made = [desk.device.open(7, client, desk.now) for client in clients]
    assert [connection is not None for connection in made] == [True] * 4 + [False]
    assert [client.closed() for client in clients] == [False] * 4 + [True]


def test_a_flood_waits_in_the_guests_own_ring(desk: Desk) -> None:
    """Packets that need an answer, from a guest that takes none."""
    for port in range(100):
        data = Packet(RW, SERVICE, port).serialise()
        at = (1 << 20) + 64 * port
        desk.view[at : at + 44] = data
        assert desk.tx.add([(at, 44)], writable=False) is not None
    for _ in range(20):
        assert not desk.device.transmit(desk.now)
    assert len(desk.device._resets) == 8
    assert desk.device.tx is not None
    assert desk.device.tx.waiting() == 92
    answered = len(desk.receive(128))
    while desk.device.tx.waiting():
        desk.device.transmit(desk.now)
        answered += len(desk.receive(128))
    assert answered == 100


def test_connections_made_and_broken_off_leave_nothing(desk: Desk) -> None:
    """However often, while the guest gives us no buffer to say anything."""
    for port in range(1000):
        desk.send(
            Packet(REQUEST, SERVICE, port, buffer=1),
            Packet(CREDIT_REQUEST, SERVICE, port, buffer=1),
            Packet(RST, SERVICE, port),
        )
        desk.stream = FakeStream()
    device = desk.device
    waiting = (device._resets, device._announced, device._queue, device._table._deadlines)
    assert [len(each) for each in waiting] == [0, 0, 0, 0]
    assert len(device) == 0


def test_one_stream_does_not_take_all_turns(desk: Desk) -> None:
    first, second = desk.accept(1000), desk.accept(2000)
    first.source, second.source = bytes(200_000), b"just a word"
    for connection in desk.dialled:
        desk.device.ready(connection, 0, readable=True, writable=False, hung_up=False)
    order = [p.port for p in desk.receive(120) if p.op == RW]
    assert 2000 in order[:33]


def test_a_device_without_rings_does_nothing(desk: Desk) -> None:
    desk.accept().source = b"x"
    desk.device.attach(rx=None, tx=None)
    desk.ready(readable=True)
    assert not desk.device.transmit(desk.now)
    assert not desk.device.fill(desk.now)
    client = FakeStream()
    assert desk.device.open(7, client, desk.now) is None
    assert client.closed()


def test_a_flood_goes_on_when_there_are_buffers_for_its_answers(desk: Desk) -> None:
    """No kick tells of them: they were there before the flood stopped."""
    desk.receive(100)
    for port in range(100):
        data = Packet(RW, SERVICE, port).serialise()
        at = (1 << 20) + 64 * port
        desk.view[at : at + 44] = data
        assert desk.tx.add([(at, 44)], writable=False) is not None
    assert desk.device.transmit(desk.now)
    assert len(desk.device._resets) == 8


def test_what_nobody_takes_is_lost_in_the_end(desk: Desk) -> None:
    stream = desk.accept()
    stream.room = 0
    desk.send(desk.packet(RW, bytes(900)), desk.packet(SHUTDOWN, flags=NO_RECEIVE | NO_SEND))
    assert desk.ops() == [RST]
    desk.tick(59)
    assert not stream.closed()
    desk.tick(2)
    assert stream.closed()
    assert len(desk.device) == 0
