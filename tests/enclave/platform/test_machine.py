"""What of the machine can be tried outside one; the rest is what `make test-image` boots."""

import socket
import threading

import pytest
from strongroom_enclave.platform import PlatformError, machine


@pytest.mark.parametrize("echo", [b"\xb7", b"\x00", b""])
def test_the_heartbeat_is_one_byte_there_and_back(
    echo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair()
    dialled: list[int] = []

    def connect(port: int) -> socket.socket:
        dialled.append(port)
        return ours

    def answer() -> None:
        with theirs:
            assert theirs.recv(9) == b"\xb7"
            theirs.sendall(echo)

    monkeypatch.setattr(machine, "connect", connect)
    hypervisor = threading.Thread(target=answer)
    hypervisor.start()
    if echo == b"\xb7":
        machine.heartbeat()
    else:
        with pytest.raises(PlatformError, match="heartbeat"):
            machine.heartbeat()
    hypervisor.join()
    assert dialled == [9000]


def test_entropy_that_the_kernel_refuses_stops_the_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr("fcntl.ioctl", refuse)
    with pytest.raises(PlatformError, match="entropy"):
        machine.seed(bytes)
