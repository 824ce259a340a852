"""What only a directory has: files, modes, a ledger, a disk that is full, and kill -9."""

from __future__ import annotations

import os
import random
import resource
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from strongroom_host.archive.check import ArchiveProblem, Trusted, check
from strongroom_host.archive.errors import (
    ArchiveUnwritable,
    LocationMalformed,
    ObjectAltered,
    ObjectMissing,
    RetentionMalformed,
    Unprotected,
)
from strongroom_host.archive.export import export
from strongroom_host.archive.folder import FolderStore, clear_immutable
from strongroom_host.archive.manifest import segment_key
from strongroom_host.archive.places import open_store
from strongroom_host.archive.store import DAY_MS, Protection, parse_retention

from tests.conftest import SOAK
from tests.host.archive import orders
from tests.host.archive.orders import KEY, YEAR, archived, log_of, order_for, order_of


def problems(folder: Path) -> set[tuple[ArchiveProblem, str]]:
    report = check(FolderStore(folder), Trusted(openings_key=KEY), now_ms=orders.NOW)
    return {(each.problem, each.where) for each in report.findings}


def immutable(path: Path) -> bool:
    """Whether the file system has the flag and it is set: then nobody overwrites the file."""
    try:
        with path.open("r+b"):
            return False
    except PermissionError:
        return os.geteuid() == 0


def overwrite(path: Path, data: bytes) -> None:
    """As somebody does who may remove what protects a file."""
    clear_immutable(path)
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


def test_files_are_read_only_and_immutable_where_that_can_be(folder: Path, tmp_path: Path) -> None:
    archived(log_of(20), tmp_path, FolderStore(folder))
    files = [path for path in folder.glob("*/*") if path.is_file()]
    assert len(files) == 4
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
    probe = tmp_path / "probe"
    probe.touch()
    if subprocess.run(["chattr", "+i", probe], capture_output=True, check=False).returncode:
        pytest.skip("this user or file system has no immutable files; modes were checked")
    clear_immutable(probe)
    assert all(map(immutable, files))


def test_another_content_under_a_name_is_refused(folder: Path, tmp_path: Path) -> None:
    found = archived(log_of(20), tmp_path, FolderStore(folder)).manifest
    key = segment_key(found.segments[0])
    data = (folder / key).read_bytes()
    overwrite(folder / key, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ObjectAltered) as caught:
        FolderStore(folder).read(key)
    assert caught.value.actual != caught.value.expected
    assert (ArchiveProblem.ALTERED, key) in problems(folder)
    overwrite(folder / key, data)
    assert problems(folder) == set()
    with pytest.raises(ArchiveUnwritable):
        FolderStore(folder).put(key, data, Protection("WRITE-ONCE", orders.NOW, hold=False))


def test_a_writable_file_is_not_protected(folder: Path, tmp_path: Path) -> None:
    found = archived(log_of(20), tmp_path, FolderStore(folder)).manifest
    key = segment_key(found.segments[0])
    clear_immutable(folder / key)
    (folder / key).chmod(0o644)
    assert problems(folder) == {(ArchiveProblem.UNPROTECTED, key)}
    done = archived(log_of(20), tmp_path / "again", FolderStore(folder))
    assert done.renewed == (key,)
    assert problems(folder) == set()


def test_a_deleted_file_is_named_and_stored_again(folder: Path, tmp_path: Path) -> None:
    found = archived(log_of(20), tmp_path, FolderStore(folder)).manifest
    key = segment_key(found.segments[0])
    clear_immutable(folder / key)
    (folder / key).unlink()
    assert (ArchiveProblem.MISSING, key) in problems(folder)
    for ask in (FolderStore(folder).read, FolderStore(folder).protection):
        with pytest.raises(ObjectMissing):
            ask(key)
    added = archived(log_of(20), tmp_path / "again", FolderStore(folder)).added
    assert [each.partition("/")[0] for each in added] == ["segments", "events"]
    assert problems(folder) == set()


