"""A root file system with the pinned programs in it, in which everything of a build runs.

Packages are unpacked here and no maintainer script is run, so what those would have made and a
build needs is made by us: the links of the merged /usr, a few alternatives, a passwd file, mount
points. Documentation and translations are left out. Every file belongs to whoever builds and has
mode 0755 or 0644, so a root is the same for everybody, and needs no privilege to make.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from strongroom_eif.recipe.deb import DebEntry, EntryKind, entries
from strongroom_eif.recipe.errors import PinsOverlap
from strongroom_eif.recipe.machine import check_architecture, check_space
from strongroom_eif.recipe.pins import Package, Pins
from strongroom_eif.recipe.store import Store

__all__ = ["MOUNT_POINTS", "Root"]

_RECIPE: Final = "strongroom root 2"
"""Part of the key: changed whenever the same packages would give another root."""

MOUNT_POINTS: Final = ("dev", "in", "proc", "tmp", "work")
"""Empty directories that the sandbox mounts over."""

_MERGED: Final = ("bin", "lib", "lib64", "sbin")
"""Directories that are links into /usr since Debian 12."""

_ALTERNATIVES: Final = (
    ("usr/bin/awk", "mawk"),
    ("usr/bin/cc", "gcc"),
    ("usr/bin/c++", "g++"),
    ("usr/bin/which", "which.debianutils"),
    ("usr/bin/yacc", "bison.yacc"),
)
"""Links that packages leave to update-alternatives; made where the target is there."""

_LEFT_OUT: Final = (
    "usr/share/bug/",
    "usr/share/doc/",
    "usr/share/info/",
    "usr/share/lintian/",
    "usr/share/locale/",
    "usr/share/man/",
)

_FILES: Final = {
    "etc/passwd": "root:x:0:0:root:/nonexistent:/bin/sh\n",
    "etc/group": "root:x:0:\n",
}

_CERTIFICATES: Final = "usr/share/ca-certificates/"
_BUNDLE: Final = "etc/ssl/certs/ca-certificates.crt"

_EXPECTED_SIZE: Final = 5
"""How much larger than its packages a root is at most."""


@dataclass(frozen=True, slots=True)
class Root:
    """An unpacked set.

    Attributes:
        path: Its top directory; nothing may write there.
        digest: SHA-256, in hexadecimal, of all that it was made from: what to key results by.
    """

    path: Path
    digest: str

    @staticmethod
    def digest_of(pins: Pins, set_name: str) -> str:
        """Returns the digest that the root of a package set has, without making it.

        Raises:
            PinMissing: There is no such set.
        """
        return hashlib.sha256(f"{_RECIPE}\n{pins.digest(set_name)}\n".encode()).hexdigest()

    @classmethod
    def prepare(cls, store: Store, pins: Pins, set_name: str) -> "Root":
        """Returns the root of a package set, unpacked if the store has none or a damaged one.

        Raises:
            WrongArchitecture: This machine cannot run what is in it.
            PinsOverlap: Two packages of the set install different things under one path.
            InputError, MachineError: A package is not to be had, or there is no room for it.
        """
        check_architecture()
        digest = cls.digest_of(pins, set_name)

        def unpack(place: Path) -> None:
            packages = pins.package_set(set_name)
            check_space(place, _EXPECTED_SIZE * sum(package.size for package in packages))
            store.say(f"fetching {len(packages)} packages for the {set_name} root")
            files = [store.package(package) for package in packages]
            store.say(f"unpacking the {set_name} root")
            building = _Building(place)
            for package, file in zip(packages, files, strict=True):
                for entry in entries(file):
                    building.add(package, entry)
            building.finish()

        return cls(store.built(f"root-{set_name}", digest, unpack), digest)


@dataclass(slots=True)
class _Building:
    """A root while packages are unpacked into it.

    `_made` knows everything below `place`, so no path ever leads through a link that a package
    brought: that could be one out of the root.
    """

    place: Path
    _made: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _MERGED:
            self._directory(f"usr/{name}")
            self._link(name, f"usr/{name}")

    def add(self, package: Package, entry: DebEntry) -> None:
        """Puts one entry of a package in its place."""
        if f"{entry.path}/".startswith(_LEFT_OUT):
            return
        path = self._merged(entry.path)
        there = self._made.get(path)
        if entry.kind is EntryKind.DIRECTORY:
            if path in _MERGED:
                return
            check_same(package, path, there, "directory")
            self._directory(path)
            return
        what = _fingerprint(entry)
        check_same(package, path, there, what)
        if there:
            return
        self._directory(path.rpartition("/")[0])
        if entry.kind is EntryKind.LINK:
            self._link(path, entry.target)
        elif entry.kind is EntryKind.HARD_LINK:
            (self.place / path).hardlink_to(self.place / self._merged(entry.target))
        else:
            self._file(path, entry.data, executable=bool(entry.mode & 0o111))
        self._made[path] = what

    def finish(self) -> None:
        """Makes what maintainer scripts would have made."""
        for path, target in _ALTERNATIVES:
            beside = f"{path.rpartition('/')[0]}/{target}"
            if path not in self._made and beside in self._made:
                self._link(path, target)
        for path, text in _FILES.items():
            self._default(path, text.encode())
        # Python's pip refuses to start without this one, though there is no network to use it for.
        found = sorted(p for p in self._made if p.startswith(_CERTIFICATES) and p.endswith(".crt"))
        self._default(_BUNDLE, b"".join((self.place / path).read_bytes() for path in found))
        for name in MOUNT_POINTS:
            self._directory(name)

    def _default(self, path: str, data: bytes) -> None:
        """Makes a file that no package brought."""
        if data and path not in self._made:
            self._directory(path.rpartition("/")[0])
            self._file(path, data, executable=False)

    def _merged(self, path: str) -> str:
        """Returns where a path is in a merged /usr; packages may still say /lib."""
        top, slash, _ = path.partition("/")
        return f"usr/{path}" if slash and top in _MERGED else path

    def _directory(self, path: str) -> None:
        """Makes a directory and those above it, through nothing but directories."""
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            above = "/".join(parts[:depth])
            there = self._made.get(above)
            check_directory(above, there)
            if not there:
                (self.place / above).mkdir(mode=0o755)
                (self.place / above).chmod(0o755)
                self._made[above] = "directory"

    def _link(self, path: str, target: str) -> None:
        (self.place / path).symlink_to(target)
        self._made[path] = f"link {target}"

    def _file(self, path: str, data: bytes, *, executable: bool) -> None:
        place = self.place / path
        # "x": never an existing file, whatever it may be a link to.
        with place.open("xb") as stream:
            stream.write(data)
        place.chmod(0o755 if executable else 0o644)
        self._made[path] = "file"


def _fingerprint(entry: DebEntry) -> str:
    """Returns what two entries have in common if they are the same."""
    if entry.kind is EntryKind.FILE:
        return f"file {hashlib.sha256(entry.data).hexdigest()}"
    return f"{entry.kind} {entry.target}"


# --- Rules ---------------------------------------------------------------------------------------


def check_same(package: Package, path: str, there: str | None, new: str) -> None:
    """Refuses to replace what is there by something else: which one wins would be chance."""
    if there is not None and there != new:
        raise PinsOverlap(
            f"{package.name} installs /{path}, which is there already and different",
            expected=there,
            actual=new,
            remedy="take one of the two packages out of the set",
        )


def check_directory(path: str, there: str | None) -> None:
    """Refuses a path through anything but a directory."""
    if there not in (None, "directory"):
        raise PinsOverlap(
            f"a package installs below /{path}, which is no directory",
            expected="directory",
            actual=there,
            remedy="take the package that brought it out of the set",
        )
