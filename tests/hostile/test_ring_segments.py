"""What lies at a ring's place and is none, or not safely this user's: refused, and said why.

Others of the same machine may put anything into the folder of rings; a damaged or foreign file must
neither be read as ticks nor end the process.
"""

import os
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.errors import HostError
from strongroom_host.ring import layout
from strongroom_host.ring.claiming import claim
from strongroom_host.ring.consumers import Consumers
from strongroom_host.ring.errors import RingAbsent, RingInvalid
from strongroom_host.ring.instruments import InstrumentTable
from strongroom_host.ring.listing import look_at, remove_ring, ring_names
from strongroom_host.ring.places import ring_path
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.segment import read_shape
from strongroom_host.ring.waiting import Wait
from strongroom_host.ring.writer import RingWriter

from tests.host.ring.conftest import ring_folder
from tests.host.ring.torture import publish

__all__ = ["ring_folder"]

SLOTS = 16


@pytest.fixture
def left() -> Path:
    """The file of a ring that a killed producer left."""
    writer = RingWriter.create("ring", slots=SLOTS)
    publish(writer, 20)
    writer.instrument("BTC")
    writer._abandon()
    return ring_path("ring")


def everybody() -> list[Callable[[], object]]:
    return [
        lambda: RingReader.attach("ring"),
        lambda: RingReader.attach("ring", consumer="one"),
        lambda: RingReader.attach("ring", wait=Wait.BLOCK),
        lambda: look_at("ring"),
        lambda: RingWriter.create("ring", slots=SLOTS),
    ]


def patched(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


def refused_by_all(what: str) -> None:
    for use in everybody():
        with pytest.raises(RingInvalid, match=what) as refused:
            use()
        assert refused.value.expected is not None


def test_the_damage_of_these_tests_is_what_is_refused(left: Path) -> None:
    for use in everybody():
        found = use()
        if isinstance(found, RingReader | RingWriter):
            found.close()


@pytest.mark.parametrize(
    ("offset", "data", "what"),
    [
        (0, b"ELF-ring", "is no ring"),
        (8, b"\x02\0\0\0", "another version"),
        (12, b"\0" * 32, "another version"),
        (44, (8).to_bytes(8, "little"), "size that its header tells"),
        (44, (24).to_bytes(8, "little"), "damaged"),
        (44, b"\xff" * 8, "damaged"),
        (52, (512).to_bytes(8, "little"), "damaged"),
    ],
)
def test_a_header_of_another_kind_is_refused(
    left: Path, offset: int, data: bytes, what: str
) -> None:
    patched(left, offset, data)
    refused_by_all(what)
    remove_ring("ring")
    assert ring_names() == []


@pytest.mark.parametrize("length", [1, 64, 4095, 4096, 65536, 131072, 131072 + 64 * SLOTS - 1])
def test_a_ring_that_is_cut_off_is_refused(left: Path, length: int) -> None:
    os.truncate(left, length)
    refused_by_all("is cut off|size that its header tells")


def test_a_ring_that_is_too_long_is_refused(left: Path) -> None:
    os.truncate(left, 131072 + 64 * SLOTS + 1)
    refused_by_all("size that its header tells")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_ring_that_others_may_write_is_refused(left: Path, mode: int) -> None:
    left.chmod(mode)
    refused_by_all("not safely")
    with pytest.raises(RingInvalid):
        remove_ring("ring")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_ring_of_somebody_else_is_refused(left: Path) -> None:
    os.chown(left, 12345, 12345)
    refused_by_all("not safely")
    with pytest.raises(RingInvalid, match="not safely"):
        remove_ring("ring")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_ring_of_a_named_user_is_read_and_not_written(left: Path) -> None:
    theirs = ring_path("ring", 12345)
    left.rename(theirs)
    os.chown(theirs, 12345, 12345)
    theirs.chmod(0o644)
    with RingReader.attach("ring", user=12345, from_start=True) as reader:
        assert reader.poll() is not None
    os.chown(theirs, 12346, 12346)
    with pytest.raises(RingInvalid, match="not safely"):
        RingReader.attach("ring", user=12345)


def test_a_link_is_not_followed(left: Path) -> None:
    elsewhere = left.with_name("elsewhere")
    left.rename(elsewhere)
    left.symlink_to(elsewhere)
    refused_by_all("cannot be (opened|made)")


@pytest.mark.parametrize("what", ["pipe", "folder", "socket"])
def test_what_is_no_file_is_refused_without_waiting(left: Path, what: str) -> None:
    left.unlink()
    if what == "pipe":
        os.mkfifo(left, 0o600)
    elif what == "folder":
        left.mkdir(0o700)
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(left))
    for use in everybody():
        with pytest.raises(RingInvalid):
            use()


