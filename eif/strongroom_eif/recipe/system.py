"""The Debian part of the root file system: files of the pinned packages, without dpkg or scripts.

Maintainer scripts never run, so nothing is generated on the builder's machine: no loader cache, no
users, no alternatives. What Python needs of that is added by `system.toml`, in the open.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from strongroom_eif.recipe import deb
from strongroom_eif.recipe.contents import Item
from strongroom_eif.recipe.errors import PinsOverlap
from strongroom_eif.recipe.licences import Licence, of_debian
from strongroom_eif.recipe.pins import Package, Pins
from strongroom_eif.recipe.rules import Pruner
from strongroom_eif.recipe.store import Store

__all__ = ["SYSTEM", "Installed", "install", "origin_of"]

SYSTEM = "system"
"""The set of packages whose files make the root file system."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What one package contributes."""

    package: Package
    items: tuple[Item, ...]
    licence: Licence


def origin_of(name: str) -> str:
    """Returns the origin of a package's files."""
    return f"debian:{name}"


def install(store: Store, pins: Pins, pruner: Pruner) -> Iterator[Installed]:
    """Yields the packages of the system set with the files that the rules keep.

    Raises:
        InputError: A package is not to be had, or malformed.
        PinsOverlap: Two packages bring one path.
        LicenceUnknown: A package does not say its licence, and `system.toml` does not either.
    """
    owners: dict[str, str] = {}
    for package in pins.package_set(SYSTEM):
        installed = _installed(store, package, pruner)
        for item in installed.items:
            check_not_owned(item.path, owners.get(item.path), package.name)
            owners[item.path] = package.name
        yield installed


def _installed(store: Store, package: Package, pruner: Pruner) -> Installed:
    origin, papers = origin_of(package.name), ""
    items: list[Item] = []
    # Hard links are to files that came before; the image has every file once, under one name.
    contents: dict[str, bytes] = {}
    for entry in deb.entries(store.package(package)):
        if entry.kind is deb.EntryKind.DIRECTORY:
            continue
        content = contents[entry.target] if entry.kind is deb.EntryKind.HARD_LINK else entry.data
        if entry.kind is not deb.EntryKind.LINK:
            contents[entry.path] = content
        if entry.path == f"usr/share/doc/{package.name}/copyright":
            papers = content.decode("utf-8", "replace")
        if not pruner.keeps(origin, entry.path, len(content)):
            continue
        if entry.kind is deb.EntryKind.LINK:
            items.append(Item.link(entry.path, entry.target, origin))
        else:
            items.append(Item.file(entry.path, content, origin))
    stated = pruner.rules.licences.get(origin)
    licence = (stated,) if stated is not None else of_debian(origin, papers)
    return Installed(package, tuple(items), licence)


def check_not_owned(path: str, owner: str | None, name: str) -> None:
    """Refuses a path that an earlier package brought: which content it has would be chance."""
    if owner is not None:
        raise PinsOverlap(
            f"both {owner} and {name} bring {path}",
            remedy="leave one of them out in reproducible-build/system.toml",
        )
