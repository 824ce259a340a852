"""The process: what it prints, how it ends, what it says when it cannot begin."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.host.vsock.driver import HANG_S, Driver
from tests.host.vsock.guest import CID, Guest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def start(folder: Path, *more: str, cid: int = CID) -> Iterator[subprocess.Popen[str]]:
    """Yields the process; whatever the test finds, it is gone afterwards."""
    command = [sys.executable, "-P", "-m", "strongroom_host.vsock", "--cid", str(cid)]
    command += ["--device", str(folder / "device.sock"), *more]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def refused(folder: Path, *more: str, cid: int = CID) -> str:
    """Returns what a process that cannot begin says."""
    with start(folder, *more, cid=cid) as process:
        _, said = process.communicate(timeout=HANG_S)
        assert process.returncode in (2, 5)
        assert "Traceback" not in said
        assert said.startswith("vsock: ")
        return said


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def test_it_serves_until_the_front_end_closes(folder: Path) -> None:
    with start(folder, "--heartbeat", "9000", "--listen", f"5003={folder}/a") as process:
        ready(process)
        assert (folder / "device.sock").stat().st_mode & 0o777 == 0o600
        driver = Driver(folder / "device.sock")
        driver.negotiate()
        driver.start()
        guest = Guest(driver)
        guest.offer()
        heart = guest.open(9000)
        heart.send(b"\xb7")
        assert process.stdout is not None
        assert process.stdout.readline() == "heartbeat\n"
        driver.close()
        assert process.communicate(timeout=HANG_S) == ("", "")
        assert process.returncode == 0
    assert not list(folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(folder: Path, number: signal.Signals) -> None:
    with start(folder) as process:
        ready(process)
        process.send_signal(number)
        assert process.communicate(timeout=HANG_S) == ("", "")
        assert process.returncode == 0
    assert not list(folder.iterdir())


def test_a_broken_protocol_ends_it_with_a_message(folder: Path) -> None:
    with start(folder) as process:
        ready(process)
        with socket.socket(socket.AF_UNIX) as front:
            front.connect(str(folder / "device.sock"))
            front.sendall(bytes(12))
            _, said = process.communicate(timeout=HANG_S)
        assert process.returncode == 5
        assert said.startswith("vsock: not a request of vhost-user version 1\n  expected: ")


def test_it_replaces_what_nobody_listens_on_and_nothing_else(folder: Path) -> None:
    path = folder / "device.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with start(folder) as process:
        ready(process)
        assert "in use" in refused(folder)
        process.terminate()
    path.write_text("precious")
    assert "no socket" in refused(folder)
    assert path.read_text() == "precious"


def test_what_it_cannot_serve_is_refused(folder: Path) -> None:
    path = f"{folder}/a"
    assert "CID" in refused(folder, cid=3)
    assert "vsock port" in refused(folder, "--listen", f"4294967295={path}")
    assert "PORT=PATH" in refused(folder, "--listen", path)
    assert "PORT=PATH" in refused(folder, "--connect", f"x={path}")
    assert "twice" in refused(folder, "--listen", f"1={path}", "--listen", f"1={path}b")
    assert "same path" in refused(folder, "--listen", f"1={path}", "--listen", f"2={path}")
    assert "elsewhere" in refused(folder, "--connect", f"9000={path}", "--heartbeat", "9000")
    assert "cannot listen" in refused(folder, "--listen", f"1={folder}/{'x' * 200}")
    assert "cannot listen" in refused(folder, "--listen", f"1={folder}/missing/a")
    assert not list(folder.iterdir())
