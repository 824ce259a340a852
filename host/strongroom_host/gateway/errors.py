"""What can be wrong with a request, a key, or where the gateway runs: one class each."""

from typing import ClassVar

from strongroom_host.errors import BadInput, EnvironmentFault, HostError

__all__ = [
    "AccountHidden",
    "BodyTooLarge",
    "CursorRefused",
    "EvidenceIncomplete",
    "ExpiryInvalid",
    "GatewayError",
    "KeyRefused",
    "KeyStoreUnusable",
    "KeyUnknown",
    "NotLimited",
    "NothingThere",
    "PrivilegesTooWide",
    "RangeTooLong",
    "ReaderUnknown",
    "RequestInvalid",
    "ScopeMissing",
    "TokenRefused",
    "TooManyRequests",
    "UnsafeAddress",
]


class GatewayError(HostError):
    """A request was refused.

    Attributes:
        status: Of HTTP.
        code: Names the class in an answer; part of the interface.
    """

    exit_status = 3
    status: ClassVar[int] = 400
    code: ClassVar[str] = "refused"


class KeyRefused(GatewayError):
    """No key, one that is none, or one that was revoked or has expired. Which, is not told."""

    status, code = 401, "key-refused"


class TokenRefused(GatewayError):
    """A token that was not made here, was changed, has expired, or is for something else."""

    status, code = 401, "token-refused"


class ScopeMissing(GatewayError):
    """The key is good, and not for this."""

    status, code = 403, "scope-missing"


class AccountHidden(GatewayError):
    """No such account, or none that this key may see: the same answer for both."""

    status, code = 404, "account-unknown"


class NothingThere(GatewayError):
    """No such row or resource."""

    status, code = 404, "not-found"


class BodyTooLarge(GatewayError):
    """A request brought more than any request here needs."""

    status, code = 413, "body-too-large"


class CursorRefused(GatewayError):
    """A cursor that was not given for this listing, or was changed."""

    status, code = 400, "cursor-refused"


class RequestInvalid(GatewayError):
    """A parameter or a body is not what the interface says."""

    status, code = 422, "request-invalid"


class EvidenceIncomplete(HostError):
    """The database has not all rows of a receipt, so that none of them can be proved."""

    exit_status = 3


class RangeTooLong(GatewayError):
    """More rows than one answer is computed from."""

    status, code = 422, "range-too-long"


class TooManyRequests(GatewayError):
    """A key's or an address's bucket is empty.

    Attributes:
        retry_after: Whole seconds until the same request can pass.
        limit: How many the bucket holds.
    """

    status, code = 429, "too-many-requests"

    def __init__(self, retry_after: int, limit: int) -> None:
        super().__init__(
            "too many requests",
            expected=f"at most {limit} at once, and then as they are refilled",
            remedy=f"ask again in {retry_after} s",
        )
        self.retry_after, self.limit = retry_after, limit


class PrivilegesTooWide(HostError):
    """The database login may do other than read the two tables of what was disclosed."""

    exit_status = 3


class KeyUnknown(BadInput):
    """No key has that id."""


class ReaderUnknown(BadInput):
    """A key would have the database asked with a login that the gateway does not have."""


class NotLimited(BadInput):
    """Whom a key may see was not said, or was said twice."""


class ExpiryInvalid(BadInput):
    """A key or token would live too long, or not at all."""


class UnsafeAddress(BadInput):
    """Keys would cross a network in the clear, or every web page may ask in a reader's name."""


class KeyStoreUnusable(EnvironmentFault):
    """The gateway's own database cannot be used: its place, its version, or a lock on it."""
