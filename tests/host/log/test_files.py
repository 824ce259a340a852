"""A log in a directory: what is appended stays, once and in order, whatever cuts it short."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strongroom_host.log.errors import (
    LeafConflict,
    LogBusy,
    LogDamaged,
    LogUnwritable,
    OutsideLog,
    PositionMissed,
)
from strongroom_host.log.files import LogFiles
from strongroom_host.log.tiles import CHECKPOINT, ENTRIES, Tile, bundle
from strongroom_host.log.tree import LogReader
from strongroom_wire.bundle import EMPTY_LOG

from tests.host.log.histories import checkpoint, stored
from tests.wire.test_merkle import grown

ENTRIES_600 = [b"leaf %d" % n for n in range(600)]


def published(folder: Path, entries: list[bytes]) -> Path:
    """Return a folder with a log of these entries and its checkpoint."""
    with LogFiles(folder) as log:
        log.append(0, entries)
        log.publish(checkpoint(log.head))
    return folder


class Folder:
    """A storage that reads a folder as a plain file server would, and knows nothing of tails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, path: str) -> bytes | None:
        file = self.folder / path
        return file.read_bytes() if file.is_file() else None


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 600])
def test_files_are_those_of_the_layout(tmp_path: Path, size: int) -> None:
    entries = ENTRIES_600[:size]
    published(tmp_path, entries)
    expected = stored(entries, checkpoint(grown(entries).head))
    found = {
        path.relative_to(tmp_path).as_posix(): path.read_bytes()
        for path in [tmp_path / CHECKPOINT, *tmp_path.glob("tile/**/*")]
        if path.is_file()
    }
    assert found == expected


