"""The way to the module in the image: the one ioctl of /dev/nsm."""

import ctypes
import fcntl
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from strongroom_enclave.platform import nsm
from strongroom_enclave.platform.nsm import (
    MAX_RESPONSE,
    DeviceUnavailable,
    MalformedResponse,
    NsmPlatform,
    device,
)


class Kernel:
    """What drivers/misc/nsm.c does with its argument, over the caller's real memory."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.calls: list[tuple[int, int]] = []

    def ioctl(self, fd: int, request: int, argument: bytearray) -> int:
        self.calls.append((fd, request))
        assert len(argument) == 32
        to, size, back, room = struct.unpack("=QQQQ", argument)
        assert size <= 0x1000
        answer = self.answer(ctypes.string_at(to, size))
        written = answer[: min(room, MAX_RESPONSE)]  # silently, as the driver does
        ctypes.memmove(back, written, len(written))
        argument[24:32] = struct.pack("=Q", len(written))
        return 0


@pytest.fixture
def node(tmp_path: Path) -> Path:
    path = tmp_path / "nsm"
    path.touch()
    path.chmod(0o666)
    return path


def patched(monkeypatch: pytest.MonkeyPatch, answer: Callable[[bytes], bytes]) -> Kernel:
    kernel = Kernel(answer)
    monkeypatch.setattr(fcntl, "ioctl", kernel.ioctl)
    return kernel


def test_ioctl_carries_request_and_answer(monkeypatch: pytest.MonkeyPatch, node: Path) -> None:
    kernel = patched(monkeypatch, lambda request: request[::-1] + b"\x00tail\x00")
    transport = device(str(node))
    for request in (b"\x69GetRandom", b"", b"\x00\x01\x00", bytes(range(256)) * 16):
        assert transport(request) == request[::-1] + b"\x00tail\x00"
    assert {number for _, number in kernel.calls} == {0xC0200A00}


def test_ioctl_number_is_the_drivers() -> None:
    read_write, size, magic, number = 3, 32, 0x0A, 0
    assert read_write << 30 | size << 16 | magic << 8 | number == nsm._IOCTL


def test_exactly_what_the_driver_wrote_is_read(monkeypatch: pytest.MonkeyPatch, node: Path) -> None:
    answers = iter([bytes([1]) * 500, b"\x02", b""])
    patched(monkeypatch, lambda request: next(answers))
    transport = device(str(node))
    assert [transport(b"x") for _ in range(3)] == [bytes([1]) * 500, b"\x02", b""]


def test_a_truncated_answer_is_refused(monkeypatch: pytest.MonkeyPatch, node: Path) -> None:
    whole = b"\xa1\x6bAttestation\xa1\x68document\x59\x30\x00" + bytes(0x3000)
    assert len(whole) > MAX_RESPONSE
    patched(monkeypatch, lambda request: whole)
    transport = device(str(node))
    assert len(transport(b"x")) == MAX_RESPONSE
    with pytest.raises(MalformedResponse):
        NsmPlatform(transport).attest(b"", b"")


def test_the_node_is_closed_to_other_users(monkeypatch: pytest.MonkeyPatch, node: Path) -> None:
    patched(monkeypatch, lambda request: b"")
    device(str(node))
    assert stat.S_IMODE(node.stat().st_mode) == 0o600


def test_the_descriptor_does_not_survive_exec(monkeypatch: pytest.MonkeyPatch, node: Path) -> None:
    kernel = patched(monkeypatch, lambda request: b"")
    device(str(node))(b"x")
    assert not os.get_inheritable(kernel.calls[0][0])


def test_a_failing_ioctl_is_ours(monkeypatch: pytest.MonkeyPatch, node: Path) -> None:
    def broken(fd: int, request: int, argument: bytearray) -> int:
        raise TimeoutError(110, "Connection timed out")

    monkeypatch.setattr(fcntl, "ioctl", broken)
    with pytest.raises(DeviceUnavailable, match="timed out"):
        device(str(node))(b"x")


def test_a_node_that_is_no_nsm_is_ours(node: Path) -> None:
    with pytest.raises(DeviceUnavailable):
        device(str(node))(b"x")


def test_a_missing_node_is_ours(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailable, match="absent"):
        device(str(tmp_path / "absent"))


def test_a_node_whose_mode_stays_open_is_not_used(
    monkeypatch: pytest.MonkeyPatch, node: Path
) -> None:
    def denied(fd: int, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", denied)
    with pytest.raises(DeviceUnavailable, match="not permitted"):
        device(str(node))
