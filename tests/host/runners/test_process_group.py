"""Ending a group ends all of it, also what does not listen."""

import os
import signal
import subprocess
import sys

import pytest
from strongroom_host.runners import process_group
from strongroom_host.runners.process_group import end_group

from tests.host.runners.processes import gone

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
FAMILY = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", '{DEAF}; time.sleep(600)'], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""


def start(program: str) -> tuple[subprocess.Popen[bytes], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    )
    assert process.stdout is not None
    with process.stdout:
        return process, int(process.stdout.readline())


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_group, "_STOP_TIMEOUT", 0.2)
    monkeypatch.setattr(process_group, "_GROUP_TIMEOUT", 0.2)


def test_a_deaf_child_of_an_obedient_leader_is_killed() -> None:
    process, child = start(FAMILY)
    end_group(process)
    assert process.returncode is not None
    assert gone({child: "child"})


def test_a_deaf_leader_is_killed() -> None:
    process, _ = start(f"{DEAF}; time.sleep(600)")
    end_group(process)
    assert gone({process.pid: "leader"})


def test_what_ended_by_itself_is_not_looked_for_with_a_weapon() -> None:
    process, child = start(FAMILY)
    process.kill()
    process.wait()
    end_group(process)
    assert not gone({child: "child"})  # its group's number might be somebody else's by now
    os.killpg(process.pid, signal.SIGKILL)
