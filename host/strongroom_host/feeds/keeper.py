"""Keeps a feed's connections: opens them, pings, watches, closes, opens them again.

All deciding is the feed's (`core`); in here are sockets, clocks and chance. It runs on whatever
event loop there is; see `loops`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Final, TypeVar

from picows import WSError, WSMsgType, WSProtocolError, WSTransport, ws_connect

from strongroom_host.errors import HostError
from strongroom_host.feeds.backoff import Backoff
from strongroom_host.feeds.core import RESYNC, Feed
from strongroom_host.feeds.endpoints import Endpoint
from strongroom_host.feeds.errors import Reason
from strongroom_host.feeds.listener import BOUND, MAX_MESSAGE, FeedListener
from strongroom_host.pins import PinMismatch

__all__ = ["Keeper", "Patience"]

log = logging.getLogger("strongroom.feeds")
E = TypeVar("E")

_quiet = logging.getLogger("strongroom.feeds.picows")
_quiet.setLevel(logging.CRITICAL + 1)  # what matters of it is counted and said by us

_TOO_BIG: Final = 1009


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. `max_age` ends a connection before its venue would (Binance does after 24 h), one
    at a time and each at a moment of its own; `lasting` is how long one must stand for the next
    attempt to be quick again."""

    connect: float = 10.0
    heartbeat: float = 10.0
    first_delay: float = 0.25
    most_delay: float = 30.0
    lasting: float = 20.0
    max_age: float = 23 * 3600.0
    watch: float = 0.25


