"""What the demo says of its log is checked: each check is given a log of which it is not true."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from strongroom_host.demo import log_chapter
from strongroom_host.demo.log_chapter import check_verified, examined, prove_order, show_changed
from strongroom_host.demo.story import DemoFailed, Story
from strongroom_host.log.examination import Meant
from strongroom_host.log.files import LogFiles
from strongroom_wire.bundle import LogHead

from tests.host.log.boots_made import Kept, Running, manifest, witnessed_by
from tests.host.log.test_last_witnessed import NUMBERS, cosigned
from tests.wire.samples import byte

AT = 2
"""The leaf of a signed order, and the byte that its hash consists of."""


@dataclass
class Stored:
    """A good log in a folder, as the demo leaves one."""

    folder: Path
    meant: Meant
    size: int
    root: bytes

    def verify(self) -> None:
        check_verified(examined(self.folder, self.meant), self.size)

    def prove(self, order_hash: bytes = byte(AT)) -> int:
        found = examined(self.folder, self.meant)
        return prove_order(Story(None), self.folder, found, order_hash, self.folder.parent)

    def change(self) -> list[str]:
        story = Story(None)
        show_changed(story, self.folder, self.meant, AT, self.folder.parent / "changed")
        return [claim.name for claim in story.claims]


@pytest.fixture
def log(tmp_path: Path) -> Stored:
    boot = Running(manifest(9, **witnessed_by(*NUMBERS, quorum=2)))
    kept = Kept().start(boot).decide(*[True] * 9)
    kept.note = cosigned(kept.note, *NUMBERS[:2])
    folder = kept.store(tmp_path)
    with LogFiles(folder) as files:
        files.vouch(kept.note)
    meant = Meant(kept.trust, boot.document.owner_root, leaves=tuple(kept.entries))
    return Stored(folder, meant, len(kept.entries), kept.head.root)


def test_a_good_log_passes(log: Stored) -> None:
    log.verify()
    assert log.prove() == AT
    assert log.change() == ["edited_copy_named", "shortened_copy_named"]


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda folder: (folder / "tail.0").unlink(), "does not verify"),
        (lambda folder: shutil.rmtree(folder / "boots"), "does not verify"),
        (lambda folder: (folder / "openings.db").unlink(), "not every leaf is proven, opened"),
    ],
)
def test_a_log_that_lacks_something_does_not(
    log: Stored, spoil: Callable[[Path], None], what: str
) -> None:
    spoil(log.folder)
    with pytest.raises(DemoFailed, match=what):
        log.verify()


def test_a_log_that_is_not_cosigned_to_its_end_does_not(log: Stored) -> None:
    for name in ("checkpoint", "witnessed"):
        note = (log.folder / name).read_bytes()
        (log.folder / name).write_bytes(note[: note.index("\u2014 witness".encode())])
    with pytest.raises(DemoFailed, match="cosigned"):
        log.verify()


def test_a_log_that_lacks_an_answer_does_not(log: Stored) -> None:
    other = log_chapter._changed(log.meant.leaves[3])
    log.meant = replace(log.meant, leaves=(*log.meant.leaves, other))
    with pytest.raises(DemoFailed, match="does not verify"):
        log.verify()


def test_an_order_that_no_leaf_knows_is_not_proved(log: Stored) -> None:
    with pytest.raises(DemoFailed, match="no leaf knows"):
        log.prove(byte(77))


def test_a_proof_of_any_leaf_would_be_noticed(log: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_chapter, "_changed", lambda entry: entry)
    with pytest.raises(DemoFailed, match="a proof with a changed leaf: accepted"):
        log.prove()
    with pytest.raises(DemoFailed, match="a copy with that leaf changed: not named"):
        log.change()


def test_a_copy_that_is_whole_would_be_noticed(
    log: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = log_chapter._copy

    def whole(folder: Path, to: Path, change: Any) -> Path:
        return copy(folder, to, change if to.name.startswith("edited") else lambda leaves: leaves)

    monkeypatch.setattr(log_chapter, "_copy", whole)
    with pytest.raises(DemoFailed, match="a copy without the newest 3 leaves: not named"):
        log.change()


@pytest.mark.parametrize("size", [9, 10, 11])
def test_evidence_of_another_head_would_be_noticed(
    log: Stored, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    class Desk:
        """Shows evidence that commits to a head, and answers to what is asked of it here."""

        head = LogHead(size, byte(1))

        def evidence(self) -> "Desk":
            return self

        def keys(self, _role: object) -> "Desk":
            return self

    monkeypatch.setattr(log_chapter, "_PATIENCE_S", 0.05)
    desk: Any = Desk()
    with pytest.raises(DemoFailed, match="not the one that fresh evidence commits to"):
        log_chapter._show_evidence(Story(None), desk, log.folder)
    desk.head = LogHead(log.size, log.root)
    log_chapter._show_evidence(Story(None), desk, log.folder)
