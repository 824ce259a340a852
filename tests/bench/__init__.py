"""Benchmarks: each module's `rows()` measures one thing beside its peers, in one run."""

__all__ = ["NotMeasured"]


class NotMeasured(Exception):
    """What a benchmark measures is not here; its text says how to get it."""
