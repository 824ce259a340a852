"""A witness's folder: a key and its memory belong together, and nothing is signed without both."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from strongroom_host.log.notes import SignatureType
from strongroom_host.private_files import FileExposed
from strongroom_host.witness.errors import (
    FolderInvalid,
    MemoryBroken,
    MemoryMissing,
    SizeConflict,
)
from strongroom_host.witness.folder import WitnessFolder, WitnessKey
from strongroom_host.witness.memory import Recorded
from strongroom_wire.bundle import LogHead

from tests.host.witness.logs import NAME, ORIGIN, Log, Station

LOG = Log()


def test_a_folder_is_private_and_made_once(tmp_path: Path) -> None:
    folder = WitnessFolder(tmp_path / "w")
    public = folder.create(NAME)
    assert (public.name, public.kind) == (NAME, SignatureType.COSIGNATURE)
    assert folder.key().public == public
    assert folder.root.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.root.iterdir())
    with pytest.raises(FolderInvalid):
        folder.create(NAME)
    for half in (folder.memory_path, folder.key_path):
        half.rename(tmp_path / half.name)
        with pytest.raises(FolderInvalid):
            folder.create(NAME)
        (tmp_path / half.name).rename(half)


def test_an_exposed_key_is_refused(tmp_path: Path) -> None:
    folder = WitnessFolder(tmp_path / "w")
    folder.create(NAME)
    folder.key_path.chmod(0o640)
    with pytest.raises(FileExposed):
        folder.key()


def test_a_key_without_its_memory_signs_nothing(tmp_path: Path) -> None:
    folder = WitnessFolder(tmp_path / "w")
    folder.create(NAME)
    folder.memory_path.unlink()
    with pytest.raises(MemoryMissing):
        folder.memory()
    assert not folder.memory_path.exists()
    folder.memory_path.touch()
    with pytest.raises(MemoryBroken):  # an empty file is no memory either
        folder.memory()


def test_a_memory_is_of_one_key(tmp_path: Path) -> None:
    one, other = WitnessFolder(tmp_path / "one"), WitnessFolder(tmp_path / "other")
    one.create(NAME)
    other.create(NAME)
    one.memory_path.replace(other.memory_path)
    with pytest.raises(FolderInvalid):
        other.memory()


def test_a_memory_of_another_version_or_none_is_refused(tmp_path: Path) -> None:
    folder = WitnessFolder(tmp_path / "w")
    folder.create(NAME)
    database = sqlite3.connect(folder.memory_path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(MemoryBroken):
        folder.memory()
    folder.memory_path.write_bytes(b"something else entirely, and long enough for a header" * 9)
    with pytest.raises(MemoryBroken):
        folder.memory()


def test_a_key_file_is_exactly_one_key(tmp_path: Path) -> None:
    folder = WitnessFolder(tmp_path / "w")
    folder.create(NAME)
    good = folder.key_path.read_bytes()
    assert WitnessKey.parse(good).serialise() == good
    for bad in (b"", good + b"\n", good[:-3], good.replace(b"w1+", b"w2+"), b"PRIVATE+KEY+a+b"):
        with pytest.raises(FolderInvalid):
            WitnessKey.parse(bad)
    assert repr(WitnessKey.parse(good)) == f"WitnessKey(name={NAME!r})"


def test_a_decision_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    station = Station(tmp_path / "w", LOG.vkey)
    station.witness.add_checkpoint(LOG.submission(0, 3))
    before = station.memory.recorded(ORIGIN)

    def judge(_known: Recorded | None) -> Recorded:
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        station.memory.advance(ORIGIN, judge)
    assert station.memory.recorded(ORIGIN) == before
    station.witness.add_checkpoint(LOG.submission(3, 4))


def test_two_processes_share_one_memory(tmp_path: Path) -> None:
    station = Station(tmp_path / "w", LOG.vkey)
    other = Station(tmp_path / "w")
    station.witness.add_checkpoint(LOG.submission(0, 3))
    other.witness.add_checkpoint(LOG.submission(3, 5))
    recorded = station.memory.recorded(ORIGIN)
    assert recorded is not None
    assert recorded.head == LOG.head(5)


def test_nobody_writes_between_reading_and_writing(tmp_path: Path) -> None:
    """Another process asks, with another history, in the middle of a decision: it has to wait."""
    station, other = Station(tmp_path / "w", LOG.vkey), Station(tmp_path / "w")
    station.witness.add_checkpoint(LOG.submission(0, 3))
    fork = Log("fork", shared=3)
    with ThreadPoolExecutor(1) as pool:
        waiting: list[Future[bytes]] = []

        def judge(known: Recorded | None) -> Recorded:
            waiting.append(pool.submit(other.witness.add_checkpoint, fork.submission(3, 4)))
            with pytest.raises(TimeoutError):
                waiting[0].result(0.3)
            assert known is not None
            return Recorded(LOG.head(5), 1, LOG.note(5))

        station.memory.advance(ORIGIN, judge)
        with pytest.raises(SizeConflict):
            waiting[0].result(20)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_memory_that_cannot_be_written_signs_nothing(tmp_path: Path) -> None:
    station = Station(tmp_path / "w", LOG.vkey)
    station.memory.close()
    for path in (station.folder.memory_path, station.folder.root):
        path.chmod(0o500 if path.is_dir() else 0o400)
    with pytest.raises(MemoryBroken):
        station.folder.memory()


def test_a_full_disk_signs_nothing(tmp_path: Path) -> None:
    station = Station(tmp_path / "w", LOG.vkey)
    station.witness.add_checkpoint(LOG.submission(0, 3))
    database = station.memory._database
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")
    grown = Log(origin=ORIGIN)
    note = grown.note(5)
    with pytest.raises(MemoryBroken):
        station.memory.advance(ORIGIN, lambda _: Recorded(grown.head(5), 1, note + bytes(200_000)))
    recorded = station.memory.recorded(ORIGIN)
    assert recorded is not None
    assert recorded.head == LOG.head(3)


def test_sizes_beyond_what_a_database_counts(tmp_path: Path) -> None:
    station = Station(tmp_path / "w", LOG.vkey)
    largest = (1 << 64) - 1
    recorded = Recorded(LogHead(largest, bytes(32)), 1, b"note")
    station.memory.advance(ORIGIN, lambda _: recorded)
    assert station.memory.recorded(ORIGIN) == recorded
