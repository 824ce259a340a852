"""The v1 frame: 44 bytes of header, then one raw HTTP request. Kept for senders that speak it.

    0  sequence, u32        big-endian; authenticated, otherwise unused
    4  timestamp, u64       ns since the Unix epoch, the sender's clock
   12  HMAC-SHA256          by the PSK over bytes 0 to 11 and the payload
   44  payload              to the datagram's end

Nothing is encrypted and nothing is answered. What identifies a frame is its HMAC: the very same
frame is refused the second time (`windows.SeenFrames`).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Final, NamedTuple

from strongroom_host.relay.reasons import Reason, Rejected

__all__ = ["HEADER_SIZE", "WINDOW_NS", "FrameV1", "build", "open_frame"]

_STAMP: Final = struct.Struct(">IQ")
_MAC_AT: Final = _STAMP.size
HEADER_SIZE: Final = 44
WINDOW_NS: Final = 5_000_000_000


class FrameV1(NamedTuple):
    """An authentic frame. Whether it is fresh is another question."""

    sequence: int
    timestamp_ns: int
    mac: bytes
    payload: bytes


def build(psk: bytes, sequence: int, timestamp_ns: int, payload: bytes) -> bytes:
    """The frame's bytes. `sequence` is below 2^32, `timestamp_ns` below 2^64."""
    stamp = _STAMP.pack(sequence, timestamp_ns)
    return stamp + hmac.digest(psk, stamp + payload, hashlib.sha256) + payload


def open_frame(psk: bytes, datagram: bytes) -> FrameV1:
    """The frame in a datagram, proven to be by somebody who has the PSK.

    Raises:
        Rejected: no payload, or the HMAC is not by this PSK.
    """
    if len(datagram) <= HEADER_SIZE:
        raise Rejected(Reason.TRUNCATED)
    stamp, mac, payload = datagram[:_MAC_AT], datagram[_MAC_AT:HEADER_SIZE], datagram[HEADER_SIZE:]
    if not hmac.compare_digest(hmac.digest(psk, stamp + payload, hashlib.sha256), mac):
        raise Rejected(Reason.V1_FORGED)
    sequence, timestamp_ns = _STAMP.unpack(stamp)
    return FrameV1(sequence, timestamp_ns, mac, payload)
