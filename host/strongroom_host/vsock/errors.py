"""What can go wrong in the vsock backend, split by who erred: caller, machine, QEMU, or the guest.

None of these is raised for one bad packet: that only costs the guest the connection it was for.
"""

from strongroom_host.errors import BadInput, EnvironmentFault

__all__ = [
    "BackendRefused",
    "BadMapping",
    "FrontEndFault",
    "GuestFault",
    "MalformedMessage",
    "MemoryRefused",
    "RingBroken",
]


class BadMapping(BadInput):
    """The ports and paths asked for cannot all be served."""


class BackendRefused(EnvironmentFault):
    """This machine cannot run the backend: a socket cannot be bound, or the processor is another.

    Shared rings need 16-bit little-endian stores that are seen whole; see `virtqueue`.
    """


class FrontEndFault(EnvironmentFault):
    """QEMU (the vhost-user front-end) did what the protocol does not allow."""


class MalformedMessage(FrontEndFault):
    """A vhost-user message of a wrong size, version, or number of descriptors."""


class MemoryRefused(FrontEndFault):
    """The guest memory that the front-end describes overlaps, wraps around, or is not there."""


class GuestFault(EnvironmentFault):
    """The guest's driver broke what it shares with the device; no connection can go on."""


class RingBroken(GuestFault):
    """A virtqueue holds what no driver may put there: a loop, or an address outside memory."""
