"""Ramdisks as the kernel reads them: several archives, packed or not, and what is in the way."""

import bz2
import gzip
import hashlib
import lzma
import stat

import pytest
from strongroom_eif import FOREIGN, OWN, Limits, Node, archive, archive_errors, entries, verify
from strongroom_eif.inflate import Budget
from strongroom_eif.paths import FilePolicy, Tree
from strongroom_eif.ramdisk import compression_of

from tests.eif.samples import (
    APPLICATION,
    BOOT_RAMDISK,
    CHARACTER,
    DIRECTORY,
    FILE,
    NOW,
    RAMDISK,
    baseline,
    cpio,
    cpio_entry,
)

ONE = cpio(cpio_entry(b"one", FILE, b"1"))
TWO = cpio(cpio_entry(b"two", FILE, b"22"))


def names(data: bytes, position: int = 0) -> list[str]:
    return [entry.path for entry in entries(data, position=position)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (ONE, ["one"]),
        (ONE + TWO, ["one", "two"]),
        (ONE + bytes(512) + TWO + bytes(3), ["one", "two"]),
        (gzip.compress(ONE, mtime=0), ["one"]),
        (gzip.compress(ONE + TWO, mtime=0), ["one", "two"]),
        (gzip.compress(ONE, mtime=0) + gzip.compress(TWO, mtime=0), ["one", "two"]),
        (
            gzip.compress(ONE + bytes(8), mtime=0) + bytes(5) + gzip.compress(TWO, mtime=0),
            ["one", "two"],
        ),
        (ONE + gzip.compress(TWO, mtime=0), ["one", "two"]),
        (cpio(), []),
        (bytes(100), []),
        (b"", []),
    ],
)
def test_rows_of_archives(data: bytes, expected: list[str]) -> None:
    assert names(data) == expected


def test_an_uncompressed_archive_has_to_be_aligned_over_all_ramdisks() -> None:
    assert names(ONE, position=8) == ["one"]
    with pytest.raises(archive_errors.ArchiveUnaligned):
        names(ONE, position=7)
    assert names(gzip.compress(ONE, mtime=0), position=7) == ["one"]
    odd = gzip.compress(BOOT_RAMDISK, mtime=0)
    odd += bytes(1 - len(odd) % 2)
    assert len(odd) % 2
    sections = (*baseline().sections[:3], (RAMDISK, odd), (RAMDISK, APPLICATION))
    with pytest.raises(archive_errors.ArchiveUnaligned):
        verify(baseline().but(sections=sections).data(), NOW)


def test_fields_come_back_as_they_were_written() -> None:
    data = cpio(
        cpio_entry(
            b"f", 0o104755, b"content", ino=7, uid=1000, gid=2000, nlink=2, mtime=99, device=(8, 1)
        ),
        cpio_entry(b"l", 0o120777, b"../elsewhere"),
    )
    file, link = entries(data)
    assert (file.mode, file.uid, file.gid, file.nlink, file.mtime, file.ino, file.device) == (
        0o104755, 1000, 2000, 2, 99, 7, (8, 1),
    )  # fmt: skip
    assert (file.kind, file.size, file.sha256) == ("file", 7, hashlib.sha256(b"content").digest())
    assert (link.kind, link.target) == ("link", "../elsewhere")


def test_every_cut_of_an_archive_is_refused() -> None:
    assert names(APPLICATION) == ["app", "app/main.py", "app/run"]
    for length in range(1, len(APPLICATION) - 4):
        with pytest.raises(archive_errors.ArchiveError):
            names(APPLICATION[:length])
    packed = gzip.compress(APPLICATION, mtime=0)
    for length in range(1, len(packed)):
        with pytest.raises(archive_errors.ArchiveError) as caught:
            names(packed[:length])
        assert isinstance(
            caught.value, archive_errors.ArchiveTruncated | archive_errors.ArchiveUnreadable
        )


