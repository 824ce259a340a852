"""Everything the recipe raises: one root, split by who has to act.

A person at a terminal sees what was wrong, what was expected, what was found and what to do, so
every error is constructed with all of that. `code` is stable and machine-readable, the text is not.
"""

from typing import ClassVar

__all__ = [
    "BuildError",
    "BuildFailed",
    "CacheUnusable",
    "DebInvalid",
    "DiskFull",
    "EmulatorUnusable",
    "InputDigestMismatch",
    "InputError",
    "InputGone",
    "InputMissing",
    "InputSizeMismatch",
    "InputUnreachable",
    "InputsDirectoryMissing",
    "KernelOptionLost",
    "MachineError",
    "PinMissing",
    "PinsInvalid",
    "PinsOverlap",
    "RecipeError",
    "SandboxUnavailable",
    "WrongArchitecture",
]


class RecipeError(Exception):
    """Root of the recipe's errors.

    Attributes:
        code: Stable identifier of what went wrong.
        exit_status: What a command that ends with this error exits with.
        what: The finding, in one sentence without a full stop.
        expected: What would have been right, if that can be said.
        actual: What was found instead.
        remedy: What the reader can do now.
    """

    code: ClassVar[str] = "recipe-error"
    exit_status: ClassVar[int] = 1

    def __init__(
        self, what: str, *, expected: object = None, actual: object = None, remedy: str = ""
    ) -> None:
        super().__init__(what)
        self.what, self.expected, self.actual, self.remedy = what, expected, actual, remedy


# --- An input is not what the pins say, or is not to be had --------------------------------------


class InputError(RecipeError):
    """A pinned input, or the list of them, is at fault."""

    code = "input-error"
    exit_status = 2


class PinsInvalid(InputError):
    """A file of pins cannot be read, or says something that no pin may say."""

    code = "pins"


class PinMissing(InputError):
    """The pins have no set, package or file of the name asked for."""

    code = "pin-missing"


class InputMissing(InputError):
    """A pinned file is in no cache, no inputs directory and on no server that was asked."""

    code = "input-missing"


class InputGone(InputMissing):
    """Every server answered that it has the file no longer: the archive dropped this version."""

    code = "input-gone"


class InputUnreachable(InputMissing):
    """No server could be asked, or none gave a usable answer."""

    code = "input-unreachable"


class InputsDirectoryMissing(InputError):
    """An inputs directory that was named does not exist."""

    code = "inputs-directory"


class InputDigestMismatch(InputError):
    """The bytes have another SHA-256 than the pin: damaged, replaced, or another version."""

    code = "input-digest"


class InputSizeMismatch(InputDigestMismatch):
    """More or fewer bytes than the pin says, noticed before or while they were read."""

    code = "input-size"


class DebInvalid(InputError):
    """A Debian package is malformed, or holds a path, link or special file that is not allowed.

    The pins' hashes keep such a file out already; this is for those who choose what to pin.
    """

    code = "deb"


class PinsOverlap(InputError):
    """Two packages of one set install different things under one path."""

    code = "pins-overlap"


# --- This machine is at fault --------------------------------------------------------------------


class MachineError(RecipeError):
    """This machine lacks something that the build needs."""

    code = "machine-error"
    exit_status = 5


class WrongArchitecture(MachineError):
    """The image is built on Linux on amd64, and this machine is something else."""

    code = "architecture"


class DiskFull(MachineError):
    """No space, or no quota, is left where the cache or the build is."""

    code = "disk-full"


class CacheUnusable(MachineError):
    """The cache or the work directory cannot be written."""

    code = "cache"


class SandboxUnavailable(MachineError):
    """Neither root nor an unprivileged user namespace is to be had, so nothing can be built."""

    code = "sandbox"


# --- The build is at fault -----------------------------------------------------------------------


class BuildError(RecipeError):
    """Inputs and machine are as they should be, and the build does not give what it should."""

    code = "build-error"


class BuildFailed(BuildError):
    """A program of the build exited with another status than 0.

    Attributes:
        tail: The last lines that it wrote.
    """

    code = "build-failed"

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        actual: object = None,
        remedy: str = "",
        tail: str = "",
    ) -> None:
        super().__init__(what, expected=expected, actual=actual, remedy=remedy)
        self.tail = tail


class KernelOptionLost(BuildError):
    """An option of the kernel's fragment is not in the configuration that was built."""

    code = "kernel-option"


class EmulatorUnusable(BuildError):
    """The emulator that was built does not run here, or lacks the Nitro machine."""

    code = "emulator"
