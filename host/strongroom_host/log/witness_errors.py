"""What can come back from a witness instead of a cosignature: one class each."""

from strongroom_host.errors import BadInput, EnvironmentFault, HostError
from strongroom_host.log.errors import LogError

__all__ = [
    "BootRefused",
    "CosignatureWrong",
    "HistoryRefused",
    "KeyUnknown",
    "LogUnknown",
    "QuorumInvalid",
    "SubmissionMalformed",
    "WitnessAhead",
    "WitnessAnswerInvalid",
    "WitnessBusy",
    "WitnessFault",
    "WitnessUnreachable",
    "WitnessUrlInvalid",
]


class WitnessFault(HostError):
    """Root of what keeps one witness from cosigning: the others are not concerned."""


class SubmissionMalformed(LogError):
    """The bytes are no submission to a witness in the form of C2SP tlog-witness."""


class WitnessUrlInvalid(BadInput):
    """A witness cannot be asked at this address."""


class QuorumInvalid(BadInput):
    """Not as many distinct witnesses as are to vouch."""


class WitnessUnreachable(WitnessFault, EnvironmentFault):
    """No answer: no connection, no time left, wrong certificate, or the witness has a fault."""


class WitnessBusy(WitnessFault, EnvironmentFault):
    """Somebody else submits heads of this log at the same moment."""


class WitnessAnswerInvalid(WitnessFault, LogError):
    """An answer that the protocol does not have, or too large."""


class CosignatureWrong(WitnessFault, LogError):
    """What came is no valid cosignature of this head, now, by the key that the manifest names."""


class LogUnknown(WitnessFault, LogError):
    """The witness follows no log of this name."""


class KeyUnknown(WitnessFault, LogError):
    """The witness follows the log, and does not know the key that signed this head as its own."""


class BootRefused(WitnessFault, LogError):
    """The witness was shown what the owners permit, and does not take the boot's key from it."""


class WitnessAhead(WitnessFault, LogError):
    """The witness has cosigned more leaves of this log than the head has: leaves were taken away,
    an old copy was restored, or another history goes on elsewhere."""


class HistoryRefused(WitnessFault, LogError):
    """The witness has cosigned another history of this log than the one of this head."""
