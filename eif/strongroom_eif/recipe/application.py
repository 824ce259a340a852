"""Our own part of the image: the two packages inside the trust boundary, as they stand in the tree.

The second ramdisk holds nothing else, so PCR2 is about this source and the bytecode made of it.
Source files stay in the image: whoever extracts it reads what runs, beside what was compiled.
"""

import ast
import hashlib
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import strongroom_eif
from strongroom_eif.recipe.content_errors import SourceUnexpected
from strongroom_eif.recipe.contents import DIST_PACKAGES, PYTHON, SOURCE, Item

__all__ = [
    "ENTRY_POINT",
    "INPUTS",
    "PACKAGES",
    "SourceFile",
    "application",
    "check_recipe",
    "digest_of",
    "snapshot",
    "source_digest",
    "source_files",
    "version",
    "write_snapshot",
]

PACKAGES: Final = ("strongroom_enclave", "strongroom_wire")
ENTRY_POINT: Final = "strongroom_enclave/init/__main__.py"
"""What `/init` leads to."""

RECIPE_SOURCE: Final = "eif/strongroom_eif"
INPUTS: Final = (
    "enclave",
    RECIPE_SOURCE,
    "reproducible-build/pins",
    "reproducible-build/kernel",
    "reproducible-build/system.toml",
)
"""All that decides what the image is, relative to the repository: what `source_digest` covers.
Releases are not among it, since they name the result."""

