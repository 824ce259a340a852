"""What a killed session leaves in shared memory is gone when the next one begins."""

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
