"""Checks of the finished image: what is in it, and that its papers say the same.

They read the image file and nothing that the build left beside it, so they hold for an image from
anywhere. The rules on files are the recipe's own, asked one by one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from strongroom_eif import OWN, EifError, verify
from strongroom_eif.image import Bytes, Image
from strongroom_eif.recipe.contents import DIST_PACKAGES
from strongroom_eif.recipe.errors import RecipeError
from strongroom_eif.recipe.inspection import (
    Found,
    Tree,
    check_device,
    check_libraries,
    check_link,
    check_listed,
    check_no_set_id,
    check_no_tool,
    check_not_writable,
    check_own_packages,
    check_owner,
    check_program,
    description,
    read_tree,
)
from strongroom_eif.recipe.record import ReleaseRecord
from strongroom_eif.recipe.rules import Rules
from strongroom_eif.recipe.sbom import Sbom

from strongroom_host.audit.findings import Finding, failed, passed

__all__ = ["check_contents", "check_format", "check_papers", "check_source_in_image"]

_OWN: Final = ("strongroom_enclave", "strongroom_wire")
_NOT_SHIPPED: Final = frozenset({".pyi", ".proto", ".md", ".typed"})
_REMEDY: Final = "do not run this image; find how it came in with `strongroom image files`"


@dataclass(frozen=True, slots=True)
class _Rule:
    id: str
    title: str
    check: Callable[[Found, Tree, frozenset[str]], None]


def _libraries(found: Found, tree: Tree) -> None:
    if found.elf is not None:
        check_libraries(found.entry.path, found.elf, tree)


def _link(found: Found, tree: Tree) -> None:
    if found.entry.kind == "link":
        check_link(found.entry, tree)


_RULES: Final = (
    _Rule("image.tools", "No shell, package manager, compiler, debugger or network tool",
          lambda found, _tree, _programs: check_no_tool(found.entry)),
    _Rule("image.foreign", "No software NSM, no host, verifier or image code",
          lambda found, _tree, _programs: check_own_packages(found.entry)),
    _Rule("image.programs", "Nothing can be run but what reproducible-build/system.toml names",
          lambda found, _tree, programs: check_program(found, programs)),
    _Rule("image.set-id", "No setuid and no setgid file",
          lambda found, _tree, _programs: check_no_set_id(found.entry)),
    _Rule("image.writable", "Nobody but root may write any file",
          lambda found, _tree, _programs: check_not_writable(found.entry)),
    _Rule("image.owners", "Every entry belongs to root and carries no time",
          lambda found, _tree, _programs: check_owner(found.entry)),
    _Rule("image.devices", "No special file but the console",
          lambda found, _tree, _programs: check_device(found.entry)),
    _Rule("image.links", "No link leads out of the image or nowhere",
          lambda found, tree, _programs: _link(found, tree)),
    _Rule("image.libraries", "Every library that native code needs is there",
          lambda found, tree, _programs: _libraries(found, tree)),
)  # fmt: skip


def check_format(data: Bytes, at: datetime) -> Finding:
    """Returns whether the image keeps every rule of the format, and those for our own images."""
    title = "The image keeps every rule of its format: it has one reading"
    try:
        found = verify(data, at, OWN)
    except EifError as error:
        return failed("image.format", title, f"{error} [{error.code}]", remedy=_REMEDY)
    return passed(
        "image.format",
        title,
        f"{len(found.measurements.sections)} sections, "
        f"{sum(summary.entries or 0 for summary in found.ramdisks)} entries",
        {
            "pcrs": {str(index): value.hex() for index, value in found.measurements.pcrs.items()},
            "sections": [
                {"name": s.name, "length": s.length, "sha384": s.sha384.hex()}
                for s in found.measurements.sections
            ],
            "notices": [notice.text for notice in found.notices],
        },
    )


def check_contents(image: Image, rules: Rules) -> Iterator[Finding]:
    """Yields one finding per rule on what may be in an image."""
    try:
        tree = read_tree(image)
    except (EifError, RecipeError) as error:
        for rule in _RULES:
            text = f"the ramdisks cannot be read: {error}"
            yield failed(rule.id, rule.title, text, remedy=_REMEDY)
        return
    programs = frozenset(program.path for program in rules.programs)
    for rule in _RULES:
        broken = list(_broken(rule, tree, programs))
        evidence: dict[str, object] = {"entries": len(tree.by_path)}
        if rule.id == "image.programs":
            evidence["programs"] = sorted(programs)
        if broken:
            text = broken[0] if len(broken) == 1 else f"{broken[0]}; and {len(broken) - 1} more"
            yield failed(
                rule.id, rule.title, text, evidence | {"broken": broken[:50]}, remedy=_REMEDY
            )
        else:
            yield passed(rule.id, rule.title, f"{len(tree.by_path)} entries", evidence)


def _broken(rule: _Rule, tree: Tree, programs: frozenset[str]) -> Iterator[str]:
    for found in tree:
        try:
            rule.check(found, tree, programs)
        except RecipeError as error:
            yield error.what


def check_papers(
    image: Image, data: Bytes, record: ReleaseRecord, sbom: Sbom, sbom_data: bytes
) -> Iterator[Finding]:
    """Yields whether the SBOM lists exactly the files of the image, and the record that SBOM."""
    title = "The SBOM lists every entry of the image as it is, and nothing else"
    try:
        tree = read_tree(image)
        check_listed(tree, sbom.descriptions)
    except (EifError, RecipeError) as error:
        text = getattr(error, "what", str(error))
        evidence = {
            "expected": str(getattr(error, "expected", "")),
            "found": str(getattr(error, "actual", "")),
        }
        yield failed("sbom.complete", title, text, evidence, remedy="make the SBOM anew")
    else:
        counts = {"entries": len(tree.by_path), "components": len(sbom.components)}
        yield passed("sbom.complete", title, f"{len(tree.by_path)} entries", counts)
    yield _check_record(data, record, sbom_data)


def _check_record(data: Bytes, record: ReleaseRecord, sbom_data: bytes) -> Finding:
    title = "The release record names this image and this SBOM by digest"
    for what, content, named in (
        ("image", data, record.eif),
        ("SBOM", sbom_data, record.sbom),
    ):
        digest = sha256(content).hexdigest()
        if (digest, len(content)) != (named.sha256, named.size):
            return failed(
                "record.names",
                title,
                f"the record names another {what}",
                {"recorded": named.sha256, "found": digest},
                remedy="the files are of different builds: take all three from one",
            )
    digests = {"image": record.eif.sha256, "sbom": record.sbom.sha256}
    return passed("record.names", title, "both digests are right", digests)


def check_source_in_image(image: Image, source: Path) -> Finding:
    """Returns whether our packages in the image are the source's files, byte for byte.

    Looked at without the recipe: paths and digests of the ramdisks against the files in `enclave/`.
    Bytecode is not source; that it follows from it, the second build shows.
    """
    title = "Our packages in the image are the files of this source, all of them and no other"
    wanted = dict(_sources(source / "enclave"))
    try:
        found = {
            entry.path.removeprefix(f"{DIST_PACKAGES}/"): description(entry).split()[1]
            for item in read_tree(image)
            if (entry := item.entry).kind == "file" and _is_own(entry.path)
        }
    except (EifError, RecipeError) as error:
        return failed("image.source", title, str(error), remedy=_REMEDY)
    differing = sorted(
        path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path)
    )
    if differing or not wanted:
        first = differing[0] if differing else "no source at all"
        why = "differs" if first in wanted and first in found else "is in one of them only"
        return failed(
            "image.source",
            title,
            f"{first} {why}" + (f"; and {len(differing) - 1} more" if len(differing) > 1 else ""),
            {"differing": differing[:50]},
            remedy="the image was made from another source: do not use it as this one",
        )
    digest = sha256("".join(f"{wanted[path]} {path}\n" for path in sorted(wanted)).encode())
    evidence = {"files": len(wanted), "sha256_of_list": digest.hexdigest()}
    return passed("image.source", title, f"{len(wanted)} files are equal", evidence)


def _is_own(path: str) -> bool:
    inner = path.removeprefix(f"{DIST_PACKAGES}/")
    return inner != path and inner.partition("/")[0] in _OWN and not path.endswith(".pyc")


def _sources(enclave: Path) -> Iterable[tuple[str, str]]:
    for package in _OWN:
        for path in sorted((enclave / package).rglob("*")):
            parts = path.relative_to(enclave).parts
            hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
            if path.is_file() and not hidden and path.suffix not in _NOT_SHIPPED:
                yield "/".join(parts), sha256(path.read_bytes()).hexdigest()
