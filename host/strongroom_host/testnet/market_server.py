"""The market channel as a WebSocket server (picows, extra `trading`) on a port of its own.

The real venue has it on another host than its orders; here it is another port under the same
certificate. It runs in the event loop of the server whose `Clob` it tells of.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import Final

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from strongroom_host.testnet.market_channel import MarketChannel, Session

__all__ = ["PATH", "serve_market"]

PATH: Final = "/ws/market"
_MAX_REQUEST: Final = 64 * 1024

_quiet = logging.getLogger("strongroom.testnet.picows")
_quiet.setLevel(logging.CRITICAL + 1)


class _Client(WSListener):
    def __init__(self, channel: MarketChannel) -> None:
        self._channel = channel
        self._session: Session | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._session = self._channel.attach(
            lambda text: transport.send(WSMsgType.TEXT, text.encode())
        )

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT and frame.fin and self._session is not None:
            self._session.heard(frame.get_payload_as_utf8_text())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002  # picows's own
        if self._session is not None:
            self._session.close()


async def serve_market(
    channel: MarketChannel, listener: socket.socket, context: ssl.SSLContext
) -> asyncio.Server:
    """Serve `channel` on a listening socket; paths other than `PATH` are not found."""

    def client(request: WSUpgradeRequest) -> _Client | None:
        return _Client(channel) if request.path.partition(b"?")[0] == PATH.encode() else None

    return await ws_create_server(
        client,
        sock=listener,
        ssl=context,
        max_frame_size=_MAX_REQUEST,
        logger_name=_quiet,
    )
