"""The emulator that boots the image without AWS: QEMU with its Nitro machine.

Debian builds QEMU without libcbor, which that machine needs, so it is built from Debian's own
source, in the sandbox. The result carries its libraries and firmware with it and is started through
its own dynamic loader: it runs on any distribution, as any user, and nothing of it gets into the
image. A QEMU of the system that has the machine will do as well.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_eif.recipe import sandbox
from strongroom_eif.recipe.errors import EmulatorUnusable, PinsInvalid
from strongroom_eif.recipe.machine import check_architecture, check_space, writing
from strongroom_eif.recipe.pins import PinnedFile, Pins
from strongroom_eif.recipe.root import Root
from strongroom_eif.recipe.store import Store

__all__ = ["MACHINE", "Emulator", "build_qemu", "find_emulator", "find_system_qemu"]

MACHINE: Final = "nitro-enclave"

_RECIPE: Final = "strongroom qemu 1"
"""Part of the key: changed whenever the same inputs would give another emulator."""

_BINARY: Final = "qemu-system-x86_64"
_LOADER: Final = "ld-linux-x86-64.so.2"
_SPACE: Final = 2 << 30
_HELP_TIMEOUT_S: Final = 60

_CONFIGURE: Final = (
    "--python=/usr/bin/python3",
    "--target-list=x86_64-softmmu",
    # Everything off, then what the machine, the processor models and the vsock device need.
    "--without-default-features",
    "--enable-system",
    "--enable-tcg",
    "--enable-kvm",
    "--enable-libcbor",
    "--enable-gnutls",
    "--enable-vhost-user",
    "--enable-fdt=system",
    "--disable-docs",
    "--disable-tools",
    "--disable-install-blobs",
    "--disable-download",
    "--disable-werror",
)
_UNPACKS_BLOBS: Final = ("unpack_edk2_blobs = bzip2.found()", "unpack_edk2_blobs = false")
"""Debian's tarball comes without UEFI firmware; the build must not look for it."""

_FIRMWARE: Final = (
    "usr/share/qemu/linuxboot.bin",
    "usr/share/qemu/linuxboot_dma.bin",
    "usr/share/qemu/pvh.bin",
    "usr/share/qemu/qboot.rom",
    "usr/share/seabios/bios-microvm.bin",
)

_COLLECT: Final = f"""
set -eu
strip -o /work/result/bin/{_BINARY} /work/build/{_BINARY}
loaded=$(/lib64/{_LOADER} --list /work/result/bin/{_BINARY})
echo "$loaded"
echo "$loaded" | awk '$2 == "=>" {{ print $3 }}' | while read -r library; do
    cp -L "$library" /work/result/lib/
done
cp -L /lib64/{_LOADER} /work/result/lib/
"""


@dataclass(frozen=True, slots=True)
class Emulator:
    """A QEMU that has the Nitro machine.

    Attributes:
        command: What to execute, to be followed by `-M nitro-enclave,...`.
        firmware: The files that it loads into the guest; empty for a QEMU of the system.
    """

    command: tuple[str, ...]
    firmware: tuple[Path, ...] = ()


def find_emulator(store: Store, pins: Pins) -> Emulator:
    """Returns the system's QEMU if it has the machine, else ours, built once.

    Raises:
        See `build_qemu`.
    """
    return find_system_qemu() or build_qemu(store, pins)


def find_system_qemu() -> Emulator | None:
    """Returns the QEMU on the PATH, if there is one and it has the Nitro machine."""
    found = shutil.which(_BINARY)
    if found is None:
        return None
    emulator = Emulator((found,))
    return emulator if MACHINE in _machines(emulator) else None


def build_qemu(store: Store, pins: Pins, *, fresh: bool = False) -> Emulator:
    """Returns our own QEMU, built if the store has none.

    Args:
        store: Where inputs come from and the result is kept.
        pins: The source's, and the packages' that it is built with.
        fresh: Whether to build it even if the store has it.

    Raises:
        BuildFailed: A step failed; its log is named.
        EmulatorUnusable: What was built does not run here, or lacks the machine.
        InputError, MachineError: See `Root.prepare` and `sandbox.run`.
    """
    check_architecture()
    source = _source(pins)
    state = [_RECIPE, source.sha256, Root.digest_of(pins, "qemu"), *_CONFIGURE, *_FIRMWARE]
    key = hashlib.sha256("\n".join(state).encode()).hexdigest()

    def make(place: Path) -> None:
        _build(store, source, Root.prepare(store, pins, "qemu"), place)
        check_machine(_emulator(place))

    emulator = _emulator(store.built("qemu", key, make, fresh=fresh))
    check_machine(emulator)
    return emulator


