"""Which entries a root file system may have, and under which paths.

An initramfs is unpacked entry by entry, as root, into an empty file system, and the kernel skips
what it cannot make without a word. So an archive can list files that are not there at run time,
hide one file behind another of the same path, or write through a link to somewhere else. `Tree`
follows the unpacking and refuses entries with such a second reading.
"""

import stat
from dataclasses import dataclass, field
from typing import Final

from strongroom_eif.archive_errors import (
    ArchiveFieldInvalid,
    DeviceRefused,
    DuplicatePath,
    HardLinkRefused,
    ParentMissing,
    PathAbsolute,
    PathEscapes,
    PathInvalid,
    PathNotNormal,
    PathThroughLink,
    PathTooLong,
)
from strongroom_eif.newc import encoded, kind_of

__all__ = ["FOREIGN", "MAX_PATH_BYTES", "OWN", "FilePolicy", "Tree"]

MAX_PATH_BYTES: Final = 4_095
"""PATH_MAX less the NUL; the kernel skips an entry with a longer path."""
MAX_COMPONENT_BYTES: Final = 255


@dataclass(frozen=True, slots=True)
class FilePolicy:
    """What is allowed beyond files, directories and links under clean paths.

    Attributes:
        devices: Character devices by (major, minor) number; None allows every special file.
        hard_links: Whether a file may have several names.
        loose_paths: Whether `./a`, `a/` and entries in directories that no entry makes are taken.
            Tools in the field write the first two; the kernel leaves out the third.
    """

    devices: frozenset[tuple[int, int]] | None
    hard_links: bool
    loose_paths: bool


OWN: Final = FilePolicy(devices=frozenset({(5, 1)}), hard_links=False, loose_paths=False)
"""For images that we build. 5:1 is /dev/console, which the kernel opens before it starts init."""

FOREIGN: Final = FilePolicy(devices=None, hard_links=True, loose_paths=True)
"""For images made by others: path tricks are refused all the same."""

_DIRECTORY: Final = "directory"


@dataclass(slots=True)
class Tree:
    """The file system so far, while entries are unpacked one after another.

    Directories may be made again by a later archive, as the ramdisks of one image do.
    """

    policy: FilePolicy
    _made: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(
        self,
        path: str,
        mode: int,
        *,
        nlink: int = 1,
        device: tuple[int, int] = (0, 0),
        archive: int = 0,
    ) -> None:
        """Proves that the entry has one reading and that the policy allows it.

        Raises:
            ArchiveError: A subclass per rule.
        """
        kind = kind_of(mode)
        check_kind(path, kind)
        check_path_text(path)
        check_path_length(path)
        check_not_absolute(path)
        parts = path.split("/")
        check_no_escape(path, parts)
        check_normal(path, parts, self.policy)
        parts = [part for part in parts if part not in ("", ".")]
        self._check_parents(path, parts)
        check_device(path, kind, mode, device, self.policy)
        check_hard_link(path, kind, nlink, self.policy)
        clean = "/".join(parts)
        check_not_twice(path, self._made.get(clean), kind, archive)
        self._made[clean] = (kind, archive)

    def _check_parents(self, path: str, parts: list[str]) -> None:
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            made = self._made.get(parent)
            if made is None:
                check_parent_made(path, parent, self.policy)
            else:
                check_parent_directory(path, parent, made[0])


def check_kind(path: str, kind: str) -> None:
    """Refuses an entry whose type bits mean nothing."""
    if kind == "unknown":
        raise ArchiveFieldInvalid("the mode names no type of file", path=path)


def check_path_text(path: str) -> None:
    """Refuses an empty path, and control characters, with which a listing can be forged."""
    if not path or any(ord(character) < 0x20 or ord(character) == 0x7F for character in path):
        raise PathInvalid(f"the path {path!a} is empty or has control characters")


def check_path_length(path: str) -> None:
    """Refuses paths that the kernel skips."""
    data = encoded(path)
    longest = max(map(len, data.split(b"/")))
    if len(data) > MAX_PATH_BYTES or longest > MAX_COMPONENT_BYTES:
        raise PathTooLong(
            f"a path of {len(data)} bytes with a component of {longest}; the kernel skips what is "
            f"longer than {MAX_PATH_BYTES} and {MAX_COMPONENT_BYTES}",
            path=path,
        )


def check_not_absolute(path: str) -> None:
    """Refuses a leading slash."""
    if path.startswith("/"):
        raise PathAbsolute("the path is absolute", path=path)


def check_no_escape(path: str, parts: list[str]) -> None:
    """Refuses `..` anywhere."""
    if ".." in parts:
        raise PathEscapes("the path climbs through ..", path=path)


def check_normal(path: str, parts: list[str], policy: FilePolicy) -> None:
    """Refuses a second spelling of a path; `.` alone is the root's own entry."""
    if policy.loose_paths or path == ".":
        return
    if "" in parts or "." in parts:
        raise PathNotNormal("the path has an empty component or one that is .", path=path)


def check_parent_made(path: str, parent: str, policy: FilePolicy) -> None:
    """Refuses an entry in a directory that no entry made before."""
    if not policy.loose_paths:
        raise ParentMissing(f"nothing makes the directory {parent!a} before it", path=path)


def check_parent_directory(path: str, parent: str, kind: str) -> None:
    """Refuses a path through a link or file: it lands elsewhere, or nowhere."""
    if kind != _DIRECTORY:
        raise PathThroughLink(f"it leads through {parent!a}, which is a {kind}", path=path)


def check_device(
    path: str, kind: str, mode: int, device: tuple[int, int], policy: FilePolicy
) -> None:
    """Refuses device nodes, pipes and sockets that the policy does not name."""
    if kind in (_DIRECTORY, "file", "link") or policy.devices is None:
        return
    if not stat.S_ISCHR(mode) or device not in policy.devices:
        number = f" {device[0]}:{device[1]}" if "device" in kind else ""
        raise DeviceRefused(f"it is a {kind}{number}", path=path, actual=device)


def check_hard_link(path: str, kind: str, nlink: int, policy: FilePolicy) -> None:
    """Refuses a file with several names, unless the policy allows it."""
    if kind != _DIRECTORY and nlink > 1 and not policy.hard_links:
        raise HardLinkRefused(f"it has {nlink} names", path=path, expected=1, actual=nlink)


def check_not_twice(path: str, made: tuple[str, int] | None, kind: str, archive: int) -> None:
    """Refuses a path that exists, but for a directory that an earlier archive made."""
    if made is None or (made[0] == kind == _DIRECTORY and made[1] != archive):
        return
    raise DuplicatePath(f"it exists already, as a {made[0]}", path=path)
