"""The vhost-user session: what the front-end asks, applied to the device's rings.

A ring runs from the moment it has memory, a size, addresses and a kick descriptor and is enabled,
until GET_VRING_BASE, which tells where it stopped. A ring that goes on from elsewhere belongs to a
driver that was started anew, whose connections are no longer its own.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable
from typing import Final

from strongroom_host.vsock.device import Device
from strongroom_host.vsock.errors import FrontEndFault
from strongroom_host.vsock.memory import GuestMemory
from strongroom_host.vsock.messages import (
    Message,
    Request,
    VringState,
    parse_addresses,
    parse_config,
    parse_descriptor,
    parse_regions,
    parse_state,
    parse_u64,
    reply,
    state,
    u64,
)
from strongroom_host.vsock.virtqueue import RingAddresses, Virtqueue

__all__ = ["EVENT", "FEATURES", "PROTOCOL_FEATURES", "QUEUES", "RX", "TX", "FrontEnd"]

RX: Final = 0
TX: Final = 1
EVENT: Final = 2
QUEUES: Final = 3
"""QEMU keeps the event queue to itself; another front-end may hand it over, and it stays empty."""

_PROTOCOL: Final = 1 << 30
FEATURES: Final = 1 << 32 | _PROTOCOL
"""Virtio 1, and that there are protocol features."""

_REPLY_ACK: Final = 1 << 3
PROTOCOL_FEATURES: Final = 1 << 0 | _REPLY_ACK | 1 << 9 | 1 << 13
"""Number of queues, replies on demand, configuration space, device reset."""

_ONE: Final = (1).to_bytes(8, "little")


class _Ring:
    """What the front-end said about one ring. Owns the three descriptors."""

    def __init__(self) -> None:
        self.size = self.base = 0
        self.addresses: RingAddresses | None = None
        self.enabled = False
        self.kick: int | None = None
        self.call: int | None = None
        self.error: int | None = None
        self.queue: Virtqueue | None = None


class FrontEnd:
    """One session, from connection to its end."""

    def __init__(
        self, device: Device, cid: int, watch: Callable[[int | None, int | None], None]
    ) -> None:
        """Begins.

        Args:
            device: Gets the rings that run.
            cid: The guest's, for the configuration space.
            watch: Called with a ring's old and new kick descriptor, before the old one is closed.
        """
        self._device, self._watch = device, watch
        self._config = struct.pack("<Q", cid)
        self._memory: GuestMemory | None = None
        self._rings = [_Ring() for _ in range(QUEUES)]
        self._acknowledges = False
        self._handlers: dict[int, Callable[[Message], bytes | None]] = {
            Request.GET_FEATURES: lambda _: u64(FEATURES),
            Request.SET_FEATURES: self._set_features,
            Request.SET_OWNER: lambda _: None,
            Request.RESET_OWNER: lambda _: None,  # obsolete: to be ignored
            Request.SET_MEM_TABLE: self._set_memory,
            Request.SET_VRING_NUM: self._set_size,
            Request.SET_VRING_ADDR: self._set_addresses,
            Request.SET_VRING_BASE: self._set_base,
            Request.GET_VRING_BASE: self._get_base,
            Request.SET_VRING_KICK: self._set_kick,
            Request.SET_VRING_CALL: self._set_call,
            Request.SET_VRING_ERR: self._set_error,
            Request.GET_PROTOCOL_FEATURES: lambda _: u64(PROTOCOL_FEATURES),
            Request.SET_PROTOCOL_FEATURES: self._set_protocol_features,
            Request.GET_QUEUE_NUM: lambda _: u64(QUEUES),
            Request.SET_VRING_ENABLE: self._set_enabled,
            Request.GET_CONFIG: self._get_config,
            Request.RESET_DEVICE: self._reset,
        }

    def handle(self, message: Message) -> bytes | None:
        """Does what a message asks; returns the reply to send, if one is due.

        What is unknown or not allowed (changing the configuration space) is answered with a failure
        where the front-end wants an answer, and ignored otherwise.

        Raises:
            FrontEndFault: the request contradicts the protocol or what was said before.
        """
        handler = self._handlers.get(message.request)
        try:
            answer = handler(message) if handler else None
        finally:
            message.close()
        if answer is not None:
            return reply(message.request, answer)
        if message.needs_reply and self._acknowledges:
            return reply(message.request, u64(0 if handler else 1))
        return None

    def notify(self) -> None:
        """Shows the guest what was done on its rings, and interrupts it where it wants to be."""
        for ring in self._rings:
            if ring.queue is not None and ring.queue.publish() and ring.call is not None:
                _signal(ring.call)

    def fail(self) -> None:
        """Tells the front-end, which may listen, that a ring is broken."""
        for ring in self._rings:
            if ring.error is not None:
                _signal(ring.error)

    def close(self) -> None:
        """Stops every ring and closes the session's descriptors."""
        for index, ring in enumerate(self._rings):
            self._stop(index)
            for descriptor in (ring.call, ring.error):
                _close(descriptor)
            ring.call = ring.error = None

    # One method a request.

    def _set_features(self, message: Message) -> None:
        features = _subset(parse_u64(message), FEATURES, "features")
        if not features & _PROTOCOL:
            for index, ring in enumerate(self._rings):
                ring.enabled = True
                self._update(index)

    def _set_protocol_features(self, message: Message) -> None:
        features = _subset(parse_u64(message), PROTOCOL_FEATURES, "protocol features")
        self._acknowledges = bool(features & _REPLY_ACK)

    def _set_memory(self, message: Message) -> None:
        regions = parse_regions(message)
        self._memory = GuestMemory(regions, message.descriptors)
        for index, ring in enumerate(self._rings):
            if ring.queue is not None:
                ring.base, ring.queue = ring.queue.position, None
                self._update(index)

    def _set_size(self, message: Message) -> None:
        ring, said = self._ring_state(message)
        _refuse_running(ring, "size")
        ring.size = said.number

    def _set_base(self, message: Message) -> None:
        ring, said = self._ring_state(message)
        _refuse_running(ring, "position")
        if said.number != ring.base:
            self._device.restart()
        ring.base = said.number & 0xFFFF
        self._update(said.index)

    def _set_addresses(self, message: Message) -> None:
        index, addresses = parse_addresses(message)
        ring = self._ring(index)
        ring.addresses = addresses
        if ring.queue is not None:
            ring.base, ring.queue = ring.queue.position, None
        self._update(index)

    def _get_base(self, message: Message) -> bytes:
        ring, said = self._ring_state(message)
        self._stop(said.index)
        return state(VringState(said.index, ring.base))

    def _set_kick(self, message: Message) -> None:
        index, descriptor = parse_descriptor(message)
        if descriptor is None:
            raise FrontEndFault(
                "the front-end wants a ring to be polled", expected="a kick descriptor"
            )
        try:
            ring = self._ring(index)
            os.set_blocking(descriptor, False)
            self._watch(ring.kick, descriptor)
        except (OSError, FrontEndFault) as error:
            _close(descriptor)
            raise FrontEndFault(f"a kick descriptor cannot be used: {error}") from error
        _close(ring.kick)
        ring.kick = descriptor
        self._update(index)

    def _set_call(self, message: Message) -> None:
        index, descriptor = self._optional(message)
        ring = self._rings[index]
        _close(ring.call)
        ring.call = descriptor
        # Whatever was published to the descriptor before is not lost on the new one.
        if descriptor is not None and ring.queue is not None:
            _signal(descriptor)

    def _set_error(self, message: Message) -> None:
        index, descriptor = self._optional(message)
        _close(self._rings[index].error)
        self._rings[index].error = descriptor

    def _set_enabled(self, message: Message) -> None:
        ring, said = self._ring_state(message)
        ring.enabled = bool(said.number)
        self._update(said.index)

    def _get_config(self, message: Message) -> bytes:
        wanted = parse_config(message)
        end = wanted.offset + wanted.size
        if end > len(self._config):
            return b""  # how the protocol says no
        return message.payload[: -wanted.size or None] + self._config[wanted.offset : end]

    def _reset(self, _: Message) -> None:
        for index in range(QUEUES):
            self._stop(index)
        self._device.restart()

    # Rings.

    def _ring(self, index: int) -> _Ring:
        if index >= QUEUES:
            raise FrontEndFault("no such ring", expected=f"below {QUEUES}", actual=index)
        return self._rings[index]

    def _ring_state(self, message: Message) -> tuple[_Ring, VringState]:
        said = parse_state(message)
        return self._ring(said.index), said

    def _optional(self, message: Message) -> tuple[int, int | None]:
        index, descriptor = parse_descriptor(message)
        try:
            self._ring(index)
            if descriptor is not None:
                os.set_blocking(descriptor, False)
        except (OSError, FrontEndFault) as error:
            _close(descriptor)
            raise FrontEndFault(f"a ring's descriptor cannot be used: {error}") from error
        return index, descriptor

    def _update(self, index: int) -> None:
        """Starts a ring that has all it needs, or takes one that is disabled from the device."""
        ring = self._rings[index]
        if not ring.enabled and ring.queue is not None:
            ring.base, ring.queue = ring.queue.position, None
        elif ring.enabled and ring.queue is None:
            if ring.addresses and self._memory and ring.size and ring.kick is not None:
                ring.queue = Virtqueue(
                    self._memory, ring.size, ring.addresses, ring.base, writable=index != TX
                )
        self._device.attach(rx=self._rings[RX].queue, tx=self._rings[TX].queue)

    def _stop(self, index: int) -> None:
        ring = self._rings[index]
        if ring.queue is not None:
            ring.base, ring.queue = ring.queue.position, None
        if ring.kick is not None:
            self._watch(ring.kick, None)
            _close(ring.kick)
            ring.kick = None
        self._device.attach(rx=self._rings[RX].queue, tx=self._rings[TX].queue)


def _subset(chosen: int, offered: int, what: str) -> int:
    if chosen & ~offered:
        raise FrontEndFault(
            f"the front-end chose {what} that were not offered",
            expected=f"{offered:#x}",
            actual=f"{chosen:#x}",
        )
    return chosen


def _refuse_running(ring: _Ring, what: str) -> None:
    if ring.queue is not None:
        raise FrontEndFault(f"the {what} of a running ring cannot change")


def _signal(descriptor: int) -> None:
    try:
        os.write(descriptor, _ONE)
    except BlockingIOError:
        return  # a counter that is full says already what there is to say
    except OSError as error:
        raise FrontEndFault(f"a call descriptor cannot be written: {error}") from error


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        with contextlib.suppress(OSError):
            os.close(descriptor)