def _source(pins: Pins) -> PinnedFile:
    for name, pin in pins.files.items():
        if name.startswith("qemu_"):
            return pin
    raise PinsInvalid("the pins have no source of QEMU", expected="a file qemu_...orig.tar.xz")


def _emulator(place: Path) -> Emulator:
    libraries, firmware = place / "lib", place / "firmware"
    return Emulator(
        command=(
            str(libraries / _LOADER),
            # The machine's own cache would lead to its own libraries.
            "--inhibit-cache",
            "--library-path",
            str(libraries),
            str(place / "bin" / _BINARY),
            "-L",
            str(firmware),
        ),
        firmware=tuple(firmware / Path(name).name for name in _FIRMWARE),
    )


def _build(store: Store, source: PinnedFile, root: Root, place: Path) -> None:
    archive = store.pinned(source)
    above = store.cache / "work"
    with writing(above):
        above.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="qemu-", dir=above))
    log = store.cache / "work" / "qemu.log"
    log.unlink(missing_ok=True)
    try:
        check_space(folder, _SPACE)
        for name in ("source", "build", "result/bin", "result/lib"):
            (folder / name).mkdir(parents=True)

        def run(*argv: str) -> None:
            sandbox.run(
                root,
                argv,
                work=folder,
                read={"source.tar.xz": archive},
                env=_ENVIRONMENT,
                log=log,
            )

        store.say("unpacking the source of QEMU")
        run(*_UNPACK)
        _without_blobs(folder / "source/meson.build")
        store.say("building QEMU with its Nitro machine (some minutes, once)")
        run("/bin/sh", "-c", f"cd build && ../source/configure {' '.join(_CONFIGURE)}")
        jobs = len(os.sched_getaffinity(0))
        run("/usr/bin/ninja", "-C", "/work/build", f"-j{jobs}", _BINARY)
        run("/bin/sh", "-c", _COLLECT)
        shutil.copytree(folder / "result", place, dirs_exist_ok=True)
        (place / "firmware").mkdir()
        for name in _FIRMWARE:
            shutil.copy(root.path / name, place / "firmware" / Path(name).name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_ENVIRONMENT: Final[Mapping[str, str]] = {"PYTHONDONTWRITEBYTECODE": "1"}
_UNPACK: Final[Sequence[str]] = (
    "/usr/bin/tar",
    "--extract",
    "--file=/in/source.tar.xz",
    "--directory=/work/source",
    "--strip-components=1",
    "--no-same-owner",
)


def _without_blobs(meson_build: Path) -> None:
    text = meson_build.read_text()
    before, after = _UNPACKS_BLOBS
    if text.count(before) != 1:
        raise PinsInvalid(
            "QEMU's meson.build is not the one that this recipe knows",
            expected=before,
            remedy="look at how it unpacks its firmware now, and adapt recipe/qemu.py",
        )
    meson_build.write_text(text.replace(before, after))


def _machines(emulator: Emulator) -> str:
    """Returns what QEMU says about its machines; empty if it does not run."""
    try:
        return subprocess.run(  # noqa: S603 - a program that was found or built just now
            [*emulator.command, "-M", "help"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_HELP_TIMEOUT_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def check_machine(emulator: Emulator) -> None:
    """Proves that a QEMU runs on this machine and has the Nitro machine."""
    if MACHINE not in _machines(emulator):
        raise EmulatorUnusable(
            "the QEMU that was built does not run here, or lacks the Nitro machine",
            expected=f"{MACHINE} in the output of {' '.join(emulator.command)} -M help",
            remedy="remove its directory, so that it is built again; if the cache is on a file "
            "system mounted noexec, name another one with STRONGROOM_CACHE",
        )