_SHEBANG: Final = f"#!/usr/bin/python{PYTHON} -I\n".encode()
_VERSION: Final = re.compile(r"\d{1,4}\.\d{1,4}\.\d{1,4}(?:(?:a|b|rc)\d{1,3})?")
_IGNORED: Final = re.compile(r"__pycache__|.*\.egg-info|.*\.pyc|\..*|build|dist")
"""What tools leave in a working tree. It is neither part of the image nor of the digest."""
_KINDS: Final = frozenset({".py", ".toml"})
"""Code, and the tables that code reads."""
_NOT_FOR_THE_IMAGE: Final = frozenset({".pyi", ".proto", ".md", ".typed"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the repository.

    Attributes:
        path: Relative to the repository, with `/`.
        executable: Whether it carries the bit, as git would record it.
        content: Its bytes.
    """

    path: str
    executable: bool
    content: bytes


def application(source: Path) -> Iterator[Item]:
    """Yields the modules of our packages with their tables, and `/init`.

    Raises:
        SourceUnexpected: The entry point is absent or starts differently, or there is a file in
            the packages that is neither code nor table nor known to stay out.
    """
    found = set()
    for package in PACKAGES:
        for file in source_files(source, f"enclave/{package}"):
            inner = file.path.removeprefix("enclave/")
            suffix = Path(inner).suffix
            if suffix in _NOT_FOR_THE_IMAGE:
                continue
            check_kind(file.path, suffix)
            if inner == ENTRY_POINT:
                check_shebang(file)
            found.add(inner)
            yield Item.file(f"{DIST_PACKAGES}/{inner}", file.content, SOURCE)
    check_entry_point(found)
    yield Item.link("init", f"{DIST_PACKAGES}/{ENTRY_POINT}", SOURCE)


def version(source: Path) -> str:
    """Returns the version of the enclave's code, read and not run.

    Raises:
        SourceUnexpected: There is none, or it could not be part of a file name.
    """
    path = "enclave/strongroom_enclave/__init__.py"
    try:
        tree = ast.parse((source / path).read_text(encoding="utf-8"))
    except (OSError, SyntaxError) as error:
        raise SourceUnexpected(
            f"cannot read the version from {path}: {error}",
            remedy="give the root of a Strongroom checkout",
        ) from error
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "VERSION"
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
            and _VERSION.fullmatch(node.value.value)
        ):
            return node.value.value
    raise SourceUnexpected(f'{path} sets no VERSION = "1.2.3"')


def source_files(source: Path, below: str) -> Iterator[SourceFile]:
    """Yields the files under a path of the repository, sorted, caches and hidden files left out.

    Raises:
        SourceUnexpected: The path is absent, or there is a link or special file.
    """
    start = source / below
    if start.is_file():
        yield _source_file(source, start)
        return
    if not start.is_dir():
        raise SourceUnexpected(
            f"{below} is not in {source}", remedy="give the root of a Strongroom checkout"
        )
    for path in sorted(start.iterdir(), key=lambda path: path.name.encode()):
        if _IGNORED.fullmatch(path.name):
            continue
        inner = path.name if below == "." else f"{below}/{path.name}"
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise SourceUnexpected(f"{inner} is neither file nor folder")
        if path.is_dir():
            yield from source_files(source, inner)
        else:
            yield _source_file(source, path)


def snapshot(source: Path) -> tuple[SourceFile, ...]:
    """Returns everything in the repository that decides what the image is, sorted by path as bytes.

    Read once: what is measured is then what is built, though somebody may be editing meanwhile.

    Raises:
        SourceUnexpected: A part is absent, or there is a link or special file.
    """
    files = (file for below in INPUTS for file in source_files(source, below))
    return tuple(sorted(files, key=lambda file: file.path.encode()))


def digest_of(files: Iterable[SourceFile]) -> str:
    """Returns a SHA-256 over a snapshot.

    It is over one line per file: mode as git has it, SHA-256 of the content, path; under a first
    line that names the format. Git is not needed for it, so that it can be compared for a tree
    that came as an archive.
    """
    state = hashlib.sha256(b"strongroom source tree/1\n")
    for file in files:
        mode = "100755" if file.executable else "100644"
        state.update(f"{mode} {hashlib.sha256(file.content).hexdigest()} {file.path}\n".encode())
    return state.hexdigest()


def source_digest(source: Path) -> str:
    """Returns the digest of what decides the image, as the repository is now."""
    return digest_of(snapshot(source))


def write_snapshot(files: Iterable[SourceFile], place: Path) -> None:
    """Writes a snapshot below a folder, as a checkout that nobody edits."""
    for file in files:
        path = place / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(0o755 if file.executable else 0o644)


def check_recipe(files: Iterable[SourceFile]) -> None:
    """Refuses a checkout with another recipe than the one that runs: its record would name it.

    Raises:
        SourceUnexpected: Naming the first file that differs.
    """
    here = Path(strongroom_eif.__file__).parent
    prefix = f"{RECIPE_SOURCE}/"
    theirs = {f.path.removeprefix(prefix): f for f in files if f.path.startswith(prefix)}
    mine = {f.path: f for f in source_files(here, ".")}
    for path in sorted(theirs.keys() | mine.keys()):
        if path not in theirs or path not in mine or theirs[path].content != mine[path].content:
            raise SourceUnexpected(
                f"{prefix}{path} of the checkout is not what runs here",
                remedy="build with the checkout's own code: `make image` in it",
            )


def _source_file(source: Path, path: Path) -> SourceFile:
    executable = bool(path.stat().st_mode & stat.S_IXUSR)
    return SourceFile(path.relative_to(source).as_posix(), executable, path.read_bytes())


def check_kind(path: str, suffix: str) -> None:
    """Refuses files of a kind nobody decided about: they would be in the image unseen."""
    if suffix not in _KINDS:
        raise SourceUnexpected(
            f"{path} is neither a Python module nor a table",
            expected="*.py or *.toml, or a kind of file that stays out of the image",
            remedy="remove it from the package, or decide about it in recipe/application.py",
        )


def check_shebang(file: SourceFile) -> None:
    """Refuses an entry point that the kernel would start otherwise than isolated."""
    if not file.content.startswith(_SHEBANG):
        raise SourceUnexpected(
            f"{file.path} does not start as /init has to",
            expected=_SHEBANG.decode().strip(),
            actual=file.content[:60].partition(b"\n")[0].decode("ascii", "replace"),
        )


def check_entry_point(found: set[str]) -> None:
    """Refuses a tree without the program that `/init` leads to."""
    if ENTRY_POINT not in found:
        raise SourceUnexpected(
            f"enclave/{ENTRY_POINT} is missing: the kernel would have nothing to start"
        )