class Keeper:
    """Two connections, or more, or one, for one feed.

    Args:
        feed: What they are for.
        endpoint: Where they go.
        connections: How many.
        patience: Times.
        max_message: Bytes of one message.
        chance: Where jitter comes from.
    """

    def __init__(
        self,
        feed: Feed[str, E],
        endpoint: Endpoint,
        *,
        connections: int = 2,
        patience: Patience | None = None,
        max_message: int = MAX_MESSAGE,
        chance: random.Random | None = None,
    ) -> None:
        self.feed = feed
        feed.connections = connections
        self._endpoint, self._connections = endpoint, connections
        self._patience = patience or Patience()
        self._max = max_message
        self._chance = chance or random.Random()  # noqa: S311  # jitter is no secret
        self._open: dict[int, tuple[WSTransport, FeedListener]] = {}
        self.said: dict[int, HostError | str] = {}
        """The latest failure of each connection, for a status line."""

    async def run(self) -> None:
        """Keep the feed until cancelled; then close its connections.

        Raises:
            HostError: the sink takes no more ticks.
            BadPin: the roots or pins of the endpoint cannot be used.
        """
        self._endpoint.context()  # a file that cannot be read is said now, not retried for ever
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._connections):
                    group.create_task(self._keep(number))
                group.create_task(self._watch())
        finally:
            for transport, listener in self._open.values():
                listener.end(transport, "stopped")

    # --- one connection -----------------------------------------------------------------------

    async def _keep(self, number: int) -> None:
        patience = self._patience
        backoff = Backoff(patience.first_delay, patience.most_delay, self._chance)
        while True:
            begun = time.monotonic()
            try:
                why = await self._once(number)
            except PinMismatch as error:  # where the handshake itself comes by the check
                why = "wrong_pin"
                self._say(number, error)
            except (OSError, WSError, TimeoutError, asyncio.IncompleteReadError) as error:
                why = _word(error)
                self._say(number, f"{why}: {error}")
            self.feed.closed(number, why, time.monotonic_ns())
            self._flush()
            if time.monotonic() - begun > patience.lasting:
                backoff.reset()
            await asyncio.sleep(0 if why == RESYNC else backoff.next())

    async def _once(self, number: int) -> str:
        """Connect, serve until the end; why it ended."""
        listener = FeedListener(
            lambda text, at: self._received(number, text, at),
            lambda reason, at: self._refused(number, reason, at),
            lambda at: self.feed.heard(number, at),
            pins=self._endpoint.pins,
            max_message=self._max,
        )
        transport, made = await ws_connect(
            lambda: listener,
            self._endpoint.url,
            ssl_context=self._endpoint.context(),
            socket_factory=None if self._endpoint.address is None else self._dial,
            max_redirects=0,
            # A message that is only somewhat too long is dropped and the connection kept.
            max_frame_size=BOUND * self._max,
            websocket_handshake_timeout=self._patience.connect,
            enable_auto_pong=False,
            logger_name=_quiet,
            server_hostname=self._endpoint.host if self._dials_elsewhere else None,
        )
        if made is not listener:  # closed before an answer, which picows does not call a failure
            self._say(number, "handshake: closed without an answer")
            return "handshake"
        if listener.failure is not None:
            transport.disconnect(False)
            with contextlib.suppress(WSError, OSError):
                await transport.wait_disconnected()
            self._say(number, listener.failure)
            return "wrong_pin"
        self._open[number] = transport, listener
        self.said.pop(number, None)
        self.feed.opened(number, time.monotonic_ns())
        self._flush()
        beat = asyncio.create_task(self._beat(transport, listener))
        try:
            await transport.wait_disconnected()
        except WSProtocolError as error:
            too_big = int(error.args[0]) == _TOO_BIG
            if too_big:
                self._refused(number, Reason.OVERSIZED, time.monotonic_ns())
            return "oversized" if too_big else "protocol_error"
        except (WSError, OSError):
            return listener.why or "broken"
        finally:
            beat.cancel()
            self._open.pop(number, None)
        return listener.why or "cut"

    @property
    def _dials_elsewhere(self) -> bool:
        return self._endpoint.address is not None and self._endpoint.secure

    async def _dial(self, _url: object) -> socket.socket:
        address = self._endpoint.address
        if address is None:  # not asked for then
            raise OSError("no address")
        plain = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        plain.setblocking(False)
        try:
            async with asyncio.timeout(self._patience.connect):
                await asyncio.get_running_loop().sock_connect(plain, address)
        except BaseException:
            plain.close()
            raise
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return plain

    async def _beat(self, transport: WSTransport, listener: FeedListener) -> None:
        """Keep it open, and end it in time."""
        age = self._patience.max_age * self._chance.uniform(0.9, 1.0)
        ends = time.monotonic() + age
        while True:
            await asyncio.sleep(self._patience.heartbeat)
            if time.monotonic() > ends and len(self._open) == self._connections:
                listener.end(transport, "aged")
                return
            if self.feed.heartbeat is not None:
                transport.send(WSMsgType.TEXT, self.feed.heartbeat.encode())
            else:
                transport.send_ping()

    # --- all of them --------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            now_ns = time.monotonic_ns()
            self.feed.skew.offset_ns = time.time_ns() - now_ns
            for number, why in self.feed.overdue(now_ns):
                self._end(number, why)
            self._flush()
            await asyncio.sleep(self._patience.watch)

    def _received(self, number: int, text: str, received_ns: int) -> None:
        self.feed.received(number, text, received_ns)
        if self.feed.outbox or self.feed.endings:
            self._flush()

    def _refused(self, number: int, reason: Reason, received_ns: int) -> None:
        self.feed.refused(number, reason, received_ns)
        self._flush()

    def _end(self, number: int, why: str) -> None:
        kept = self._open.get(number)
        if kept is not None:
            transport, listener = kept
            listener.end(transport, why)
            # Whoever says nothing any more will not say goodbye either.
            transport.underlying_transport.abort()

    def _flush(self) -> None:
        if self.feed.endings:
            ended, self.feed.endings = self.feed.endings, []
            for number, why in ended:
                self._end(number, why)
        if not self.feed.outbox:
            return
        texts, self.feed.outbox = self.feed.outbox, []
        for number, text in texts:
            kept = self._open.get(number)
            if kept is not None:
                kept[0].send(WSMsgType.TEXT, text.encode())

    def _say(self, number: int, failure: HostError | str) -> None:
        before = self.said.get(number)
        self.said[number] = failure
        if str(before) != str(failure):
            log.warning("%s, connection %d: %s", self.feed.name, number, failure)


def _word(error: BaseException) -> str:
    """Why no connection came about, in a word."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, WSError):
        return "handshake"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, socket.gaierror):
        return "name"
    return "connect"
