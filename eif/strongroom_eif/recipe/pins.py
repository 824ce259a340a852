"""The pins: every input of a build by name, version, size and SHA-256, as committed.

`packages.json` holds Debian packages and the sets they belong to, `files.json` everything that is
no Debian package. Both are written by `make pins` and read here; a value that could lead a fetch or
an unpacking astray (a path that climbs, a size without bound) is refused, though the files are our
own.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec

from strongroom_eif.recipe.errors import PinMissing, PinsInvalid

__all__ = [
    "FILES",
    "MAX_INPUT_BYTES",
    "PACKAGES",
    "SNAPSHOT",
    "Archive",
    "Package",
    "PinnedFile",
    "Pins",
]

PACKAGES: Final = "packages.json"
FILES: Final = "files.json"
MAX_INPUT_BYTES: Final = 1 << 30
"""No input of ours is near this; the kernel's source is 141 MB."""

SNAPSHOT: Final = "https://snapshot.debian.org/archive"

_IMPORTED_AFTER: Final = timedelta(hours=12)
_MAX_JSON: Final = 8 << 20
_FORMAT: Final = "strongroom-pins/1"

_Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Size = Annotated[int, msgspec.Meta(gt=0, le=MAX_INPUT_BYTES)]
_Name = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9+.-]{0,99}\Z")]
_Version = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z.+:~-]{1,100}\Z")]
# Under an archive's root, without a component that starts with a dot.
_PoolPath = Annotated[
    str, msgspec.Meta(pattern=r"\Apool(/[A-Za-z0-9+_~%-][A-Za-z0-9+._~%-]*){1,8}\.deb\Z")
]
_FileName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+_~-][A-Za-z0-9+._~-]{0,199}\Z")]
_Url = Annotated[str, msgspec.Meta(pattern=r"\Ahttps?://[!-~]{1,500}\Z")]
_Architecture = Annotated[str, msgspec.Meta(pattern=r"\A(amd64|all)\Z")]


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package.

    Attributes:
        name: Binary package.
        version: With epoch.
        architecture: `amd64` or `all`.
        path: Below an archive's root, as its index says: `pool/main/...`.
        size: Of the .deb, in bytes.
        sha256: Of the .deb, 64 lower-case hexadecimal digits.
        source: Source package, with its version in brackets where that is another.
    """

    name: str
    version: str
    architecture: str
    path: str
    size: int
    sha256: str
    source: str


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """An input that is no Debian package.

    Attributes:
        name: File name.
        size: Bytes.
        sha256: 64 lower-case hexadecimal digits.
        urls: Where it can be had; an element without scheme is below a Debian archive's root.
        origin: Whose word the hash is, for a reader.
    """

    name: str
    size: int
    sha256: str
    urls: tuple[str, ...]
    origin: str


@dataclass(frozen=True, slots=True)
class Archive:
    """The signed index that versions were chosen from.

    Attributes:
        url: The archive's root.
        suite: `trixie` and the like.
        date: As the signed index says.
        sha256: Of the signed index (InRelease).
    """

    url: str
    suite: str
    date: str
    sha256: str


class _PackageJson(msgspec.Struct, forbid_unknown_fields=True):
    version: _Version
    architecture: _Architecture
    path: _PoolPath
    size: _Size
    sha256: _Digest
    source: str


class _SetJson(msgspec.Struct, forbid_unknown_fields=True):
    requested: list[_Name]
    packages: list[_Name]


class _ArchiveJson(msgspec.Struct, forbid_unknown_fields=True):
    url: _Url
    suite: str
    date: str
    sha256: _Digest


class _PackagesJson(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    archives: list[_ArchiveJson]
    sets: dict[_Name, _SetJson]
    packages: dict[_Name, _PackageJson]


class _FileJson(msgspec.Struct, forbid_unknown_fields=True):
    size: _Size
    sha256: _Digest
    urls: list[str]
    origin: str


class _FilesJson(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    files: dict[_FileName, _FileJson]


_T = TypeVar("_T", _PackagesJson, _FilesJson)


@dataclass(frozen=True, slots=True)
class Pins:
    """All pins of a checkout.

    Attributes:
        archives: The signed indices that the versions were taken from.
        sets: The packages of each set, sorted by name.
        files: Inputs that are no Debian packages, by name.
    """

    archives: tuple[Archive, ...]
    sets: Mapping[str, tuple[Package, ...]]
    files: Mapping[str, PinnedFile]

    @classmethod
    def load(cls, path: Path) -> "Pins":
        """Returns the pins in the folder `path` (`reproducible-build/pins`).

        Raises:
            PinsInvalid: A file is absent, too large, or not what this module writes.
        """
        packages = _decoded(path / PACKAGES, _PackagesJson)
        files = _decoded(path / FILES, _FilesJson)
        known = {
            name: Package(
                name=name,
                version=pin.version,
                architecture=pin.architecture,
                path=pin.path,
                size=pin.size,
                sha256=pin.sha256,
                source=pin.source,
            )
            for name, pin in packages.packages.items()
        }
        for archive in packages.archives:
            check_date(path, archive.date)
        sets = {}
        for name, chosen in packages.sets.items():
            check_listed(path, name, chosen.packages, known)
            sets[name] = tuple(known[member] for member in sorted(chosen.packages))
        return cls(
            tuple(Archive(a.url, a.suite, a.date, a.sha256) for a in packages.archives),
            sets,
            {
                name: PinnedFile(name, pin.size, pin.sha256, tuple(pin.urls), pin.origin)
                for name, pin in files.files.items()
            },
        )

    def snapshots(self) -> tuple[str, ...]:
        """Returns roots under which Debian keeps the archives as they were when versions were
        chosen: what its mirrors have dropped since is there.

        snapshot.debian.org answers with the last state at or before the time that is asked for. A
        new index is imported some hours after its date, and old files stay for more than a day.
        """
        newest: dict[str, datetime] = {}
        for archive in self.archives:
            name = archive.url.rpartition("/")[2]
            date = parsedate_to_datetime(archive.date)
            newest[name] = max(date, newest.get(name, date))
        return tuple(
            f"{SNAPSHOT}/{name}/{date + _IMPORTED_AFTER:%Y%m%dT%H%M%SZ}"
            for name, date in sorted(newest.items())
        )

    def package_set(self, name: str) -> tuple[Package, ...]:
        """Returns the packages of a set, sorted by name.

        Raises:
            PinMissing: There is no such set.
        """
        try:
            return self.sets[name]
        except KeyError as error:
            raise _missing("package set", name, self.sets) from error

    def package(self, set_name: str, name: str) -> Package:
        """Returns one package of a set.

        Raises:
            PinMissing: There is no such set, or no such package in it.
        """
        members = {package.name: package for package in self.package_set(set_name)}
        try:
            return members[name]
        except KeyError as error:
            raise _missing(f"package of the set {set_name!r}", name, members) from error

    def file(self, name: str) -> PinnedFile:
        """Returns the pin of a file.

        Raises:
            PinMissing: There is none of this name.
        """
        try:
            return self.files[name]
        except KeyError as error:
            raise _missing("file", name, self.files) from error

    def digest(self, name: str) -> str:
        """Returns a SHA-256, in hexadecimal, that changes with every member of a set.

        It is over one line per package, sorted: name, version, architecture, SHA-256.

        Raises:
            PinMissing: There is no such set.
        """
        state = hashlib.sha256(b"strongroom package set\n")
        for package in self.package_set(name):
            line = f"{package.name} {package.version} {package.architecture} {package.sha256}\n"
            state.update(line.encode())
        return state.hexdigest()


def _decoded(path: Path, kind: type[_T]) -> _T:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_JSON + 1)
    except OSError as error:
        raise PinsInvalid(
            f"cannot read {path}: {error.strerror or error}",
            remedy="the pins are part of the repository; restore them, or run make pins",
        ) from error
    check_json_size(path, data)
    try:
        found = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PinsInvalid(f"{path} is not a file of pins: {error}", remedy=_RESTORE) from error
    check_format(path, found.format)
    return found


_RESTORE: Final = "restore it from the repository, or write it anew with make pins"


def _missing(what: str, name: str, known: Mapping[str, object]) -> PinMissing:
    some = ", ".join(sorted(known)[:12]) + (", ..." if len(known) > 12 else "")
    return PinMissing(
        f"the pins have no {what} called {name!r}", expected=f"one of {some}", remedy=_RESTORE
    )


# --- Rules ---------------------------------------------------------------------------------------


def check_json_size(path: Path, data: bytes) -> None:
    """Bounds what is parsed."""
    if len(data) > _MAX_JSON:
        raise PinsInvalid(f"{path} is larger than {_MAX_JSON} bytes", remedy=_RESTORE)


def check_format(path: Path, found: str) -> None:
    """Refuses a file that a later version of the recipe wrote."""
    if found != _FORMAT:
        raise PinsInvalid(
            f"{path} is of another format", expected=_FORMAT, actual=found, remedy=_RESTORE
        )


def check_date(path: Path, date: str) -> None:
    """Refuses what is no date of a signed index, which is always in UTC."""
    try:
        offset = parsedate_to_datetime(date).utcoffset()
    except ValueError:
        offset = None
    if offset != timedelta(0):
        raise PinsInvalid(
            f"{path / PACKAGES}: an archive's date is not understood",
            expected="as in Sat, 12 Sep 2026 07:55:41 UTC",
            actual=ascii(date[:80]),
            remedy=_RESTORE,
        )


def check_listed(path: Path, name: str, members: list[str], known: Mapping[str, Package]) -> None:
    """Proves that each member of a set occurs once and is pinned."""
    for member in members:
        if member not in known or members.count(member) != 1:
            raise PinsInvalid(
                f"{path / PACKAGES}: the set {name!r} names {member!r}, which is not pinned or "
                "occurs twice",
                remedy=_RESTORE,
            )
