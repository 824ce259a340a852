"""The whole backend, over real sockets, with a guest that watches every promise."""

import contextlib
import os
import random
import resource
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.vsock import Limits

from tests.host.vsock.conftest import SERVICE, Bench
from tests.host.vsock.driver import eventually
from tests.host.vsock.guest import NO_RECEIVE, NO_SEND, RST, Guest, Socket

pytestmark = pytest.mark.timeout(3600)  # a soak may take its time


def read_all(guest: Guest, client: socket.socket) -> bytes:
    """Returns what a client reads until its end, while the guest runs."""
    client.setblocking(False)
    data = bytearray()
    ended = False

    def step() -> None:
        nonlocal ended
        guest.step()
        try:
            while piece := client.recv(65536):
                data.extend(piece)
            ended = True
        except BlockingIOError:
            pass

    eventually(lambda: ended, step)
    return bytes(data)


def all_gone(bench: Bench, guest: Guest) -> None:
    """Waits until the backend has forgotten every connection."""
    eventually(lambda: len(bench.backend.device) == 0, guest.step)


def joined(
    bench: Bench, guest: Guest, port: int = 5003, buffer: int = 262144
) -> tuple[socket.socket, Socket]:
    """Returns both ends of a connection that a client of the host asked for."""
    guest.listen(port, buffer)
    client = bench.client(port)
    return client, guest.accept()


def dialled(bench: Bench, guest: Guest, listener: socket.socket) -> tuple[Socket, socket.socket]:
    """Returns both ends of a connection that the guest asked for."""
    inside = guest.open(SERVICE)
    return inside, bench.accept(listener)


def test_a_client_and_a_guest_talk(bench: Bench) -> None:
    guest = bench.boot()
    client, inside = joined(bench, guest)
    client.sendall(b"to the guest")
    guest.expect(inside, b"to the guest")
    inside.send(b"to the client")
    assert client.recv(100) == b"to the client"


def test_a_guest_reaches_a_service(bench: Bench) -> None:
    guest, listener = bench.boot(), bench.service()
    inside, outside = dialled(bench, guest, listener)
    inside.send(b"question")
    assert outside.recv(100) == b"question"
    outside.sendall(b"answer")
    guest.expect(inside, b"answer")


def test_a_guest_may_know_the_host_by_either_address(bench: Bench) -> None:
    guest, listener = bench.boot(), bench.service()
    inside = guest.open(SERVICE, cid=2)
    inside.send(b"x")
    assert bench.accept(listener).recv(1) == b"x"


def test_a_port_without_a_service_is_refused(bench: Bench) -> None:
    guest = bench.boot()
    nowhere, absent = guest.connect(7777), guest.connect(SERVICE)
    guest.until(lambda: nowhere.refused and absent.refused)


def test_a_client_before_the_guest_listens_is_closed(bench: Bench) -> None:
    guest = bench.boot()
    client = bench.client(5003)
    assert read_all(guest, client) == b""
    all_gone(bench, guest)


def test_a_client_before_the_guest_runs_is_closed(bench: Bench) -> None:
    assert bench.client(5003).recv(1) == b""


def test_the_guest_learns_its_address(bench: Bench) -> None:
    driver = bench.driver()
    driver.negotiate()
    assert int.from_bytes(driver.config(), "little") == 42
    assert driver.config(4, 4) == bytes(4)
    assert driver.config(4, 8) == b""


def test_the_heartbeat_is_answered_and_reported_once(bench: Bench) -> None:
    guest = bench.boot()
    for _ in range(2):
        heart = guest.open(9000)
        heart.send(b"\xb7")
        guest.expect(heart, b"\xb7")
        assert not heart.host_ended
    assert bench.said == ["ready", "heartbeat"]


def test_a_wrong_heartbeat_is_no_heartbeat(bench: Bench) -> None:
    guest = bench.boot()
    heart = guest.open(9000)
    heart.send(b"\xb8")
    guest.until(lambda: heart.over)
    assert heart.received == b""
    assert bench.said == ["ready"]


