"""Unpacking a wheel: as the zip file it is, each path and digest checked, nothing in it run.

Its own list of files (RECORD) has to agree with it in both directions. What an installer would do
besides, such as moving files elsewhere, is refused rather than imitated.
"""

import base64
import csv
import hashlib
import io
import posixpath
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_eif.recipe.content_errors import WheelMalformed
from strongroom_eif.recipe.contents import DIST_PACKAGES, Item
from strongroom_eif.recipe.licences import Licence, of_wheel
from strongroom_eif.recipe.rules import Pruner
from strongroom_eif.recipe.wheels import Wheel

__all__ = ["Unpacked", "origin_of", "unpack"]

MAX_FILE_BYTES: Final = 64 << 20
"""The largest file in a wheel so far has 17 MB; a zip bomb is larger."""


def origin_of(name: str) -> str:
    """Returns the origin of a wheel's files."""
    return f"wheel:{name}"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What one wheel contributes."""

    wheel: Wheel
    items: tuple[Item, ...]
    licence: Licence


def unpack(path: Path, wheel: Wheel, pruner: Pruner) -> Unpacked:
    """Returns the files of a wheel that the rules keep, and its licence.

    Raises:
        WheelMalformed: A path leads elsewhere, or RECORD and files disagree.
        LicenceUnknown: Neither METADATA nor `system.toml` says it.
    """
    origin = origin_of(wheel.name)
    contents = _contents(path, wheel)
    check_record(wheel, contents)
    items = tuple(
        Item.file(f"{DIST_PACKAGES}/{name}", content, origin)
        for name, content in sorted(contents.items())
        if pruner.keeps(origin, name, len(content))
    )
    stated = pruner.rules.licences.get(origin)
    if stated is not None:
        return Unpacked(wheel, items, (stated,))
    papers = next((n for n in contents if n.endswith(".dist-info/METADATA")), "")
    metadata = contents.get(papers, b"").decode("utf-8", "replace")
    return Unpacked(wheel, items, of_wheel(origin, metadata))


def _contents(path: Path, wheel: Wheel) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.is_dir():
                    continue
                check_member(wheel, info)
                check_not_twice(wheel, info.filename, found)
                found[info.filename] = archive.read(info)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise WheelMalformed(f"{wheel.filename} is damaged: {error}") from error
    return found


def check_not_twice(wheel: Wheel, name: str, found: Mapping[str, bytes]) -> None:
    """Refuses a second file of a name: which one counts would depend on the reader."""
    if name in found:
        raise WheelMalformed(f"{wheel.filename} has {name} twice")


def check_member(wheel: Wheel, info: zipfile.ZipInfo) -> None:
    """Refuses paths that lead elsewhere, special files, and sizes nobody needs."""
    name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
    if (
        posixpath.normpath(name) != name
        or name.startswith(("/", "../"))
        or "\\" in name
        or not name.isprintable()
    ):
        raise WheelMalformed(f"{wheel.filename} has a file {name!a}")
    if kind not in (0, stat.S_IFREG):
        raise WheelMalformed(f"{name} in {wheel.filename} is no plain file", actual=f"{kind:o}")
    if info.file_size > MAX_FILE_BYTES:
        raise WheelMalformed(
            f"{name} in {wheel.filename} is too large",
            expected=f"at most {MAX_FILE_BYTES} bytes",
            actual=info.file_size,
        )
    if ".data/" in name.partition("/")[0] + "/":
        raise WheelMalformed(
            f"{wheel.filename} wants files outside of the package folder: {name}",
            remedy="an installer would move them; this recipe has no rule for that",
        )


def check_record(wheel: Wheel, contents: Mapping[str, bytes]) -> None:
    """Refuses a wheel whose RECORD does not list its files as they are."""
    records = [name for name in contents if name.endswith(".dist-info/RECORD")]
    if len(records) != 1:
        raise WheelMalformed(f"{wheel.filename} has {len(records)} files RECORD", expected=1)
    rows = csv.reader(io.StringIO(contents[records[0]].decode()))
    listed = {row[0]: row[1] for row in rows if len(row) == 3}
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        # RECORD cannot list its own hash, and the signature files of old are not listed at all.
        wanted = "" if name == records[0] else f"sha256={digest}"
        if listed.get(name) != wanted:
            raise WheelMalformed(
                f"RECORD of {wheel.filename} does not list {name} as it is",
                expected=listed.get(name, "nothing"),
                actual=wanted,
            )
    if absent := listed.keys() - contents.keys():
        raise WheelMalformed(f"{wheel.filename} lacks {min(absent)}, which its RECORD lists")
