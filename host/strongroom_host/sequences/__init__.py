"""Numbers that are never given out twice, for relay frames and whatever else must not repeat."""

from strongroom_host.sequences.counters import SequenceBlock, Sequences
from strongroom_host.sequences.errors import (
    SequencesBroken,
    SequencesBusy,
    SequencesCopied,
    SequencesRefused,
    SequencesSetBack,
)

__all__ = [
    "SequenceBlock",
    "Sequences",
    "SequencesBroken",
    "SequencesBusy",
    "SequencesCopied",
    "SequencesRefused",
    "SequencesSetBack",
]
