"""What others wrote and the image carries: each package with version, digest, licence, files."""

from collections.abc import Iterator
from typing import Final

from strongroom_eif.recipe.sbom import ListedComponent, Sbom

from strongroom_host.audit.findings import Finding, failed, passed, warned

__all__ = ["check_debian", "check_licences", "python_packages"]

_PYPI: Final = "pkg:pypi/"
_DEBIAN: Final = "pkg:deb/"
_OURS: Final = frozenset({"strongroom", "recipe"})


def python_packages(sbom: Sbom) -> Iterator[tuple[str, str]]:
    """Yields name and version of each wheel of the image."""
    for component in sbom.components:
        if component.purl.startswith(_PYPI):
            yield component.name, component.version


def check_licences(sbom: Sbom) -> Finding:
    """Returns whether every package of others is identified by digest and has a licence."""
    title = "Every package of others in the image has a digest and a licence"
    others = [component for component in sbom.components if component.origin not in _OURS]
    nameless = [c.origin for c in others if not (c.licence and c.sha256 and c.version)]
    evidence: dict[str, object] = {"packages": [_row(component) for component in others]}
    if nameless or not others:
        return failed(
            "deps.licences",
            title,
            f"not so for {', '.join(nameless[:5])}" if nameless else "the SBOM lists no package",
            evidence,
            remedy="read its papers, and add a [[licence]] to reproducible-build/system.toml",
        )
    files = sum(component.files for component in others)
    return passed("deps.licences", title, f"{len(others)} packages, {files} entries", evidence)


def check_debian(sbom: Sbom) -> Finding:
    """Returns that Debian's packages are not held against its security tracker here."""
    packages = [c for c in sbom.components if c.purl.startswith(_DEBIAN)]
    return warned(
        "deps.debian",
        "Debian's packages in the image have no known vulnerability",
        f"not looked up: {len(packages)} packages are listed with their versions",
        {"packages": {component.name: component.version for component in packages}},
        remedy="`make pins CHECK=1` says whether Debian has newer ones;"
        " https://security-tracker.debian.org says what each version has",
    )


def _row(component: ListedComponent) -> dict[str, object]:
    return {
        "name": component.name,
        "version": component.version,
        "licence": component.licence,
        "sha256": component.sha256,
        "purl": component.purl,
        "entries": component.files,
    }
