"""The content cache: inputs by SHA-256, and what was built from them by a hash of all that went in.

    <cache>/sha256/ab/abcdef...       inputs, fetched or taken from an inputs directory
    <cache>/slots/<kind>/<key>/       results: a directory, and beside it its seal

Everything is verified again whenever it is handed out, so a damaged disk, an interrupted run or
somebody's editing shows as a fetch or a build more, never as a different image. Several processes
may use one cache: files appear by rename, and a slot is built under a lock.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom_eif.recipe.digests import file_digest, tree_digest
from strongroom_eif.recipe.errors import (
    CacheUnusable,
    InputDigestMismatch,
    InputMissing,
    InputsDirectoryMissing,
)
from strongroom_eif.recipe.fetch import DEFAULT_MIRRORS, Fetcher, megabytes
from strongroom_eif.recipe.machine import writing
from strongroom_eif.recipe.pins import MAX_INPUT_BYTES, Package, PinnedFile, Pins

__all__ = ["DEFAULT_MIRRORS", "QUIET", "Progress", "Store", "default_cache", "mirrors"]

Progress = Callable[[str], None]
"""Is given one line at a time that says what is being done."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SLOT_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


def QUIET(line: str) -> None:  # noqa: N802 - stands where a constant would
    """Shows nothing."""