@pytest.mark.parametrize("layout", [(3776,), (44, 3732), (20, 20, 20, 1000), (45,), (70000,)])
def test_any_layout_of_buffers_will_do(bench: Bench, layout: tuple[int, ...]) -> None:
    guest = bench.boot(layout=layout, buffers=16)
    client, inside = joined(bench, guest)
    data = os.urandom(5_000)
    client.sendall(data)
    guest.until(lambda: bytes(inside.received) == data)


@given(seed=st.integers(0, 2**32))
def test_what_comes_back_is_what_was_sent(seed: int) -> None:
    """Whatever the chunks, buffers, windows and numbers of descriptors are."""
    whims = random.Random(seed)  # noqa: S311  what varies, reproducible
    window = whims.choice([1024, 5000, 65536, 262144])
    size = whims.choice([8, 32, 128])
    data = whims.randbytes(whims.randint(1, 80_000))
    with Bench(Limits(window=window)) as bench:
        layout = whims.choice([(3776,), (44, 500), (4140,), (10, 34, 1, 70)])
        guest = bench.boot(size=size, layout=layout, buffers=max(1, size // len(layout)), seed=seed)
        client, inside = joined(bench, guest, buffer=whims.choice([100, 4096, 262144]))
        client.setblocking(False)
        sent, back = 0, bytearray()
        ended = False

        def step() -> None:
            nonlocal sent, ended
            guest.step(wait=0)
            try:
                sent += client.send(data[sent : sent + whims.randint(1, 50_000)])
                if sent == len(data):
                    client.shutdown(socket.SHUT_WR)
                    sent += 1
            except (BlockingIOError, BrokenPipeError):
                pass
            if inside.received and (count := min(len(inside.received), whims.randint(1, 9000))):
                taken = inside.send(memoryview(inside.received)[:count].tobytes())
                inside.read(taken)
            if inside.host_ended and not inside.received and not inside.our_end:
                inside.shutdown(NO_SEND)
            try:
                while piece := client.recv(whims.randint(1, 65536)):
                    back.extend(piece)
                ended = True
            except BlockingIOError:
                pass

        eventually(lambda: ended, step)
        assert bytes(back) == data
        guest.until(lambda: inside.over)
        all_gone(bench, guest)


def test_the_client_may_stop_sending_and_go_on_reading(bench: Bench) -> None:
    guest = bench.boot()
    client, inside = joined(bench, guest)
    client.sendall(b"all I have")
    client.shutdown(socket.SHUT_WR)
    guest.until(lambda: inside.host_ended == NO_SEND)
    assert inside.received == b"all I have"
    for _ in range(3):
        inside.send(b"still here ")
    inside.close()
    assert read_all(guest, client) == b"still here " * 3
    guest.until(lambda: inside.over)


def test_the_guest_may_stop_sending_and_go_on_reading(bench: Bench) -> None:
    guest = bench.boot()
    client, inside = joined(bench, guest)
    inside.send(b"all I have")
    inside.shutdown(NO_SEND)
    assert read_all(guest, client) == b"all I have"
    client.setblocking(True)
    client.sendall(b"still here")
    guest.expect(inside, b"still here")
    assert not inside.over
    client.close()
    guest.until(lambda: inside.over)
    all_gone(bench, guest)


def test_a_guest_that_reads_no_more_stops_the_client(bench: Bench) -> None:
    guest = bench.boot()
    client, inside = joined(bench, guest)
    inside.shutdown(NO_RECEIVE)
    broken = False

    def step() -> None:
        nonlocal broken
        guest.step()
        try:
            client.send(b"x")
        except BrokenPipeError:
            broken = True

    eventually(lambda: broken, step)
    inside.send(b"I can talk")
    assert client.recv(100) == b"I can talk"
    inside.close()
    assert read_all(guest, client) == b""


def test_a_client_that_left_ends_both_directions(bench: Bench) -> None:
    guest = bench.boot()
    client, inside = joined(bench, guest)
    client.sendall(b"last words")
    client.close()
    guest.until(lambda: inside.over)
    assert inside.received == b"last words"
    assert inside.host_ended == NO_RECEIVE | NO_SEND
    all_gone(bench, guest)


def test_what_a_guest_sent_before_it_closed_arrives(bench: Bench) -> None:
    """Even if the client starts to read only when the guest is long gone."""
    guest = bench.boot()
    client, inside = joined(bench, guest)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    data = os.urandom(400_000)
    sent = 0

    def step() -> None:
        nonlocal sent
        sent += inside.send(data[sent:])
        guest.step()

    eventually(lambda: sent >= 262144 or inside.credit == 0, step)
    inside.close()
    guest.until(lambda: inside.over)
    assert read_all(guest, client) == data[:sent]
    all_gone(bench, guest)


def test_a_reset_by_the_guest_ends_the_client(bench: Bench) -> None:
    guest = bench.boot()
    client, inside = joined(bench, guest)
    guest.forget(inside)
    inside.packet(RST)
    assert read_all(guest, client) == b""


def test_two_hundred_connections_at_once(bench: Bench) -> None:
    guest, listener = bench.boot(), bench.service()
    guest.listen(5003)
    clients = [bench.client(5003) for _ in range(100)]
    guest.until(lambda: len(guest.accepted) == 100)
    insides = [guest.connect(SERVICE) for _ in range(100)]
    guest.until(lambda: all(inside.open for inside in insides))
    services = [bench.accept(listener) for _ in range(100)]
    words = {os.urandom(1000): client for client in clients}
    for word, client in words.items():
        client.sendall(word)
    for number, inside in enumerate(insides):
        inside.write(b"%d" % number)
    guest.flush()
    guest.until(lambda: all(len(s.received) == 1000 for s in guest.accepted))
    assert {bytes(s.received) for s in guest.accepted} == words.keys()
    assert sorted(int(s.recv(10)) for s in services) == list(range(100))
    for accepted in guest.accepted:
        accepted.write(bytes(accepted.received))
    guest.flush()
    for word, client in words.items():
        assert client.recv(2000) == word
    for client in (*clients, *services):
        client.close()
    guest.until(lambda: not guest.sockets)
    all_gone(bench, guest)


def test_a_client_that_does_not_read_stops_itself_alone(bench: Bench) -> None:
    guest = bench.boot()
    _, stuck = joined(bench, guest)
    client, lively = joined(bench, guest)
    data = bytes(100_000)
    idle = 0

    def push() -> None:
        nonlocal idle
        idle = 0 if stuck.send(data) else idle + 1
        guest.step()

    eventually(lambda: idle > 20, push)
    assert stuck.credit == 0
    for number in range(50):
        word = b"%d" % number * 1000
        client.sendall(word)
        guest.expect(lively, word)
        lively.write(lively.read(len(word)))
        guest.flush()
        assert client.recv(len(word)) == word
    assert not stuck.over


def test_a_guest_that_does_not_read_stops_its_connection_alone(bench: Bench) -> None:
    guest = bench.boot()
    flood, stuck = joined(bench, guest, buffer=10_000)
    client, lively = joined(bench, guest)
    flood.setblocking(False)
    idle = 0

    def push() -> None:
        nonlocal idle
        try:
            flood.send(bytes(100_000))
            idle = 0
        except BlockingIOError:
            idle += 1
        guest.step()

    eventually(lambda: idle > 20, push)
    assert len(stuck.received) == 10_000
    client.sendall(b"go on")
    guest.expect(lively, b"go on")
    held = len(stuck.read(10_000))
    guest.until(lambda: len(stuck.received) == held)


def test_a_guest_out_of_buffers_is_waited_for(bench: Bench) -> None:
    guest = bench.boot(buffers=4)
    client, inside = joined(bench, guest)
    eventually(lambda: not guest._rx_pool, lambda: guest.offer())
    client.sendall(bytes(100_000))
    eventually(lambda: len(guest._rx_pool) == 4, lambda: guest.step(refill=False))
    taken = len(inside.received)
    for _ in range(20):
        guest.step(refill=False)
    assert len(inside.received) == taken
    guest.offer()
    guest.until(lambda: len(inside.received) == 100_000)


def test_a_service_that_is_busy_is_tried_again(bench: Bench) -> None:
    guest, listener = bench.boot(), bench.service(backlog=0)
    insides = [guest.connect(SERVICE) for _ in range(8)]
    outsides = []
    listener.setblocking(False)

    def step() -> None:
        guest.step()
        with contextlib.suppress(BlockingIOError):
            outsides.append(bench.accept(listener))

    eventually(lambda: len(outsides) == 8, step)
    guest.until(lambda: all(inside.open for inside in insides))
    assert not any(inside.refused for inside in insides)


def test_the_guests_connections_do_not_use_up_the_hosts() -> None:
    with Bench(Limits(connections=3)) as bench:
        guest = bench.boot()
        bench.service()
        insides = [guest.connect(SERVICE) for _ in range(4)]
        guest.until(lambda: all(inside.open or inside.refused for inside in insides))
        assert [inside.refused for inside in insides] == [False, False, False, True]
        for _ in range(3):
            joined(bench, guest)
        assert read_all(guest, bench.client(5003)) == b""
        insides[0].close()
        guest.until(lambda: insides[0].over)
        guest.open(SERVICE)


def test_a_driver_that_starts_anew_has_no_connections(bench: Bench) -> None:
    guest = bench.boot()
    client, inside = joined(bench, guest)
    client.sendall(b"here")
    guest.expect(inside, b"here")
    driver = guest.driver
    assert driver.stop(0) == guest.driver.rx.taken
    assert driver.stop(1) > 0
    for ring in (driver.rx, driver.tx):
        ring.__post_init__()
        ring.added = ring.taken = 0
        ring.chains.clear()
    driver.start()
    fresh = Guest(driver)
    fresh.offer()
    assert read_all(fresh, client) == b""
    again, inside = joined(bench, fresh)
    again.sendall(b"hello again")
    fresh.expect(inside, b"hello again")


def test_a_guest_that_was_paused_keeps_its_connections(bench: Bench) -> None:
    guest = bench.boot()
    client, inside = joined(bench, guest)
    driver = guest.driver
    positions = [driver.stop(index) for index in range(2)]
    client.sendall(b"while you were away")
    driver.settle()
    for index, (ring, position) in enumerate(zip((driver.rx, driver.tx), positions, strict=True)):
        driver.start_ring(index, ring, position)
    guest.expect(inside, b"while you were away")


def test_the_end_of_the_front_end_is_the_end_of_the_backend(bench: Bench) -> None:
    guest = bench.boot()
    client, _ = joined(bench, guest)
    guest.driver.socket.close()
    assert bench.wait() is None
    assert client.recv(1) == b""
    assert not list(bench.folder.iterdir())


def test_one_front_end_is_let_in(bench: Bench) -> None:
    bench.boot()
    with pytest.raises(ConnectionRefusedError):
        bench.driver()


def test_a_client_waits_while_the_backend_is_out_of_descriptors(bench: Bench) -> None:
    guest = bench.boot()
    guest.listen(5003)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket(socket.AF_UNIX) as client:
        with Path("/dev/null").open("rb") as lowest:
            number = lowest.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
        try:
            client.connect(str(bench.config.listen[5003]))
            eventually(lambda: bool(bench.backend._paused), guest.step)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        inside = guest.accept()
        client.sendall(b"at last")
        guest.expect(inside, b"at last")
