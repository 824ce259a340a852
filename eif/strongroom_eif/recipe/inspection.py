"""The finished tree, walked: what no image of ours may hold, and whether the SBOM lists it all.

Looks at the image itself, not at what it was made from, so that a mistake in the recipe shows.
Whether the archives have one reading is for `verify`; the rules here are about what is in them.
"""

import hashlib
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from strongroom_eif.image import Image
from strongroom_eif.inflate import Budget
from strongroom_eif.newc import Entry
from strongroom_eif.ramdisk import Member, members
from strongroom_eif.recipe.content_errors import (
    DeviceFound,
    DirtyOwner,
    ForeignPackage,
    LibraryMissing,
    LinkDangling,
    NotListed,
    ProgramFound,
    SetIdFound,
    ToolFound,
    WritableFound,
)
from strongroom_eif.recipe.elf import MAGIC, Elf, read_elf

__all__ = ["Found", "Tree", "check_tree", "description", "read_tree"]

_TOOLS: Final = re.compile(
    r"(ba|da|a|z|k|mk|c|tc|fi|pda|ya)?sh|busybox|toybox|sudo|su|login|nologin"
    r"|(dpkg|apt|apk|rpm|dnf|yum|pip|easy_install|uv|npm|gem|conda)[-\w.]*"
    r"|([\w-]+-)?(gcc|g\+\+|cc|c\+\+|cpp|ld|as|ar|tcc|clang|rustc|go|make)(-?[\d.]+)?"
    r"|perl[\d.]*|gdb|strace|ltrace|nc|ncat|netcat|socat|curl|wget|ssh|sshd|telnet|tcpdump"
)
_TOOL_PACKAGES: Final = frozenset({"pip", "setuptools", "wheel", "ensurepip", "distutils", "dpkg"})
_FOREIGN: Final = frozenset(
    {"strongroom_local", "strongroom_host", "strongroom_attest", "strongroom_eif"}
)
_DEVICES: Final = {"dev/console": (5, 1)}
_LIBRARY_FOLDERS: Final = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib", "usr/lib")
"""Where Debian's loader looks without a cache file; there is none in the image."""
_MAX_LINKS: Final = 40
"""As many as the kernel follows."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry of the image: of an ELF file what it says, of a script that it is one."""

    entry: Entry
    elf: Elf | None
    script: bool


class Tree:
    """All entries as they stand after both ramdisks are unpacked."""

    def __init__(self, found: Iterable[Found]) -> None:
        self.by_path: dict[str, Found] = {item.entry.path: item for item in found}

    def __iter__(self) -> Iterator[Found]:
        return iter(self.by_path.values())

    def resolve(self, path: str) -> Entry | None:
        """Returns what a path leads to, through links in any of its parts; None if nothing."""
        followed, done, left = 0, "", [part for part in path.split("/") if part]
        while left:
            part = left.pop(0)
            if part == "..":
                # Above the root there is nothing, though a kernel would stay there.
                if not done:
                    return None
                done = posixpath.dirname(done)
                continue
            if part == ".":
                continue
            here = posixpath.join(done, part)
            found = self.by_path.get(here)
            if found is None:
                return None
            if found.entry.kind != "link":
                done = here
                continue
            followed += 1
            if followed > _MAX_LINKS:
                return None
            if found.entry.target.startswith("/"):
                done = ""
            left = [*(p for p in found.entry.target.split("/") if p), *left]
        return self.by_path[done].entry if done else None


def read_tree(image: Image) -> Tree:
    """Returns what is in the ramdisks; native code is read, other content only hashed.

    Raises:
        ArchiveError: A ramdisk is malformed.
        ElfUnreadable, WrongMachine: Native code is.
    """
    budget, position, found = Budget(), 0, []
    for data in image.ramdisks:
        for member in members(data, position=position, budget=budget):
            found.append(_examined(member))
        position += len(data)
    return Tree(found)


def _examined(member: Member) -> Found:
    if not stat.S_ISREG(member.head.mode):
        return Found(member.entry(), None, script=False)
    content = b"".join(member.pieces())
    entry = replace(member.entry(), sha256=hashlib.sha256(content).digest())
    elf = read_elf(content, entry.path) if content.startswith(MAGIC) else None
    return Found(entry, elf, script=content.startswith(b"#!"))


def check_tree(tree: Tree, programs: Iterable[str], listed: Mapping[str, str]) -> None:
    """Proves that the tree holds what it may, what it needs, and nothing that is not listed.

    Args:
        tree: The finished image.
        programs: The paths that may be run.
        listed: What the SBOM lists: path to `description` of the entry.

    Raises:
        TreeError: A subclass per rule.
    """
    allowed = frozenset(programs)
    for found in tree:
        entry = found.entry
        check_no_tool(entry)
        check_own_packages(entry)
        check_no_set_id(entry)
        check_not_writable(entry)
        check_owner(entry)
        check_device(entry)
        check_program(found, allowed)
        if entry.kind == "link":
            check_link(entry, tree)
        if found.elf is not None:
            check_libraries(entry.path, found.elf, tree)
    check_listed(tree, listed)


