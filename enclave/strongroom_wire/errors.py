"""Numeric codes that cross the enclave boundary, and the errors that carry them.

Only the number leaves the enclave (plus, for a denial, the rule and two numbers): texts would be a
channel for secrets. What a code means to a person is written down once, in the host's `explain`.
"""

from enum import IntEnum


class Code(IntEnum):
    """Outcome of a request. 1xx the caller erred, 2xx the owner's documents, 3xx policy, 4xx the
    venue, 5xx the platform or this enclave."""

    OK = 0
    MALFORMED = 100
    TOO_LARGE = 101
    UNKNOWN_REQUEST = 102
    CALL_NOT_PERMITTED = 103
    WRONG_PHASE = 104
    EXPIRED = 105
    BAD_SEQUENCE = 106
    UNKNOWN_CHANNEL = 107
    UNKNOWN_CLIENT = 108
    UNKNOWN_KEY = 109
    NO_CREDENTIAL = 110
    BAD_AMOUNT = 111
    TEMPLATE_MISMATCH = 112
    BUSY = 113
    MANIFEST_INVALID = 200
    BAD_SIGNATURE = 201
    QUORUM_MISSING = 202
    WRONG_BOOT = 203
    WRONG_MANIFEST = 204
    WRONG_OWNER = 205
    PERMIT_STALE = 206
    WRONG_LOG_HEAD = 207
    SEALED_STATE_REFUSED = 208
    KEY_CONFLICT = 209
    DENIED = 300
    VENUE_UNREACHABLE = 400
    VENUE_TLS = 401
    VENUE_REFUSED = 402
    VENUE_NOT_ALLOWED = 403
    PLATFORM = 500
    HALTED = 501
    INTERNAL = 502


# The policy rule that denied a signature, numbered from 0. `limit` and `actual` of a denial are in
# its unit.
Rule = IntEnum(
    "Rule",
    "NONE PERMIT KILL_SWITCH CLOCK PERMIT_EXPIRED MARKET SIDE PRICE_BAND ORDER_TYPE LIFETIME "
    "TIMESTAMP ORDER_NOTIONAL WINDOW_NOTIONAL BUDGET_NOTIONAL BUDGET_ORDERS RATE",
    start=0,
)


class Compared(Exception):
    """What a check found, and what it expected."""

    def __init__(self, what: str, expected: object = None, actual: object = None) -> None:
        compared = "" if expected is None else f": expected {expected}, got {actual}"
        super().__init__(what + compared)
        self.what, self.expected, self.actual = what, expected, actual

    @classmethod
    def unless(cls, holds: object, what: str, expected: object, actual: object) -> None:
        """Raises this error unless something holds."""
        if not holds:
            raise cls(what, expected, actual)


class WireError(Compared):
    """Root of this package's errors; `code` is what may leave the enclave."""

    code = Code.MALFORMED

    def __init_subclass__(cls, code: Code | None = None) -> None:
        cls.code = code or cls.code


class Malformed(WireError):
    """Bytes do not have the documented layout."""


class TooLarge(WireError, code=Code.TOO_LARGE):
    """A size limit, checked before allocation, is exceeded."""


class ManifestInvalid(WireError, code=Code.MANIFEST_INVALID):
    """The manifest breaks its schema or contradicts itself."""


class BadSignature(WireError, code=Code.BAD_SIGNATURE):
    """A signature does not verify under the key that must have made it."""


class QuorumMissing(WireError, code=Code.QUORUM_MISSING):
    """Fewer distinct owners signed than the quorum asks for."""


class Refused(WireError):
    """A well-formed request that must not be served; the reason is its code."""

    def __init__(self, code: Code, what: str = "", expected: object = None, actual: object = None):
        super().__init__(what or code.name, expected, actual)
        self.code = code


def require(holds: bool, code: Code, what: str, *compared: object) -> None:
    """Raises `Refused` unless something holds; `compared` is what was expected and what came."""
    if not holds:
        raise Refused(code, what, *compared)
