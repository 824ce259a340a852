"""What can be wrong with a tape."""

from strongroom_host.errors import BadInput, EnvironmentFault

__all__ = ["TapeDamaged", "TapeInvalid", "TapeTaken", "TapeUnwritten"]


class TapeInvalid(BadInput):
    """The file is no tape, or one of another version."""


class TapeDamaged(BadInput):
    """The tape is not what was recorded: ticks that were on the disk are missing or changed."""

    exit_status = 3


class TapeTaken(BadInput):
    """There is a file of that name already; a recording has a file of its own."""


class TapeUnwritten(EnvironmentFault):
    """The tape could not be written any further."""