def description(entry: Entry) -> str:
    """Returns what of an entry an SBOM has to say exactly: mode and content."""
    return f"{entry.mode:06o} {entry.sha256.hex()}"


# --- Rules ---------------------------------------------------------------------------------------


def check_no_tool(entry: Entry) -> None:
    """Refuses shells, package managers, compilers and network tools, whatever their mode."""
    parts = entry.path.split("/")
    name = parts[-1]
    program = len(parts) > 1 and parts[-2] in ("bin", "sbin", "libexec")
    package = name.partition("-")[0] in _TOOL_PACKAGES and entry.kind == "directory"
    if package or (program and _TOOLS.fullmatch(name)):
        raise ToolFound(
            f"{entry.path} is in the image: a shell, package manager, compiler or the like",
            remedy="leave it out in reproducible-build/system.toml",
        )


def check_own_packages(entry: Entry) -> None:
    """Refuses packages of ours that belong outside, the software NSM's above all."""
    if foreign := _FOREIGN.intersection(entry.path.split("/")):
        raise ForeignPackage(f"{entry.path} belongs to {min(foreign)}, which is never in an image")


def check_no_set_id(entry: Entry) -> None:
    """Refuses setuid and setgid."""
    if entry.mode & (stat.S_ISUID | stat.S_ISGID):
        raise SetIdFound(f"{entry.path} is setuid or setgid", actual=f"{entry.mode:o}")


def check_not_writable(entry: Entry) -> None:
    """Refuses what group or others may write to; a link's own mode means nothing."""
    if entry.kind != "link" and entry.mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise WritableFound(
            f"{entry.path} may be written to by others than root", actual=f"{entry.mode:o}"
        )


def check_owner(entry: Entry) -> None:
    """Refuses owners other than root, and times."""
    if (entry.uid, entry.gid, entry.mtime) != (0, 0, 0):
        raise DirtyOwner(
            f"{entry.path} has an owner or a time",
            expected="owner 0, group 0, time 0",
            actual=f"owner {entry.uid}, group {entry.gid}, time {entry.mtime}",
        )


def check_device(entry: Entry) -> None:
    """Refuses special files but the console under its own name."""
    if entry.kind in ("file", "directory", "link"):
        return
    if entry.kind != "character device" or _DEVICES.get(entry.path) != entry.device:
        raise DeviceFound(f"{entry.path} is a {entry.kind}", actual=entry.device)


def check_program(found: Found, allowed: frozenset[str]) -> None:
    """Refuses everything that can be run, by mode or by its headers, unless it is named."""
    entry = found.entry
    by_mode = entry.kind == "file" and entry.mode & 0o111
    by_headers = found.elf is not None and found.elf.program
    if (by_mode or by_headers) and entry.path not in allowed:
        raise ProgramFound(
            f"{entry.path} can be run{'' if by_mode else ', by its headers'}",
            expected=", ".join(sorted(allowed)),
            remedy="leave it out in reproducible-build/system.toml, or name it there as a program",
        )


def check_link(entry: Entry, tree: Tree) -> None:
    """Refuses a link that leads nowhere inside the tree."""
    if tree.resolve(entry.path) is None:
        raise LinkDangling(
            f"{entry.path} leads to {entry.target}, which is not in the image",
            remedy="leave the link out in reproducible-build/system.toml, or keep its target",
        )


def check_libraries(path: str, elf: Elf, tree: Tree) -> None:
    """Refuses a library or loader that is needed and absent."""
    if elf.interpreter and tree.resolve(elf.interpreter) is None:
        raise LibraryMissing(f"{path} is started by {elf.interpreter}, which is not in the image")
    origin = posixpath.dirname(path)
    folders = [
        folder.replace("${ORIGIN}", "/" + origin).replace("$ORIGIN", "/" + origin)
        for folder in elf.search
    ]
    for name in elf.needed:
        if not any(tree.resolve(f"{folder}/{name}") for folder in (*folders, *_LIBRARY_FOLDERS)):
            raise LibraryMissing(
                f"{path} needs {name}, which is not in the image",
                remedy="add its package to the system set of the pins, or leave the file out in "
                "reproducible-build/system.toml",
            )


def check_listed(tree: Tree, listed: Mapping[str, str]) -> None:
    """Refuses an entry that the SBOM does not list as it is, and one that only the SBOM has."""
    for found in tree:
        entry = found.entry
        if listed.get(entry.path) != description(entry):
            raise NotListed(
                f"the SBOM does not list {entry.path} as it is",
                expected=description(entry),
                actual=listed.get(entry.path, "nothing"),
            )
    if missing := listed.keys() - tree.by_path.keys():
        raise NotListed(f"the SBOM lists {min(missing)}, which is not in the image")
