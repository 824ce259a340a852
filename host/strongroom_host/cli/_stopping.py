"""Commands that go on until they are told to stop."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

__all__ = ["until_told"]


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