@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 600), max_size=8))
def test_any_batches_make_the_same_log(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    folder, at = tmp_path_factory.mktemp("log"), 0
    for cut in [*sorted(cuts), 600]:
        with LogFiles(folder) as log:
            assert (log.size, log.head) == (at, grown(ENTRIES_600[:at]).head)
            log.append(at, ENTRIES_600[at:cut])
            log.publish(checkpoint(log.head))
            at = cut
            assert list(log.reader().entries()) == ENTRIES_600[:at]
    reader = LogReader(Folder(folder), grown(ENTRIES_600).head)
    assert list(reader.entries()) == ENTRIES_600
    for index in (0, 255, 256, 599):
        assert reader.entry(index) == ENTRIES_600[index]


def test_one_by_one_over_two_bundles(tmp_path: Path) -> None:
    with LogFiles(tmp_path) as log:
        for n, entry in enumerate(ENTRIES_600[:520]):
            log.append(n, [entry])
            assert log.size == n + 1
        assert log.head == grown(ENTRIES_600[:520]).head
        assert log.reader().frontier().head == log.head
        for old in (1, 255, 256, 300, 512, 519):
            log.reader().continues(log.reader(old).head)
            assert list(log.reader(old).entries()) == ENTRIES_600[:old]
    with LogFiles(tmp_path) as log:
        assert list(log.reader().entries()) == ENTRIES_600[:520]


def test_levels_above_the_first(tmp_path: Path) -> None:
    entries = [b"%d" % n for n in range(256 * 257 + 3)]
    for path, data in stored(entries[: 256 * 255]).items():
        if ".p/" not in path:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(data)
    with LogFiles(tmp_path) as log:
        assert log.head == grown(entries[: 256 * 255]).head
        log.append(256 * 255, entries[256 * 255 :])
        head = log.head
        log.publish(checkpoint(head))
    assert head == grown(entries).head
    with LogFiles(tmp_path) as log:
        assert log.head == head
        log.append(log.size, [b"one more"])
        assert log.head == grown([*entries, b"one more"]).head
    reader = LogReader(Folder(tmp_path), head)
    assert reader.entry(65_536) == entries[65_536]
    assert reader.entry(256 * 257 + 2) == entries[-1]


def test_an_append_is_repeated_without_harm(tmp_path: Path) -> None:
    with LogFiles(tmp_path) as log:
        log.append(0, ENTRIES_600[:300])
        log.append(0, ENTRIES_600[:300])
        log.append(290, ENTRIES_600[290:310])
        log.append(5, [])
        assert log.size == 310
        assert list(log.reader().entries()) == ENTRIES_600[:310]


@pytest.mark.parametrize("at", [0, 255, 256, 299])
def test_no_place_ever_names_two_leaves(tmp_path: Path, at: int) -> None:
    with LogFiles(tmp_path) as log:
        log.append(0, ENTRIES_600[:300])
        for entries in ([b"another"], [b"another", *ENTRIES_600[at + 1 : 305]]):
            with pytest.raises(LeafConflict):
                log.append(at, entries)
        with pytest.raises(LeafConflict):
            log.append(0, [*ENTRIES_600[:at], b"another"])
        assert list(log.reader().entries()) == ENTRIES_600[:300]


def test_no_leaf_is_left_out(tmp_path: Path) -> None:
    with LogFiles(tmp_path) as log:
        log.append(0, ENTRIES_600[:3])
        for index in (4, 256, 1 << 40):
            with pytest.raises(PositionMissed):
                log.append(index, [b"x"])
        with pytest.raises(OutsideLog):
            log.append(-1, [b"x"])
        for entry in (b"", bytes(1 << 16)):
            with pytest.raises(OutsideLog):
                log.append(3, [b"good", entry])
        assert log.size == 3
        log.append(3, [bytes(1 << 16)[1:]])
    with LogFiles(tmp_path) as log:
        assert list(log.reader().entries()) == [*ENTRIES_600[:3], bytes((1 << 16) - 1)]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with LogFiles(tmp_path), pytest.raises(LogBusy):
        LogFiles(tmp_path)
    LogFiles(tmp_path).close()


# --- publishing -----------------------------------------------------------------------------------


def test_a_checkpoint_must_be_of_what_is_stored(tmp_path: Path) -> None:
    published(tmp_path, ENTRIES_600[:300])
    with LogFiles(tmp_path) as log:
        log.append(300, ENTRIES_600[300:400])
        wrong = {
            "more than is stored": grown(ENTRIES_600[:401]).head,
            "another history": grown([b"x", *ENTRIES_600[1:350]]).head,
            "older than the one served": grown(ENTRIES_600[:299]).head,
        }
        for head in wrong.values():
            with pytest.raises(LogDamaged):
                log.publish(checkpoint(head))
        assert log.read(CHECKPOINT) == checkpoint(grown(ENTRIES_600[:300]).head)
        assert log.published == 300
        log.publish(checkpoint(grown(ENTRIES_600[:350]).head))
        assert log.published == 350
    reader = LogReader(Folder(tmp_path), grown(ENTRIES_600[:350]).head)
    assert reader.entry(349) == ENTRIES_600[349]


def test_published_sizes_stay_readable_until_their_full_tiles_are_there(tmp_path: Path) -> None:
    heads = []
    with LogFiles(tmp_path) as log:
        for size in (3, 100, 200, 256, 300):
            log.append(log.size, ENTRIES_600[log.size : size])
            log.publish(checkpoint(log.head))
            heads.append(log.head)
    for head in heads:
        reader = LogReader(Folder(tmp_path), head)
        assert list(reader.entries()) == ENTRIES_600[: head.size]
        assert reader.entry(head.size - 1) == ENTRIES_600[head.size - 1]
    assert not (tmp_path / "tile/0/000.p").exists()


# --- crashes and damage ---------------------------------------------------------------------------


def test_a_tail_cut_anywhere_is_the_longest_whole_prefix(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with LogFiles(source) as log:
        log.append(0, ENTRIES_600[:260])
    whole = (source / "tail.1").read_bytes()
    length = len(whole) // 4
    for cut in range(len(whole) + 1):
        folder = tmp_path / "copy"
        shutil.copytree(source, folder)
        (folder / "tail.1").write_bytes(whole[:cut])
        with LogFiles(folder) as log:
            kept = 256 + cut // length
            assert list(log.reader().entries()) == ENTRIES_600[:kept]
            log.append(kept, [b"after"])
        with LogFiles(folder) as log:
            assert list(log.reader().entries()) == [*ENTRIES_600[:kept], b"after"]
        shutil.rmtree(folder)


@pytest.mark.parametrize("rest", [bytes(4096), b"\xff" * 100, b"\x00\x05hello" + bytes(8)])
def test_what_a_crash_left_after_the_tail_is_no_leaf(tmp_path: Path, rest: bytes) -> None:
    with LogFiles(tmp_path) as log:
        log.append(0, ENTRIES_600[:4])
    with (tmp_path / "tail.0").open("ab") as file:
        file.write(rest)
    with LogFiles(tmp_path) as log:
        log.append(4, ENTRIES_600[4:6])
    with LogFiles(tmp_path) as log:
        assert list(log.reader().entries()) == ENTRIES_600[:6]


class Cut(Exception):
    """The moment at which a process was killed."""


def _interrupted(monkeypatch: pytest.MonkeyPatch, after: int, job: Callable[[], object]) -> bool:
    """Run the job and stop it before its n-th call that changes the disk."""
    calls = 0
    steps = ((os, "write"), (os, "open"), (os, "replace"), (os, "unlink"), (os, "mkdir"))

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls > after:
                raise Cut
            return call(*arguments, **options)

        return wrapped

    with monkeypatch.context() as patch:
        for module, name in steps:
            patch.setattr(module, name, counted(getattr(module, name)))
        try:
            job()
        except Cut:
            return True
    return False


@pytest.mark.parametrize(("start", "end"), [(254, 258), (0, 3), (511, 513)])
def test_killed_before_every_single_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int, end: int
) -> None:
    """Opening, appending across a bundle's end and publishing: stopped at each step in turn."""
    source, folder = published(tmp_path / "source", ENTRIES_600[:start]), tmp_path / "copy"

    def job() -> None:
        with LogFiles(folder) as log:
            log.append(start, ENTRIES_600[start:end])
            log.publish(checkpoint(grown(ENTRIES_600[:end]).head))

    for after in range(200):
        shutil.copytree(source, folder)
        cut = _interrupted(monkeypatch, after, job)
        with LogFiles(folder) as again:
            size = again.size
            assert start <= size <= end
            assert list(again.reader().entries()) == ENTRIES_600[:size]
            assert again.published in (start, end)
            assert {tail.name for tail in folder.glob("tail.*")} <= {f"tail.{size // 256}"}
            again.append(start, ENTRIES_600[start:end])
            again.publish(checkpoint(again.head))
            assert again.head == grown(ENTRIES_600[:end]).head
        reader = LogReader(Folder(folder), grown(ENTRIES_600[:end]).head)
        assert list(reader.entries()) == ENTRIES_600[:end]
        assert reader.entry(end - 1) == ENTRIES_600[end - 1]
        shutil.rmtree(folder)
        if not cut:
            assert after > 5
            return
    pytest.fail("the job never ran to its end")


def test_a_full_disk_is_told_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with LogFiles(tmp_path) as log:
        log.append(0, ENTRIES_600[:5])
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(LogUnwritable) as told:
                log.append(5, ENTRIES_600[5:7])
            assert "make room" in told.value.remedy
            with pytest.raises(LogUnwritable):
                log.publish(checkpoint(log.head))
        with pytest.raises(LogUnwritable):  # what is on the disk is not known any more
            log.append(5, ENTRIES_600[5:7])
    with LogFiles(tmp_path) as log:
        log.append(5, ENTRIES_600[5:7])
        assert list(log.reader().entries()) == ENTRIES_600[:7]


def _damage() -> dict[str, Callable[[Path], object]]:
    def rewrite(path: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
        return lambda folder: (folder / path).write_bytes(change((folder / path).read_bytes()))

    return {
        "a bundle is gone": lambda folder: (folder / Tile(ENTRIES, 0).path).unlink(),
        "the last bundle is gone": lambda folder: (folder / Tile(ENTRIES, 1).path).unlink(),
        "a tile is gone": lambda folder: (folder / Tile(0, 0).path).unlink(),
        "a tile was changed": rewrite(Tile(0, 1).path, lambda data: bytes(32) + data[32:]),
        "the tail is gone": lambda folder: (folder / "tail.2").unlink(),
        "the tail was changed": rewrite("tail.2", lambda data: data.replace(b"515", b"xxx")),
        "the tail is an old copy": rewrite("tail.2", lambda data: data[:20]),
        "the checkpoint is of another log": lambda folder: (folder / CHECKPOINT).write_bytes(
            checkpoint(grown([b"x"] * 520).head)
        ),
        "the checkpoint is ahead": lambda folder: (folder / CHECKPOINT).write_bytes(
            checkpoint(grown(ENTRIES_600[:521]).head)
        ),
    }


@pytest.mark.parametrize("name", [name for name in _damage() if " is gone" in name][:3])
def test_a_gap_is_found_without_a_checkpoint_too(tmp_path: Path, name: str) -> None:
    with LogFiles(tmp_path) as log:
        log.append(0, ENTRIES_600[:520])
    _damage()[name](tmp_path)
    with pytest.raises(LogDamaged):
        LogFiles(tmp_path)
    assert (tmp_path / "tail.2").exists()


def test_a_gap_is_found_where_no_leaf_is_after_the_last_bundle(tmp_path: Path) -> None:
    with LogFiles(tmp_path) as log:
        log.append(0, ENTRIES_600[:512])
    (tmp_path / Tile(ENTRIES, 0).path).unlink()
    with pytest.raises(LogDamaged) as damaged:
        LogFiles(tmp_path)
    assert damaged.value.expected == Tile(ENTRIES, 0).path


@pytest.mark.parametrize("damage", _damage().values(), ids=_damage())
def test_a_damaged_log_is_not_gone_on_with(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    published(tmp_path, ENTRIES_600[:520])
    damage(tmp_path)
    with pytest.raises(LogDamaged):
        LogFiles(tmp_path)
    with pytest.raises(LogDamaged):  # and not LogBusy: the lock was let go
        LogFiles(tmp_path)


def test_what_is_full_is_never_written_again_otherwise(tmp_path: Path) -> None:
    with LogFiles(tmp_path) as log:
        log.append(0, ENTRIES_600[:255])
        (tmp_path / "tile/entries").mkdir(parents=True)
        (tmp_path / Tile(ENTRIES, 0).path).write_bytes(bundle([b"x"] * 256))
        with pytest.raises(LogDamaged):
            log.append(255, [ENTRIES_600[255]])
    assert (tmp_path / Tile(ENTRIES, 0).path).read_bytes() == bundle([b"x"] * 256)


def test_the_empty_log(tmp_path: Path) -> None:
    with LogFiles(tmp_path / "deep" / "down") as log:
        assert (log.size, log.head, log.published) == (0, EMPTY_LOG, 0)
        assert log.read(CHECKPOINT) is None
        assert log.read("lock") is None
        assert log.read("tail.0") is None
        log.publish(checkpoint(EMPTY_LOG))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LogUnwritable):
        LogFiles(tmp_path / "file" / "log")
