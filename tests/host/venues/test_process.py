"""The venues as a program: ready line, a client, a clean stop; and statuses for what went wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from strongroom_host.venues.defaults import Login
from strongroom_host.venues.world import VenueClock

from tests.host.venues.reach import Proxy, client

PROGRAM = [sys.executable, "-m", "strongroom_host.venues"]


def test_it_says_when_it_is_ready_serves_and_stops(tmp_path: Path) -> None:
    options = ["--dir", str(tmp_path), "--days", "9", "--orders", "20", "--venue", "kraken"]
    with subprocess.Popen(
        [*PROGRAM, *options, "--with-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        mapping = dict.fromkeys(ready["names"], (ready["host"], ready["port"]))
        login = Login(**ready["logins"]["kraken"])
        with Proxy(mapping) as proxy:
            exchange = client("kraken", login, proxy, ready["ca"], VenueClock())
            assert exchange.fetch_my_trades()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_unusable_input_is_status_2(tmp_path: Path) -> None:
    options = ["--dir", str(tmp_path), "--days", "0"]
    done = subprocess.run([*PROGRAM, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "a history needs more time" in done.stderr
