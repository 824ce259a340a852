"""`strongroom witness run`, in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx

__all__ = ["Daemon"]


class Daemon:
    """A witness that answers at `url` until it is ended."""

    def __init__(self, folder: Path, *words: str) -> None:
        arguments = [sys.executable, "-m", "strongroom_host.cli.main", "witness", "run", "--json"]
        self._process = subprocess.Popen(
            [*arguments, "--witness", str(folder), "--listen", "127.0.0.1:0", *words],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self.url: str = ready["url"]

    def ask(self, body: bytes) -> httpx.Response:
        return httpx.post(f"{self.url}/add-checkpoint", content=body, timeout=20)

    def end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        return self._process.wait(20)

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
