"""Commands that go on until they are told to stop, or are stopped before their end."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import Final

import typer
from rich.console import Console

__all__ = ["stoppable", "until_told"]

_INTERRUPTED: Final = 130


@contextmanager
def until_told() -> Iterator[Callable[[], bool]]:
    """Yields a question: was this process told to end (SIGINT, SIGTERM)? It then ends in order, by
    itself; whatever handled those signals before does so again afterwards."""
    told = Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        told.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C, and a request to end, unwind what was started; then the exit status says so."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    except KeyboardInterrupt as error:
        Console(stderr=True).print("\nStopped before the end; nothing is left running.")
        raise typer.Exit(_INTERRUPTED) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