def default_cache() -> Path:
    """Returns where inputs and results are kept between builds.

    $STRONGROOM_CACHE, else strongroom in $XDG_CACHE_HOME, else in ~/.cache.
    """
    if own := os.environ.get("STRONGROOM_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "strongroom"


def mirrors(pins: Pins | None = None) -> tuple[str, ...]:
    """Returns the Debian archives to ask, in this order.

    $STRONGROOM_DEBIAN_MIRROR if set, the mirrors of the day, and last, for given pins, the archives
    as they were when those were made.
    """
    own = os.environ.get("STRONGROOM_DEBIAN_MIRROR")
    first = (own.rstrip("/"),) if own else ()
    return (*first, *DEFAULT_MIRRORS, *(pins.snapshots() if pins else ()))


class Store:
    """Hands out inputs whose bytes have the pinned hash, and results of earlier builds."""

    __slots__ = ("_fetcher", "_inputs", "_progress", "cache", "offline")

    def __init__(
        self,
        cache: Path,
        inputs: Sequence[Path] = (),
        mirrors: Sequence[str] = DEFAULT_MIRRORS,
        progress: Progress = QUIET,
        offline: bool = False,
    ) -> None:
        """Opens a cache; makes it when something is put in.

        Args:
            cache: Its directory.
            inputs: Directories that are searched before the network is, for files named by their
                SHA-256 (also as another cache's `sha256/ab/abcdef...`) or by their own name.
            mirrors: Roots of Debian archives, asked in this order.
            progress: Is told what is fetched and built.
            offline: Whether the network must not be used.

        Raises:
            InputsDirectoryMissing: One of `inputs` is no directory.
        """
        for directory in inputs:
            check_inputs_directory(directory)
        self.cache = cache.absolute()
        self.offline = offline
        self._inputs = tuple(inputs)
        self._progress = progress
        self._fetcher = Fetcher(mirrors, progress)

    def say(self, line: str) -> None:
        """Passes a line on to whoever watches."""
        self._progress(line)

    # --- Inputs ----------------------------------------------------------------------------------

    def package(self, package: Package) -> Path:
        """Returns a Debian package's file, fetched if need be; its bytes are proved to be it.

        Raises:
            InputError, MachineError: See `file`.
        """
        name = package.path.rpartition("/")[2]
        return self.file(sha256=package.sha256, size=package.size, urls=(package.path,), name=name)

    def pinned(self, pin: PinnedFile) -> Path:
        """Returns a pinned file that is no Debian package.

        Raises:
            InputError, MachineError: See `file`.
        """
        return self.file(sha256=pin.sha256, size=pin.size, urls=pin.urls, name=pin.name)

    def file(self, *, sha256: str, size: int | None = None, urls: Sequence[str], name: str) -> Path:
        """Returns a file whose bytes, read just now, have this SHA-256.

        Looked for in the cache, in the inputs directories, then at `urls`; never change it.

        Args:
            sha256: 64 lower-case hexadecimal digits.
            size: Bytes; None bounds it by 1 GiB.
            urls: Where it can be had. One without scheme is below each mirror's root.
            name: Its own name: for people, and to find it in an inputs directory.

        Raises:
            InputGone, InputUnreachable, InputMissing: It is nowhere to be had, and why.
            InputDigestMismatch: What was found has another hash.
            DiskFull, CacheUnusable: The cache cannot take it.
        """
        check_digest_text(name, sha256)
        cached = self._place(sha256)
        if self._intact(cached, sha256, name):
            return cached
        for candidate in self._candidates(sha256, name):
            if candidate.is_file() and file_digest(candidate, size) == sha256:
                return self.add(candidate, sha256)
        if self.offline:
            raise InputMissing(
                f"{name} is not in the cache, and the network is not to be used",
                expected=f"SHA-256 {sha256}",
                remedy=f"build once with the network, or put the file into a directory and name "
                f"that with INPUTS (searched: {self._searched()})",
            )
        with self._landing(cached) as landing:
            self._fetcher.fetch(sha256, size or MAX_INPUT_BYTES, size, urls, name, landing)
        return cached

    def add(self, path: Path, sha256: str) -> Path:
        """Returns the cache's own copy of a file, which is proved to have this SHA-256.

        Raises:
            InputDigestMismatch: It has another.
            InputMissing: It cannot be read.
            DiskFull, CacheUnusable: The cache cannot take it.
        """
        check_digest_text(path.name, sha256)
        cached = self._place(sha256)
        with self._landing(cached) as landing:
            try:
                source = path.open("rb")
            except OSError as error:
                raise InputMissing(
                    f"cannot read {path}: {error.strerror or error}",
                    remedy="check the path and its permissions",
                ) from error
            with source, landing.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            # The copy is what counts: the original may change while it is read.
            check_digest(path.name, sha256, file_digest(landing))
        return cached

    def _place(self, sha256: str) -> Path:
        return self.cache / "sha256" / sha256[:2] / sha256

    def _candidates(self, sha256: str, name: str) -> Iterator[Path]:
        for directory in self._inputs:
            yield from (directory / sha256, directory / "sha256" / sha256[:2] / sha256)
            yield directory / name

    def _searched(self) -> str:
        return ", ".join(map(str, (self.cache, *self._inputs)))

    def _intact(self, cached: Path, sha256: str, name: str) -> bool:
        """Returns whether the cache has the file; a damaged one is removed, to be fetched anew."""
        if not cached.is_file():
            return False
        found = file_digest(cached)
        if found == sha256:
            return True
        if self.offline:
            raise InputDigestMismatch(
                f"the cached {name} is damaged, and the network is not to be used",
                expected=sha256,
                actual=found,
                remedy=f"remove {cached}, then build with the network or with INPUTS",
            )
        self.say(f"{name} is damaged in the cache; getting it anew")
        with writing(cached):
            cached.unlink(missing_ok=True)
        return False

    @contextmanager
    def _landing(self, cached: Path) -> Iterator[Path]:
        """Gives a file to write to, which then becomes `cached`, or nothing if that fails."""
        with writing(cached):
            cached.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=".landing-", dir=cached.parent)
            os.close(descriptor)
            landing = Path(name)
            try:
                yield landing
                landing.chmod(0o444)
                landing.replace(cached)
            finally:
                landing.unlink(missing_ok=True)

    # --- Results ---------------------------------------------------------------------------------

    def slot(self, kind: str, key: str) -> Path:
        """Returns the directory for a result, which may not exist; `built` makes and proves it."""
        check_slot_name(kind)
        check_slot_name(key)
        return self.cache / "slots" / kind / key

    def built(
        self, kind: str, key: str, make: Callable[[Path], None], *, fresh: bool = False
    ) -> Path:
        """Returns a result's directory; calls `make` if there is none whose seal still holds.

        Two processes that want the same one build it once.

        Args:
            kind: What it is (`kernel`).
            key: A hash of everything that goes in.
            make: Fills the new, empty directory it is given.
            fresh: Whether to make it even if it is there.

        Raises:
            DiskFull, CacheUnusable: The cache cannot take it.
            RecipeError: What `make` raises.
        """
        place = self.slot(kind, key)
        seal = place.with_name(f"{place.name}.seal")
        with writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            with _locked(place.with_name(f".{place.name}.lock")):
                if not fresh and self._sealed(place, seal):
                    return place
                _remove(place)
                seal.unlink(missing_ok=True)
                making = Path(tempfile.mkdtemp(prefix=f".{place.name[:20]}-", dir=place.parent))
                try:
                    making.chmod(0o755)
                    make(making)
                    digest = tree_digest(making)
                    making.rename(place)
                    seal.write_text(f"{digest}\n")
                finally:
                    _remove(making)
        return place

    def _sealed(self, place: Path, seal: Path) -> bool:
        """Returns whether every file of a result is as it was when it was made."""
        if not place.is_dir() or not seal.is_file():
            return False
        if seal.read_text().strip() == tree_digest(place):
            return True
        self.say(f"the cached {place.parent.name} was changed since it was made; making it anew")
        return False

    def fetched(self) -> str:
        """Returns how much came over the network so far, for a person."""
        return megabytes(self._fetcher.received)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)


# --- Rules ---------------------------------------------------------------------------------------


def check_digest_text(name: str, sha256: str) -> None:
    """Refuses what is no SHA-256, before it becomes part of a path."""
    if not _DIGEST.fullmatch(sha256):
        raise InputDigestMismatch(
            f"the hash given for {name} is no SHA-256",
            expected="64 lower-case hexadecimal digits",
            actual=ascii(sha256[:80]),
        )


def check_digest(name: str, expected: str, actual: str) -> None:
    """Proves that a file is the pinned one."""
    if actual != expected:
        raise InputDigestMismatch(
            f"{name} is not the pinned file",
            expected=f"SHA-256 {expected}",
            actual=f"SHA-256 {actual}",
            remedy="it is damaged, or another version; get the one with the expected hash",
        )


def check_slot_name(name: str) -> None:
    """Refuses what would be a path of its own."""
    if not _SLOT_NAME.fullmatch(name):
        raise CacheUnusable(f"{name!a} cannot name a result in the cache")


def check_inputs_directory(path: Path) -> None:
    """Refuses a misspelt directory, which would otherwise just contain nothing."""
    if not path.is_dir():
        raise InputsDirectoryMissing(
            f"{path} is no directory", remedy="name an existing directory with INPUTS"
        )
