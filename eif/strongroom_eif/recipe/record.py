"""The release record: what went into a build and what came out, and the comparison with an image.

PCRs say that two images behave alike, not where they part, and they do not measure where sections
end. So a record names each section with length and digests, and every entry of the ramdisks: with
it alone, on a machine without network, the first file that differs can be named.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from strongroom_eif.difference import Difference
from strongroom_eif.errors import EifError
from strongroom_eif.image import Image
from strongroom_eif.inflate import Budget
from strongroom_eif.measurements import measure
from strongroom_eif.newc import Entry, kind_of
from strongroom_eif.ramdisk import entries
from strongroom_eif.recipe.content_errors import RecordMalformed
from strongroom_eif.recipe.pins import Package
from strongroom_eif.recipe.wheels import Wheel
from strongroom_eif.significance import of_attribute, of_file, of_section
from strongroom_eif.writer import pieces

__all__ = [
    "FORMAT",
    "Artefact",
    "FileLine",
    "KernelRecord",
    "Mismatch",
    "PCRs",
    "ReleaseRecord",
    "SectionRecord",
    "Source",
    "compare",
    "image_sha256",
    "lines_of",
    "parse_record",
    "sections_of",
]

FORMAT: Final = "strongroom-release/1"
MAX_RECORD_BYTES: Final = 16 << 20

_Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Sha384 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{96}\Z")]
_Commit = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{40}([0-9a-f]{24})?\Z")]
_Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4_096)]
_FileName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]
# Mode and digest, then the path as the kernel makes it, without control characters.
_Line = Annotated[str, msgspec.Meta(pattern=r"\A[0-7]{6} [0-9a-f]{64} [^\x00-\x1f\x7f]{1,4095}\Z")]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which source: `tree` is `application.source_digest`; `commit` is null for a changed tree."""

    tree: _Sha256
    commit: _Commit | None


class Artefact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file that belongs to the release."""

    name: _FileName
    size: _Size
    sha256: _Sha256


class SectionRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section of the image: `name` counts ramdisks, as in `ramdisk[1]`."""

    name: _Text
    type: _Text
    length: _Size
    sha384: _Sha384
    sha256: _Sha256


class KernelRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The kernel: its own version, its configuration as built, and what else went in."""

    version: _Text
    sha256: _Sha256
    config_sha256: _Sha256
    inputs: dict[_Text, _Text]


PCRs = dict[Literal["0", "1", "2"], _Sha384]


class ReleaseRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The record of one release.

    Attributes:
        format: `strongroom-release/1`.
        version: Of the enclave's code.
        source: Of which source.
        eif: The image, unsigned.
        pcrs: PCR 0, 1 and 2.
        cmdline: The kernel's command line.
        sections: In file order.
        kernel: How the kernel came to be.
        packages: Debian packages whose files are in the image.
        wheels: Python wheels whose files are.
        toolchain: Debian packages that took part in the build.
        inputs: SHA-256 of whatever else decides the result, by path or name.
        sbom: The SBOM that lists every file with origin and licence.
        files: Per ramdisk one line for each entry: mode, SHA-256 (of a link its target), path.
    """

    format: Literal["strongroom-release/1"]
    version: _Text
    source: Source
    eif: Artefact
    pcrs: PCRs
    cmdline: _Text
    sections: list[SectionRecord]
    kernel: KernelRecord
    packages: list[Package]
    wheels: list[Wheel]
    toolchain: list[Package]
    inputs: dict[_Text, _Sha256]
    sbom: Artefact
    files: dict[_Text, list[_Line]]

    def to_json(self) -> bytes:
        """Returns the record's text; equal records give equal bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def parse_record(data: bytes) -> ReleaseRecord:
    """Returns a record, all of its members proved to be of their form.

    Raises:
        RecordMalformed: Naming the member at fault.
    """
    if len(data) > MAX_RECORD_BYTES:
        raise RecordMalformed(
            "the record is too large", expected=MAX_RECORD_BYTES, actual=len(data)
        )
    try:
        record = msgspec.json.decode(data, type=ReleaseRecord)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RecordMalformed(
            f"this is no release record: {error}",
            expected=FORMAT,
            remedy="give the .json that `make image` wrote, or one of reproducible-build/releases",
        ) from error
    check_complete(record)
    return record


def check_complete(record: ReleaseRecord) -> None:
    """Refuses a record that leaves out a PCR, or the files of a ramdisk: nothing would be compared.

    Raises:
        RecordMalformed: Naming what is missing.
    """
    if len(record.pcrs) != 3:
        raise RecordMalformed("the record lacks a PCR", expected="0, 1, 2", actual=[*record.pcrs])
    names = [section.name for section in record.sections]
    ramdisks = [name for name in names if name.startswith("ramdisk")]
    if sorted(record.files) != sorted(ramdisks) or len(set(names)) != len(names):
        raise RecordMalformed(
            "the record does not list the files of each ramdisk",
            expected=ramdisks,
            actual=sorted(record.files),
        )


# --- What an image says --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line of `files`, taken apart."""

    mode: int
    sha256: str
    path: str

    @classmethod
    def parse(cls, line: str) -> "FileLine":
        """Returns the parts of a line that `parse_record` let through."""
        mode, digest, path = line.split(" ", 2)
        return cls(int(mode, 8), digest, path)

    @classmethod
    def of(cls, entry: Entry) -> "FileLine":
        """Returns what the record says of an entry."""
        return cls(entry.mode, entry.sha256.hex(), entry.path)

    def __str__(self) -> str:
        return f"{self.mode:06o} {self.sha256} {self.path}"


