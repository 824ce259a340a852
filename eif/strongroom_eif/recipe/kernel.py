"""The kernel: Debian's linux-source at the pinned version, our configuration, the pinned toolchain.

Built in the sandbox, where paths, time, user, host name and build number are always the same, so
the same inputs give the same bzImage to the bit. `fresh` builds it anew for those who want to see
that for themselves.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_eif.recipe import sandbox
from strongroom_eif.recipe.deb import EntryKind, entries
from strongroom_eif.recipe.errors import BuildFailed, PinsInvalid
from strongroom_eif.recipe.kernel_config import check_options, options
from strongroom_eif.recipe.machine import check_architecture, check_space, writing
from strongroom_eif.recipe.pins import Package, Pins
from strongroom_eif.recipe.root import Root
from strongroom_eif.recipe.store import Store

__all__ = ["Kernel", "build_kernel"]

_RECIPE: Final = "strongroom kernel 1"
"""Part of the key: changed whenever the same inputs would give another kernel."""

_SPACE: Final = 3 << 30
_ENVIRONMENT: Final = {
    "KBUILD_BUILD_HOST": "strongroom",
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_USER": "strongroom",
    "KBUILD_BUILD_VERSION": "1",
}
_IMAGE: Final = "bzImage"
_CONFIG: Final = "config"
_VERSION: Final = "version"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A built kernel.

    Attributes:
        image: bzImage.
        config: The complete configuration that it was built with.
        version: As `uname -r` will say.
        inputs: What it was made of: `source` (package and version), `source_sha256`,
            `toolchain` (digest of the root), `fragment_sha256`.
    """

    image: Path
    config: Path
    version: str
    inputs: Mapping[str, str]


def build_kernel(
    store: Store, pins: Pins, config: Path, *, fresh: bool = False, work: Path | None = None
) -> Kernel:
    """Returns the kernel for these pins and this configuration, built if the store has none.

    Args:
        store: Where inputs come from and the result is kept.
        pins: The source's and the toolchain's.
        config: The fragment, `reproducible-build/kernel/config`.
        fresh: Whether to build it even if the store has it.
        work: Where to build; with `fresh`, the result stays there and the store keeps its own, so
            that the two can be compared. Left out, it is built in the cache and removed.

    Raises:
        KernelOptionLost: The configuration that came out lacks an option of the fragment.
        BuildFailed: A step failed; its log is named.
        InputError, MachineError: See `Root.prepare` and `sandbox.run`.
    """
    check_architecture()
    wanted = options(_fragment(config))
    [source] = pins.package_set("kernel")
    inputs = {
        "source": f"{source.name} {source.version}",
        "source_sha256": source.sha256,
        "toolchain": Root.digest_of(pins, "toolchain"),
        "fragment_sha256": hashlib.sha256(_fragment(config).encode()).hexdigest(),
    }
    key = hashlib.sha256("\n".join([_RECIPE, *inputs.values()]).encode()).hexdigest()

    def make(place: Path) -> None:
        root = Root.prepare(store, pins, "toolchain")
        with _workplace(store, work) as folder:
            _build(store, source, root, _fragment(config), wanted, folder, place)

    if fresh and work is not None:
        place = work / "kernel"
        with writing(place):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            make(place)
    else:
        place = store.built("kernel", key, make, fresh=fresh)
    return Kernel(
        image=place / _IMAGE,
        config=place / _CONFIG,
        version=(place / _VERSION).read_text().strip(),
        inputs=inputs,
    )


def _fragment(config: Path) -> str:
    try:
        return config.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise PinsInvalid(
            f"cannot read {config}: {error}", remedy="restore it from the repository"
        ) from error


@contextmanager
def _workplace(store: Store, work: Path | None) -> Iterator[Path]:
    """Gives an empty directory to build in; what fails is left there for whoever looks into it."""
    above = work if work is not None else store.cache / "work"
    with writing(above):
        above.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="kernel-", dir=above))
    check_space(folder, _SPACE)
    try:
        yield folder
    except BuildFailed:
        # The log is what the error points to; a gigabyte of source is not.
        shutil.rmtree(folder / "tree", ignore_errors=True)
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _build(
    store: Store,
    source: Package,
    root: Root,
    fragment: str,
    wanted: Mapping[str, str],
    folder: Path,
    place: Path,
) -> None:
    tree = folder / "tree"
    archive = _source_archive(store, source, folder)
    log = folder / "log"

    def run(*argv: str) -> None:
        read = {"source.tar.xz": archive}
        sandbox.run(root, argv, work=tree, read=read, env=_ENVIRONMENT, log=log)

    def make(*targets: str) -> None:
        run("/usr/bin/make", "-s", "-C", "/work/source", "O=/work/build", *targets)

    store.say(f"unpacking the source of the kernel ({source.version})")
    tree.mkdir()
    (tree / "source").mkdir()
    run(*_UNPACK)
    store.say("building the kernel (some minutes)")
    make("tinyconfig")
    with (tree / "build/.config").open("a", encoding="ascii") as stream:
        stream.write(fragment)
    make("olddefconfig")
    check_options(wanted, (tree / "build/.config").read_text())
    make(f"-j{len(os.sched_getaffinity(0))}", _IMAGE)
    shutil.copyfile(tree / "build/arch/x86/boot/bzImage", place / _IMAGE)
    shutil.copyfile(tree / "build/.config", place / _CONFIG)
    shutil.copyfile(tree / "build/include/config/kernel.release", place / _VERSION)


_UNPACK: Final[Sequence[str]] = (
    "/usr/bin/tar",
    "--extract",
    "--file=/in/source.tar.xz",
    "--directory=/work/source",
    "--strip-components=1",
    "--no-same-owner",
)


def _source_archive(store: Store, source: Package, folder: Path) -> Path:
    """Returns the tarball that is all of the source package's content that counts."""
    for entry in entries(store.package(source)):
        if entry.kind is EntryKind.FILE and entry.path.endswith(".tar.xz"):
            archive = folder / "source.tar.xz"
            archive.write_bytes(entry.data)
            return archive
    raise PinsInvalid(f"the package {source.name} holds no source", expected="a .tar.xz")
