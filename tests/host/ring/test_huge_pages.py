"""Slots on huge pages where there are any, a reason where there are none."""

import os
from pathlib import Path

import pytest
from strongroom_host.ring.errors import RingInvalid
from strongroom_host.ring.hugepages import make_huge
from strongroom_host.ring.listing import look_at, remove_ring
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.writer import RingWriter

from tests.host.ring.torture import LANES, lanes, publish


@pytest.fixture
def huge(ring_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that plays the mounted hugetlbfs; its pages are ordinary ones."""
    folder = ring_folder / "huge"
    folder.mkdir()
    monkeypatch.setenv("STRONGROOM_RING_HUGE_DIR", str(folder))
    return folder


def test_the_slots_are_in_a_file_of_their_own(huge: Path) -> None:
    with (
        RingWriter.create("ring", slots=64, huge=True) as writer,
        RingReader.attach("ring") as reader,
    ):
        assert writer.note == ""
        (file,) = huge.iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        assert look_at("ring").shape.huge_path == str(file)
        publish(writer, 70)
        seen = 0
        while (tick := reader.poll()) is not None:
            seen = LANES.unpack_from(tick)[0]
            assert LANES.unpack_from(tick) == lanes(seen)
        assert seen == 70
    assert list(huge.iterdir()) == []


def test_a_killed_producers_slots_are_taken_over(huge: Path) -> None:
    writer = RingWriter.create("ring", slots=64, huge=True)
    publish(writer, 5)
    writer._abandon()
    with RingWriter.create("ring", slots=64) as successor:
        assert successor.position == 5
        successor._segment.end()
    assert list(huge.iterdir()) == []


@pytest.mark.parametrize("damage", ["gone", "short", "exposed", "link"])
def test_slots_that_are_not_safely_there_are_refused(huge: Path, damage: str) -> None:
    writer = RingWriter.create("ring", slots=64, huge=True)
    writer._abandon()
    (file,) = huge.iterdir()
    if damage == "gone":
        file.unlink()
    elif damage == "short":
        os.truncate(file, 4096 - 64)
    elif damage == "exposed":
        file.chmod(0o622)
    else:
        file.rename(huge / "other")
        file.symlink_to(huge / "other")
    for use in (lambda: RingReader.attach("ring"), lambda: RingWriter.create("ring", slots=64)):
        with pytest.raises(RingInvalid, match="huge pages") as refused:
            use()
        assert "ring remove" in refused.value.remedy
    remove_ring("ring")
    RingWriter.create("ring", slots=64).close()


def test_without_huge_pages_the_ring_is_made_all_the_same(
    huge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strongroom_host.ring.hugepages._mount", lambda: None)
    with RingWriter.create("ring", huge=True) as writer:
        assert "vm.nr_hugepages" in writer.note
        assert look_at("ring").shape.huge_path == ""
        publish(writer, 1)


def test_none_reserved_is_told_from_none_mounted(
    huge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_free(*arguments: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("strongroom_host.ring.hugepages.mmap.mmap", none_free)
    found = make_huge("ring", 1 << 20, 0o600)
    assert found.path == ""
    assert "are not free (Cannot allocate memory)" in found.reason
    assert list(huge.iterdir()) == []
    monkeypatch.setenv("STRONGROOM_RING_HUGE_DIR", str(huge / "missing"))
    assert "cannot be made" in make_huge("ring", 1 << 20, 0o600).reason


def test_a_ring_left_on_ordinary_pages_stays_there_and_says_so(huge: Path) -> None:
    RingWriter.create("ring").close(keep=True)
    with RingWriter.create("ring", huge=True) as writer:
        assert "ordinary pages" in writer.note


def test_the_mounts_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from strongroom_host.ring import hugepages

    monkeypatch.delenv("STRONGROOM_RING_HUGE_DIR", raising=False)
    mounts = f"tmpfs /dev/shm tmpfs rw 0 0\nnone {tmp_path} hugetlbfs rw,pagesize=2M 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda path: mounts)
    assert hugepages._mount() == tmp_path
    monkeypatch.setattr(Path, "read_text", lambda path: "tmpfs /dev/shm tmpfs rw 0 0\n")
    assert hugepages._mount() is None
