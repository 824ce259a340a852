"""What can be wrong with a ring, split by who erred."""

from strongroom_host.errors import BadInput, EnvironmentFault

__all__ = [
    "ConsumerTaken",
    "DependencyGone",
    "InstrumentsFull",
    "NameInvalid",
    "RingAbsent",
    "RingClosed",
    "RingFull",
    "RingInvalid",
    "RingMismatch",
    "RingTaken",
    "SizeInvalid",
    "SpaceMissing",
    "TickInvalid",
]


class TickInvalid(BadInput):
    """A tick's field is beyond its range, or a record is cut off."""


class NameInvalid(BadInput):
    """A ring, consumer or instrument cannot be called that."""


class SizeInvalid(BadInput):
    """A ring cannot have that many slots or consumers."""


class RingAbsent(BadInput):
    """There is no ring of that name."""


class RingTaken(BadInput):
    """The ring has a producer that is alive; a ring has one."""


class RingMismatch(BadInput):
    """The ring that is there has another shape than the one asked for."""


class RingInvalid(EnvironmentFault):
    """What is at the ring's place is no ring of this version, or not safely this user's."""


class RingClosed(EnvironmentFault):
    """This end of the ring was closed, or is another process's."""


class RingFull(EnvironmentFault):
    """All of the ring's lines for consumers are in use."""


class ConsumerTaken(BadInput):
    """A consumer of that name is alive."""


class DependencyGone(EnvironmentFault):
    """The consumer that this one may not pass is not there."""


class InstrumentsFull(BadInput):
    """The ring's table of instruments has no room left."""


class SpaceMissing(EnvironmentFault):
    """There is not enough shared memory."""
