"""What a witness refuses, each with the HTTP status that C2SP tlog-witness gives it, and what can
be wrong with its own folder."""

from typing import ClassVar

from strongroom_host.errors import BadInput, EnvironmentFault, HostError

__all__ = [
    "ClockBackwards",
    "FolderInvalid",
    "HistoryContradicted",
    "IntroductionRefused",
    "MemoryBroken",
    "MemoryMissing",
    "OriginUnknown",
    "OwnersOutdated",
    "PortBusy",
    "Refusal",
    "RequestMalformed",
    "RequestTooLarge",
    "SignerUnknown",
    "SizeConflict",
]


class Refusal(HostError):
    """Root of what a request is answered with instead of a cosignature."""

    status: ClassVar[int] = 400


class RequestMalformed(Refusal):
    """The body has not the documented form, or contradicts itself."""


class SignerUnknown(Refusal):
    """No key of the log has signed the checkpoint, or one has not signed what is there."""

    status = 403


class IntroductionRefused(Refusal):
    """Manifest, permit and bundle do not show that the owners let this boot sign."""

    status = 403


class OriginUnknown(Refusal):
    """This witness does not follow the log."""

    status = 404


class SizeConflict(Refusal):
    """Another size was cosigned last than the request starts from."""

    status = 409

    def __init__(self, size: int, named: int) -> None:
        super().__init__("another size was cosigned last", expected=size, actual=named)
        self.size = size


class OwnersOutdated(Refusal):
    """The owners who signed have handed over to others since, or are another line of heirs."""

    status = 409


class RequestTooLarge(Refusal):
    """The body is larger than any request can be."""

    status = 413


class HistoryContradicted(Refusal):
    """The checkpoint does not continue the history that was cosigned."""

    status = 422


class ClockBackwards(Refusal):
    """This witness's clock is behind a time that it has signed already."""

    status = 503


class FolderInvalid(BadInput):
    """A folder is not, or not yet, or already, that of a witness."""


class MemoryMissing(HostError):
    """The witness has a key, and what it signed with it is not there."""

    exit_status = 3


class MemoryBroken(EnvironmentFault):
    """What the witness signed cannot be read or written."""


class PortBusy(EnvironmentFault):
    """The address cannot be listened on."""
