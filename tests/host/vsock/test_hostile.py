"""A guest and a front-end that may do anything: only our own errors, and never more memory."""

import os
import random
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.errors import HostError
from strongroom_host.vsock import FrontEndFault, GuestFault, Limits
from strongroom_host.vsock.errors import MalformedMessage, MemoryRefused

from tests.host.vsock.conftest import SERVICE, Bench
from tests.host.vsock.driver import (
    ENABLE,
    GET_BASE,
    GET_CONFIG,
    GET_FEATURES,
    NEED_REPLY,
    NO_DESCRIPTOR,
    PAGE,
    RESET_DEVICE,
    SET_ADDR,
    SET_BASE,
    SET_CALL,
    SET_CONFIG,
    SET_ERR,
    SET_FEATURES,
    SET_KICK,
    SET_MEM_TABLE,
    SET_NUM,
    SET_OWNER,
    SET_PROTOCOL,
    USER_LOW,
    Driver,
    eventually,
)
from tests.host.vsock.guest import RST, RW, Packet

pytestmark = pytest.mark.timeout(3600)  # a soak may take its time


def ends(bench: Bench, kind: type[HostError]) -> HostError:
    """Waits for the backend to end; returns its error, which is of that kind."""
    error = bench.wait()
    bench.error = None
    assert isinstance(error, kind), error
    return error


