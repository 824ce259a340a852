"""What can go wrong on the local platform before it answers its first request.

The software module itself raises nothing: like the device it answers every request, some of them
with one of the NSM's error names.
"""

__all__ = ["LocalError", "NotMeasurable", "UnsafeFile", "UnusableFile"]


class LocalError(Exception):
    """Root of this package's errors; `expected` and `actual` say what a check compared."""

    def __init__(self, what: str, expected: object, actual: object) -> None:
        super().__init__(f"{what}: expected {expected}, got {actual}")
        self.what, self.expected, self.actual = what, expected, actual


class UnsafeFile(LocalError):
    """A file of secrets that somebody else could read or has made."""


class UnusableFile(LocalError):
    """A file of this platform whose content is not what this platform writes."""


class NotMeasurable(LocalError):
    """A source tree that cannot be measured: missing, empty, or with links in it."""
