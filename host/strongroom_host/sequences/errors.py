"""Why no number is given out: where anything is unclear, one of them might be used twice."""

from strongroom_host.errors import BadInput, EnvironmentFault, HostError

__all__ = [
    "SequencesBroken",
    "SequencesBusy",
    "SequencesCopied",
    "SequencesRefused",
    "SequencesSetBack",
]

ANEW = (
    "move the file away and leave the folder beside it: new counters go on above the marks in that"
    " folder; where it is gone as well, they begin with 1 under keys that are new at every opening"
)


class SequencesRefused(BadInput):
    """A name, a size or a number that cannot be."""


class SequencesBusy(EnvironmentFault):
    """Another process gives out the numbers of this file."""


class SequencesBroken(HostError):
    """The file does not say beyond doubt which numbers were given out, or cannot be written."""


class SequencesCopied(SequencesBroken):
    """The file is a copy: what the original gave out since then is not in it."""


class SequencesSetBack(SequencesBroken):
    """The file says less than was given out: an old state of it was put back."""