def descriptors() -> int:
    """Returns how many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def fresh(bench: Bench) -> Driver:
    driver = bench.driver()
    driver.negotiate()
    return driver


@pytest.mark.parametrize(
    ("request_", "payload", "kind"),
    [
        (SET_FEATURES, struct.pack("<Q", 1 << 33), FrontEndFault),
        (SET_PROTOCOL, struct.pack("<Q", 1 << 1), FrontEndFault),
        (SET_FEATURES, bytes(7), MalformedMessage),
        (SET_NUM, struct.pack("<II", 3, 128), FrontEndFault),
        (SET_BASE, struct.pack("<II", 0xFFFFFFFF, 0), FrontEndFault),
        (GET_BASE, struct.pack("<II", 3, 0), FrontEndFault),
        (ENABLE, struct.pack("<II", 3, 1), FrontEndFault),
        (SET_ADDR, struct.pack("<IIQQQQ", 3, 0, 0, 0, 0, 0), FrontEndFault),
        (SET_KICK, struct.pack("<Q", NO_DESCRIPTOR), FrontEndFault),
        (SET_KICK, struct.pack("<Q", 0), MalformedMessage),
        (SET_CALL, struct.pack("<Q", 3 | NO_DESCRIPTOR), FrontEndFault),
        (SET_ERR, struct.pack("<Q", 255 | NO_DESCRIPTOR), FrontEndFault),
        (SET_MEM_TABLE, struct.pack("<II", 0, 0), MemoryRefused),
        (SET_MEM_TABLE, struct.pack("<II", 1, 0) + bytes(32), MalformedMessage),
        (GET_CONFIG, bytes(3), MalformedMessage),
        (1, bytes(5000), MalformedMessage),
    ],
)
def test_a_front_end_that_breaks_the_protocol_is_told_and_left(
    bench: Bench, request_: int, payload: bytes, kind: type[HostError]
) -> None:
    driver = fresh(bench)
    driver.send(request_, payload)
    ends(bench, kind)
    assert not list(bench.folder.iterdir())


def test_requests_that_are_unknown_or_not_allowed_fail_and_do_nothing(bench: Bench) -> None:
    driver = fresh(bench)
    assert driver.tell(99, b"whatever") == 1
    assert driver.tell(0) == 1
    assert driver.tell(SET_CONFIG, struct.pack("<III", 0, 8, 0) + bytes(8)) == 1
    driver.send(99, b"without an answer")
    assert int.from_bytes(driver.config(), "little") == 42
    assert driver.config(8, 1) == b""
    assert driver.config(0xFFFFFFFF, 8) == b""


def test_descriptors_that_are_no_use(bench: Bench) -> None:
    driver = fresh(bench)
    driver.send(SET_KICK, struct.pack("<Q", 0), [driver.file])
    ends(bench, FrontEndFault)


def test_a_kick_descriptor_that_ends(bench: Bench) -> None:
    driver = fresh(bench)
    reader, writer = os.pipe()
    assert driver.tell(SET_KICK, struct.pack("<Q", 0), [reader]) == 0
    os.close(reader)
    os.close(writer)
    ends(bench, FrontEndFault)


def test_a_call_descriptor_that_cannot_be_written(bench: Bench) -> None:
    guest = bench.boot()
    reader, writer = os.pipe()
    guest.driver.send(SET_CALL, struct.pack("<Q", 1), [reader])
    os.close(reader)
    os.close(writer)
    ends(bench, FrontEndFault)


def test_too_many_descriptors(bench: Bench) -> None:
    driver = fresh(bench)
    before = descriptors()
    driver.send(SET_CALL, struct.pack("<Q", 0), [driver.file] * 100)
    ends(bench, MalformedMessage)
    assert descriptors() < before


def test_one_descriptor_too_many_is_not_overlooked(bench: Bench) -> None:
    driver = fresh(bench)
    table = struct.pack("<II", 8, 0)
    for index in range(8):
        table += struct.pack("<QQQQ", index * PAGE, PAGE, index * PAGE, index * PAGE)
    assert driver.tell(SET_MEM_TABLE, table, [driver.file] * 8) == 0
    driver.send(SET_MEM_TABLE, table, [driver.file] * 9)
    ends(bench, MalformedMessage)


def test_replies_on_demand_are_for_who_negotiated_them(bench: Bench) -> None:
    driver = bench.driver()
    driver.send(SET_PROTOCOL, bytes(8), flags=1 | NEED_REPLY)
    driver.send(SET_OWNER, flags=1 | NEED_REPLY)
    assert driver.ask(GET_FEATURES)


def test_descriptors_of_requests_that_want_none_are_closed(bench: Bench) -> None:
    driver = fresh(bench)
    driver.settle()
    before = descriptors()
    for request in (2, 99, SET_NUM):
        body = {2: bytes(8), 99: b"", SET_NUM: struct.pack("<II", 0, 8)}[request]
        driver.tell(request, body, [driver.file] * 8)
    for _ in range(20):
        driver.tell(SET_CALL, bytes(8), [driver.file])
        driver.tell(SET_KICK, bytes(8), [driver.rx.kick])
        driver.share_memory()
    assert descriptors() == before + 4  # call, kick, and one that Python keeps for each mapping


def test_rings_that_do_not_lie_in_memory(bench: Bench) -> None:
    driver = fresh(bench)
    driver.start()
    driver.send(SET_ADDR, struct.pack("<IIQQQQ", 0, 0, *[USER_LOW - 4096] * 3, 0))
    ends(bench, FrontEndFault)


def test_a_running_ring_does_not_change_its_size(bench: Bench) -> None:
    driver = fresh(bench)
    driver.start()
    driver.send(SET_NUM, struct.pack("<II", 0, 64))
    ends(bench, FrontEndFault)


def test_a_running_ring_does_not_change_its_position(bench: Bench) -> None:
    driver = fresh(bench)
    driver.start()
    driver.send(SET_BASE, struct.pack("<II", 0, 5))
    ends(bench, FrontEndFault)


def test_a_front_end_that_reads_no_replies(bench: Bench) -> None:
    driver = fresh(bench)
    flood = struct.pack("<III", 1, 1, 0) * 100_000
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        driver.socket.sendall(flood)
    ends(bench, FrontEndFault)


def test_memory_may_change_under_running_rings(bench: Bench) -> None:
    guest = bench.boot()
    guest.listen(5003)
    client = bench.client(5003)
    inside = guest.accept()
    assert guest.driver.share_memory() == 0
    client.sendall(b"still there")
    guest.expect(inside, b"still there")


def test_a_disabled_ring_rests(bench: Bench) -> None:
    guest = bench.boot()
    driver = guest.driver
    driver.tell(ENABLE, struct.pack("<II", 1, 0))
    nowhere = guest.connect(7777)
    driver.settle()
    driver.settle()
    assert not nowhere.refused
    assert guest.step() == []
    driver.tell(ENABLE, struct.pack("<II", 1, 1))
    driver.tx.poke()
    guest.until(lambda: nowhere.refused)


def test_a_reset_of_the_device_ends_its_connections(bench: Bench) -> None:
    guest = bench.boot()
    guest.listen(5003)
    client = bench.client(5003)
    guest.accept()
    assert guest.driver.tell(RESET_DEVICE) == 0
    assert client.recv(1) == b""


@pytest.mark.parametrize("length", [1, 11, 12, 15])
def test_a_front_end_that_dies_within_a_message(bench: Bench, length: int) -> None:
    driver = fresh(bench)
    message = struct.pack("<III", SET_CALL, 1, 8) + bytes(8)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", driver.file))]
    driver.socket.sendmsg([message[:length]], rights)
    driver.socket.close()
    assert bench.wait() is None


@given(st.lists(st.tuples(st.integers(0, 45), st.binary(max_size=80), st.integers(0, 3))))
def test_any_messages_end_in_nothing_but_our_errors(
    sent: list[tuple[int, bytes, int]],
) -> None:
    with Bench() as bench:
        driver = fresh(bench)
        driver.start()
        try:
            for request, payload, count in sent:
                chosen = [driver.file, driver.rx.kick, driver.tx.call][:count]
                driver.send(request, payload, chosen)
            driver.socket.shutdown(socket.SHUT_WR)
            while driver.socket.recv(1 << 16):
                pass
        except OSError:
            pass
        bench.wait()
        bench.error = None


@given(st.binary(max_size=400))
def test_any_bytes_end_in_nothing_but_our_errors(data: bytes) -> None:
    with Bench() as bench:
        driver = bench.driver()
        try:
            driver.socket.sendall(data)
            driver.socket.shutdown(socket.SHUT_WR)
            while driver.socket.recv(1 << 16):
                pass
        except OSError:
            pass
        bench.wait()
        bench.error = None


# The guest.


def test_a_guest_that_breaks_its_ring_ends_the_backend(bench: Bench) -> None:
    guest = bench.boot()
    guest.listen(5003)
    client = bench.client(5003)
    guest.accept()
    driver = guest.driver
    driver.tx.describe(0, 1 << 40, 100, 0, 0)
    driver.tx.offer(0)
    driver.tx.poke()
    ends(bench, GuestFault)
    assert client.recv(1) == b""
    assert os.eventfd_read(driver.error) > 0


def test_buffers_too_small_for_a_packet_end_the_backend(bench: Bench) -> None:
    guest = bench.boot(layout=(44,))
    guest.transmit(Packet(RW, 1, 1, b"x"))
    ends(bench, GuestFault)


@given(seed=st.integers(0, 2**32))
def test_any_ring_ends_in_nothing_but_our_errors(seed: int) -> None:
    """Rings of chance: heads, descriptors, indices; now and then one that is right."""
    whims = random.Random(seed)  # noqa: S311  what varies, reproducible
    with Bench(Limits(connections=8, window=4096, resets=16)) as bench:
        guest = bench.boot(size=16, buffers=16)
        driver = guest.driver
        bench.service()
        for _ in range(whims.randint(1, 30)):
            ring = whims.choice([driver.rx, driver.tx])
            if whims.random() < 0.3:
                address = whims.choice([0, 0x100000, 1 << 32, 1 << 63, whims.getrandbits(64)])
                length = whims.choice([0, 44, 4096, 0xFFFFFFFF, whims.getrandbits(24)])
                ring.describe(whims.randrange(16), address, length, whims.getrandbits(3), 1)
            if whims.random() < 0.2:
                ring.claim(whims.getrandbits(16))
            ring.offer(whims.choice([whims.randrange(16), whims.getrandbits(16)]))
            ring.poke()
        driver.socket.shutdown(socket.SHUT_WR)
        bench.wait()
        bench.error = None


@given(seed=st.integers(0, 2**32))
def test_any_packets_leave_bounded_state_and_a_working_device(seed: int) -> None:
    """Packets of chance for a few addresses, so that they meet; then an honest exchange."""
    whims = random.Random(seed)  # noqa: S311  what varies, reproducible
    limits = Limits(connections=4, window=4096, resets=16)
    with Bench(limits) as bench:
        guest = bench.boot()
        bench.service()
        guest.listen(5003)
        bench.client(5003)
        guest.accept()
        guest.sockets.clear()
        for _ in range(200):
            packet = Packet(
                whims.choice([1, 1, 2, 3, 4, 5, 5, 5, 6, 7, whims.getrandbits(16)]),
                whims.choice([SERVICE, SERVICE, 9000, 1 << 30, whims.getrandbits(32)]),
                whims.choice([1, 2, 3, 5003]),
                whims.randbytes(whims.choice([0, 1, 100, 3000, 5000])),
                flags=whims.choice([0, 1, 2, 3, whims.getrandbits(32)]),
                buffer=whims.choice([0, 1, 4096, 0xFFFFFFFF]),
                consumed=whims.choice([0, 0, 0, 1, whims.getrandbits(32)]),
                cid=whims.choice([3, 3, 3, 2, 9]),
                kind=whims.choice([1, 1, 1, 1, 2]),
                length=whims.choice([None, None, None, 0, 0xFFFFFFFF]),
            )
            guest.transmit(packet)
            if whims.random() < 0.2:
                guest.step(wait=0)
                guest.sockets.clear()
        guest.flush()
        device = bench.backend.device
        assert len(device) <= 2 * limits.connections
        for connection in device._table:
            assert len(connection.pending) <= limits.window
        guest.listening.clear()
        for port in (1, 2, 3, 5003):
            for host in (SERVICE, 9000, 1 << 30):
                for cid in (2, 3):
                    guest.transmit(Packet(RST, host, port, cid=cid))
        eventually(lambda: len(device) == 0, guest.step)
        guest.open(SERVICE)
