"""The last checkpoint with a quorum stays beside newer ones without, and is believed nothing."""

from pathlib import Path

import pytest
from strongroom_host.log import keeper as keeper_module
from strongroom_host.log.cosigning import WitnessAt
from strongroom_host.log.errors import (
    CheckpointMalformed,
    LogDamaged,
    LogForked,
    LogUnwritable,
    NoteMalformed,
)
from strongroom_host.log.examination import Examination, Meant
from strongroom_host.log.examine import examine
from strongroom_host.log.files import LogFiles
from strongroom_host.log.folder import FolderLog
from strongroom_host.log.http import build_app
from strongroom_host.log.keeper import Keeper
from strongroom_host.log.mirror import mirror
from strongroom_host.log.monitor import Rules
from strongroom_host.log.monitor_state import Alarm
from strongroom_host.log.notes import Note, SignatureType, VerifierKey, cosign
from strongroom_host.log.sources import open_source
from strongroom_host.log.stored import FolderStorage, StoredLog, head_of
from strongroom_host.log.tiles import CHECKPOINT, WITNESSED
from strongroom_host.log.tree import LogReader
from strongroom_host.log.verify import Problem
from strongroom_host.log.witnessed import Quorum
from strongroom_wire.leaves import Kind

from tests.host.log.boots_made import Kept, manifest, witnessed_by
from tests.host.log.boots_made import Running as Boot
from tests.host.log.histories import History, checkpoint
from tests.host.log.test_keeper import Running
from tests.host.log.test_monitor import GRACE, NOW, OTHER, WITNESS, Shown, Watcher, head_at
from tests.host.witness.serving import served
from tests.wire.samples import private_key, public

NUMBERS = (71, 72, 73)
KEYS = tuple(
    VerifierKey(f"witness.example/{n}", public(n), SignatureType.COSIGNATURE) for n in NUMBERS
)
LEAVES = [b"leaf %d" % n for n in range(300)]


def cosigned(note: bytes, *numbers: int, name: str = "witness.example/{}") -> bytes:
    """Return the note with what these witnesses add."""
    text = Note.parse(note).text
    lines = (cosign(text, name.format(n), private_key(n), 1_800_000_000) for n in numbers)
    return note + "".join(map(str, lines)).encode()


def signed(size: int, boot: int = 1, first: bytes = LEAVES[0]) -> bytes:
    history = History()
    for entry in [first, *LEAVES[1:size]]:
        history.put(entry)
    return checkpoint(history.tree.head, boot)


# --- in the folder --------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> LogFiles:
    log = LogFiles(tmp_path / "log")
    log.append(0, LEAVES[:5])
    return log


def test_it_stays_when_the_next_one_has_none(log: LogFiles) -> None:
    first, again = cosigned(signed(5), 71, 72), cosigned(signed(5), 71, 72, 73)
    for note in (first, again):
        log.vouch(note)
        log.publish(note)
        assert log.read(WITNESSED) == log.read(CHECKPOINT) == note
    log.append(5, LEAVES[5:])
    log.publish(signed(300))
    log.vouch(cosigned(signed(4), 71, 72))
    assert log.read(WITNESSED) == again, "and an older one does not replace it"
    for found in (StoredLog(log.folder), FolderStorage(log.folder), FolderLog(log.folder)):
        assert (found.read(WITNESSED), found.read(CHECKPOINT)) == (again, signed(300))
    with served(build_app(FolderStorage(log.folder))) as url, open_source(url) as source:
        assert (source.read(WITNESSED), source.size) == (again, 300)


def test_between_both_writes_a_reader_sees_all_leaves(log: LogFiles) -> None:
    """Killed there, the checkpoint is older; what is cosigned can be read with its proofs."""
    log.publish(signed(5))
    log.append(5, LEAVES[5:])
    log.vouch(cosigned(signed(300), 71, 72))
    with served(build_app(FolderStorage(log.folder))) as url, open_source(url) as source:
        assert source.checkpoint == signed(5)
        assert source.size == 300
        head = head_of(source.read(WITNESSED) or b"")
        assert list(LogReader(source, head).entries()) == LEAVES


