"""Checks of the source tree alone: how much is trusted, borders of packages, locks, pins."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from strongroom_eif.recipe.application import INPUTS, source_digest
from strongroom_eif.recipe.errors import RecipeError
from strongroom_eif.recipe.wheels import locked, read_lock, read_pins

from strongroom_host.audit.findings import Finding, failed, inapplicable, passed, warned
from strongroom_host.audit.lines import data_lines, lines_by_part, totals

__all__ = [
    "check_contracts",
    "check_lines",
    "check_lock",
    "check_placeholders",
    "check_source",
    "commit_of",
]

PACKAGE_ROOTS: Final = ("enclave", "attestation", "eif", "host")
_DIGEST: Final = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-f]{64}|[0-9a-f]{96})(?![0-9A-Za-z])")
_FEW: Final = 9
"""Different digits. 64 random ones have this many or fewer once in about 10^11 digests."""
_SECONDS: Final = 300


def check_source(source: Path) -> Finding:
    """Returns which source this is about: the digest of what decides the image, and the commit."""
    title = "The source is known: a digest of everything that decides the image, and its commit"
    digest = source_digest(source)
    commit, changed = commit_of(source)
    evidence = {"tree": digest, "commit": commit or None, "covers": list(INPUTS)}
    if commit and not changed:
        return passed("source.known", title, f"commit {commit}", evidence)
    if commit:
        return warned(
            "source.known",
            title,
            f"the working tree differs from commit {commit}",
            evidence,
            remedy="audit a clean checkout of the commit that you mean",
        )
    return warned(
        "source.known",
        title,
        "this is no git checkout, so only the digest names the source",
        evidence,
        remedy="compare the digest with `source.tree` of a release record",
    )


def check_lines(source: Path) -> Finding:
    """Returns whether the trusted code is within its budget, counted part by part; tables that it
    reads are in no budget, and named."""
    parts, tables = lines_by_part(source / "enclave"), data_lines(source / "enclave")
    sums = totals(parts)
    budgets = ", ".join(f"{what} {budget}" for what, (_, budget) in sums.items())
    title = f"Own code in the image is at most, in lines: {budgets}"
    evidence = {
        "parts": parts,
        "totals": {what: lines for what, (lines, _) in sums.items()},
        "data": tables,
    }
    if not parts:
        return failed(
            "tcb.lines", title, "no code was found to count", remedy="give a checkout as source"
        )
    text = ", ".join(f"{what} {lines}" for what, (lines, _) in sums.items())
    text += "".join(f"; data beside it: {path} {lines}" for path, lines in tables.items())
    if any(lines > budget for lines, budget in sums.values()):
        return failed(
            "tcb.lines",
            title,
            text,
            evidence,
            remedy="what is over the budget was not agreed to be read: move it outside, or drop it",
        )
    return passed("tcb.lines", title, text, evidence)


def check_contracts(source: Path) -> Finding:
    """Returns whether every import contract of pyproject.toml holds, asked of import-linter."""
    title = "Packages import only what the design allows (contracts in pyproject.toml)"
    tool = Path(sys.executable).with_name("lint-imports")
    if not tool.is_file():
        return warned(
            "tcb.contracts",
            title,
            "import-linter is not installed here, so nothing was looked at",
            remedy="run `make audit`, whose environment has it",
        )
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join(str(source / root) for root in PACKAGE_ROOTS),
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    try:
        result = subprocess.run(  # noqa: S603  the tool of our own environment
            [str(tool), "--no-logo", "--no-cache", "--config", str(source / "pyproject.toml")],
            cwd=source,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return warned("tcb.contracts", title, f"import-linter did not run: {error}", remedy="retry")
    kept = re.search(r"Contracts: (\d+) kept, (\d+) broken", result.stdout)
    evidence = {"kept": int(kept[1]), "broken": int(kept[2])} if kept else {}
    if result.returncode == 0 and kept and kept[2] == "0":
        return passed("tcb.contracts", title, f"{kept[1]} contracts hold", evidence)
    broken = re.findall(r"(?m)^(.*) BROKEN$", result.stdout)
    return failed(
        "tcb.contracts",
        title,
        "; ".join(broken) or (result.stderr or result.stdout)[-500:].strip(),
        evidence,
        remedy="run `make lint` to see each import",
    )


def check_lock(source: Path) -> Finding:
    """Returns whether the wheels that go into the image are exactly those the lock allows."""
    title = "Each wheel of the image is one that enclave/requirements.lock allows by hash"
    pins = source / "reproducible-build" / "pins" / "wheels.json"
    try:
        lock = read_lock(source / "enclave" / "requirements.lock")
        wheels = locked(read_pins(pins), lock)
    except (RecipeError, OSError) as error:
        return failed(
            "pins.wheels",
            title,
            getattr(error, "what", str(error)),
            {"expected": str(getattr(error, "expected", "")),
             "found": str(getattr(error, "actual", ""))},
            remedy=getattr(error, "remedy", "") or "restore the file from the repository",
        )  # fmt: skip
    evidence = {wheel.filename: wheel.sha256 for wheel in wheels}
    return passed("pins.wheels", title, f"{len(wheels)} wheels, as many as the lock", evidence)


def check_placeholders(source: Path) -> Finding:
    """Returns whether every digest in pins and releases looks like one: no zeros, no pattern."""
    title = "No digest in pins and releases is a placeholder"
    folder = source / "reproducible-build"
    counted, suspects = 0, []
    for path, digest in _digests(folder):
        counted += 1
        if len(set(digest)) <= _FEW:
            suspects.append(f"{path.relative_to(source).as_posix()}: {digest}")
    if suspects:
        return failed(
            "pins.genuine",
            title,
            f"{len(suspects)} of {counted} digests are no digests of anything",
            {"suspects": suspects[:20]},
            remedy="put the true digest there: a placeholder proves nothing",
        )
    if not counted:
        return inapplicable("pins.genuine", title, "there are neither pins nor releases")
    return passed("pins.genuine", title, f"{counted} digests", {"digests": counted})


def _digests(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*.json")):
        # PCR2 of nothing and the like are digests as well; a key id is the digest of a key.
        for found in _DIGEST.finditer(path.read_text(encoding="utf-8")):
            yield path, found[0]


def commit_of(source: Path) -> tuple[str, bool]:
    """Returns the commit that is checked out, empty if none, and whether anything differs."""
    try:
        head = _git(source, "rev-parse", "HEAD")
        changed = _git(source, "status", "--porcelain", "--", *INPUTS)
    except (OSError, subprocess.SubprocessError):
        return "", False
    return head.strip(), bool(changed.strip())


def _git(source: Path, *arguments: str) -> str:
    return subprocess.run(  # noqa: S603
        # A folder inside somebody else's checkout is not that checkout.
        ["git", "-C", str(source), *arguments],  # noqa: S607
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(source.parent), "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
