"""Servers that end with whoever started them: when their stdin closes, as if by SIGTERM."""

import os
import signal
import threading

__all__ = ["end_with_stdin"]


def end_with_stdin() -> None:
    """Sends this process SIGTERM once stdin closes; call it when that signal is handled."""
    threading.Thread(target=_wait, name="stdin", daemon=True).start()


def _wait() -> None:
    # Not by way of `sys.stdin`, whose lock this thread would still hold when the process ends.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