def test_the_ledger_survives_a_line_that_was_cut_short(folder: Path, tmp_path: Path) -> None:
    archived(log_of(20), tmp_path / "1", FolderStore(folder))
    ledger = folder / "protection.log"
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + b'["segm')
    assert problems(folder) == set()
    archived(log_of(20).decide(True), tmp_path / "2", FolderStore(folder))
    assert ledger.read_bytes().startswith(whole)
    assert b'["segm["' not in ledger.read_bytes()
    assert problems(folder) == set()


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1,2,3]\n", b'["a",-5,true]\n', b"\xff\n"])
def test_an_unreadable_ledger_is_named(folder: Path, tmp_path: Path, line: bytes) -> None:
    archived(log_of(20), tmp_path, FolderStore(folder))
    with (folder / "protection.log").open("ab") as ledger:
        ledger.write(line)
    with pytest.raises(Unprotected, match="line 5"):
        problems(folder)


def test_an_earlier_date_in_the_ledger_shortens_nothing(folder: Path, tmp_path: Path) -> None:
    found = archived(log_of(20), tmp_path, FolderStore(folder)).manifest
    key = segment_key(found.segments[0])
    kept = FolderStore(folder).protection(key)
    with (folder / "protection.log").open("ab") as ledger:
        ledger.write(f'["{key}",5,false]\n'.encode())
    assert FolderStore(folder).protection(key) == kept


def test_without_a_ledger_nothing_is_protected(folder: Path, tmp_path: Path) -> None:
    archived(log_of(20), tmp_path, FolderStore(folder))
    (folder / "protection.log").unlink()
    assert {problem for problem, _ in problems(folder)} == {ArchiveProblem.UNPROTECTED}


def test_a_full_disk_is_explained_and_a_rerun_completes(folder: Path, tmp_path: Path) -> None:
    order = order_for(log_of(300), tmp_path, openings_key=KEY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond that, as on a disk that is full: the second segment does not fit.
    sizes = [10_000, 40_000]
    for size in sizes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with pytest.raises(ArchiveUnwritable) as caught:
                export(order, FolderStore(folder))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "again" in caught.value.remedy
        assert [path for path in folder.rglob("*-*") if path.stat().st_size > size] == []
        assert list((folder / "incoming").iterdir()) == []
    export(order, FolderStore(folder))
    assert problems(folder) == set()


@pytest.mark.slow
def test_kill_9_at_any_moment_and_a_rerun_completes(folder: Path, tmp_path: Path) -> None:
    seed = time.time_ns()
    dice = random.Random(seed)  # noqa: S311 - repeatable
    log = log_of(300).store(tmp_path)
    program = [sys.executable, "-m", "tests.host.archive.dying_writer", str(log), str(folder)]
    for _ in range(40 if SOAK else 4):
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = dice.randrange(1, 8)
            for _ in range(lines):
                if process.stdout.readline() == "":
                    break
            time.sleep(dice.random() / 100)
            process.kill()
        for path in folder.glob("*/*-*"):
            # Whatever is there is whole.
            key = path.relative_to(folder).as_posix()
            FolderStore(folder).read(key)
            assert FolderStore(folder).protection(key).until_ms > orders.NOW, seed
    later = orders.NOW + 600_000
    export(order_of(log, openings_key=KEY, now_ms=later), FolderStore(folder))
    assert problems(folder) == set(), seed
    assert list((folder / "incoming").iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveUnwritable):
        archived(log_of(20), tmp_path, FolderStore(tmp_path / "file" / "archive"))


@pytest.mark.parametrize("place", ["s3://", "s3://A/b", "s3://ab", "http://x", "s3://-aa/b"])
def test_a_place_that_is_none_is_named(place: str) -> None:
    with pytest.raises(LocationMalformed):
        open_store(place)


def test_places_are_told_apart(tmp_path: Path, credentials: None) -> None:
    assert open_store(str(tmp_path)).place == str(tmp_path)
    assert open_store("s3://some-bucket/a/b/", region="eu-1").place == "s3://some-bucket/a/b/"
    assert open_store("s3://some-bucket", region="eu-1").place == "s3://some-bucket/"


def test_periods() -> None:
    assert parse_retention("90d") == 90 * DAY_MS
    assert parse_retention("6y") == 6 * YEAR
    for wrong in ("", "6", "0d", "-1d", "6 y", "101y", "36601d", "6m", "٦y", "1e3d"):
        with pytest.raises(RetentionMalformed):
            parse_retention(wrong)