@pytest.mark.parametrize("slot", range(SLOTS))
def test_slots_that_disagree_are_not_taken_over(left: Path, slot: int) -> None:
    """20 ticks in 16 slots: slot 5 is the next to be written, and may hold 0. Slot 4 has the last
    one: without it, 19 ticks were published, and slot 4 is the next."""
    patched(left, layout.SLOTS_OFFSET + 64 * slot, bytes(8))
    if slot in (4, 5):
        with RingWriter.create("ring", slots=SLOTS) as writer:
            assert writer.position == slot + 15
        return
    with pytest.raises(RingInvalid, match="does not hold"):
        RingWriter.create("ring", slots=SLOTS)
    remove_ring("ring")


def test_a_refused_claim_leaves_no_lock(left: Path) -> None:
    patched(left, layout.SLOTS_OFFSET, b"\x01" + bytes(7))
    with pytest.raises(RingInvalid):
        claim("ring", SLOTS, 16, huge=False, mode=0o600)
    remove_ring("ring")


@given(st.binary(min_size=0, max_size=200), st.integers(0, 600))
def test_only_our_own_errors_leave_the_header(data: bytes, offset: int) -> None:
    stream = tempfile.TemporaryFile()  # noqa: SIM115  (closed below)
    descriptor, path = stream.fileno(), Path("ring")
    try:
        header = bytearray(layout.HEADER_SIZE)
        fixed = (layout.MAGIC, layout.VERSION, layout.DIGEST, SLOTS, 4, bytes(16), 0)
        layout.FIXED.pack_into(header, 0, *fixed)
        header[8 * layout.STATE] = layout.LIVE
        header[offset : offset + len(data)] = data
        os.pwrite(descriptor, header, 0)
        os.ftruncate(descriptor, layout.SLOTS_OFFSET + 64 * SLOTS)
        shape = read_shape(descriptor, path)
        assert shape.size == layout.SLOTS_OFFSET + 64 * SLOTS
        assert 2 <= shape.slots <= layout.MAX_SLOTS
    except (RingAbsent, RingInvalid):
        pass
    finally:
        stream.close()


@given(st.binary(min_size=1, max_size=128), st.integers(0, 5 * 128 - 1))
def test_consumers_that_scribbled_over_their_entries_stop_nobody(data: bytes, at: int) -> None:
    stream = tempfile.TemporaryFile()  # noqa: SIM115  (closed below)
    descriptor = stream.fileno()
    memory = bytearray(layout.SLOTS_OFFSET - layout.CONSUMERS_OFFSET)
    memory[at : at + len(data)] = data
    consumers = Consumers(memoryview(memory), 4, descriptor)
    try:
        for one in consumers.all():
            assert 0 <= one.done <= one.position
            assert one.after is None or one.after < 4
        number, _ = consumers.register("mine", None)
        assert 0 <= number < 4
        assert consumers.is_alive(number, "mine")
        consumers.leave()
        assert consumers.find("mine") is None or any(one.after == number for one in consumers.all())
    except HostError:
        pass
    finally:
        consumers.release()
        stream.close()


def test_a_circle_scribbled_into_the_entries_does_not_hang(left: Path) -> None:
    names = ["a", "b", "c"]
    with RingWriter.create("ring", slots=SLOTS) as writer:
        readers = [RingReader.attach("ring", consumer=name) for name in names]
        for number in range(3):
            word = layout.entry_word(number) + layout.AFTER
            writer._shared[word] = (number + 1) % 3 + 1
        with pytest.raises(HostError):
            RingReader.attach("ring", consumer="d", after="a").close()
        for reader in readers:
            reader.close()


@given(st.binary(min_size=96 * 3, max_size=96 * 3))
def test_an_instrument_table_of_garbage_is_read_as_names_or_ends(data: bytes) -> None:
    memory = bytearray(layout.CONSUMERS_OFFSET)
    memory[layout.INSTRUMENTS_OFFSET : layout.INSTRUMENTS_OFFSET + len(data)] = data
    table = InstrumentTable(memoryview(memory))
    assert all(isinstance(name, str) for name in table.names())
    assert len(table) <= 3


def test_a_foreign_file_of_that_name_is_listed_and_stays(ring_folder: Path) -> None:
    path = ring_path("ring")
    path.write_bytes(b"somebody's notes" * 1000)
    path.chmod(0o600)
    assert ring_names() == ["ring"]
    with pytest.raises(RingInvalid):
        RingWriter.create("ring")
    assert path.read_bytes() == b"somebody's notes" * 1000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
