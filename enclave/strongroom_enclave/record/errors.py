"""What the record refuses to compute with, and who erred."""

from strongroom_wire.errors import Code, WireError

__all__ = ["EventDoubled", "EventInvalid", "MarketInvalid", "MarketUnknown", "PrecisionExhausted"]
__all__ += ["RecordError", "SeriesBroken", "TierInvalid"]


class RecordError(WireError):
    """Root of the record's errors. Texts hold amounts of the account: they stay inside."""


class EventInvalid(RecordError):
    """A trade, flow or mark has a number that is none, or a sign that contradicts its kind."""


class EventDoubled(RecordError):
    """One id stands for two trades of a symbol, or two flows of an asset and kind."""


class MarketInvalid(RecordError):
    """A market settles in something that its kind does not, or has no size."""


class MarketUnknown(RecordError):
    """A trade is in a market that the caller did not describe."""


class PrecisionExhausted(RecordError):
    """A sum or product does not fit the precision that all sane input leaves room in."""

    code = Code.INTERNAL


class SeriesBroken(RecordError):
    """Hours do not begin at full hours, or do not follow each other."""

    code = Code.INTERNAL


class TierInvalid(RecordError):
    """The owner's disclosure tier contradicts itself."""

    code = Code.MANIFEST_INVALID
