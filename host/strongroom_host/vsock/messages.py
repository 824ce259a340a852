"""vhost-user messages, as far as a split-ring device without migration needs them; no I/O.

A message is a header of three 32-bit numbers (request, flags, size of the payload) and a payload,
all in the host's order, which for the processors served here is little-endian. File descriptors
come beside the bytes and belong to the message whose first bytes they came with.
"""

from __future__ import annotations

import contextlib
import enum
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from strongroom_host.vsock.errors import MalformedMessage
from strongroom_host.vsock.memory import MAX_REGIONS, Region
from strongroom_host.vsock.virtqueue import RingAddresses

__all__ = [
    "MAX_DESCRIPTORS",
    "MAX_PAYLOAD",
    "ConfigAccess",
    "Message",
    "MessageReader",
    "Request",
    "VringState",
    "parse_addresses",
    "parse_config",
    "parse_descriptor",
    "parse_regions",
    "parse_state",
    "parse_u64",
    "reply",
    "state",
    "u64",
]

HEADER: Final = struct.Struct("<III")
MAX_PAYLOAD: Final = 4096
"""Far above any request that is answered here (a full memory table has 264 bytes)."""
MAX_DESCRIPTORS: Final = MAX_REGIONS
MAX_CONFIG: Final = 256

_VERSION: Final = 1
_VERSION_MASK: Final = 0x3
_REPLY: Final = 1 << 2
_NEED_REPLY: Final = 1 << 3
_NO_DESCRIPTOR: Final = 1 << 8
_INDEX: Final = 0xFF

_U64: Final = struct.Struct("<Q")
_STATE: Final = struct.Struct("<II")
_ADDRESSES: Final = struct.Struct("<IIQQQQ")
_REGION: Final = struct.Struct("<QQQQ")
_CONFIG: Final = struct.Struct("<III")


class Request(enum.IntEnum):
    """The requests that are served; all others are unknown here."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    GET_CONFIG = 24
    SET_CONFIG = 25
    RESET_DEVICE = 34


@dataclass(slots=True)
class Message:
    """One request. Owns its descriptors until they are taken: `close` closes the others."""

    request: int
    needs_reply: bool
    payload: bytes
    descriptors: list[int] = field(default_factory=list)

    def take(self) -> int:
        """Returns the first descriptor not taken yet; it is the caller's to close."""
        return self.descriptors.pop(0)

    def close(self) -> None:
        """Closes the descriptors that nobody took."""
        while self.descriptors:
            with contextlib.suppress(OSError):
                os.close(self.descriptors.pop())


class MessageReader:
    """Puts messages together from what a stream socket delivers, never reading past one's end."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._size: int | None = None
        self._message = Message(0, needs_reply=False, payload=b"")

    @property
    def wanted(self) -> int:
        """How many bytes complete the header, or the payload; at least 1."""
        return (HEADER.size if self._size is None else self._size) - len(self._data)

    def receive(self, data: bytes, descriptors: Iterable[int]) -> Message | None:
        """Takes up to `wanted` bytes and what came with them; returns a message once it is whole.

        Raises:
            MalformedMessage: another protocol version, a reply, too large, too many descriptors.
        """
        self._message.descriptors += descriptors
        if len(self._message.descriptors) > MAX_DESCRIPTORS:
            raise MalformedMessage(
                "too many descriptors in one vhost-user message",
                expected=f"at most {MAX_DESCRIPTORS}",
                actual=len(self._message.descriptors),
            )
        self._data += data
        if self.wanted:
            return None
        if self._size is None:
            self._size = self._read_header()
            if self._size:
                return None
        message, message.payload = self._message, bytes(self._data)
        self._data.clear()
        self._size = None
        self._message = Message(0, needs_reply=False, payload=b"")
        return message

    def close(self) -> None:
        """Closes the descriptors of a message that did not become whole."""
        self._message.close()

    def _read_header(self) -> int:
        request, flags, size = HEADER.unpack(self._data)
        if flags & _VERSION_MASK != _VERSION or flags & _REPLY:
            raise MalformedMessage(
                "not a request of vhost-user version 1",
                expected=_VERSION,
                actual=f"flags {flags:#x}",
            )
        if size > MAX_PAYLOAD:
            raise MalformedMessage(
                "a vhost-user message is too large", expected=f"at most {MAX_PAYLOAD}", actual=size
            )
        self._message.request, self._message.needs_reply = request, bool(flags & _NEED_REPLY)
        self._data.clear()
        return int(size)


@dataclass(frozen=True, slots=True)
class VringState:
    """A ring's index and a number: size, position, or whether it is enabled."""

    index: int
    number: int


