"""A template with holes: the request laid out ahead by the host, with its two secrets missing.

Made from a request that the enclave returned before, since only that shows the host the account's
header lines. The enclave fills it in only if, outside the holes, it is what it would have written.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from strongroom_wire.encoding import u32

from strongroom_host.demo.story import DemoFailed

__all__ = ["Template"]

_MAC: Final = re.compile(rb"(?<=\r\nPOLY_SIGNATURE: )[^\r]*")
_TIME: Final = re.compile(rb"(?<=\r\nPOLY_TIMESTAMP: )[0-9]+")
_LENGTH: Final = re.compile(rb"(?<=\r\nContent-Length: )[0-9]+")
_SIGNATURE: Final = re.compile(rb'(?<=,"signature":"0x)[0-9a-f]+(?=")')


@dataclass(frozen=True, slots=True)
class Template:
    """Request bytes with zeros in both holes, and where the holes start."""

    data: bytes
    signature_at: int
    mac_at: int

    @property
    def argument(self) -> bytes:
        """What an intent carries: both offsets, then the bytes."""
        return u32(self.signature_at) + u32(self.mac_at) + self.data

    @classmethod
    def like(cls, sample: bytes, timestamp: int, fields: dict[str, int | str]) -> "Template":
        """Returns a template for the order in `sample` with some fields replaced, and its own L2
        timestamp in seconds.

        Raises:
            DemoFailed: the sample is not a request for one order.
        """
        head, _, body = sample.partition(b"\r\n\r\n")
        request = json.loads(body)
        request["order"].update(fields)
        content = json.dumps(request, separators=(",", ":")).encode()
        content = _SIGNATURE.sub(lambda found: b"0" * len(found[0]), content)
        head = _MAC.sub(lambda found: b"0" * len(found[0]), head)
        head = _TIME.sub(str(timestamp).encode(), head)
        head = _LENGTH.sub(str(len(content)).encode(), head)
        data = head + b"\r\n\r\n" + content
        return cls(data, _start(_SIGNATURE, data), _start(_MAC, data))

    def filled_by(self, request: bytes) -> bool:
        """Returns whether `request` is this template with both holes filled, and nothing else."""
        blank = bytearray(request)
        for pattern in (_SIGNATURE, _MAC):
            start, end = _start(pattern, request), _end(pattern, request)
            blank[start:end] = b"0" * (end - start)
        return bytes(blank) == self.data and request != self.data


def _start(pattern: re.Pattern[bytes], data: bytes) -> int:
    return _found(pattern, data).start()


def _end(pattern: re.Pattern[bytes], data: bytes) -> int:
    return _found(pattern, data).end()


def _found(pattern: re.Pattern[bytes], data: bytes) -> re.Match[bytes]:
    match = pattern.search(data)
    if match is None:
        raise DemoFailed("a signed request has another shape than expected", actual=data[:200])
    return match
