"""Servers that end with whoever started them: when their stdin closes, as if by SIGTERM."""

import os
import signal
import sys
import threading

__all__ = ["end_with_stdin"]


def end_with_stdin() -> None:
    """Sends this process SIGTERM once stdin closes; call it when that signal is handled."""
    threading.Thread(target=_wait, name="stdin", daemon=True).start()


def _wait() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
