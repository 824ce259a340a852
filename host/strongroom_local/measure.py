"""Development measurements: PCR values computed by untrusted code over the source it starts.

On Nitro the hypervisor measures the image before it runs. Here the same machine that runs the code
also computes its measurement, so the values tell an honest developer which source is running and
prove nothing to anybody else. They follow Nitro's formula and differ whenever a source byte does,
so that policies, demos and tests handle them as they handle real ones.

Content of a tree: for each file in the order of its name, u32 length of the name, the name (package
and relative path, `/` between, UTF-8), u64 length of the bytes, the bytes; integers big-endian.
"""

import hashlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from strongroom_local.errors import NotMeasurable

__all__ = ["DEBUG", "Measurements", "extended", "measure_installed", "measure_trees"]

_ZERO = bytes(48)


@dataclass(frozen=True, slots=True)
class Measurements:
    """The three values that stand for an image, 48 bytes each.

    Attributes:
        pcr0: All measured source (on Nitro: kernel, command line, all ramdisks).
        pcr1: `strongroom_wire` (on Nitro: kernel, command line, first ramdisk).
        pcr2: `strongroom_enclave` (on Nitro: the ramdisks after the first).
    """

    pcr0: bytes
    pcr1: bytes
    pcr2: bytes


DEBUG = Measurements(_ZERO, _ZERO, _ZERO)
"""What Nitro reports of an enclave started in debug mode, whose console the host can read."""


def extended(content_digest: bytes, old: bytes = _ZERO) -> bytes:
    """Returns SHA-384(old || digest): a PCR after one extend."""
    return hashlib.sha384(old + content_digest).digest()


def measure_installed() -> Measurements:
    """Measures the two packages of the image where this interpreter would import them from.

    Raises:
        NotMeasurable: one of them cannot be found, or its tree cannot be measured.
    """
    return measure_trees(_source("strongroom_wire"), _source("strongroom_enclave"))


def measure_trees(wire: Path, enclave: Path) -> Measurements:
    """Measures two package folders; caches of byte code are left out.

    Raises:
        NotMeasurable: a folder without files, a symbolic link, or a special file.
    """
    contents = [b"".join(_entries(tree)) for tree in (wire, enclave)]
    digests = [hashlib.sha384(part).digest() for part in (b"".join(contents), *contents)]
    return Measurements(*map(extended, digests))


def _source(package: str) -> Path:
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if len(folders) != 1:
        raise NotMeasurable(package, "one package folder", folders)
    return Path(folders[0])


def _entries(tree: Path) -> Iterator[bytes]:
    """Yields the parts of a tree's content."""
    paths = {f"{tree.name}/{path.relative_to(tree).as_posix()}": path for path in _walk(tree)}
    if not paths:
        raise NotMeasurable(str(tree), "a folder with source files", "none")
    for name in sorted(paths, key=str.encode):
        content = paths[name].read_bytes()
        yield len(name.encode()).to_bytes(4, "big") + name.encode()
        yield len(content).to_bytes(8, "big") + content


def _walk(folder: Path) -> Iterator[Path]:
    """Yields the files under a folder. A link would measure what is not there at the next look."""
    for path in folder.iterdir() if folder.is_dir() else ():
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            if path.name != "__pycache__":
                yield from _walk(path)
        elif stat.S_ISREG(mode):
            yield path
        else:
            raise NotMeasurable(str(path), "a regular file", stat.filemode(mode))
