"""The software NSM behind a socket, in a thread and in a process of its own."""

import signal
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_attest.nitro.roots import Roots
from strongroom_attest.nitro.verify import authenticate
from strongroom_enclave.platform.nsm import DeviceUnavailable, NsmError, NsmPlatform
from strongroom_local.entry import LocalPlatform
from strongroom_local.errors import UnsafeFile
from strongroom_local.measure import measure_installed
from strongroom_local.nsm import MAX_REQUEST
from strongroom_local.server import NsmProcess, in_process, in_thread, serve
from strongroom_local.transport import stream

from tests.local.nitro import Described, launch, payload

RANDOM = b"\x00\x00\x00\x0a\x69GetRandom"


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with in_thread(launch()) as end:
        end.settimeout(20)
        yield end


def answer(sock: socket.socket) -> Any:
    with sock.makefile("rb") as reader:
        size = int.from_bytes(reader.read(4), "big")
        return cbor2.loads(reader.read(size))


def test_the_enclaves_client_speaks_to_it(sock: socket.socket) -> None:
    platform = Described(stream(sock))
    value = platform.extend(16, b"manifest")
    platform.lock(32)
    assert platform.describe(16) == (True, value)
    assert len(platform.random(1000)) == 1000
    assert payload(platform.attest(b"u", b"n"))["pcrs"][16] == value
    with pytest.raises(NsmError) as caught:
        platform.extend(16, b"more")
    assert caught.value.actual == "ReadOnlyIndex"


def test_requests_in_one_piece_are_answered_one_by_one(sock: socket.socket) -> None:
    sock.sendall(RANDOM * 3)
    reader = sock.makefile("rb")
    for _ in range(3):
        assert "GetRandom" in cbor2.loads(reader.read(int.from_bytes(reader.read(4), "big")))
    reader.close()


def test_a_request_in_many_pieces_is_one(sock: socket.socket) -> None:
    for byte in RANDOM:
        sock.sendall(bytes([byte]))
    assert "GetRandom" in answer(sock)


def test_an_empty_request_is_refused_and_the_next_one_served(sock: socket.socket) -> None:
    sock.sendall(bytes(4))
    assert answer(sock) == {"Error": "InvalidOperation"}
    sock.sendall(RANDOM)
    assert answer(sock) != {"Error": "InvalidOperation"}


@pytest.mark.parametrize("size", [MAX_REQUEST + 1, MAX_REQUEST + 2, 70_000, 1 << 20])
def test_a_request_over_the_limit_is_refused_and_the_next_one_served(
    sock: socket.socket, size: int
) -> None:
    # Before its bytes arrive, so that nobody waits for the other; and they are dropped.
    sock.sendall(size.to_bytes(4, "big"))
    assert answer(sock) == {"Error": "InputTooLarge"}
    sock.sendall(b"\x69GetRandom" * (size // 10) + bytes(size % 10))
    sock.sendall(RANDOM)
    assert answer(sock) != {"Error": "InputTooLarge"}


def test_the_largest_request_is_served(sock: socket.socket) -> None:
    overhead = len(cbor2.dumps({"ExtendPCR": {"index": 16, "data": bytes(300)}})) - 300
    platform = Described(stream(sock))
    assert len(platform.extend(16, bytes(MAX_REQUEST - overhead))) == 48


@pytest.mark.parametrize("end", [b"", b"\x00\x00", b"\x00\x00\x00\x05abc", b"\xff\xff\xff\xff12"])
def test_the_server_ends_with_the_other_side(end: bytes) -> None:
    ours, theirs = socket.socketpair()
    server = threading.Thread(target=serve, args=(launch(), ours))
    server.start()
    theirs.sendall(end)
    theirs.shutdown(socket.SHUT_WR)
    server.join(20)
    assert not server.is_alive()
    assert ours.fileno() == -1
    theirs.close()


def test_the_server_outlives_nobody_who_does_not_read() -> None:
    ours, theirs = socket.socketpair()
    server = threading.Thread(target=serve, args=(launch(), ours))
    server.start()
    theirs.sendall(RANDOM * 4)
    theirs.close()
    server.join(20)
    assert not server.is_alive()


@given(st.lists(st.binary(max_size=60) | st.just(RANDOM), max_size=4).map(b"".join))
def test_any_stream_ends_in_answers_and_an_end(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    server = threading.Thread(target=serve, args=(launch(), ours))
    server.start()
    with theirs, theirs.makefile("rb") as reader:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        while head := reader.read(4):
            item = cbor2.loads(reader.read(int.from_bytes(head, "big")))
            assert isinstance(item, dict | str)
    server.join(20)
    assert not server.is_alive()


# --- a process of its own -------------------------------------------------------------------------


@pytest.fixture
def process(tmp_path: Path) -> Iterator[NsmProcess]:
    module = in_process(tmp_path)
    yield module
    module.close()


def test_a_process_serves_under_the_root_of_its_folder(process: NsmProcess, tmp_path: Path) -> None:
    platform = Described(stream(process.sock))
    evidence = platform.attest(b"u", b"n")
    roots = Roots.of_certificates((tmp_path / "root.der").read_bytes())
    pcrs = authenticate(evidence, roots, datetime.now(UTC)).document.pcrs
    measured = measure_installed()
    assert (pcrs[0], pcrs[1], pcrs[2]) == (measured.pcr0, measured.pcr1, measured.pcr2)
    assert abs(platform.now_ms() / 1000 - datetime.now(UTC).timestamp()) < 60


def test_a_process_ends_with_its_socket(process: NsmProcess) -> None:
    process.sock.close()
    assert process.process.wait(20) == 0


def test_closing_ends_the_process_while_a_client_lives(tmp_path: Path) -> None:
    module = in_process(tmp_path)
    platform = Described(stream(module.sock))
    platform.random(1)
    module.close()
    assert module.process.returncode == 0
    with pytest.raises(DeviceUnavailable):
        platform.random(1)


def test_a_process_outlives_an_interrupt_at_the_terminal(process: NsmProcess) -> None:
    platform = Described(stream(process.sock))
    platform.random(1)
    process.process.send_signal(signal.SIGINT)
    assert platform.random(1)
    process.sock.close()


def test_a_killed_process_is_a_platform_error(process: NsmProcess) -> None:
    platform = Described(stream(process.sock))
    platform.random(1)
    process.process.kill()
    process.process.wait()
    with pytest.raises(DeviceUnavailable):
        platform.random(1)


def test_options_reach_the_process(tmp_path: Path) -> None:
    module = in_process(tmp_path, indefinite=True, debug=True)
    try:
        evidence = Described(stream(module.sock)).attest(b"", b"")
    finally:
        module.close()
    assert cbor2.loads(evidence)[2][0] == 0xBF
    assert payload(evidence)["pcrs"][0] == bytes(48)


def test_an_unusable_folder_is_reported_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        in_process(tmp_path / "absent")
    in_process(tmp_path).close()
    (tmp_path / "root.pem").chmod(0o644)
    with pytest.raises(UnsafeFile):
        in_process(tmp_path)


def test_no_descriptor_is_left_here(tmp_path: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    in_process(tmp_path).close()
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_its_memory_can_be_copied_though_its_documents_are_signed(process: NsmProcess) -> None:
    """So a production manifest with nonces made ahead is refused here."""
    platform = LocalPlatform(stream(process.sock))
    assert not NsmPlatform.copyable(platform), "going by the signature alone"
    assert platform.copyable()
