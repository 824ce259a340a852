"""One WebSocket connection as RFC 6455 has it, on top of picows, which leaves some of it to us.

picows finds the frames and refuses unknown opcodes, masked frames from a server, fragmented or long
control frames, lengths that are not the shortest, and broken reasons of a close. Here: reserved
bits (5.2), the order of fragments (5.4), UTF-8 of texts (8.1), close codes that may not be on the
wire (7.4.1, 7.4.2), nothing after a close (5.5.1), the size of a whole message, and pongs (5.5.3).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from strongroom_host.errors import HostError
from strongroom_host.feeds.errors import Reason
from strongroom_host.pins import PinSet, check_peer

__all__ = ["BOUND", "MAX_MESSAGE", "FeedListener", "valid_close_code"]

MAX_MESSAGE: Final = 4 * 1024 * 1024
"""Bytes of a message that is taken; snapshots of many books come in one."""

BOUND: Final = 4
"""How many times longer than that a frame may be without ending the connection."""

_ASSIGNED: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


def valid_close_code(code: int) -> bool:
    """Whether a peer may send `code`: assigned by RFC 6455 7.4.1 or IANA since, or for
    applications.

    1005, 1006 and 1015 stand for what was not on the wire, so they may never be there.
    """
    return code in _ASSIGNED or 3000 <= code <= 4999


class FeedListener(WSListener):
    """Gives whole text messages to `on_message`, and says at the end why it ended.

    Args:
        on_message: Takes a text and the time in ns at which its last frame arrived.
        on_refused: Takes the reason of a message that was dropped.
        on_alive: Takes the time of any frame that is no message.
        pins: The keys that the peer may have, checked before the first frame is looked at.
        max_message: Bytes; longer messages are dropped.
    """

    def __init__(
        self,
        on_message: Callable[[str, int], None],
        on_refused: Callable[[Reason, int], None],
        on_alive: Callable[[int], None],
        *,
        pins: PinSet | None = None,
        max_message: int = MAX_MESSAGE,
    ) -> None:
        self._on_message, self._on_refused, self._on_alive = on_message, on_refused, on_alive
        self._pins, self._max = pins, max_message
        self._parts: bytearray | None = None
        self._part_type = WSMsgType.CONTINUATION
        self._skipping = False
        self._over = False
        self.why: str | None = None
        """Why it ended, in a word; None where the peer just went away."""
        self.failure: HostError | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Check who it is, before anything of it is read."""
        if self._pins is None:
            return
        try:
            check_peer(self._pins, transport.underlying_transport.get_extra_info("ssl_object"))
        except HostError as error:
            self.failure = error
            self._end(transport, "wrong_pin", None)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame; its payload is valid during this call only."""
        received_ns = time.monotonic_ns()
        if self._over:
            return
        if frame.payload_size > BOUND * self._max:
            self._over = True  # picows is about to end it, and says so
            return
        if frame.rsv1 or frame.rsv2 or frame.rsv3:  # no extension was agreed on
            self._end(transport, "protocol_error", WSCloseCode.PROTOCOL_ERROR)
            return
        kind = frame.msg_type
        if kind == WSMsgType.TEXT and frame.fin and self._parts is None:
            if frame.payload_size > self._max:
                self._on_refused(Reason.OVERSIZED, received_ns)
                return
            try:
                text = frame.get_payload_as_utf8_text()
            except UnicodeDecodeError:
                self._not_utf8(transport, received_ns)
                return
            self._on_message(text, received_ns)
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._data(transport, frame, received_ns)
        elif kind == WSMsgType.PING:
            self._on_alive(received_ns)
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.PONG:
            self._on_alive(received_ns)
        else:
            self._close(transport, frame)

    def _data(self, transport: WSTransport, frame: WSFrame, received_ns: int) -> None:
        """A fragment, or a binary message."""
        first = frame.msg_type != WSMsgType.CONTINUATION
        if first != (self._parts is None):
            self._end(transport, "protocol_error", WSCloseCode.PROTOCOL_ERROR)
            return
        if first:
            self._parts, self._part_type = bytearray(), frame.msg_type
            self._skipping = False
        parts = self._parts
        if parts is None:
            return
        if len(parts) + frame.payload_size > self._max:
            parts.clear()
            self._skipping = True
        if not self._skipping:
            parts += frame.get_payload_as_memoryview()
        if not frame.fin:
            self._on_alive(received_ns)
            return
        self._parts = None
        if self._skipping:
            self._on_refused(Reason.OVERSIZED, received_ns)
        elif self._part_type == WSMsgType.BINARY:
            self._on_refused(Reason.UNKNOWN_TYPE, received_ns)
        else:
            try:
                text = parts.decode()
            except UnicodeDecodeError:
                self._not_utf8(transport, received_ns)
                return
            self._on_message(text, received_ns)

    def _not_utf8(self, transport: WSTransport, received_ns: int) -> None:
        self._on_refused(Reason.NOT_UTF8, received_ns)
        self._end(transport, "not_utf8", WSCloseCode.INVALID_TEXT)

    def _close(self, transport: WSTransport, frame: WSFrame) -> None:
        code = int.from_bytes(frame.get_payload_as_bytes()[:2], "big")
        if frame.payload_size == 0:
            self._end(transport, "closed_without_code", WSCloseCode.NO_INFO)
        elif valid_close_code(code):
            self._end(transport, f"closed_{code}", WSCloseCode.OK)
        else:
            self._end(transport, "protocol_error", WSCloseCode.PROTOCOL_ERROR)

    def end(self, transport: WSTransport, why: str) -> None:
        """End the connection from this side."""
        if not self._over:
            self._end(transport, why, WSCloseCode.GOING_AWAY)

    def _end(self, transport: WSTransport, why: str, code: WSCloseCode | None) -> None:
        self._over, self._parts, self.why = True, None, why
        if code is WSCloseCode.NO_INFO:
            transport.send(WSMsgType.CLOSE, None)
        elif code is not None:
            transport.send_close(code)
        transport.disconnect(code is not None)
