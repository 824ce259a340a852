"""What can be wrong with an archive or the place it is kept: one class each."""

from strongroom_host.errors import BadInput, EnvironmentFault, HostError

__all__ = [
    "AccessRefused",
    "ArchiveAhead",
    "ArchiveError",
    "ArchiveUnwritable",
    "ClockWrong",
    "CredentialsMissing",
    "HistoriesDiffer",
    "LocationMalformed",
    "ManifestMalformed",
    "NotArchived",
    "NotLockable",
    "NothingSigned",
    "ObjectAltered",
    "ObjectMissing",
    "OpeningsSealed",
    "OtherLog",
    "RetentionMalformed",
    "RetentionTooShort",
    "SegmentMalformed",
    "StoreUnreachable",
    "Unprotected",
]


class ArchiveError(HostError):
    """Something about an archive is not what it must be."""

    exit_status = 3


class SegmentMalformed(ArchiveError):
    """The bytes are no segment of leaves or openings in the one layout that there is."""


class ManifestMalformed(ArchiveError):
    """The bytes are no manifest or event of an archive in their canonical form."""


class ObjectMissing(ArchiveError):
    """The store does not have an object that the archive names."""


class ObjectAltered(ArchiveError):
    """What the store has under an object's name has another digest than the name says."""


class Unprotected(ArchiveError):
    """An object can be deleted or replaced: no retention in compliance mode, or too short a one."""


class OtherLog(ArchiveError):
    """The archive at this place is another log's."""


class ArchiveAhead(ArchiveError):
    """The archive has more leaves than the log: leaves were lost, or an old copy was restored."""


class HistoriesDiffer(ArchiveError):
    """The archive and the log, or two manifests of one archive, are of different histories."""


class OpeningsSealed(ArchiveError):
    """Archived openings cannot be read: another key's, or altered."""


class LocationMalformed(BadInput):
    """Neither a directory nor s3://bucket or s3://bucket/prefix."""


class RetentionMalformed(BadInput):
    """A retention period that is none, or beyond what anybody can have meant."""


class RetentionTooShort(BadInput):
    """What is in the archive already is kept longer than was asked for now."""


class NothingSigned(BadInput):
    """The log has no signed head, so there is nothing to archive that anybody vouches for."""


class NotArchived(BadInput):
    """There is no archive at this place."""


class NotLockable(BadInput):
    """The bucket was made without Object Lock, so nothing in it can be protected."""


class StoreUnreachable(EnvironmentFault):
    """The store does not answer, or not as a store."""


class CredentialsMissing(EnvironmentFault):
    """There are no credentials for the store, or they are wrong or out of date."""


class AccessRefused(EnvironmentFault):
    """These credentials may not do what it takes."""


class ClockWrong(EnvironmentFault):
    """The clocks here and at the store disagree, so a retention date would be wrong."""


class ArchiveUnwritable(EnvironmentFault):
    """The archive could not be written to; a rerun completes it."""
