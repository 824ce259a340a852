"""What can be wrong with a log, its proofs, notes and files: one class each."""

from strongroom_host.errors import BadInput, EnvironmentFault, HostError

__all__ = [
    "BootUnproved",
    "BundleMalformed",
    "CheckpointMalformed",
    "CheckpointUnsigned",
    "HeadsInconsistent",
    "HeadsUndecided",
    "KeyMalformed",
    "LeafConflict",
    "LogAbsent",
    "LogBusy",
    "LogDamaged",
    "LogDisordered",
    "LogError",
    "LogUnreadable",
    "LogUnwritable",
    "NotIncluded",
    "NoteMalformed",
    "OpeningWrong",
    "OutsideLog",
    "PathMalformed",
    "PositionMissed",
    "ProofMalformed",
    "ReceiptUnfit",
    "SignatureWrong",
    "TileMalformed",
    "TileMissing",
]


class LogError(HostError):
    """Something about a log is not what it must be."""

    exit_status = 3


class ReceiptUnfit(LogError):
    """A receipt of the record is not what its leaf, its row or the receipt before says it is."""


class NotIncluded(LogError):
    """A proof does not lead from the leaf to the head: another leaf, place, tree or proof."""


class HeadsInconsistent(LogError):
    """No proof that the larger tree begins with the smaller one: a fork, an edit or a rollback."""


class LogForked(HeadsInconsistent):
    """A boot signs another history than the one stored: two exist."""


class LogShorter(HeadsInconsistent):
    """A boot signs an old state of the log that is stored: its newest leaves are not in it."""


class OpeningWrong(LogError):
    """An opening is not of the leaf that it came with."""


class HeadsUndecided(HostError):
    """Two views of a log do not suffice to tell whether they are one history."""


class NoteMalformed(LogError):
    """The bytes are no signed note in the canonical form."""


class ProofMalformed(LogError):
    """The bytes are no proof in the documented form."""


class CheckpointMalformed(LogError):
    """The text of a note is no checkpoint, or one of another log."""


class CheckpointUnsigned(LogError):
    """No key of the log has signed the checkpoint: nothing vouches for it."""


class SignatureWrong(LogError):
    """A signature by a known key does not verify; the whole note is worthless then."""


class TileMalformed(LogError):
    """A tile has another length than its width says."""


class TileMissing(LogError):
    """The storage does not have a tile or bundle that a tree of this size must have."""


class BundleMalformed(LogError):
    """An entry bundle does not hold exactly as many entries as its width says."""


class KeyMalformed(BadInput):
    """A verifier key (vkey) is not one of a supported type, in its canonical form."""


class PathMalformed(BadInput):
    """No resource of a log has this path."""


class OutsideLog(BadInput):
    """An index or size that this log does not have."""


class LeafConflict(LogError):
    """The log has another leaf at this place: two were made for one (epoch, index)."""


class PositionMissed(LogError):
    """A leaf is not the next one: those between are lost, or come in another order."""


class LogAbsent(BadInput):
    """There is no log where one was named."""


class BootUnproved(LogError):
    """The stored evidence of a boot does not prove which image and manifest it ran."""


class LogDamaged(LogError):
    """What is stored cannot be read back as a log."""


class LogDisordered(LogError):
    """A log was examined, and is not in order; the findings say where."""


class LogBusy(EnvironmentFault):
    """Another process is writing this log."""


class LogUnwritable(EnvironmentFault):
    """The log could not be written; what was not acknowledged may be missing."""


class LogUnreadable(EnvironmentFault):
    """A file or server that has the log does not give it: permissions, limits, the network."""
