"""Each boot's leaves are proved by a head of its own: kept when the next boot begins, held against
what is stored, and missed where it does not reach."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from strongroom_host.log.boots import Boots, StoredBoot
from strongroom_host.log.examination import Examination, Meant
from strongroom_host.log.examine import examine
from strongroom_host.log.files import LogFiles
from strongroom_host.log.keeper import Keeper, Source
from strongroom_host.log.mirror import mirror
from strongroom_host.log.own_heads import keep_own_head, newer_head
from strongroom_host.log.pull import pull
from strongroom_host.log.sources import open_source
from strongroom_host.log.verify import Problem
from strongroom_wire.bundle import LogHead, Role
from strongroom_wire.checkpoint import checkpoint_text
from strongroom_wire.leaves import Kind
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.pages import Entry, LogPage

from tests.host.log.boots_made import Kept, Running, manifest
from tests.host.log.test_examine import Shown, edited, found
from tests.host.log.test_record_log import ACCOUNTS, RECEIPT
from tests.wire.samples import byte

SIGNERS = Running(manifest(7)), Running(manifest(8))
RECORDS = tuple(Running(manifest(n, accounts=ACCOUNTS), role=Role.RECORD) for n in (7, 8))


def head_at(log: Kept, size: int) -> LogHead:
    tree = Frontier()
    for entry in log.entries[:size]:
        tree.append(leaf_hash(entry))
    return tree.head


def with_notes(log: Kept, *signed: tuple[Running, LogHead]) -> Kept:
    """The log with evidence from before anything was logged, and these heads kept with it."""
    for running in {running.boot_id: running for running, _ in signed}.values():
        log.boots[running.boot_id] = running.evidence()
    for running, head in signed:
        boot = log.boots[running.boot_id]
        log.boots[running.boot_id] = msgspec.structs.replace(boot, note=running.note(head))
    return log


def signers_log() -> Kept:
    """Leaves 0 to 4 of the first boot, 5 to 8 of the second; each signed its last head."""
    first, second = SIGNERS
    log = Kept().start(first).decide(True, False, True, True)
    log.start(second).decide(True, False, True)
    return with_notes(log, (first, head_at(log, 5)), (second, log.head))


def records_log() -> Kept:
    """Leaves 0 to 2 of the first boot, 3 and 4 of the second; each signed its last head."""
    first, second = RECORDS
    log = Kept().start(first)
    for number in (1, 2):
        log.add(Kind.SYNC, RECEIPT, byte(number))
    log.start(second)
    log.add(Kind.SYNC, RECEIPT, byte(3))
    log.sign()
    return with_notes(log, (first, head_at(log, 3)), (second, log.head))


def examined(log: Kept, source: Shown | None = None, **options: object) -> Examination:
    running = log.boot
    meant = Meant(log.trust, running.document.owner_root, role=running.role)
    return examine(source or Shown(log), meant, openings=log.openings, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("made", [signers_log, records_log])
def test_leaves_under_the_heads_of_their_own_boots_are_in_order(made: object) -> None:
    log: Kept = made()  # type: ignore[operator]
    result = examined(log)
    assert (result.ok, found(result)) == (True, [])
    assert [boot.own for boot in result.boots] == [boot.end for boot in result.boots]
    assert not any("No head that is kept" in each for each in result.not_excluded())
    one, two = result.boots
    assert {(note.boot_id, note.signed.head.size) for note in result.notes} == {
        (one.boot_id, one.end),
        (two.boot_id, two.end),
    }, "the second's is the published one, and named once"


def test_the_first_head_that_does_not_fit_is_named() -> None:
    log = signers_log()
    other = Kept().start(SIGNERS[0]).decide(True, True, True, True)
    forked = with_notes(log.copy(), (SIGNERS[0], other.head))
    forked.boots[SIGNERS[1].boot_id] = log.boots[SIGNERS[1].boot_id]
    result = examined(forked)
    [finding] = result.findings
    assert finding.problem is Problem.FORKED
    assert f"the head kept with boot {SIGNERS[0].boot_id.hex()[:16]}" in finding.what

    changed = examined(log, Shown(log, edited(log.entries, 2)))
    first = min(changed.findings, key=lambda each: each.end)
    edit = next(each for each in changed.findings if each.problem is Problem.EDITED)
    assert (edit.start, edit.end) == (0, 5)
    assert f"the head kept with boot {SIGNERS[0].boot_id.hex()[:16]}" in edit.what
    assert first.end <= 5


def test_a_head_of_leaves_that_are_gone_is_missed() -> None:
    log = signers_log()
    longer = Kept().start(SIGNERS[0]).decide(True, False, True, True)
    assert head_at(log, 5) == longer.head
    longer.decide(True)
    result = examined(with_notes(log, (SIGNERS[0], longer.head)))
    assert not result.ok
    assert Problem.FORKED in {each.problem for each in result.findings}


def test_a_note_that_its_own_boot_did_not_sign_is_none() -> None:
    log = signers_log()
    first, second = SIGNERS
    boot = log.boots[first.boot_id]
    log.boots[first.boot_id] = msgspec.structs.replace(boot, note=second.note(head_at(log, 5)))
    result = examined(log)
    assert [(each.problem, each.start, each.end) for each in result.findings] == [
        (Problem.UNSIGNED, 0, 0)
    ]
    assert f"the head kept with boot {first.boot_id.hex()[:16]}" in result.findings[0].what


def test_a_records_leaf_that_its_boot_did_not_sign_is_a_finding() -> None:
    """Its owners' permit for the next boot may put one in an earlier boot's name."""
    first, second = RECORDS
    log = Kept().start(first)
    log.add(Kind.SYNC, RECEIPT, byte(1))
    signed = log.head
    log.add(Kind.SYNC, RECEIPT, byte(2))  # with the next boot's permit, by its owners and a host
    log.start(second)
    result = examined(with_notes(log, (first, signed), (second, log.head)))
    assert found(result) == [(Problem.UNSIGNED, 2, 3)]
    assert f"boot {first.boot_id.hex()[:16]} signed no head that has them" in str(
        result.findings[0]
    )
    nothing = with_notes(log, (second, log.head))
    nothing.boots[first.boot_id] = first.evidence()
    assert found(examined(nothing)) == [(Problem.UNSIGNED, 0, 3)]


def test_a_signers_leaf_that_its_boot_did_not_sign_is_told() -> None:
    first, second = SIGNERS
    log = Kept().start(first).decide(True)
    signed = log.head
    log.decide(True, True).start(second)
    result = examined(with_notes(log, (first, signed), (second, log.head)))
    assert result.ok
    [told] = [each for each in result.not_excluded() if "No head that is kept" in each]
    assert f"{first.boot_id.hex()[:16]} has leaves 2 to 3" in told


def test_what_is_looked_at_in_part_is_held_against_them_too() -> None:
    log = signers_log()
    assert examined(log, start=3, end=7).ok
    other = Kept().start(SIGNERS[0]).decide(True, True, True, True)
    forked = with_notes(log.copy(), (SIGNERS[0], other.head))
    forked.boots[SIGNERS[1].boot_id] = log.boots[SIGNERS[1].boot_id]
    assert not examined(forked, start=6, end=8).ok


# --- keeping them ---------------------------------------------------------------------------------


class Machines:
    """A log as its boots hand it out, one after the other."""

    def __init__(self) -> None:
        self.log = Kept().start(SIGNERS[0]).decide(True, False)

    def ask(self, start: int) -> bytes:
        boot, head = self.log.boot, self.log.head
        text = checkpoint_text(boot.origin, head)
        entries = enumerate(self.log.entries[start:], start)
        found = tuple(Entry(leaf, self.log.openings[n]) for n, leaf in entries)
        signature = boot.machine.receipt[boot.role].sign(text)
        return LogPage(text, signature, found).serialise()

    @contextmanager
    def source(self) -> Iterator[Source]:
        boot = self.log.boot
        yield Source(self.ask, boot.key, boot.evidence())


def test_the_keeper_keeps_a_boots_head_when_the_next_one_begins(tmp_path: Path) -> None:
    first, second = SIGNERS
    machines = Machines()
    with Keeper(tmp_path, machines.source) as keeper:
        keeper.pull()
        machines.log.decide(True)
        keeper.pull()
    last = machines.log.head
    machines.log.start(second).decide(True)
    with Keeper(tmp_path, machines.source) as keeper:
        keeper.pull()
    assert kept_head(tmp_path, first) == first.note(last)
    assert kept_head(tmp_path, second) == b"", "its head is the one stored with the leaves"


def test_pulling_keeps_it_too(tmp_path: Path) -> None:
    first, second = SIGNERS
    machines = Machines()
    with LogFiles(tmp_path) as files:
        pull(files, machines.ask, first.key)
        Boots(tmp_path).add(first.evidence())
        last = machines.log.head
        machines.log.start(second)
        pull(files, machines.ask, second.key)
    assert kept_head(tmp_path, first) == first.note(last)


def kept_head(folder: Path, boot: Running) -> bytes:
    kept = Boots(folder).get(boot.boot_id)
    assert kept is not None
    return kept.note


def test_only_a_later_head_of_its_own_is_kept(tmp_path: Path) -> None:
    first, second = SIGNERS
    log = signers_log()
    with LogFiles(tmp_path) as files:
        files.append(0, log.entries[:5], first.note(head_at(log, 5)))
        keep_own_head(files)
        assert Boots(tmp_path).ids() == (), "there is no evidence to keep it with"
        boot = first.evidence(note=second.note(head_at(log, 3)))
        Boots(tmp_path).add(first.evidence(note=first.note(head_at(log, 2))))
        keep_own_head(files)
        assert kept_head(tmp_path, first) == first.note(head_at(log, 5))
    assert not newer_head(first.evidence(), second.note(head_at(log, 5)))
    assert not newer_head(first.evidence(), b"no note")
    assert newer_head(boot, first.note(head_at(log, 4)))
    assert not newer_head(boot, first.note(head_at(log, 3)))


def test_evidence_that_comes_again_keeps_the_head(tmp_path: Path) -> None:
    first, log = SIGNERS[0], signers_log()
    boots = Boots(tmp_path)
    boots.add(first.evidence(note=first.note(head_at(log, 5))))
    boots.add(first.evidence(head_at(log, 2)))
    assert kept_head(tmp_path, first) == first.note(head_at(log, 5))
    boots.add(first.evidence(note=first.note(head_at(log, 3))))
    assert kept_head(tmp_path, first) == first.note(head_at(log, 3))


def stored(folder: Path, log: Kept, size: int, *boots: StoredBoot) -> Path:
    with LogFiles(folder) as files:
        files.append(0, log.entries[:size], log.boot.note(head_at(log, size)))
    for boot in boots:
        Boots(folder).add(boot)
    return folder


def test_a_copy_takes_the_head_that_a_boot_signed_since(tmp_path: Path) -> None:
    (first, second), log = SIGNERS, signers_log()
    source, copy = tmp_path / "source", tmp_path / "copy"
    early, late = first.note(head_at(log, 2)), first.note(head_at(log, 5))
    stored(source, log, 2, first.evidence(note=early))
    take(source, copy)
    assert kept_head(copy, first) == early
    stored(source, log, 9, first.evidence(note=second.note(head_at(log, 5))), second.evidence())
    take(source, copy)
    assert kept_head(copy, first) == early, "another's signature is none"
    Boots(source).add(first.evidence(note=late))
    with LogFiles(copy) as files:
        assert mirror_of(source, files) == 0
    assert kept_head(copy, first) == early, "its leaves were all there before"


def test_a_copy_takes_it_with_the_leaves(tmp_path: Path) -> None:
    (first, second), log = SIGNERS, signers_log()
    source, copy = tmp_path / "source", tmp_path / "copy"
    late = first.note(head_at(log, 5))
    stored(source, log, 2, first.evidence(note=first.note(head_at(log, 2))))
    take(source, copy)
    stored(source, log, 9, first.evidence(note=late), second.evidence())
    take(source, copy)
    assert kept_head(copy, first) == late
    take(source, copy)
    assert kept_head(copy, first) == late


def take(source: Path, copy: Path) -> None:
    with LogFiles(copy) as files:
        mirror_of(source, files)


def mirror_of(source: Path, files: LogFiles) -> int:
    with open_source(str(source)) as shown:
        return mirror(files, shown).leaves


def test_a_copy_takes_it_after_the_leaves(tmp_path: Path) -> None:
    """Leaves came with the head that is published, the boot's own after the next one had begun."""
    (first, second), log = SIGNERS, signers_log()
    source, copy = tmp_path / "source", tmp_path / "copy"
    late = first.note(head_at(log, 5))
    stored(source, log, 5, first.evidence())
    take(source, copy)
    stored(source, log, 9, first.evidence(note=late), second.evidence())
    take(source, copy)
    assert kept_head(copy, first) == late
