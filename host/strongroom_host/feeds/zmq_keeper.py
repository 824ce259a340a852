"""Keeps subscriptions to Bitcoin nodes (pyzmq): one connection per address.

libzmq reconnects by itself, silently; what its monitor tells becomes openings and ends for the
feed, and what a publisher counted shows what was lost meanwhile. A full queue here, or there, drops
messages as well, which shows in the same way. Nobody authenticates anybody on such a socket: it
belongs on this machine, or on the inside of a tunnel.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Final

import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from strongroom_host.feeds.bitcoin import Bitcoin
from strongroom_host.feeds.bitcoin_transaction import MAX_SIZE
from strongroom_host.feeds.errors import BadFeed

__all__ = ["ZmqKeeper"]

_WATCH_S: Final = 0.25
_QUEUE: Final = 100_000
"""Messages that wait here at most; a burst of a whole block is some thousands."""


class ZmqKeeper:
    """One subscription per address, such as ``tcp://127.0.0.1:28332``.

    Args:
        feed: What they are for.
        addresses: ``tcp://HOST:PORT`` or ``ipc://PATH``, each of a node of its own.
        queue: How many messages may wait.
        longest_delay_s: The longest pause between two attempts to connect.

    Raises:
        BadFeed: an address that is none.
    """

    def __init__(
        self,
        feed: Bitcoin,
        addresses: Sequence[str],
        *,
        queue: int = _QUEUE,
        longest_delay_s: float = 30.0,
    ) -> None:
        for address in addresses:
            if not address.startswith(("tcp://", "ipc://")):
                raise BadFeed(
                    "not a node's address", expected="tcp://HOST:PORT", actual=address[:200]
                )
        self.feed = feed
        self._addresses, self._queue = addresses, queue
        self._longest_ms = round(longest_delay_s * 1000)
        self._stale: set[int] = set()
        self.said: dict[int, str] = {}
        feed.connections = len(addresses)

    async def run(self) -> None:
        """Keep the subscriptions until cancelled.

        Raises:
            BadFeed: libzmq refuses an address.
        """
        context = zmq.asyncio.Context()
        try:
            async with asyncio.TaskGroup() as group:
                for number, address in enumerate(self._addresses):
                    group.create_task(self._keep(context, number, address))
                group.create_task(self._watch())
        finally:
            context.destroy(linger=0)

    async def _keep(self, context: zmq.asyncio.Context, number: int, address: str) -> None:
        while True:
            socket: zmq.asyncio.Socket = context.socket(zmq.SUB)
            try:
                self._configure(socket)
                monitor = socket.get_monitor_socket(
                    zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
                )
                try:
                    socket.connect(address)
                except zmq.ZMQError as error:
                    raise BadFeed("not a node's address", actual=f"{address}: {error}") from error
                told = asyncio.create_task(self._monitor(monitor, number))
                try:
                    await self._receive(socket, number)
                finally:
                    told.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await told
            finally:
                socket.disable_monitor()
                socket.close(linger=0)

    def _configure(self, socket: zmq.asyncio.Socket) -> None:
        for topic in self.feed.topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        for option, value in (
            (zmq.RCVHWM, self._queue),
            (zmq.MAXMSGSIZE, MAX_SIZE),
            (zmq.LINGER, 0),
            (zmq.RECONNECT_IVL, 100),
            (zmq.RECONNECT_IVL_MAX, self._longest_ms),
            (zmq.HEARTBEAT_IVL, 5_000),
            (zmq.HEARTBEAT_TIMEOUT, 15_000),
        ):
            socket.setsockopt(option, value)

    async def _receive(self, socket: zmq.asyncio.Socket, number: int) -> None:
        """Take messages until the watchdog finds that nothing comes any more."""
        while number not in self._stale:
            if await socket.poll(round(_WATCH_S * 1000)):
                parts = await socket.recv_multipart()
                self.feed.received(number, parts, time.monotonic_ns())
        self._stale.discard(number)

    async def _monitor(self, monitor: zmq.asyncio.Socket, number: int) -> None:
        while True:
            event = parse_monitor_message(await monitor.recv_multipart())
            now_ns = time.monotonic_ns()
            if event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.said.pop(number, None)
                self.feed.opened(number, now_ns)
            else:
                self.said[number] = "disconnected"
                self.feed.closed(number, "disconnected", now_ns)

    async def _watch(self) -> None:
        while True:
            now_ns = time.monotonic_ns()
            for number, why in self.feed.overdue(now_ns):
                self.said[number] = why
                self.feed.closed(number, why, now_ns)
                self._stale.add(number)
            await asyncio.sleep(_WATCH_S)