def test_damaged_gzip_is_refused() -> None:
    packed = bytearray(gzip.compress(APPLICATION, mtime=0))
    packed[-8] ^= 1
    with pytest.raises(archive_errors.ArchiveUnreadable):
        names(bytes(packed))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (bz2.compress(ONE), "bzip2"),
        (lzma.compress(ONE), "xz"),
        (b"\x28\xb5\x2f\xfd....", "zstd"),
        (b"\x02\x21\x4c\x18....", "lz4"),
    ],
)
def test_other_compressions_are_named_and_not_looked_into(data: bytes, name: str) -> None:
    assert compression_of(data) == name
    with pytest.raises(archive_errors.CompressionUnsupported):
        names(data)
    image = baseline().replacing(4, data).data()
    verified = verify(image, NOW)
    assert verified.ramdisks[1].entries is None
    assert "ramdisk-unseen" in {notice.code for notice in verified.notices}


def test_limits_count_over_all_ramdisks() -> None:
    both = Limits(inflated=1 << 20, entries=6)
    assert verify(baseline().data(), NOW, limits=both).ramdisks[1].entries == 3
    with pytest.raises(archive_errors.ArchiveTooLarge):
        verify(baseline().data(), NOW, limits=Limits(inflated=1 << 20, entries=5))
    budget = Budget(Limits(inflated=len(ONE), entries=5))
    assert len(list(entries(ONE, budget=budget))) == 1
    with pytest.raises(archive_errors.ArchiveTooLarge):
        list(entries(ONE, budget=budget))


def add(policy: FilePolicy, *nodes: tuple[str, int]) -> None:
    tree = Tree(policy)
    for path, mode in nodes:
        tree.add(path, mode)


def test_directories_may_come_again_in_a_later_archive() -> None:
    tree = Tree(OWN)
    tree.add("d", DIRECTORY, archive=0)
    tree.add("d", DIRECTORY, archive=1)
    tree.add("d/f", FILE, archive=1)
    with pytest.raises(archive_errors.DuplicatePath):
        tree.add("d/f", FILE, archive=2)
    with pytest.raises(archive_errors.DuplicatePath):
        tree.add("d", DIRECTORY, archive=1)


@pytest.mark.parametrize("path", ["./d/f", "d//f", "d/./f", "d/f/"])
def test_second_spellings_count_as_the_same_path(path: str) -> None:
    add(FOREIGN, ("d", DIRECTORY), (path, FILE))
    with pytest.raises(archive_errors.DuplicatePath):
        add(FOREIGN, ("d", DIRECTORY), ("d/f", FILE), (path, FILE))
    with pytest.raises(archive_errors.PathNotNormal):
        add(OWN, ("d", DIRECTORY), (path, FILE))


@pytest.mark.parametrize("path", ["..", "a/..", "../a", "a/../b", "./../a"])
def test_nothing_climbs(path: str) -> None:
    with pytest.raises(archive_errors.PathEscapes):
        add(FOREIGN, (path, FILE))


def test_the_roots_own_entry_is_taken() -> None:
    add(OWN, (".", DIRECTORY), ("a", FILE))


def test_the_console_is_the_only_device_we_build_in() -> None:
    def device(number: int) -> bytes:
        return b"".join(archive([Node.directory("dev"), Node.character_device("dev/x", 5, number)]))

    assert [entry.device for entry in entries(device(1))] == [(0, 0), (5, 1)]
    with pytest.raises(archive_errors.DeviceRefused):
        device(2)
    for kind in (stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK):
        with pytest.raises(archive_errors.DeviceRefused):
            add(OWN, ("x", kind | 0o600))
    add(FOREIGN, ("x", stat.S_IFBLK | 0o600), ("y", CHARACTER))


def test_what_is_remarkable_is_said() -> None:
    ramdisk = cpio(
        cpio_entry(b"su", 0o104755, b"x"),
        cpio_entry(b"h", FILE, nlink=2),
        cpio_entry(b"m", CHARACTER, device=(1, 1)),
    )
    sections = (*baseline().sections[:3], (RAMDISK, ramdisk))
    verified = verify(baseline().but(sections=sections).data(), NOW)
    texts = {notice.text for notice in verified.notices if notice.code == "special-files"}
    assert texts == {
        "the ramdisks hold 1 setuid or setgid files",
        "the ramdisks hold 1 files with several names",
        "the ramdisks hold 1 character devices",
    }
    assert "single-ramdisk" in {notice.code for notice in verified.notices}
    assert (verified.ramdisks[0].entries, verified.ramdisks[0].content_bytes) == (3, 1)
