"""What can be wrong with a series of returns, or with what is asked of it."""

from strongroom_host.errors import BadInput

__all__ = ["SeriesInvalid", "SeriesUnreadable"]


class SeriesUnreadable(BadInput):
    """A file holds no series of returns, or not as its format has them."""


class SeriesInvalid(BadInput):
    """The periods contradict themselves or each other; no number is computed from such a series."""
