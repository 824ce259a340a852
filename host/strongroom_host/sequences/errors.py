"""Why no number is given out: where anything is unclear, one of them might be used twice."""

from strongroom_host.errors import BadInput, EnvironmentFault, HostError

__all__ = ["SequencesBroken", "SequencesBusy", "SequencesCopied", "SequencesRefused"]

ANEW = (
    "move the file away and begin with another: a relay's keys start anew with every opening, and"
    " a trading host leaves out the numbers that its journal knows"
)


class SequencesRefused(BadInput):
    """A name, a size or a number that cannot be."""


class SequencesBusy(EnvironmentFault):
    """Another process gives out the numbers of this file."""


class SequencesBroken(HostError):
    """The file does not say beyond doubt which numbers were given out, or cannot be written."""


class SequencesCopied(SequencesBroken):
    """The file is a copy, or older than what was seen used: its numbers may be taken."""
