"""The server's half of RFC 6455, in bytes: handshake, frames out (right and wrong ones), frames
in."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

__all__ = ["BINARY", "CLOSE", "CONTINUATION", "PING", "PONG", "TEXT", "accept", "frame", "unmask"]

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept(request: bytes) -> bytes | None:
    """The answer to an upgrade request; None if it is none."""
    for line in request.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"sec-websocket-key":
            made = base64.b64encode(hashlib.sha1(value.strip() + _GUID).digest())  # noqa: S324
            return (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + made + b"\r\n\r\n"
            )
    return None


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes = b"",
    width: int | None = None,
) -> bytes:
    """One frame of a server.

    Args:
        opcode: 0 to 15.
        payload: As it is sent.
        fin: Whether it is the last of its message.
        rsv: Reserved bits, 0 to 7.
        mask: Four bytes to mask with, which a server must not.
        width: Bytes of the extended length (0, 2, 8), to write it longer than need be.
    """
    size = len(payload)
    if width is None:
        width = 0 if size < 126 else 2 if size < 1 << 16 else 8
    short = {0: size, 2: 126, 8: 127}[width]
    head = bytes([fin << 7 | rsv << 4 | opcode, bool(mask) << 7 | short])
    head += size.to_bytes(width, "big") if width else b""
    if mask:
        head += mask
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head + payload


def unmask(buffer: bytearray) -> tuple[int, bytes] | None:
    """The next frame of a client, taken off `buffer`: opcode and payload; None while incomplete.

    Raises:
        ValueError: it is not masked, or fragmented, which no client here does.
    """
    if len(buffer) < 2:
        return None
    if not buffer[1] & 0x80 or not buffer[0] & 0x80:
        raise ValueError("not a whole masked frame")
    size, at = buffer[1] & 0x7F, 2
    if size > 125:
        width = 2 if size == 126 else 8
        if len(buffer) < 2 + width:
            return None
        size, at = int.from_bytes(buffer[2 : 2 + width], "big"), 2 + width
    if len(buffer) < at + 4 + size:
        return None
    mask, body = buffer[at : at + 4], buffer[at + 4 : at + 4 + size]
    opcode = buffer[0] & 0x0F
    del buffer[: at + 4 + size]
    return opcode, bytes(byte ^ mask[n % 4] for n, byte in enumerate(body))
