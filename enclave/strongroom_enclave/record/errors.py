"""What the record refuses to compute with, and who erred."""

from strongroom_wire.errors import Code, WireError


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


class PrecisionExhausted(RecordError, code=Code.INTERNAL):
    """A sum or product does not fit the precision that all sane input leaves room in."""


class SeriesBroken(RecordError, code=Code.INTERNAL):
    """Hours do not begin at full hours, or do not follow each other."""


class CredentialsSwapped(RecordError, code=Code.KEY_CONFLICT):
    """Credentials are of another account or venue than they came for, or of an earlier order; or
    they open another account at the venue than those before them."""


class StoreError(RecordError, code=Code.SEALED_STATE_REFUSED):
    """Root of what the host's database did wrong: it is the host's, so nothing of it is folded."""


class StoreBroken(StoreError, code=Code.PLATFORM):
    """The database went away, is too slow, or does not speak the port's protocol."""


class StoreRefused(StoreError):
    """The database says that it will not; `actual` is the reason it gives, which is only a hint."""


class RowsReplaced(StoreError):
    """Rows were sealed for their places, but there are fewer than the receipt counts, or they are
    of another history."""


class AccountForked(StoreError):
    """Two went on from one state of an account, or the manifest has another under its name."""


class StatesOld(StoreError):
    """The states handed over are not those that the start permit names: an old database."""
