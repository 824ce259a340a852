"""A copy follows a log elsewhere, as far as that is one history, and no further."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from strongroom_host.log.boots import Boots, StoredBoot
from strongroom_host.log.errors import (
    BundleMalformed,
    CheckpointMalformed,
    CheckpointUnsigned,
    HeadsInconsistent,
    LogForked,
    LogUnreadable,
    TileMissing,
)
from strongroom_host.log.files import LogFiles
from strongroom_host.log.http import build_app
from strongroom_host.log.mirror import Mirrored, mirror
from strongroom_host.log.sources import LogSource, open_source
from strongroom_host.log.stored import FolderStorage, StoredLog
from strongroom_host.log.tiles import CHECKPOINT, ENTRIES, Tile
from strongroom_wire.bundle import LogHead

from tests.host.log.histories import checkpoint
from tests.host.log.test_files import ENTRIES_600
from tests.host.log.test_keeper import boot_of
from tests.host.witness.serving import served
from tests.wire.samples import byte
from tests.wire.test_merkle import grown

LEAVES = [b"leaf %d" % n for n in range(9_000)]


def written(folder: Path, entries: list[bytes], *boots: StoredBoot) -> Path:
    with LogFiles(folder) as log:
        log.append(0, entries)
        log.publish(checkpoint(log.head))
    for boot in boots:
        Boots(folder).add(boot)
    return folder


@contextmanager
def shown(folder: Path, *, over_http: bool = False) -> Iterator[LogSource]:
    if not over_http:
        with open_source(str(folder)) as source:
            yield source
        return
    with served(build_app(FolderStorage(folder))) as url, open_source(url) as source:
        yield source


def mirrored(folder: Path, source: Path, *, over_http: bool = False) -> Mirrored:
    with shown(source, over_http=over_http) as log, LogFiles(folder) as files:
        return mirror(files, log)


def stored(folder: Path) -> list[bytes]:
    return list(StoredLog(folder).reader().entries())


@pytest.mark.parametrize("over_http", [False, True])
def test_a_copy_follows(tmp_path: Path, over_http: bool) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    boots = [boot_of(1), boot_of(2)]
    for size, new in ((0, 0), (3, 3), (300, 297), (300, 0), (5_000, 4_700), (9_000, 4_000)):
        written(source, LEAVES[:size], *boots[: 1 + (size > 300)])
        found = mirrored(copy, source, over_http=over_http)
        assert (found.leaves, found.head) == (new, grown(LEAVES[:size]).head)
    assert stored(copy) == LEAVES
    assert StoredLog(copy).read(CHECKPOINT) == StoredLog(source).read(CHECKPOINT)
    assert [boot.boot_id for boot in Boots(copy)] == [byte(1), byte(2)]


def test_the_head_that_is_cosigned_is_taken_where_both_are_there(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    head = grown(ENTRIES_600[:5]).head
    cosigned = checkpoint(head) + "\u2014 witness AAAAAAAAAAA=\n".encode()
    with LogFiles(source) as log:
        log.append(0, ENTRIES_600[:5], checkpoint(head))
        assert mirrored(copy, source).head == head
        assert StoredLog(copy).read(CHECKPOINT) == checkpoint(head)
        log.publish(cosigned)
        mirrored(copy, source)
        assert StoredLog(copy).read(CHECKPOINT) == cosigned
        log.append(5, ENTRIES_600[5:9], checkpoint(grown(ENTRIES_600[:9]).head))
        assert mirrored(copy, source).leaves == 4


def test_evidence_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    other = StoredBoot(b"other", boot_of(1).bundle, b"manifest", 1)
    source = written(tmp_path / "source", ENTRIES_600[:3], other, boot_of(2))
    copy = written(tmp_path / "copy", ENTRIES_600[:2], boot_of(1))
    assert mirrored(copy, source).boots == 1
    kept = Boots(copy).get(byte(1))
    assert kept is not None
    assert kept.document == boot_of(1).document


def test_a_source_that_is_behind_changes_nothing(tmp_path: Path) -> None:
    copy = written(tmp_path / "copy", ENTRIES_600[:400])
    source = written(tmp_path / "source", ENTRIES_600[:300])
    assert mirrored(copy, source).head == grown(ENTRIES_600[:300]).head
    assert len(stored(copy)) == 400


@pytest.mark.parametrize("size", [200, 300, 500])
def test_another_history_is_named_and_not_taken(tmp_path: Path, size: int) -> None:
    copy = written(tmp_path / "copy", ENTRIES_600[:300])
    source = written(tmp_path / "source", [b"another", *ENTRIES_600[1:size]])
    with pytest.raises(LogForked):
        mirrored(copy, source)
    assert stored(copy) == ENTRIES_600[:300]


def test_another_log_is_not_taken(tmp_path: Path) -> None:
    copy = written(tmp_path / "copy", ENTRIES_600[:3])
    source = tmp_path / "source"
    with LogFiles(source) as log:
        log.append(0, ENTRIES_600[:5])
        log.publish(checkpoint(log.head, origin="strongroom.log/signer/another"))
    with pytest.raises(CheckpointMalformed):
        mirrored(copy, source)
    assert len(stored(copy)) == 3


def test_what_nobody_vouches_for_is_not_stored(tmp_path: Path) -> None:
    def refuse(note: bytes) -> None:
        assert note == checkpoint(grown(ENTRIES_600[:9]).head)
        raise CheckpointUnsigned("no key of the log signed this checkpoint")

    source = written(tmp_path / "source", ENTRIES_600[:9], boot_of(1))
    with (
        shown(source) as log,
        LogFiles(tmp_path / "copy") as files,
        pytest.raises(CheckpointUnsigned),
    ):
        mirror(files, log, refuse)
    assert stored(tmp_path / "copy") == []
    assert list(Boots(tmp_path / "copy")) == []


def test_leaves_that_are_not_under_the_head_are_not_stored(tmp_path: Path) -> None:
    source, copy = written(tmp_path / "source", LEAVES), tmp_path / "copy"
    path = source / Tile(ENTRIES, 20).path
    path.write_bytes(path.read_bytes().replace(b"leaf 5200", b"Leaf 5200"))
    with pytest.raises(HeadsInconsistent):
        mirrored(copy, source)
    assert stored(copy) == LEAVES[:4096], "what was proved before it is"
    path.write_bytes(b"")
    with pytest.raises(BundleMalformed):
        mirrored(copy, source)
    path.unlink()
    with pytest.raises(TileMissing):
        mirrored(copy, source)
    assert stored(copy) == LEAVES[:4096]


def test_a_head_that_its_tiles_do_not_have_is_refused(tmp_path: Path) -> None:
    copy = written(tmp_path / "copy", ENTRIES_600[:300])
    source = written(tmp_path / "source", ENTRIES_600[:500])
    (source / CHECKPOINT).write_bytes(checkpoint(LogHead(500, byte(9))))
    with pytest.raises(HeadsInconsistent):
        mirrored(copy, source)
    assert len(stored(copy)) == 300


def test_nothing_is_shown(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(LogUnreadable):
        mirrored(tmp_path / "copy", tmp_path / "source")
