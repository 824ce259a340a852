"""Two byte streams joined: back-pressure, half-close, and an end when both fall silent."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from dataclasses import dataclass
from typing import Final

__all__ = ["End", "Flow", "join"]

_CHUNK: Final = 64 * 1024


class End(enum.Enum):
    """Why a tunnel ended."""

    CLOSED = "closed"
    """Both directions were shut down in order."""
    RESET = "reset"
    """One side broke off."""
    IDLE = "idle"
    """Nothing moved in either direction for the whole idle time."""


@dataclass(slots=True)
class Flow:
    """Bytes moved towards the destination (up) and back (down), and when the last one did."""

    up: int = 0
    down: int = 0
    moved_at: float = 0.0


async def join(
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    remote: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    flow: Flow,
    idle_s: float,
) -> End:
    """Move bytes both ways until both directions ended, one side broke, or all was idle.

    Reading waits while the other side's buffer is full, so a slow reader slows the sender and
    memory stays bounded. An end of stream is passed on as such: the reverse direction lives on.
    """
    loop = asyncio.get_running_loop()
    flow.moved_at = loop.time()

    async def pump(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upward: bool
    ) -> None:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
            flow.moved_at = loop.time()
            if upward:
                flow.up += len(chunk)
            else:
                flow.down += len(chunk)
        # A side that broke off while its last bytes were written: asyncio passes over that in
        # silence or raises OSError, uvloop raises RuntimeError.
        if writer.is_closing():
            raise ConnectionResetError("broken off before the end of stream")
        if writer.can_write_eof():
            writer.write_eof()

    pumps = [
        asyncio.create_task(pump(client[0], remote[1], upward=True)),
        asyncio.create_task(pump(remote[0], client[1], upward=False)),
    ]
    try:
        while True:
            left = flow.moved_at + idle_s - loop.time()
            if left <= 0:
                return End.IDLE
            done, pending = await asyncio.wait(
                pumps, timeout=left, return_when=asyncio.FIRST_EXCEPTION
            )
            if any(task.exception() is not None for task in done):
                return End.RESET
            if not pending:
                return End.CLOSED
    finally:
        for task in pumps:
            task.cancel()
        for task in pumps:
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task
