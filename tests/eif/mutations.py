"""For every rule an input that breaks this rule and no other, and what it takes to show it.

`attempt` raises `error`. With the check called `name` replaced by nothing, it is accepted, or,
where another rule or the machine itself stops it too, ends in `escapes`.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import ModuleType

import cbor2
from strongroom_eif import (
    FOREIGN,
    OWN,
    BuildMetadata,
    FilePolicy,
    Image,
    KeyInMemory,
    Limits,
    Metadata,
    Node,
    Parts,
    archive,
    archive_errors,
    archive_writer,
    build,
    builder,
    cbor,
    compress,
    errors,
    format_errors,
    inflate,
    newc,
    parse,
    paths,
    ramdisk,
    reader,
    resign,
    sections,
    serialise,
    sign,
    signature,
    signing,
    unsign,
    verify,
    writer,
)
from strongroom_eif import (
    kernel as kernels,
)
from strongroom_eif import (
    metadata as labels,
)

from tests.eif.samples import (
    CHARACTER,
    CMDLINE,
    CMDLINE_SECTION,
    DIRECTORY,
    FILE,
    KERNEL,
    KERNEL_SECTION,
    LINK,
    METADATA,
    NOW,
    RAMDISK,
    RAMDISKS,
    SIGNATURE,
    TRAILER,
    Raw,
    baseline,
    certificate,
    cpio,
    cpio_entry,
    key,
    metadata,
    pcr,
    signature_section,
)

__all__ = ["MUTATIONS", "Mutation", "overlapping", "refused_by"]


@dataclass(frozen=True)
class Mutation:
    """`name` is looked up in `module`, whose code calls it, and replaced there by nothing."""

    module: ModuleType
    name: str
    attempt: Callable[[], object]
    error: type[errors.EifError]
    about: str = ""
    escapes: type[Exception] | None = None
    users: tuple[ModuleType, ...] = ()
    """Further modules that imported the check by name."""

    def __str__(self) -> str:
        where = self.module.__name__.removeprefix("strongroom_eif.")
        return f"{where}.{self.name}" + (f"-{self.about}" if self.about else "")


PCR0 = pcr(KERNEL, CMDLINE, *RAMDISKS)
BASE = baseline()
LIMITS = Limits(inflated=1 << 20, entries=100, names=10_000)


def raw(change: Raw) -> Callable[[], object]:
    """Returns an attempt to read a container."""
    return lambda: parse(change.data())


def whole(change: Raw, policy: FilePolicy = FOREIGN) -> Callable[[], object]:
    """Returns an attempt to verify an image with its contents."""
    return lambda: verify(change.data(), NOW, policy, LIMITS)


# --- The container -------------------------------------------------------------------------------

_THIRTY_TWO = BASE.adding(*((RAMDISK, b"more %d" % number) for number in range(27)))
_KERNEL_LESS = BASE.but(sections=BASE.sections[1:])
_SWAPPED = BASE.but(sections=(BASE.sections[3], *BASE.sections[:3], BASE.sections[4]))
_END = len(BASE.data())


def _oversized() -> object:
    """Reads a file beyond the limit, without having one."""
    limit = reader.MAX_IMAGE_BYTES
    try:
        reader.MAX_IMAGE_BYTES = _END - 1  # type: ignore[misc]
        return parse(BASE.data())
    finally:
        reader.MAX_IMAGE_BYTES = limit  # type: ignore[misc]


def overlapping(base: Raw = BASE) -> bytes:
    """Returns a file whose second ramdisk begins inside the first, and which ends with it."""
    inner = RAMDISKS[1]
    head = len(inner).to_bytes(8, "big")
    outer = b"x" * 100 + b"\0\3\0\0" + head + inner
    change = base.but(sections=base.sections[:3]).adding((RAMDISK, outer))
    start = len(change.data()) - 12 - len(inner)
    return change.but(count=5, offsets={4: start}, sizes={4: len(inner)}).data()


def _too_many() -> Image:
    """Returns an image of 33 sections."""
    image = parse(_THIRTY_TWO.data())
    return Image(sections=(*image.sections, image.sections[-1]))


CONTAINER = [
    Mutation(reader, "check_image_size", _oversized, format_errors.ImageTooLarge),
    Mutation(
        reader,
        "check_header_present",
        lambda: parse(BASE.data()[:547]),
        format_errors.ImageTruncated,
        escapes=Exception,
    ),
    Mutation(reader, "check_magic", raw(BASE.but(magic=b".eig")), format_errors.MagicInvalid),
    Mutation(
        sections,
        "check_version",
        raw(BASE.but(version=5)),
        format_errors.VersionUnsupported,
        "5",
        users=(reader, writer),
    ),
    Mutation(
        sections,
        "check_version",
        raw(BASE.but(version=2, sections=(*BASE.sections[:2], *BASE.sections[3:]))),
        format_errors.VersionUnsupported,
        "2",
        users=(reader, writer),
    ),
    Mutation(reader, "check_flags", raw(BASE.but(flags=2)), format_errors.FlagsInvalid),
    Mutation(reader, "check_reserved", raw(BASE.but(reserved=1)), format_errors.ReservedNotZero),
    Mutation(
        reader, "check_reserved", raw(BASE.but(unused=1)), format_errors.ReservedNotZero, "unused"
    ),
    Mutation(
        reader,
        "check_section_count",
        raw(_THIRTY_TWO.but(count=33)),
        format_errors.SectionCountInvalid,
        "33",
    ),
    Mutation(
        reader,
        "check_section_count",
        raw(Raw(((KERNEL_SECTION, KERNEL),))),
        format_errors.SectionCountInvalid,
        "1",
        escapes=format_errors.SectionMissing,
    ),
    Mutation(
        reader,
        "check_unused_entries",
        raw(BASE.but(offsets={5: _END})),
        format_errors.UnusedEntryNotZero,
        "offset",
    ),
    Mutation(
        reader,
        "check_unused_entries",
        raw(BASE.but(sizes={31: 1})),
        format_errors.UnusedEntryNotZero,
        "size",
    ),
    Mutation(
        reader, "check_no_overlap", lambda: parse(overlapping()), format_errors.SectionsOverlap
    ),
    Mutation(
        reader,
        "check_no_gap",
        raw(BASE.but(gaps={2: b"between"})),
        format_errors.SectionsApart,
        "between",
    ),
    Mutation(
        reader,
        "check_no_gap",
        raw(BASE.but(gaps={0: bytes(4)})),
        format_errors.SectionsApart,
        "first",
    ),
    Mutation(
        reader,
        "check_section_header_present",
        raw(BASE.but(count=6, offsets={5: _END}, tail=bytes(11))),
        format_errors.ImageTruncated,
        escapes=Exception,
    ),
    Mutation(
        reader,
        "check_section_type",
        raw(BASE.adding((6, b"future"))),
        format_errors.SectionTypeInvalid,
        "6",
        ValueError,
    ),
    Mutation(
        reader,
        "check_section_type",
        raw(BASE.adding((0, b"invalid"))),
        format_errors.SectionTypeInvalid,
        "0",
        ValueError,
    ),
    Mutation(
        reader,
        "check_section_flags",
        raw(BASE.but(section_flags={3: 1})),
        format_errors.SectionFlagsInvalid,
    ),
    Mutation(
        reader,
        "check_sizes_agree",
        raw(BASE.but(sizes={4: len(RAMDISKS[1]) + 1})),
        format_errors.SectionSizeMismatch,
        "stale after re-signing",
    ),
    Mutation(
        reader,
        "check_section_present",
        raw(BASE.but(own_sizes={4: len(RAMDISKS[1]) + 1})),
        format_errors.ImageTruncated,
        "by one",
    ),
    Mutation(
        reader,
        "check_section_present",
        raw(BASE.but(own_sizes={4: (1 << 64) - 1})),
        format_errors.ImageTruncated,
        "huge",
    ),
    Mutation(
        reader,
        "check_no_trailing_bytes",
        raw(BASE.but(tail=b"x")),
        format_errors.TrailingBytes,
        "1",
    ),
    Mutation(
        reader,
        "check_no_trailing_bytes",
        raw(BASE.but(tail=bytes(11))),
        format_errors.TrailingBytes,
        "11",
    ),
    Mutation(reader, "check_crc", raw(BASE.but(crc=1)), format_errors.CrcMismatch),
    Mutation(
        sections,
        "check_kernel_count",
        raw(_KERNEL_LESS),
        format_errors.SectionMissing,
        "none",
        ValueError,
    ),
    Mutation(
        sections,
        "check_kernel_count",
        raw(BASE.adding((KERNEL_SECTION, KERNEL))),
        format_errors.DuplicateKernel,
    ),
    Mutation(
        sections,
        "check_cmdline_count",
        raw(BASE.but(sections=(BASE.sections[0], *BASE.sections[2:]))),
        format_errors.SectionMissing,
        "none",
    ),
    Mutation(
        sections,
        "check_cmdline_count",
        raw(BASE.adding((CMDLINE_SECTION, b"quiet"))),
        format_errors.DuplicateCmdline,
    ),
    Mutation(
        sections,
        "check_ramdisk_count",
        raw(BASE.but(sections=BASE.sections[:3])),
        format_errors.RamdiskMissing,
    ),
    Mutation(
        sections,
        "check_signature_count",
        raw(BASE.adding((SIGNATURE, b"one"), (SIGNATURE, b"two"))),
        format_errors.DuplicateSignature,
    ),
    Mutation(
        sections,
        "check_metadata_count",
        raw(BASE.but(sections=(*BASE.sections[:2], *BASE.sections[3:]))),
        format_errors.MetadataMissing,
        "none",
    ),
    Mutation(
        sections,
        "check_metadata_count",
        raw(BASE.adding((METADATA, metadata()))),
        format_errors.DuplicateMetadata,
        "two",
    ),
    Mutation(
        sections,
        "check_metadata_count",
        raw(BASE.but(version=3)),
        format_errors.MetadataUnexpected,
        "version 3",
    ),
    Mutation(
        sections, "check_ramdisks_after_kernel", raw(_SWAPPED), format_errors.RamdiskBeforeKernel
    ),
    Mutation(
        sections, "check_not_empty", raw(BASE.adding((RAMDISK, b""))), format_errors.SectionEmpty
    ),
    Mutation(
        sections,
        "check_signature_size",
        raw(BASE.adding((SIGNATURE, bytes(32_769)))),
        format_errors.SignatureTooLarge,
    ),
    Mutation(
        writer,
        "check_fits_table",
        lambda: serialise(_too_many()),
        format_errors.SectionCountInvalid,
        escapes=Exception,
    ),
]


# --- Kernel, command line, metadata --------------------------------------------------------------

LABEL = Metadata("n", "1", BuildMetadata("1970-01-01T00:00:00Z", "t", "1", "Linux", "6.12"))


def _built(**changes: object) -> Callable[[], object]:
    parts = Parts(KERNEL, CMDLINE.decode(), RAMDISKS, LABEL)
    return lambda: build(replace(parts, **changes))  # type: ignore[arg-type]


def _label(section: bytes) -> Callable[[], object]:
    return whole(BASE.replacing(2, section))


CONTENTS = [
    Mutation(kernels, "check_architecture", whole(BASE.but(flags=1)), errors.ArchitectureMismatch),
    Mutation(
        kernels,
        "check_cmdline_length",
        whole(BASE.replacing(1, b"a" * 2048)),
        errors.CmdlineInvalid,
    ),
    Mutation(
        kernels,
        "check_cmdline_text",
        whole(BASE.replacing(1, b"quiet\0 init=/evil")),
        errors.CmdlineInvalid,
        "NUL",
    ),
    Mutation(
        kernels,
        "check_cmdline_text",
        whole(BASE.replacing(1, b"quiet\rinit=/evil")),
        errors.CmdlineInvalid,
        "control",
    ),
    Mutation(
        labels,
        "check_metadata_size",
        _label(metadata(CustomMetadata="x" * (1 << 20))),
        errors.MetadataInvalid,
    ),
    Mutation(
        labels,
        "check_unique",
        _label(metadata()[:-1] + b',"ImageName":"other"}'),
        errors.MetadataInvalid,
    ),
    Mutation(
        labels, "check_members", _label(metadata(Hidden=1)), errors.MetadataInvalid, "unknown"
    ),
    Mutation(
        labels,
        "check_members",
        _label(metadata().replace(b'"ImageName":"sample",', b"")),
        errors.MetadataInvalid,
        "missing",
        KeyError,
    ),
    Mutation(
        labels,
        "check_build_time",
        lambda: replace(LABEL, build=replace(LABEL.build, build_time="now")).to_json(),
        errors.InvalidArgument,
    ),
    Mutation(
        labels,
        "check_custom_size",
        lambda: replace(LABEL, custom={"note": "x" * 4_096}).to_json(),
        errors.InvalidArgument,
    ),
]


# --- The signature -------------------------------------------------------------------------------


def _signed(section: bytes, at: datetime = NOW) -> Callable[[], object]:
    data = BASE.adding((SIGNATURE, section)).data()
    return lambda: verify(data, at, FOREIGN, LIMITS)


def _section(section: bytes) -> Callable[[], object]:
    return lambda: signature.parse_signature(section)


def _tuple(**members: object) -> bytes:
    return cbor2.dumps([members])


_GOOD = signature_section(PCR0)
_PEM, _COSE = (cbor2.loads(_GOOD)[0][name] for name in ("signing_certificate", "signature"))
_OTHER_KEY = KeyInMemory(key("P-384", 2))
_PLAIN = parse(BASE.data())


def _forged() -> bytes:
    envelope = cbor2.loads(bytes(_COSE))
    envelope[3] = bytes([*envelope[3][:-1], envelope[3][-1] ^ 1])
    return _tuple(signing_certificate=_PEM, signature=list(cbor2.dumps(envelope)))


SIGNATURES = [
    Mutation(
        cbor,
        "check_left",
        _section(_GOOD[:-1]),
        errors.SignatureMalformed,
        "cut off",
        errors.SignatureMalformed,
    ),
    Mutation(
        cbor,
        "check_left",
        _section(b"\x81\xa2\x73signing_certificate\x9b" + b"\xff" * 8),
        errors.SignatureMalformed,
        "huge",
        IndexError,
    ),
    Mutation(
        cbor,
        "check_major",
        _section(_tuple(signing_certificate=bytes(_PEM), signature=_COSE)),
        errors.SignatureMalformed,
        "byte string",
        errors.EifError,
    ),
    Mutation(
        cbor,
        "check_shortest",
        _section(_GOOD.replace(b"\x18\x2d", b"\x19\x00\x2d", 1)),
        errors.SignatureMalformed,
    ),
    Mutation(
        cbor,
        "check_octet",
        _section(_tuple(signing_certificate=[256 + _PEM[0], *_PEM[1:]], signature=_COSE)),
        errors.SignatureMalformed,
    ),
    Mutation(
        cbor,
        "check_key",
        _section(_tuple(signature=_COSE, signing_certificate=_PEM)),
        errors.SignatureMalformed,
        "order",
        errors.EifError,
    ),
    Mutation(
        cbor,
        "check_length",
        _section(cbor2.dumps(cbor2.loads(_GOOD) * 2)),
        errors.SignatureMalformed,
        "two tuples",
        errors.SignatureMalformed,
    ),
    Mutation(
        cbor,
        "check_length",
        _section(signature_section(PCR0, unprotected={4: b"kid"})),
        errors.SignatureMalformed,
        "unprotected header",
        errors.SignatureMalformed,
    ),
    Mutation(cbor, "check_end", _section(_GOOD + b"\0"), errors.SignatureMalformed),
    Mutation(
        signature,
        "check_aware",
        _signed(_GOOD, NOW.replace(tzinfo=None)),
        errors.InvalidArgument,
        escapes=TypeError,
    ),
    Mutation(
        signature,
        "check_register",
        _signed(signature_section(pcr(b"another image"))),
        errors.SignatureWrongImage,
        "another image",
    ),
    Mutation(
        signature,
        "check_register",
        _signed(signature_section(PCR0, index=1)),
        errors.SignatureWrongImage,
        "another PCR",
    ),
    Mutation(
        signature,
        "check_not_expired",
        _signed(_GOOD, NOW + timedelta(days=336)),
        errors.CertificateExpired,
    ),
    Mutation(
        signature,
        "check_not_early",
        _signed(_GOOD, NOW - timedelta(days=31)),
        errors.CertificateNotYetValid,
    ),
    Mutation(
        signature,
        "check_algorithm",
        _signed(signature_section(PCR0, protected=bytes.fromhex("a10126"))),
        errors.AlgorithmMismatch,
    ),
    Mutation(
        signature,
        "check_signature_length",
        _signed(signature_section(PCR0, raw=cbor2.loads(bytes(_COSE))[3] + b"\0\0")),
        errors.SignatureInvalid,
        escapes=errors.SignatureInvalid,
    ),
    Mutation(signature, "check_ecdsa", _signed(_forged()), errors.SignatureInvalid),
    Mutation(
        cbor,
        "check_major",
        _section(b"\x9f" + _GOOD[1:] + b"\xff"),
        errors.SignatureMalformed,
        "indefinite length",
        errors.SignatureMalformed,
    ),
]

SIGNING = [
    Mutation(
        signing,
        "check_unsigned",
        lambda: sign(_PLAIN.with_signature(_GOOD), KeyInMemory(key()), certificate(), NOW),
        errors.AlreadySigned,
    ),
    Mutation(
        signing,
        "check_signed",
        lambda: resign(_PLAIN, KeyInMemory(key()), certificate(), NOW),
        errors.NotSigned,
        "resign",
    ),
    Mutation(
        signing,
        "check_signed",
        lambda: unsign(_PLAIN),
        errors.NotSigned,
        "unsign",
        errors.NotSigned,
    ),
    Mutation(
        signing,
        "check_one_certificate",
        lambda: sign(_PLAIN, KeyInMemory(key()), certificate() * 2, NOW),
        errors.CertificateUnusable,
    ),
    Mutation(
        signing,
        "check_key_matches",
        lambda: sign(_PLAIN, _OTHER_KEY, certificate(), NOW),
        errors.KeyMismatch,
        escapes=errors.SignatureInvalid,
    ),
]


# --- Ramdisks ------------------------------------------------------------------------------------


def disk(data: bytes, policy: FilePolicy = FOREIGN) -> Callable[[], object]:
    """Returns an attempt to verify an image with this as its only ramdisk."""
    return whole(BASE.but(sections=(*BASE.sections[:3], (RAMDISK, data))), policy)


def one(path: bytes, mode: int = FILE, content: bytes = b"", **fields: object) -> bytes:
    """Returns an archive of one entry."""
    return cpio(cpio_entry(path, mode, content, **fields))  # type: ignore[arg-type]


A_DIRECTORY = cpio_entry(b"d", DIRECTORY)
LOOSE_FREE = replace(FOREIGN, loose_paths=False)
ODD = b"x" * 5  # needs three bytes of padding

ARCHIVES = [
    Mutation(
        newc, "check_magic", disk(one(b"f", magic=b"070702")), archive_errors.ArchiveUnreadable
    ),
    Mutation(
        newc,
        "check_digits",
        disk(one(b"f").replace(b"000081A4", b"+00081A4")),
        archive_errors.ArchiveFieldInvalid,
    ),
    Mutation(
        newc, "check_no_checksum", disk(one(b"f", check=1)), archive_errors.ArchiveFieldInvalid
    ),
    Mutation(
        newc,
        "check_fits",
        lambda: b"".join(archive([Node.file("f", b"").owned_by(1 << 32, 0)])),
        archive_errors.ArchiveFieldInvalid,
    ),
    Mutation(
        inflate,
        "check_inflated",
        disk(one(b"f", content=bytes(LIMITS.inflated))),
        archive_errors.ArchiveTooLarge,
        "stored",
    ),
    Mutation(
        inflate,
        "check_inflated",
        disk(gzip.compress(one(b"f", content=bytes(LIMITS.inflated)), mtime=0)),
        archive_errors.ArchiveTooLarge,
        "gzip bomb",
    ),
    Mutation(
        inflate,
        "check_entries",
        disk(cpio(*(cpio_entry(b"f%d" % number, FILE) for number in range(101)))),
        archive_errors.ArchiveTooLarge,
    ),
    Mutation(
        inflate,
        "check_names",
        disk(cpio(*(cpio_entry(b"%d" % n + b"n" * 200, FILE) for n in range(50)))),
        archive_errors.ArchiveTooLarge,
        "paths",
    ),
    Mutation(
        inflate,
        "check_names",
        disk(cpio(*(cpio_entry(b"%d" % n, LINK, b"t" * 2_000) for n in range(5)))),
        archive_errors.ArchiveTooLarge,
        "targets",
    ),
    Mutation(ramdisk, "check_aligned", disk(b"\0\0" + one(b"f")), archive_errors.ArchiveUnaligned),
    Mutation(
        ramdisk,
        "check_gzip",
        disk(b"not a ramdisk"),
        archive_errors.ArchiveUnreadable,
        "unknown",
        archive_errors.ArchiveUnreadable,
    ),
    Mutation(
        ramdisk,
        "check_name_end",
        disk(one(b"f", terminator=b"x")),
        archive_errors.PathInvalid,
    ),
    Mutation(
        ramdisk,
        "check_name_size",
        disk(one(b"d/" * 2100 + b"f")),
        archive_errors.PathTooLong,
        "long",
        archive_errors.PathTooLong,
    ),
    Mutation(
        ramdisk,
        "check_name_size",
        disk(cpio_entry(b"", FILE, terminator=b"") + TRAILER),
        archive_errors.PathTooLong,
        "none",
        IndexError,
    ),
    Mutation(
        ramdisk,
        "check_no_nul",
        disk(one(b"init\0.bak")),
        archive_errors.PathInvalid,
        escapes=archive_errors.PathInvalid,
    ),
    Mutation(
        ramdisk,
        "check_padding",
        disk(one(b"f", content=ODD, pad=b"!")),
        archive_errors.ArchivePaddingInvalid,
    ),
    Mutation(
        ramdisk,
        "check_trailer",
        disk(cpio(trailer=cpio_entry(b"TRAILER!!!", 0, b"\0hid"))),
        archive_errors.TrailerNotEmpty,
        escapes=archive_errors.ArchiveUnreadable,
    ),
    Mutation(
        ramdisk,
        "check_target_length",
        disk(one(b"l", LINK, b"t" * 4_096)),
        archive_errors.PathTooLong,
    ),
    Mutation(paths, "check_kind", disk(one(b"f", 0o000644)), archive_errors.ArchiveFieldInvalid),
    Mutation(paths, "check_path_text", disk(one(b"a\rb")), archive_errors.PathInvalid, "control"),
    Mutation(
        paths,
        "check_path_length",
        disk(one(b"c" * 256)),
        archive_errors.PathTooLong,
    ),
    Mutation(paths, "check_not_absolute", disk(one(b"/init")), archive_errors.PathAbsolute),
    Mutation(paths, "check_no_escape", disk(one(b"../init")), archive_errors.PathEscapes),
    Mutation(
        paths,
        "check_normal",
        disk(one(b"./init"), LOOSE_FREE),
        archive_errors.PathNotNormal,
    ),
    Mutation(
        paths,
        "check_parent_made",
        disk(one(b"missing/f"), LOOSE_FREE),
        archive_errors.ParentMissing,
    ),
    Mutation(
        paths,
        "check_parent_directory",
        disk(cpio(cpio_entry(b"d", LINK, b"/etc"), cpio_entry(b"d/passwd", FILE))),
        archive_errors.PathThroughLink,
    ),
    Mutation(
        paths,
        "check_not_twice",
        disk(cpio(cpio_entry(b"f", FILE, b"shown"), cpio_entry(b"f", FILE, b"runs"))),
        archive_errors.DuplicatePath,
        "file",
    ),
    Mutation(
        paths,
        "check_not_twice",
        disk(cpio(A_DIRECTORY, cpio_entry(b"./d", DIRECTORY))),
        archive_errors.DuplicatePath,
        "two spellings",
    ),
    Mutation(
        paths,
        "check_device",
        disk(one(b"mem", CHARACTER, device=(1, 1)), OWN),
        archive_errors.DeviceRefused,
    ),
    Mutation(
        paths, "check_hard_link", disk(one(b"f", nlink=2), OWN), archive_errors.HardLinkRefused
    ),
]

WRITING = [
    Mutation(
        archive_writer,
        "check_not_trailer",
        lambda: list(archive([Node.file("TRAILER!!!", b""), Node.file("z", b"hidden")])),
        archive_errors.PathInvalid,
    ),
    Mutation(
        archive_writer,
        "check_level",
        lambda: list(compress([b"x"], -1)),
        errors.InvalidArgument,
    ),
    Mutation(
        builder,
        "check_ramdisks",
        _built(ramdisks=()),
        errors.InvalidArgument,
    ),
]

MUTATIONS = [*CONTAINER, *CONTENTS, *SIGNATURES, *SIGNING, *ARCHIVES, *WRITING]


def refused_by(data: bytes) -> str:
    """Returns the code of the rule that refuses an image."""
    try:
        verify(data, NOW, FOREIGN, LIMITS)
    except errors.EifError as error:
        return error.code
    return ""
