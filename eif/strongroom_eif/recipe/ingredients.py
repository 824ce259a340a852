"""What goes into the image: packages, wheels and our own source, pruned, compiled, accounted for.

Everything but the kernel, which is a section of its own. Each entry keeps its origin from here to
the SBOM.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_eif.recipe.application import application
from strongroom_eif.recipe.bytecode import compiled
from strongroom_eif.recipe.contents import RECIPE, SOURCE, Item, with_directories
from strongroom_eif.recipe.kernel import Kernel
from strongroom_eif.recipe.pins import Pins
from strongroom_eif.recipe.results import Results
from strongroom_eif.recipe.root import Root
from strongroom_eif.recipe.rules import Pruner, Rules
from strongroom_eif.recipe.sbom import Component, debian_purl, pypi_purl
from strongroom_eif.recipe.system import Installed, install
from strongroom_eif.recipe.system import origin_of as debian_origin
from strongroom_eif.recipe.wheel_archive import Unpacked, unpack
from strongroom_eif.recipe.wheel_archive import origin_of as wheel_origin
from strongroom_eif.recipe.wheels import locked, read_lock, read_pins, wheel_file

__all__ = ["KERNEL_CONFIG", "LOCK", "PINS", "SYSTEM_RULES", "Contents", "components", "gather"]

PINS: Final = Path("reproducible-build/pins")
SYSTEM_RULES: Final = Path("reproducible-build/system.toml")
KERNEL_CONFIG: Final = Path("reproducible-build/kernel/config")
LOCK: Final = Path("enclave/requirements.lock")
WHEEL_PINS: Final = PINS / "wheels.json"
KERNEL_PACKAGE: Final = "linux-source-6.12"


@dataclass(frozen=True, slots=True)
class Contents:
    """All of the image but the kernel.

    Attributes:
        rules: What was left out, and what may be run.
        packages: The Debian packages.
        wheels: The Python wheels.
        boot: The first ramdisk's entries.
        application: The second's.
        notes: For the SBOM, by origin: how much of it was left out.
    """

    rules: Rules
    packages: tuple[Installed, ...]
    wheels: tuple[Unpacked, ...]
    boot: tuple[Item, ...]
    application: tuple[Item, ...]
    notes: dict[str, str]


def gather(results: Results, pins: Pins, source: Path, root: Root) -> Contents:
    """Returns what goes into the image of a checkout, bytecode included.

    Args:
        results: Where inputs come from and bytecode is kept.
        pins: Of the checkout.
        source: Its root.
        root: The toolchain's, which compiles.

    Raises:
        RecipeError: An input is not to be had, malformed, or not what lock, pins and rules say.
    """
    store = results.store
    rules = Rules.load(source / SYSTEM_RULES)
    pruner = Pruner(rules)
    packages = tuple(install(store, pins, pruner))
    chosen = locked(read_pins(source / WHEEL_PINS), read_lock(source / LOCK))
    wheels = tuple(unpack(wheel_file(store, wheel), wheel, pruner) for wheel in chosen)
    pruner.check_all_used()
    installed = [item for package in packages for item in package.items]
    installed += [item for wheel in wheels for item in wheel.items]
    files = rules.permitted([*installed, *application(source)])
    own = [item for item in files if item.origin == SOURCE]
    boot = [*rules.added(), *(item for item in files if item.origin != SOURCE)]
    boot += compiled(boot, results, root)
    own += compiled(own, results, root)
    notes = {}
    for origin in {left.origin for left in pruner.left_out}:
        sizes = [left.size for left in pruner.left_out if left.origin == origin]
        notes[origin] = f"{len(sizes)} files of {sum(sizes)} bytes are left out by {SYSTEM_RULES}"
    return Contents(
        rules,
        packages,
        wheels,
        boot=tuple(with_directories(boot)),
        application=tuple(with_directories(own)),
        notes=notes,
    )


def components(contents: Contents, kernel: Kernel, pins: Pins, release: str) -> Iterator[Component]:
    """Yields what the SBOM is made of: each origin with all of its entries, bytecode included."""
    by_origin: dict[str, list[Item]] = {}
    seen: set[str] = set()
    for item in (*contents.boot, *contents.application):
        # A directory that both ramdisks make is one directory.
        if item.path not in seen:
            by_origin.setdefault(item.origin, []).append(item)
            seen.add(item.path)
    for part in contents.packages:
        package = part.package
        origin = debian_origin(package.name)
        yield Component(
            origin=origin,
            name=package.name,
            version=package.version,
            purl=debian_purl(package.name, package.version, package.architecture),
            sha256=package.sha256,
            licence=part.licence,
            items=by_origin.get(origin, ()),
            note=contents.notes.get(origin, ""),
        )
    for unpacked in contents.wheels:
        wheel = unpacked.wheel
        origin = wheel_origin(wheel.name)
        yield Component(
            origin=origin,
            name=wheel.name,
            version=wheel.version,
            purl=pypi_purl(wheel.name, wheel.version, wheel.filename),
            sha256=wheel.sha256,
            licence=unpacked.licence,
            items=by_origin.get(origin, ()),
            note=contents.notes.get(origin, ""),
        )
    yield Component(
        SOURCE, "strongroom-enclave", release, "", "", ("MIT",), by_origin[SOURCE],
        "the code inside the trust boundary, from this repository",
    )  # fmt: skip
    yield Component(
        RECIPE, "image-layout", release, "", "", ("MIT",), by_origin[RECIPE],
        "directories, links, empty files and the console, as reproducible-build/system.toml names "
        "them",
    )  # fmt: skip
    yield _kernel_component(kernel, pins)


def _kernel_component(kernel: Kernel, pins: Pins) -> Component:
    packages = [p for members in pins.sets.values() for p in members if p.name == KERNEL_PACKAGE]
    package = packages[0]
    return Component(
        origin="debian:linux",
        name="linux",
        version=package.version,
        purl=debian_purl(package.name, package.version, package.architecture),
        sha256=package.sha256,
        licence=("GPL-2.0-only WITH Linux-syscall-note",),
        note=f"Linux {kernel.version}, built from Debian's source with {KERNEL_CONFIG}; it is the "
        "section of its own that boots",
    )
