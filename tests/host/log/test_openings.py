"""Openings: durable when put, private, readable while they are written."""

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from strongroom_host.log.errors import LogDamaged, LogUnwritable, OutsideLog
from strongroom_host.log.openings import OPENINGS, Openings


def test_what_was_put_is_there_again(tmp_path: Path) -> None:
    with Openings(tmp_path, write=True) as openings:
        openings.put({3: b"three", 1: b"one"})
        openings.put({2: b""})
        openings.put({})
    with Openings(tmp_path) as openings:
        assert [openings.get(n) for n in range(5)] == [None, b"one", b"", b"three", None]
        assert openings.get(-1) is None
        assert openings.get(1 << 64) is None


def test_items_come_in_order_and_within_bounds(tmp_path: Path) -> None:
    with Openings(tmp_path, write=True) as openings:
        openings.put({n: b"%d" % n for n in range(1200) if n != 600})
        assert [n for n, _ in openings.items()] == [n for n in range(1200) if n != 600]
        assert list(openings.items(599, 602)) == [(599, b"599"), (601, b"601")]
        assert list(openings.items(1199)) == [(1199, b"1199")]
        assert list(openings.items(5, 5)) == list(openings.items(1200)) == []


def test_a_log_without_openings_has_none(tmp_path: Path) -> None:
    with Openings(tmp_path / "absent") as openings:
        assert openings.get(0) is None
        assert list(openings.items()) == []
        with pytest.raises(LogUnwritable):
            openings.put({0: b"x"})
    assert not (tmp_path / "absent").exists(), "reading makes nothing"


def test_a_reader_sees_what_a_writer_adds(tmp_path: Path) -> None:
    with Openings(tmp_path, write=True) as writer, Openings(tmp_path) as reader:
        seen = reader.items()
        writer.put(dict.fromkeys(range(600), b"x"))
        assert next(seen) == (0, b"x")
        writer.put({600: b"late"})
        assert len(list(seen)) == 600, "the reader goes on page by page"
        assert reader.get(600) == b"late"


def test_a_reader_may_not_write(tmp_path: Path) -> None:
    with Openings(tmp_path, write=True) as writer:
        writer.put({0: b"x"})
        with Openings(tmp_path) as reader, pytest.raises(LogUnwritable):
            reader.put({0: b"y"})
        assert writer.get(0) == b"x"


def test_the_opening_of_a_leaf_that_never_was_stored_is_replaced(tmp_path: Path) -> None:
    with Openings(tmp_path, write=True) as openings:
        openings.put({7: b"never stored"})
        openings.put({7: b"the one"})
        assert openings.get(7) == b"the one"


def test_nobody_else_may_read_them(tmp_path: Path) -> None:
    with Openings(tmp_path, write=True) as openings:
        openings.put({0: b"x"})
        for path in tmp_path.glob(f"{OPENINGS}*"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_no_index_that_a_log_cannot_have(tmp_path: Path) -> None:
    with Openings(tmp_path, write=True) as openings:
        for index in (-1, 1 << 63):
            with pytest.raises(OutsideLog):
                openings.put({0: b"x", index: b"y"})
        assert openings.get(0) is None, "all or none"


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / OPENINGS).write_bytes(b"no database at all" * 100)
    for write in (False, True):
        with pytest.raises(LogDamaged):
            Openings(tmp_path, write=write)
    (tmp_path / OPENINGS).unlink()
    database = sqlite3.connect(tmp_path / OPENINGS)
    database.execute("PRAGMA user_version = 9")
    database.close()
    for write in (False, True):
        with pytest.raises(LogDamaged):
            Openings(tmp_path, write=write)


def test_killed_right_after_put_they_are_there(tmp_path: Path) -> None:
    program = (
        "import os, sys, pathlib\n"
        "from strongroom_host.log.openings import Openings\n"
        "openings = Openings(pathlib.Path(sys.argv[1]), write=True)\n"
        "openings.put({5: b'kept'})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)]).returncode == -9
    with Openings(tmp_path) as openings:
        assert openings.get(5) == b"kept"
