"""What a killed session leaves in shared memory is gone when the next one begins."""

import os
import secrets
import subprocess
import sys

from strongroom_host.latency.stats import StatsFile, running, stats_path

_KILLED = """
import os, signal, sys
from strongroom_host.latency.stats import StatsFile
StatsFile(sys.argv[1])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_files_of_killed_sessions_go_and_those_of_others_stay() -> None:
    name = f"test-{secrets.token_hex(6)}"
    killed, empty, mine = (f"{name}-{which}" for which in ("killed", "empty", "mine"))
    stats_path(empty).touch()  # one that is just being made
    with StatsFile(mine):
        subprocess.run([sys.executable, "-c", _KILLED, killed], check=False)
        assert stats_path(killed).exists()
        assert killed not in running()
        try:
            with StatsFile(f"{name}-next"):
                assert not stats_path(killed).exists()
                assert stats_path(mine).exists()
                assert stats_path(empty).exists()
        finally:
            stats_path(empty).unlink()
    assert list(stats_path(name).parent.glob(f"*{name}*")) == []


def test_a_pipe_that_somebody_put_there_holds_nobody_up() -> None:
    name = f"test-{secrets.token_hex(6)}"
    pipe = stats_path(f"{name}-pipe")
    os.mkfifo(pipe)
    try:
        begins = "import sys; from strongroom_host.latency.stats import *\n"
        begins += "with StatsFile(sys.argv[1]): print(*running())"
        command = [sys.executable, "-c", begins, f"{name}-mine"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert f"{name}-mine" in done.stdout.split()
        assert f"{name}-pipe" not in done.stdout.split()
    finally:
        pipe.unlink()