@pytest.mark.parametrize(
    ("note", "error"),
    [
        (b"", NoteMalformed),
        (b"\xff" * 40, NoteMalformed),
        (b"a note\n\n\xe2\x80\x94 somebody AAAAAAAAAAA=\n", CheckpointMalformed),
        (signed(6), LogDamaged),
        (signed(3, first=b"another"), LogDamaged),
    ],
)
def test_what_the_leaves_do_not_lead_to_is_not_kept_nor_gone_on_with(
    log: LogFiles, note: bytes, error: type[Exception]
) -> None:
    good = cosigned(signed(5), 71, 72)
    log.vouch(good)
    with pytest.raises(error):
        log.vouch(note)
    assert log.read(WITNESSED) == good
    log.close()
    (log.folder / WITNESSED).write_bytes(note)
    with pytest.raises(error):
        LogFiles(log.folder)
    with pytest.raises(error):
        StoredLog(log.folder)


def test_a_disk_that_is_full_is_named(log: LogFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log, "_put", full)
    with pytest.raises(LogUnwritable):
        log.vouch(signed(5))


# --- kept by the keeper ---------------------------------------------------------------------------


class Cosigning:
    """Stands in for the witnesses; `numbers` of them are up."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def cosign(self, note: bytes, *_: object) -> tuple[bytes, tuple[()]]:
        return cosigned(note, *self.numbers), ()

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("failing", [False, True])
def test_a_keeper_keeps_it_before_it_publishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: bool
) -> None:
    running, witnesses = Running(), Cosigning(71, 72)
    monkeypatch.setattr(keeper_module, "Cosigner", lambda _: witnesses)
    running.witnesses = (WitnessAt(KEYS[0], "http://127.0.0.1:9/"),)
    running.quorum = Quorum(KEYS, 2)
    with Keeper(tmp_path, running.source) as keeper:
        keeper.pull()
        if failing:

            def killed(*_: object) -> None:
                raise KeyboardInterrupt

            monkeypatch.setattr(LogFiles, "publish", killed)
            with pytest.raises(KeyboardInterrupt):
                keeper.publish()
            found = StoredLog(tmp_path)
            assert found.read(CHECKPOINT) is None
            assert head_of(found.read(WITNESSED) or b"").size == 4
            return
        keeper.publish()
        good = StoredLog(tmp_path).read(CHECKPOINT)
        assert StoredLog(tmp_path).read(WITNESSED) == good
        for numbers in ((), (71,), (71, 71), (81, 82)):
            witnesses.numbers = numbers
            keeper.keep([running.decide()])
            keeper.publish()
            assert StoredLog(tmp_path).published == len(running.history.entries)
            assert StoredLog(tmp_path).read(WITNESSED) == good


# --- verified -------------------------------------------------------------------------------------


def grown(more: int = 2) -> tuple[Kept, bytes]:
    """A log whose newest head nobody cosigned, and the note of three leaves that a quorum did."""
    kept = Kept().start(Boot(manifest(9, **witnessed_by(*NUMBERS, quorum=2)))).decide(True, True)
    before = cosigned(kept.note, 71, 73)
    return kept.decide(*[True] * more), before


def verified(kept: Kept, folder: Path, note: bytes) -> Examination:
    (folder / WITNESSED).write_bytes(note)
    owners = kept.boot.document.owner_root
    return examine(FolderLog(folder), Meant(kept.trust, owners))


def problems(found: Examination) -> list[Problem]:
    return [each.problem for each in found.findings]


def test_witnesses_that_are_down_do_not_make_a_log_unwitnessed(tmp_path: Path) -> None:
    kept, before = grown()
    found = verified(kept, kept.store(tmp_path), before)
    assert (found.ok, found.end, found.witnessed.size) == (True, 5, 3)
    assert "No witness" not in " ".join(found.not_excluded())
    assert "2" in next(each for each in found.not_excluded() if "witness" in each)
    assert [note.signed.head.size for note in found.notes] == [5, 3]


def test_over_http_likewise(tmp_path: Path) -> None:
    kept, before = grown()
    folder = kept.store(tmp_path)
    with LogFiles(folder) as files:
        files.vouch(before)
    with served(build_app(FolderStorage(folder))) as url, open_source(url) as source:
        found = examine(source, Meant(kept.trust, kept.boot.document.owner_root))
    assert (found.ok, found.witnessed.size) == (True, 3)


def test_a_note_there_is_believed_nothing(tmp_path: Path) -> None:
    kept, before = grown()
    folder = kept.store(tmp_path)
    assert verified(kept, folder, b"").witnessed.size == 0
    renamed = before.replace(b"witness.example/71", b"witness.example/72")
    assert verified(kept, folder, renamed).witnessed.size == 0
    old = before[: before.index("\u2014 witness".encode())]
    found = verified(kept, folder, old)
    assert (found.ok, found.witnessed.size) == (True, 0), "an old one that nobody cosigned"
    for note in (
        b"noise",
        cosigned(checkpoint(kept.head), 71, 73),
        before.replace(b"\n3\n", b"\n4\n"),
    ):
        found = verified(kept, folder, note)
        assert (problems(found)[0], found.witnessed.size) == (Problem.UNSIGNED, 0), note
        assert "the last checkpoint with a quorum" in found.findings[0].what


def test_a_quorum_for_another_history_is_a_fork(tmp_path: Path) -> None:
    kept, _ = grown()
    twin = Kept().start(kept.boot).decide(False, True)
    for note in (twin.note, cosigned(twin.note, 71, 73)):
        found = verified(kept, kept.store(tmp_path / str(len(note))), note)
        assert not found.ok
        assert set(problems(found)) & {Problem.FORKED, Problem.EDITED}


def test_a_quorum_for_leaves_that_are_gone_is_missed(tmp_path: Path) -> None:
    kept, _ = grown(0)
    more = kept.copy().decide(True, True)
    found = verified(kept, kept.store(tmp_path), cosigned(more.note, 71, 73))
    assert Problem.SHORTER in problems(found)


# --- copied ---------------------------------------------------------------------------------------


def test_a_copy_takes_it_and_no_other_history(log: LogFiles, tmp_path: Path) -> None:
    good = cosigned(signed(3), 71, 72)
    log.publish(signed(5))
    log.vouch(good)
    with LogFiles(tmp_path / "copy") as copy:
        mirror(copy, FolderLog(log.folder))
        assert copy.read(WITNESSED) == good
        for note, error in (
            (cosigned(signed(4, first=b"another"), 71, 72), LogForked),
            (cosigned(checkpoint(copy.head, origin="another"), 71, 72), CheckpointMalformed),
            (b"noise", NoteMalformed),
        ):
            (log.folder / WITNESSED).write_bytes(note)
            with pytest.raises(error):
                mirror(copy, FolderLog(log.folder))
            assert copy.read(WITNESSED) == good


# --- watched --------------------------------------------------------------------------------------


@pytest.fixture
def watcher() -> Watcher:
    return Watcher(Rules(Quorum((WITNESS, OTHER), 2), grace_ms=GRACE))


def by_both(note: bytes, at_s: int = NOW // 1000) -> bytes:
    text = Note.parse(note).text
    lines = (cosign(text, w.name, private_key(n), at_s) for w, n in ((WITNESS, 50), (OTHER, 51)))
    return note + "".join(map(str, lines)).encode()


def showing(history: History, note: bytes) -> Shown:
    shown = Shown(history)
    shown[WITNESSED] = note
    return shown


def test_a_monitor_counts_it(watcher: Watcher) -> None:
    history = History().boot(1, 5)
    before = by_both(checkpoint(history.tree.head))
    history.add(Kind.SIGNED)
    assert watcher.see(a=showing(history, before)) == set()
    assert watcher.state.witnessed == 6
    assert watcher.see(a=showing(history, before), minutes=3) == {Alarm.UNWITNESSED}
    assert "vouch for 6" in watcher.state.alarms[0].what
    assert watcher.state.pending == []


@pytest.mark.parametrize("quorum", [False, True])
def test_another_history_there_is_a_fork(watcher: Watcher, quorum: bool) -> None:
    history, other = History().boot(1, 5), History().boot(2, 3)
    note = checkpoint(other.tree.head, 2)
    assert watcher.see(a=showing(history, by_both(note) if quorum else note)) == {Alarm.FORKED}
    assert watcher.state.witnessed == 0


def test_what_the_source_does_not_show_is_not_counted(watcher: Watcher) -> None:
    history = History().boot(1, 5)
    more = history.copy().boot(1, 9)
    watcher.see(a=showing(history, by_both(checkpoint(more.tree.head))))
    assert watcher.state.witnessed == 0
    assert [each.size for each in watcher.state.pending] == [more.tree.size]


def test_a_note_that_is_none_counts_for_nothing(watcher: Watcher) -> None:
    history = History().boot(1, 5)
    foreign = by_both(checkpoint(head_at(history, 3), 20))
    future = by_both(checkpoint(head_at(history, 3)), NOW // 1000 + 86_400)
    for note in (b"noise", foreign, future):
        watcher.see(a=showing(history, note))
        assert watcher.state.witnessed == 0
    assert watcher.raised == {Alarm.UNWITNESSED}
