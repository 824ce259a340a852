"""Where two ramdisks part: the first entry that differs, and what about it."""

from collections.abc import Iterator

from strongroom_eif.difference import Difference, parting
from strongroom_eif.image import Bytes, Image
from strongroom_eif.inflate import Budget, Limits
from strongroom_eif.newc import Entry
from strongroom_eif.ramdisk import entries, members
from strongroom_eif.significance import of_attribute, of_file

__all__ = ["archive_difference"]


def archive_difference(first: Image, second: Image, name: str, limits: Limits) -> Difference | None:
    """Returns the first difference between the entries of the two ramdisks called `name`.

    In the order of the first archive; then what only the second has; then the order itself. None
    if all entries are the same, so that only packing can differ.

    Raises:
        ArchiveError: One of them cannot be taken apart.
    """
    mine = _listing(first, name, limits)
    theirs = {entry.path: entry for entry in _listing(second, name, limits)}
    for entry in mine:
        other = theirs.get(entry.path)
        if other is None:
            size = f"{entry.kind} of {entry.size} bytes"
            return Difference(entry.path, "only in the first", size, "absent", of_file(entry.path))
        if found := _entry_difference(entry, other):
            if found.what == "content":
                return _content_difference(found, first, second, name, limits)
            return found
    known = {entry.path for entry in mine}
    for path, other in theirs.items():
        if path not in known:
            size = f"{other.kind} of {other.size} bytes"
            return Difference(path, "only in the second", "absent", size, of_file(path))
    for entry, path in zip(mine, theirs, strict=False):
        if entry.path != path:
            return Difference(
                entry.path,
                "order",
                entry.path,
                path,
                "the same files in another order: the build is not deterministic",
            )
    return None


def _listing(image: Image, name: str, limits: Limits) -> list[Entry]:
    data, position = _located(image, name)
    return list(entries(data, position=position, budget=Budget(limits)))


def _located(image: Image, wanted: str) -> tuple[Bytes, int]:
    """Returns a ramdisk, and how many bytes of ramdisks come before it."""
    position = 0
    for name, section in image.numbered():
        if name == wanted:
            return section.data, position
        if name.startswith("ramdisk"):
            position += section.size
    raise LookupError(wanted)


def _entry_difference(a: Entry, b: Entry) -> Difference | None:
    """Returns the first attribute that differs, those that matter most first."""
    for what, mine, theirs in (
        ("kind", a.kind, b.kind),
        ("target", a.target, b.target),
        ("content", a.sha256.hex(), b.sha256.hex()),
        ("mode", f"{a.mode:o}", f"{b.mode:o}"),
        ("owner", f"{a.uid}:{a.gid}", f"{b.uid}:{b.gid}"),
        ("device", f"{a.device[0]}:{a.device[1]}", f"{b.device[0]}:{b.device[1]}"),
        ("links", str(a.nlink), str(b.nlink)),
        ("mtime", str(a.mtime), str(b.mtime)),
    ):
        if mine != theirs:
            return Difference(a.path, what, mine, theirs, of_attribute(what) or of_file(a.path))
    return None


def _content_difference(
    found: Difference, first: Image, second: Image, name: str, limits: Limits
) -> Difference:
    """Returns the difference with the offset at which the contents part."""
    offset = parting(
        _content(first, name, found.where, limits), _content(second, name, found.where, limits)
    )
    return Difference(
        found.where, f"content, from byte {offset} on", found.first, found.second, found.matters
    )


def _content(image: Image, name: str, path: str, limits: Limits) -> Iterator[Bytes]:
    data, position = _located(image, name)
    for member in members(data, position=position, budget=Budget(limits)):
        if member.path == path:
            yield from member.pieces()
            return
