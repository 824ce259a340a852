"""The root of the host side's own errors: what was wrong, what was expected, what to do about it.

A person at a terminal sees all three, so every error can be constructed with all three. Leaf
classes live beside the code that raises them; each fixes its `exit_status` by who erred.
"""

from typing import ClassVar

__all__ = ["BadInput", "EnvironmentFault", "HostError"]


class HostError(Exception):
    """Root of this package's errors.

    Attributes:
        what: The finding, in one sentence without a full stop.
        expected: What would have been right, if that can be said.
        actual: What was found instead.
        remedy: What the reader can do now.
    """

    exit_status: ClassVar[int] = 1

    def __init__(
        self, what: str, *, expected: object = None, actual: object = None, remedy: str = ""
    ) -> None:
        super().__init__(what)
        self.what, self.expected, self.actual, self.remedy = what, expected, actual, remedy


class BadInput(HostError):
    """The caller's own input is unusable: a file, an option, a number."""

    exit_status = 2


class EnvironmentFault(HostError):
    """This machine or the network lacks something: a port, a package, a running enclave."""

    exit_status = 5