def sections_of(image: Image) -> list[SectionRecord]:
    """Returns the sections of an image, a signature left out: it comes after the release."""
    measured = {section.name: section for section in measure(image).sections}
    return [
        SectionRecord(
            name=name,
            type=section.type.name.lower(),
            length=section.size,
            sha384=measured[name].sha384.hex(),
            sha256=hashlib.sha256(section.data).hexdigest(),
        )
        for name, section in image.numbered()
        if name != "signature"
    ]


def lines_of(image: Image) -> dict[str, list[FileLine]]:
    """Returns the entries of each ramdisk by its name, in the archive's order.

    Raises:
        ArchiveError: A ramdisk cannot be taken apart.
    """
    budget, position, found = Budget(), 0, {}
    for number, data in enumerate(image.ramdisks):
        listed = entries(data, position=position, budget=budget)
        found[f"ramdisk[{number}]"] = [FileLine.of(entry) for entry in listed]
        position += len(data)
    return found


def image_sha256(image: Image) -> str:
    """Returns the SHA-256 of the file that the image makes, without its signature."""
    state = hashlib.sha256()
    for piece in pieces(image if image.signature is None else image.without_signature()):
        state.update(piece)
    return state.hexdigest()


# --- Comparison ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where an image parts from its record. In the differences, `first` is the record.

    Attributes:
        section: The first section that differs, or the header.
        file: The first entry in it that differs, for a ramdisk.
        others: Names of the further sections that differ.
    """

    section: Difference
    file: Difference | None
    others: tuple[str, ...]


def compare(record: ReleaseRecord, image: Image) -> Mismatch | None:
    """Returns where an image differs from a record, None if it is the one recorded.

    A signature does not count: it is made for a release, and is verified by itself.
    """
    found = sections_of(image)
    mine = {section.name: section for section in record.sections}
    theirs = {section.name: section for section in found}
    names = [*mine, *(name for name in theirs if name not in mine)]
    differing = [name for name in names if mine.get(name) != theirs.get(name)]
    if differing:
        first = differing[0]
        section = _section_difference(first, mine.get(first), theirs.get(first))
        file = None
        if first in mine and first in theirs and first.startswith("ramdisk"):
            file = _file_difference(first, record, image)
        return Mismatch(section, file, tuple(differing[1:]))
    if [*mine] != [*theirs]:
        return Mismatch(_order_difference([*mine], [*theirs]), None, ())
    digest = image_sha256(image)
    if digest != record.eif.sha256:
        matters = "the sections are the recorded ones; what differs is in the header, which no PCR \
covers"
        where = Difference("header", "header fields", record.eif.sha256, digest, matters)
        return Mismatch(where, None, ())
    return None


def _section_difference(
    name: str, mine: SectionRecord | None, theirs: SectionRecord | None
) -> Difference:
    what = "content"
    if mine is None or theirs is None:
        what = f"only in the {'image' if mine is None else 'record'}"
    return Difference(name, what, _digest_text(mine), _digest_text(theirs), of_section(name))


def _digest_text(section: SectionRecord | None) -> str:
    return "absent" if section is None else f"{section.length} bytes, SHA-384 {section.sha384}"


def _order_difference(mine: list[str], theirs: list[str]) -> Difference:
    matters = "kernel, command line and ramdisks are measured in file order"
    return Difference("sections", "order", ", ".join(mine), ", ".join(theirs), matters)


def _file_difference(name: str, record: ReleaseRecord, image: Image) -> Difference | None:
    mine = [FileLine.parse(line) for line in record.files[name]]
    try:
        theirs = lines_of(image)[name]
    except EifError as error:
        return Difference(name, "not taken apart", "", "", str(error))
    return _first(list(_line_differences(mine, theirs))) or Difference(
        name,
        "packing",
        f"{len(mine)} entries",
        f"{len(theirs)} entries",
        "the same files, packed differently (compression, inode numbers or padding): the build is "
        "not deterministic, and the PCRs differ all the same",
    )


def _first(differences: list[Difference]) -> Difference | None:
    """Returns the first difference, but source before the bytecode that follows from it."""
    paths = {difference.where for difference in differences}
    for difference in differences:
        if _source_of(difference.where) not in paths:
            return difference
    return None


def _source_of(path: str) -> str:
    """Returns which source a `.pyc` was compiled from; of other paths something that is none."""
    folder, _, name = path.rpartition("/__pycache__/")
    return f"{folder}/{name.partition('.')[0]}.py" if folder else ""


def _line_differences(mine: list[FileLine], theirs: Iterable[FileLine]) -> Iterator[Difference]:
    other = {line.path: line for line in theirs}
    for line in mine:
        found = other.pop(line.path, None)
        if found is None:
            yield Difference(
                line.path, "only in the record", str(line), "absent", of_file(line.path)
            )
        elif found != line:
            yield _entry_difference(line, found)
    for line in other.values():
        yield Difference(line.path, "only in the image", "absent", str(line), of_file(line.path))


def _entry_difference(mine: FileLine, theirs: FileLine) -> Difference:
    kinds = kind_of(mine.mode), kind_of(theirs.mode)
    if kinds[0] != kinds[1]:
        return Difference(mine.path, "kind", *kinds, of_attribute("kind"))
    if mine.sha256 != theirs.sha256:
        what = "target" if kinds[0] == "link" else "content"
        matters = of_attribute("target") if what == "target" else of_file(mine.path)
        return Difference(mine.path, what, mine.sha256, theirs.sha256, matters)
    modes = f"{mine.mode:o}", f"{theirs.mode:o}"
    return Difference(mine.path, "mode", *modes, of_attribute("mode"))