@dataclass(frozen=True, slots=True)
class ConfigAccess:
    """A part of the device's configuration space, in bytes; `data` is as long as `size`."""

    offset: int
    size: int
    flags: int
    data: bytes


def reply(request: int, payload: bytes) -> bytes:
    """Returns a whole reply message."""
    return HEADER.pack(request, _VERSION | _REPLY, len(payload)) + payload


def u64(value: int) -> bytes:
    """Returns a payload of one 64-bit number."""
    return _U64.pack(value)


def state(value: VringState) -> bytes:
    """Returns a payload that tells a ring's state."""
    return _STATE.pack(value.index, value.number)


def parse_u64(message: Message) -> int:
    """Returns the number.

    Raises:
        MalformedMessage: of another size.
    """
    _check_size(message, _U64.size)
    return int(_U64.unpack(message.payload)[0])


def parse_state(message: Message) -> VringState:
    """Returns a ring's state.

    Raises:
        MalformedMessage: of another size.
    """
    _check_size(message, _STATE.size)
    return VringState(*_STATE.unpack(message.payload))


def parse_addresses(message: Message) -> tuple[int, RingAddresses]:
    """Returns a ring's index and addresses. Its flags and log are for migration, not offered.

    Raises:
        MalformedMessage: of another size.
    """
    _check_size(message, _ADDRESSES.size)
    index, _, descriptors, used, available, _ = _ADDRESSES.unpack(message.payload)
    return index, RingAddresses(descriptors, used, available)


def parse_regions(message: Message) -> list[Region]:
    """Returns the memory table; as many descriptors came with it.

    Raises:
        MalformedMessage: its size or the number of descriptors contradicts its count.
    """
    if len(message.payload) < _STATE.size:
        _check_size(message, _STATE.size)
    count, _ = _STATE.unpack_from(message.payload)
    if count > MAX_REGIONS or len(message.descriptors) != count:
        raise MalformedMessage(
            "a memory table's regions and descriptors differ",
            expected=f"at most {MAX_REGIONS}, as many of each",
            actual=f"{count} regions, {len(message.descriptors)} descriptors",
        )
    _check_size(message, _STATE.size + count * _REGION.size)
    return [Region(*row) for row in _REGION.iter_unpack(message.payload[_STATE.size :])]


def parse_descriptor(message: Message) -> tuple[int, int | None]:
    """Returns a ring's index and the descriptor sent for it, or None if there is none.

    The descriptor is the caller's to close.

    Raises:
        MalformedMessage: another size, or descriptors other than the message says.
    """
    value = parse_u64(message)
    expected = 0 if value & _NO_DESCRIPTOR else 1
    if len(message.descriptors) != expected:
        raise MalformedMessage(
            "a ring's message came with the wrong number of descriptors",
            expected=expected,
            actual=len(message.descriptors),
        )
    return value & _INDEX, message.take() if expected else None


def parse_config(message: Message) -> ConfigAccess:
    """Returns which part of the configuration space is meant.

    Raises:
        MalformedMessage: its sizes contradict each other, or it is longer than any such space.
    """
    if len(message.payload) < _CONFIG.size:
        _check_size(message, _CONFIG.size)
    offset, size, flags = _CONFIG.unpack_from(message.payload)
    if size > MAX_CONFIG:
        raise MalformedMessage(
            "a part of the configuration space is too long",
            expected=f"at most {MAX_CONFIG}",
            actual=size,
        )
    _check_size(message, _CONFIG.size + size)
    return ConfigAccess(offset, size, flags, message.payload[_CONFIG.size :])


def _check_size(message: Message, expected: int) -> None:
    if len(message.payload) != expected:
        raise MalformedMessage(
            f"vhost-user request {message.request} has a payload of the wrong size",
            expected=f"{expected} bytes",
            actual=f"{len(message.payload)} bytes",
        )
