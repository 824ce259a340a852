"""What can be wrong with the image's contents: inputs, rules, and the finished tree.

One leaf per rule, like the rest of the recipe; `errors` holds the root, and what goes wrong with
packages, the cache and the sandbox.
"""

from strongroom_eif.recipe.errors import RecipeError

__all__ = [
    "ContentError",
    "DeviceFound",
    "DirtyOwner",
    "ElfUnreadable",
    "ForeignPackage",
    "LibraryMissing",
    "LicenceUnknown",
    "LinkDangling",
    "LockMalformed",
    "NotListed",
    "ProgramFound",
    "RecordMalformed",
    "RuleStale",
    "RulesMalformed",
    "SetIdFound",
    "SourceUnexpected",
    "ToolFound",
    "ToolchainMismatch",
    "TreeError",
    "WheelMalformed",
    "WheelMissing",
    "WheelNotLocked",
    "WritableFound",
    "WrongMachine",
]


class ContentError(RecipeError):
    """The inputs do not make the image that the recipe describes."""

    code = "content-error"
    exit_status = 2


class RulesMalformed(ContentError):
    """`system.toml` is not what it should be."""

    code = "rules-malformed"


class RuleStale(ContentError):
    """A rule fits nothing any more, so the list does not describe the image."""

    code = "rule-stale"


class LockMalformed(ContentError):
    """`enclave/requirements.lock` has a line without version or hash, or one nobody understands."""

    code = "lock-malformed"


class WheelNotLocked(ContentError):
    """A pinned wheel is not one that the lock names, or the lock names one that is not pinned."""

    code = "wheel-not-locked"


class WheelMissing(ContentError):
    """A wheel is neither in the cache nor to be had from the package index."""

    code = "wheel-missing"


class WheelMalformed(ContentError):
    """A wheel's own list of files disagrees with its files, or a path leads elsewhere."""

    code = "wheel-malformed"


class SourceUnexpected(ContentError):
    """Our own source tree lacks something, or holds something that nobody expects there."""

    code = "source-unexpected"


class ToolchainMismatch(ContentError):
    """The toolchain's Python is not the image's: its bytecode might not be either."""

    code = "toolchain-mismatch"


class LicenceUnknown(ContentError):
    """A package does not say its licence in a form that the SBOM can repeat."""

    code = "licence-unknown"


class RecordMalformed(ContentError):
    """A release record or SBOM is not one that this program writes."""

    code = "record-malformed"


# --- The finished tree ---------------------------------------------------------------------------


class TreeError(RecipeError):
    """The finished image holds something that no image of ours may hold."""

    code = "tree-error"


class ToolFound(TreeError):
    """A shell, package manager or compiler is in the image."""

    code = "tree-tool"


class ProgramFound(TreeError):
    """Something can be run that `system.toml` does not name."""

    code = "tree-program"


class SetIdFound(TreeError):
    """A file would run with its owner's rights."""

    code = "tree-set-id"


class WritableFound(TreeError):
    """Somebody other than root may write to it."""

    code = "tree-writable"


class DirtyOwner(TreeError):
    """An entry is not root's, or carries a time: the build is not reproducible."""

    code = "tree-owner"


class DeviceFound(TreeError):
    """A device node other than the console, a pipe or a socket."""

    code = "tree-device"


class ForeignPackage(TreeError):
    """A package of ours that is never in the image: the software NSM above all."""

    code = "tree-foreign-package"


class LinkDangling(TreeError):
    """A symbolic link leads nowhere, or out of the tree."""

    code = "tree-link"


class LibraryMissing(TreeError):
    """A program or library needs one that is not in the image, and would not start."""

    code = "tree-library"


class NotListed(TreeError):
    """The SBOM does not list an entry as it is, or lists one that is not there."""

    code = "tree-not-listed"


class ElfUnreadable(TreeError):
    """A file begins like an ELF file and is none."""

    code = "tree-elf"


class WrongMachine(TreeError):
    """Native code for other processors than the image's."""

    code = "tree-machine"
