"""A WebSocket server whose every byte can go wrong: one thread, any number of links, faults per
link.

A venue's module subclasses `FeedVenue` and says what is sent; tests and demos arm faults on links
and make them happen. All methods marked so may be called from any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

from strongroom_host.errors import EnvironmentFault
from strongroom_host.feed_venues.frames import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    accept,
    frame,
    unmask,
)

__all__ = ["FeedVenue", "Link", "LinkFaults", "VenueDidNotStart"]

P = ParamSpec("P")
T = TypeVar("T")
_START_S: Final = 10.0
_MOMENT_S: Final = 0.001
"""Long enough for the other end to read what is there."""


class VenueDidNotStart(EnvironmentFault):
    """The venue's thread ended or hung before it listened."""


@dataclass(slots=True)
class LinkFaults:
    """What a link does to the messages that pass; counts are counted off, zeros do nothing.

    `stalled` swallows everything, pongs included, and leaves the connection open. `skip` drops
    messages. `hold` sends the next message after the one that follows it. `repeat` sends messages
    twice. `split` writes so many bytes at a time, `fragment` makes frames of so many bytes.
    `delay_s` lets everything arrive late, in order.
    """

    stalled: bool = False
    skip: int = 0
    hold: int = 0
    repeat: int = 0
    split: int = 0
    fragment: int = 0
    delay_s: float = 0.0


class Link:
    """One client's connection. Its methods belong to the venue's thread."""

    def __init__(self, number: int, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.faults = LinkFaults()
        self.heard: list[str] = []
        self.closed = False
        self.reset = False
        """Whether its end came as a reset, which can take with it what the client said last."""
        self.skipped = 0
        self._writer = writer
        self._held: str | None = None
        self._queue: asyncio.Queue[tuple[bytes, ...]] = asyncio.Queue()
        self._pump = asyncio.create_task(self._write())

    def text(self, message: str) -> None:
        """Send a message, through the faults."""
        faults = self.faults
        if faults.stalled:
            self.skipped += 1
            return
        if faults.skip:
            faults.skip -= 1
            self.skipped += 1
            return
        if faults.hold and self._held is None:
            faults.hold -= 1
            self._held = message
            return
        times = 1
        if faults.repeat:
            faults.repeat -= 1
            times = 2
        for _ in range(times):
            self.raw(_framed(message, faults.fragment))
        if self._held is not None:
            held, self._held = self._held, None
            self.raw(_framed(held, faults.fragment))

    def raw(self, *parts: bytes) -> None:
        """Send bytes as they are; several parts with a moment between them, and nothing else."""
        if not self.faults.stalled:
            self._queue.put_nowait(parts)

    def cut(self) -> None:
        """End the TCP connection without a word."""
        self.closed = True
        self._pump.cancel()
        self._writer.transport.abort()

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            while True:
                parts = await self._queue.get()
                if self.faults.delay_s:
                    await asyncio.sleep(self.faults.delay_s)
                for position, part in enumerate(parts):
                    if position:
                        await asyncio.sleep(_MOMENT_S)
                    await self._send(part)

    async def _send(self, data: bytes) -> None:
        step = self.faults.split or max(1, len(data))
        for at in range(0, len(data), step):
            self._writer.write(data[at : at + step])
            await self._writer.drain()
            if self.faults.split:
                await asyncio.sleep(0)


def _framed(message: str, fragment: int) -> bytes:
    payload = message.encode()
    if not fragment or len(payload) <= fragment:
        return frame(TEXT, payload)
    parts = [payload[at : at + fragment] for at in range(0, len(payload), fragment)]
    last = len(parts) - 1
    return b"".join(
        frame(CONTINUATION if at else TEXT, part, fin=at == last) for at, part in enumerate(parts)
    )


class FeedVenue:
    """A WebSocket server on loopback in a thread. Use it as a context manager.

    Args:
        context: The server's TLS; None for plain text.
    """

    path = "/"

    def __init__(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._context, self.host = context, host
        self.port = 0
        self.links: list[Link] = []
        """The links that stand, oldest first."""
        self.accepted = 0
        self.moved_to = ""
        """Where new connections are sent instead, by a redirect."""
        self.refusing = False
        """Whether new connections are cut at once."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()

    # --- what a venue fills in ----------------------------------------------------------------

    def opened(self, link: Link) -> None:
        """A client is there."""

    def heard(self, link: Link, text: str) -> None:
        """A client has sent a text."""

    def gone(self, link: Link) -> None:
        """A client is gone."""

    # --- for any thread -----------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it listens; valid once started."""
        scheme = "ws" if self._context is None else "wss"
        return f"{scheme}://{self.host}:{self.port}{self.path}"

    def do(self, action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `action` in the venue's thread and return what it returns."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(action(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  # whoever asked gets it
                done.set_exception(error)

        if self._loop is None:
            raise VenueDidNotStart("the venue is not started")
        self._loop.call_soon_threadsafe(run)
        return done.result(_START_S)

    def start(self) -> Self:
        """Listen; returns when connections are taken."""
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name=type(self).__name__, daemon=True
        )
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise VenueDidNotStart("the venue did not start")
        return self

    def stop(self) -> None:
        """End every connection and wait for the thread."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(_START_S)
        self._thread = self._loop = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def cut_all(self) -> None:
        """End every connection without a word. For the venue's thread."""
        for link in list(self.links):
            link.cut()

    def spoil(self, fault: str, value: float, link: Link | None = None) -> None:
        """Set one of `LinkFaults` on a link, or on all. For the venue's thread."""
        for each in list(self.links) if link is None else [link]:
            setattr(each.faults, fault, value)

    # --- the thread ---------------------------------------------------------------------------

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._client, self.host, self.port, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        beside = asyncio.create_task(self.beside())
        await self._stop.wait()
        beside.cancel()
        server.close()
        for link in list(self.links):
            link.cut()
        await asyncio.sleep(0)

    async def beside(self) -> None:
        """What runs as long as the venue does; nothing, unless a venue says otherwise."""

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plain = writer.get_extra_info("socket")
        if plain is not None:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link: Link | None = None
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            answer = accept(request)
            if answer is None or self.refusing:
                writer.transport.abort()
                return
            if self.moved_to:
                location = f"Location: {self.moved_to}\r\nContent-Length: 0\r\n\r\n"
                writer.write(b"HTTP/1.1 302 Found\r\n" + location.encode())
                await writer.drain()
                return
            self.accepted += 1
            link = Link(self.accepted, writer)
            self.links.append(link)
            writer.write(answer)
            self.opened(link)
            buffer = bytearray()
            while data := await reader.read(1 << 16):
                buffer += data
                while (read := unmask(buffer)) is not None:
                    if not self._frame(link, *read):
                        return
        except ConnectionError:
            if link is not None:
                link.reset = True
        except (
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            ValueError,
        ):
            pass
        except ssl.SSLError:
            pass
        finally:
            if link is not None:
                link.closed = True
                self.links.remove(link)
                link.cut()
                self.gone(link)
            writer.close()

    def _frame(self, link: Link, opcode: int, payload: bytes) -> bool:
        """Take a client's frame; False when it was the last."""
        if opcode == TEXT:
            text = payload.decode("utf-8", "replace")
            link.heard.append(text)
            self.heard(link, text)
        elif opcode == PING:
            link.raw(frame(PONG, payload))
        elif opcode == CLOSE:
            link.heard.append(f"close {int.from_bytes(payload[:2], 'big')}")
            return False
        elif opcode == PONG:
            link.heard.append(f"pong {payload!r}")
        return True
