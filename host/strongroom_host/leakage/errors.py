"""What can be wrong with the prices that returns are held against."""

from strongroom_host.errors import BadInput

__all__ = ["CandlesUnreadable", "NothingToMatch"]


class CandlesUnreadable(BadInput):
    """A file holds no prices, or not as its format has them."""


class NothingToMatch(BadInput):
    """Returns and prices have no time in common, so nothing was measured: that is no all-clear."""
