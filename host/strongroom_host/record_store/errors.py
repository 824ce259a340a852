"""What can be wrong with the record's database or what is asked of it: one class each."""

from strongroom_host.errors import BadInput, EnvironmentFault, HostError

__all__ = [
    "AccountUnknown",
    "DatabaseOutdated",
    "DatabaseRefused",
    "DatabaseUnavailable",
    "InitialisedAlready",
    "LeaseLost",
    "LogUnavailable",
    "MigrationEdited",
    "MigrationFailed",
    "MigrationMissing",
    "MigrationOutOfOrder",
    "MigrationUnreadable",
    "NotInitialised",
    "NumberNotExact",
    "PageRefused",
    "RowsConflict",
    "RowsLeaveGap",
    "ServerFailed",
    "ServerMissing",
    "StatesMissing",
    "StoreError",
    "Unlimited",
]


class StoreError(HostError):
    """The database holds, or was asked to hold, what cannot be right."""

    exit_status = 3


class MigrationEdited(StoreError):
    """A migration's file is not the one that was applied."""


class MigrationMissing(StoreError):
    """The database has had a migration that is not among the files: it is newer, or another's."""


class MigrationOutOfOrder(StoreError):
    """A migration that was not applied comes before one that was."""


class MigrationFailed(StoreError):
    """A migration did not run to its end, now or in another tool's hands."""


class DatabaseOutdated(StoreError):
    """The database lacks migrations that this program needs."""


class DatabaseRefused(StoreError):
    """The database refused a statement: a privilege, a policy or a constraint."""


class RowsConflict(StoreError):
    """Other bytes are stored already where rows were to be put."""


class RowsLeaveGap(StoreError):
    """The rows would not follow the last one stored."""


class NumberNotExact(StoreError):
    """A number has more decimals than its column: it would be stored rounded."""


class LeaseLost(StoreError):
    """A job is no longer this worker's: its lease ran out, or somebody ended it."""


class StatesMissing(StoreError):
    """The log commits to a state that is not stored."""


class PageRefused(StoreError):
    """A page of the record's log does not continue the stored one, or nobody vouches for it."""


class AccountUnknown(BadInput):
    """No such account was ever connected."""


class Unlimited(BadInput):
    """A limited reader has to be limited to somebody."""


class MigrationUnreadable(BadInput):
    """The folder of migrations is not laid out as Prisma lays it out."""


class InitialisedAlready(BadInput):
    """There is a database here already."""


class NotInitialised(BadInput):
    """There is no database here, or nobody has written down how to reach it."""


class DatabaseUnavailable(EnvironmentFault):
    """The database cannot be reached, or went away."""


class LogUnavailable(EnvironmentFault):
    """The record's log cannot be written for now, or nobody says who signs it; asking again may
    help."""


class ServerMissing(EnvironmentFault):
    """No PostgreSQL server came with the installation, and no other one was named."""


class ServerFailed(EnvironmentFault):
    """The database server did not start, or not in time."""
