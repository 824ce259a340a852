"""A log with all that is kept of it, examined: a good one, and whatever a host may do to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from strongroom_host.log.boots import Boots, boot_path
from strongroom_host.log.errors import OutsideLog
from strongroom_host.log.examination import Examination, Meant
from strongroom_host.log.examine import examine
from strongroom_host.log.folder import FolderLog
from strongroom_host.log.notes import cosign
from strongroom_host.log.openings import Openings
from strongroom_host.log.tiles import CHECKPOINT, ENTRIES, Tile, bundle
from strongroom_host.log.verify import Problem
from strongroom_wire.bundle import LogHead, Role
from strongroom_wire.errors import Rule
from strongroom_wire.leaves import Kind, Leaf
from strongroom_wire.merkle import Frontier
from strongroom_wire.owners import Statement
from strongroom_wire.statements import Action

from tests.host.log.boots_made import Kept, Running, manifest, witnessed_by
from tests.host.log.histories import Memory, stored
from tests.wire.samples import byte, handed_over, owners_of, private_key, public
from tests.wire.test_merkle import grown

FIRST, SECOND = Running(manifest(7)), Running(manifest(8))
Found = list[tuple[Problem, int, int]]


def two_boots() -> Kept:
    """Leaves 0 to 5 of the first boot, 6 to 10 of the second."""
    log = Kept().start(FIRST).decide(True, False, True)
    log.add(Kind.KEY, FIRST.order(Action.GENERATE).serialise(), bytes([Action.GENERATE]))
    log.add(Kind.KILL, FIRST.order(Action.KILL, "", (3,)).serialise())
    return log.sign().start(SECOND).decide(True, False).model().decide(True)


LOG = two_boots()
SIZE = len(LOG.entries)
OWNERS = FIRST.document.owner_root


class Shown(Memory):
    """A log as a host may show it: leaves and notes of his choice, evidence as it is."""

    def __init__(
        self, log: Kept, entries: Sequence[bytes] | None = None, note: bytes = b""
    ) -> None:
        entries = log.entries if entries is None else entries
        super().__init__(stored(list(entries)))
        self.checkpoint, self.note = note or log.note, b""
        self.count = len(entries)
        for boot_id, evidence in log.boots.items():
            self[boot_path(boot_id)] = evidence.serialise()
        self["boots/index"] = "".join(f"{each.hex()}\n" for each in log.boots).encode()

    @property
    def size(self) -> int:
        return self.count


def meant(log: Kept = LOG, **changes: object) -> Meant:
    return Meant(log.trust, OWNERS, **changes)  # type: ignore[arg-type]


def examined(log: Kept = LOG, source: Shown | None = None, **options: object) -> Examination:
    options = {"openings": log.openings} | options
    return examine(source or Shown(log), meant(log), **options)  # type: ignore[arg-type]


def found(result: Examination) -> Found:
    return [(each.problem, each.start, each.end) for each in result.findings]


def test_what_is_said_of_a_good_log() -> None:
    result = examined()
    assert (result.ok, found(result)) == (True, [])
    assert (result.report.proven, result.report.records) == (SIZE, SIZE)
    one, two = result.boots
    assert (one.boot_id, one.start, one.end) == (FIRST.boot_id, 0, 6)
    assert (two.boot_id, two.start, two.end) == (SECOND.boot_id, 6, SIZE)
    assert one.proved is not None
    assert one.proved.evidence.image.name == "simulated"
    assert one.proved.manifest.manifest.version == 7
    assert two.permits[0].verified
    assert two.permits[0].permit.continues(Role.SIGNER).head.size == 6
    assert [note.boot_id for note in result.notes] == [SECOND.boot_id]
    told = " ".join(result.not_excluded())
    assert "No witness" in told
    assert "was not opened" not in told
    assert "evidence" not in told


def test_a_log_in_a_folder(tmp_path: Path) -> None:
    folder = LOG.store(tmp_path)
    with Openings(folder) as openings:
        result = examine(FolderLog(folder), meant(), openings=openings)
    assert result.ok
    assert result.report.records == SIZE


def test_without_openings_and_evidence_it_says_what_it_did_not_see() -> None:
    result = examined(openings=None)
    assert result.ok
    assert f"What {SIZE} of {SIZE} leaves commit to was not opened" in " ".join(
        result.not_excluded()
    )
    bare = Shown(LOG)
    del bare[boot_path(FIRST.boot_id)]
    bare["boots/index"] = f"{SECOND.boot_id.hex()}\n".encode()
    result = examined(source=bare)
    assert result.ok
    assert "No evidence was given for 1 of 2 boots" in " ".join(result.not_excluded())


def test_a_key_from_elsewhere_takes_the_place_of_evidence() -> None:
    result = examine(Shown(LOG), Meant(keys=(SECOND.key,)), openings=LOG.openings)
    assert result.ok
    assert result.report.unattested == (FIRST.boot_id, SECOND.boot_id)
    wrong = examine(Shown(LOG), Meant(keys=(FIRST.key,)))
    assert found(wrong) == [(Problem.UNSIGNED, 0, SIZE)]


# --- leaves ---------------------------------------------------------------------------------------

E = LOG.entries
CASES: dict[str, tuple[list[bytes], Problem]] = {
    "dropped": ([*E[:3], *E[4:]], Problem.DROPPED),
    "reordered": ([*E[:2], E[3], E[2], *E[4:]], Problem.REORDERED),
    "duplicated": ([*E[:3], E[2], *E[3:]], Problem.DUPLICATED),
    "truncated": (E[:-2], Problem.SHORTER),
    "truncated to its first boot": (E[:6], Problem.SHORTER),
    "replaced by no leaf": ([*E[:3], b"x", *E[4:]], Problem.UNREADABLE),
    "of another boot": ([*E[:7], E[1], *E[8:]], Problem.DUPLICATED),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_done_to_leaves_is_named(name: str) -> None:
    entries, problem = CASES[name]
    result = examined(source=Shown(LOG, entries))
    assert not result.ok
    assert problem in [each.problem for each in result.findings]


def edited(entries: Sequence[bytes], at: int) -> list[bytes]:
    """The leaves, one of which commits to something else."""
    leaf = msgspec.structs.replace(Leaf.parse(entries[at]), commitment=byte(0xEE))
    return [*entries[:at], leaf.serialise(), *entries[at + 1 :]]


def test_an_edited_leaf_is_named_with_its_place() -> None:
    consistent = Shown(LOG, edited(E, 2))
    assert found(examined(source=consistent, openings={})) == [
        (Problem.EDITED, 0, 6),  # up to the head in the evidence of the first boot
        (Problem.WRONG_CONTINUATION, 6, 7),
    ]
    assert (Problem.WRONG_OPENING, 2, 3) in found(examined(source=consistent))
    shown = Shown(LOG)
    shown[Tile(ENTRIES, 0, SIZE).path] = bundle(edited(E, 2))
    assert (Problem.EDITED, 2, 3) in found(examined(source=shown))


def test_an_old_copy_is_told_by_evidence_that_is_newer() -> None:
    old = Kept().start(FIRST).decide(True, False)
    newer = old.copy().decide(True, True)
    shown = Shown(old)
    shown[boot_path(FIRST.boot_id)] = newer.boots[FIRST.boot_id].serialise()
    assert found(examined(old, shown)) == [(Problem.SHORTER, 3, 5)]


def test_evidence_of_a_boot_that_is_not_there_tells_a_fork() -> None:
    base = Kept().start(FIRST).decide(True)
    lost = base.copy().start(Running(manifest(7))).decide(True, True)
    other = base.copy().start(SECOND).decide(False, False, False, False)
    other.boots |= lost.boots
    result = examined(other)
    assert [each.problem for each in result.findings] == [Problem.FORKED]


def test_a_checkpoint_from_elsewhere_has_to_be_contained() -> None:
    fork = Kept().start(FIRST).decide(False, True, False)
    good = LOG.copy()
    aside = meant(notes=(("the one in the mail", FIRST.note(fork.head)),))
    result = examine(Shown(good), aside, openings=good.openings)
    assert [each.problem for each in result.findings] == [Problem.FORKED]
    assert "the one in the mail" in str(result.findings[0])
    fine = meant(notes=(("mail", FIRST.note(LogHead(6, _head_at(6).root))),))
    assert examine(Shown(good), fine, openings=good.openings).ok


def _head_at(size: int) -> LogHead:
    return grown(LOG.entries[:size]).head


# --- signatures and evidence ----------------------------------------------------------------------


def test_a_checkpoint_counts_only_with_the_signature_of_a_proved_boot() -> None:
    stranger = Running(manifest(8))
    shown = Shown(LOG, note=stranger.note(LOG.head))
    assert found(examined(source=shown)) == [(Problem.UNSIGNED, 0, SIZE)]
    shown = Shown(LOG, note=LOG.note.replace(b"\n\n", b"\n\n")[:-10] + b"AAAAAAAA=\n")
    assert (Problem.UNSIGNED, 0, SIZE) in found(examined(source=shown))
    shown.checkpoint = b""
    assert (Problem.UNSIGNED, 0, SIZE) in found(examined(source=shown))


def test_evidence_that_proves_nothing_is_named_at_its_boot() -> None:
    shown = Shown(LOG)
    bad = msgspec.structs.replace(LOG.boots[FIRST.boot_id], nonce=byte(1))
    shown[boot_path(FIRST.boot_id)] = bad.serialise()
    result = examined(source=shown)
    assert found(result) == [(Problem.UNPROVED, 0, 6)]
    assert result.boots[0].failure is not None
    shown[boot_path(FIRST.boot_id)] = b"{}"
    assert found(examined(source=shown)) == [(Problem.UNPROVED, 0, 6)]
    shown["boots/index"] = b"x"
    assert (Problem.UNPROVED, 0, 0) in found(examined(source=shown))


def test_evidence_of_a_boot_that_has_no_leaf_here_is_told_if_it_proves_nothing() -> None:
    shown = Shown(LOG)
    shown["boots/index"] += f"{byte(9).hex()}\n".encode()
    assert found(examined(source=shown)) == [(Problem.UNPROVED, 0, 0)]
    assert found(examined(source=shown, start=1)) == []


def test_what_another_log_of_these_owners_vouches_for_is_not_asked_of_this_one() -> None:
    other = Running(manifest(9, account="other"))
    shown = Shown(LOG)
    shown["boots/index"] += f"{other.boot_id.hex()}\n".encode()
    shown[boot_path(other.boot_id)] = other.evidence(LogHead(50, byte(1))).serialise()
    assert examined(source=shown).ok


def test_evidence_of_other_keys_is_not_this_boots() -> None:
    twin = Running(FIRST.document)
    twin.machine.bundle = replace(twin.machine.bundle, boot_id=FIRST.boot_id)
    log = two_boots()
    log.boots[FIRST.boot_id] = twin.evidence()
    assert found(examined(log, openings={})) == [(Problem.WRONG_BOOT, 0, 1)]
    assert (Problem.WRONG_PERMIT, 0, 1) in found(examined(log))


def test_a_boot_of_another_account_is_of_another_log() -> None:
    other = Running(manifest(9, account="other"))
    log = Kept().start(FIRST).decide(True).start(other)
    result = examined(log, Shown(log, note=FIRST.note(log.head)))
    assert (Problem.WRONG_BOOT, 2, 3) in found(result)


def test_owners_who_handed_over_do_not_come_back() -> None:
    later = handed_over(manifest(8), owners_of(5, 6, quorum=1), 1, 2)
    after = Running(later, (5,))
    good = Kept().start(FIRST).decide(True).start(after).decide(True)
    assert examined(good).ok
    back = good.start(Running(manifest(9), (1, 2)))
    assert found(examined(back)) == [(Problem.WRONG_OWNERS, 4, 5)]


# --- records --------------------------------------------------------------------------------------

Change = Callable[[Kept], None]


def _boot_permitted_by(signers: tuple[int, ...]) -> Change:
    def change(log: Kept) -> None:
        boot = Running(manifest(8))
        permit = boot.permit(Frontier(log.tree.size, log.tree.hashes))
        keys = {public(number) for number in signers}
        fewer = tuple(each for each in permit.signatures if each.key in keys)
        log.start(boot, Statement(permit.payload, fewer))

    return change


def _permit(**changes: object) -> Change:
    def change(log: Kept) -> None:
        boot = Running(manifest(8))
        log.start(boot, boot.permit(Frontier(log.tree.size, log.tree.hashes), **changes))

    return change


def _add(kind: Kind, record: bytes, public: bytes = b"") -> Change:
    def change(log: Kept) -> None:
        log.add(kind, record, public)
        log.sign()

    return change


def _further(**changes: object) -> Change:
    def change(log: Kept) -> None:
        record = SECOND.permit(grown(log.entries[:6]), **({"serial": 2} | changes)).serialise()
        log.add(Kind.PERMIT, record, sha256(record).digest())
        log.sign()

    return change


def _decided(log: Kept, *, approved: bool, **names: str) -> None:
    log.decide(approved, **names)


GENERATE = bytes([Action.GENERATE])
RECORDS: dict[str, tuple[Change, Problem]] = {
    "a permit by one owner of two": (_boot_permitted_by((1,)), Problem.WRONG_PERMIT),
    "a permit by nobody": (_boot_permitted_by(()), Problem.WRONG_PERMIT),
    "a permit for another boot": (_permit(keys_digest=byte(1)), Problem.WRONG_PERMIT),
    "a permit under another manifest": (_permit(manifest_digest=byte(1)), Problem.WRONG_PERMIT),
    "a permit by other owners": (_permit(owner_root=byte(1)), Problem.WRONG_PERMIT),
    "a permit for another history": (
        _permit(signer_log=Frontier(1, (byte(1),)).serialise()),
        Problem.WRONG_PERMIT,
    ),
    "no permit": (_add(Kind.PERMIT, b"x", byte(1)), Problem.WRONG_PERMIT),
    "a further permit of an old serial": (_further(serial=1), Problem.WRONG_PERMIT),
    "another permit than is named": (
        _add(Kind.PERMIT, SECOND.permit(grown(E[:6]), serial=3).serialise(), byte(1)),
        Problem.WRONG_PERMIT,
    ),
    "an order to another boot": (
        _add(Kind.KEY, SECOND.order(Action.GENERATE, boot_id=byte(1)).serialise(), GENERATE),
        Problem.WRONG_RECORD,
    ),
    "an order under another manifest": (
        _add(
            Kind.KEY, SECOND.order(Action.GENERATE, manifest_digest=byte(1)).serialise(), GENERATE
        ),
        Problem.WRONG_RECORD,
    ),
    "a denial by another rule": (
        _add(Kind.DENIED, LOG.openings[2][32:], bytes([Rule.WINDOW_NOTIONAL])),
        Problem.WRONG_RECORD,
    ),
    "an order by one owner of two": (
        _add(Kind.KEY, SECOND.order(Action.GENERATE, signers=(1,)).serialise(), GENERATE),
        Problem.WRONG_RECORD,
    ),
    "another order than is named": (
        _add(Kind.KEY, SECOND.order(Action.EXPORT).serialise(), GENERATE),
        Problem.WRONG_RECORD,
    ),
    "a kill switch that no owner pulled": (
        _add(Kind.KILL, SECOND.order(Action.KILL, signers=(8,)).serialise()),
        Problem.WRONG_RECORD,
    ),
    "no record": (_add(Kind.SIGNED, b"x"), Problem.WRONG_RECORD),
    "a signature that was denied": (
        _add(Kind.SIGNED, LOG.openings[2][32:]),
        Problem.WRONG_RECORD,
    ),
    "a decision for another key": (
        lambda log: _decided(log, approved=True, key="other"),
        Problem.WRONG_RECORD,
    ),
    "a decision for a stranger": (
        lambda log: _decided(log, approved=False, client="stranger"),
        Problem.WRONG_RECORD,
    ),
}


@pytest.mark.parametrize("name", RECORDS)
def test_records_are_held_against_evidence(name: str) -> None:
    change, problem = RECORDS[name]
    log = two_boots()
    change(log)
    result = examined(log)
    assert {each.problem for each in result.findings} == {problem}
    permits = [permit for boot in result.boots for permit in boot.permits]
    assert not any(permit.verified for permit in permits if permit.index >= SIZE)


def test_further_permits_and_one_owners_kill_are_in_order() -> None:
    log = two_boots()
    _further()(log)
    log.add(Kind.KILL, SECOND.order(Action.KILL, signers=(3,)).serialise())
    result = examined(log.sign())
    assert result.ok
    assert [each.index for each in result.boots[1].permits] == [6, SIZE]


# --- what is given up -----------------------------------------------------------------------------


def _after_loss(gone: LogHead) -> Kept:
    """Leaves 2 to 4 of the first boot are lost; the second goes on after leaf 1."""
    log = Kept().start(FIRST).decide(True)
    lost = log.copy().decide(True, True, False)
    tree = Frontier(log.tree.size, log.tree.hashes)
    log.start(SECOND, SECOND.permit(tree, abandons=gone)).decide(True)
    log.boots |= {FIRST.boot_id: lost.boots[FIRST.boot_id]}
    return log


def test_what_the_owners_gave_up_is_told_and_not_missed() -> None:
    result = examined(_after_loss(LogHead(6, byte(1))))
    assert result.ok
    assert "gave up after leaf 1, in the permit of leaf 2" in result.given_up[0]


@pytest.mark.parametrize("size", [0, 4])
def test_what_is_lost_without_their_word_is_missed(size: int) -> None:
    head = LogHead(size, byte(1)) if size else LogHead(0, Frontier().head.root)
    result = examined(_after_loss(head))
    assert not result.ok
    assert result.given_up == ()


def test_nobody_but_the_owners_gives_up_a_history() -> None:
    log = _after_loss(LogHead(6, byte(1)))
    result = examined(log, openings={})
    assert not result.ok


def test_a_permit_that_nobody_proves_gives_up_nothing() -> None:
    log = _after_loss(LogHead(6, byte(1)))
    shown = Shown(log)
    shown["boots/index"] = f"{FIRST.boot_id.hex()}\n".encode()
    result = examine(shown, meant(log, keys=(SECOND.key,)), openings=log.openings)
    assert result.given_up == ()
    assert not result.ok


@pytest.mark.parametrize("more", [1, 2, 3])
def test_a_fork_by_a_boot_that_came_after_the_loss_is_not_given_up_with_it(more: int) -> None:
    log = _after_loss(LogHead(6, byte(1)))
    fork = Kept().start(FIRST).decide(True)
    tree = Frontier(fork.tree.size, fork.tree.hashes)
    fork.start(SECOND, SECOND.permit(tree)).decide(*[False] * more)
    aside = meant(log, notes=(("mail", SECOND.note(fork.head)),))
    result = examine(Shown(log), aside, openings=log.openings)
    assert not result.ok
    assert {each.problem for each in result.findings} <= {Problem.FORKED, Problem.SHORTER}
    assert len(result.given_up) == 1, "the first boot's own"


def test_of_the_size_that_the_owners_named_only_what_they_named_is_given_up() -> None:
    log = _after_loss(LogHead(5, byte(1)))
    result = examined(log)
    assert not result.ok, "the evidence of the first boot names another tree of five leaves"
    assert result.given_up == ()


def test_what_was_before_the_loss_is_not_given_up_with_it() -> None:
    log = _after_loss(LogHead(6, byte(1)))
    fork = Kept().start(FIRST).decide(False)
    aside = meant(log, notes=(("mail", FIRST.note(fork.head)),))
    result = examine(Shown(log), aside, openings=log.openings)
    assert [each.problem for each in result.findings] == [Problem.FORKED]


# --- ranges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "end"), [(0, 3), (4, 9), (6, SIZE), (2, 6), (0, SIZE), (5, 5)])
def test_a_range_leads_to_the_signed_head(start: int, end: int) -> None:
    result = examined(start=start, end=end)
    assert (result.ok, found(result)) == (True, [])
    assert result.report.proven == end


@pytest.mark.parametrize(("start", "end"), [(0, 3), (2, 6), (2, SIZE), (2, 3)])
def test_an_edit_in_the_range_is_found(start: int, end: int) -> None:
    result = examined(source=Shown(LOG, edited(E, 2)), openings={}, start=start, end=end)
    assert not result.ok
    assert result.report.proven == start
    edits = [each for each in result.findings if each.problem is Problem.EDITED]
    assert any(each.start <= 2 < each.end for each in edits)


def test_a_head_before_or_after_the_range_still_counts() -> None:
    fork = Kept().start(FIRST).decide(False, True, False)
    aside = meant(notes=(("mail", FIRST.note(fork.head)),))
    result = examine(Shown(LOG), aside, openings=LOG.openings, start=6)
    assert Problem.FORKED in [each.problem for each in result.findings]
    newer = LOG.copy().decide(True)
    shown = Shown(LOG)
    shown[boot_path(SECOND.boot_id)] = newer.boots[SECOND.boot_id].serialise()
    assert found(examined(source=shown, start=1, end=4)) == [(Problem.SHORTER, SIZE, SIZE + 1)]


def test_a_range_outside_the_log_is_refused() -> None:
    for start, end in ((0, SIZE + 1), (4, 3), (-1, 2)):
        with pytest.raises(OutsideLog):
            examined(start=start, end=end)


def test_leaves_after_the_signed_head_are_told() -> None:
    log = LOG.copy()
    log.add(Kind.MODEL, LOG.openings[9][32:])
    result = examined(log)
    assert result.ok
    assert "Nobody vouches for the newest 1 leaves" in " ".join(result.not_excluded())
    assert not examined(log, start=SIZE).ok


# --- witnesses ------------------------------------------------------------------------------------


def _witnessed(*numbers: int, quorum: int = 2) -> Kept:
    boot = Running(manifest(9, **witnessed_by(71, 72, 73, quorum=quorum)))
    log = Kept().start(boot).decide(True, True)
    text = log.note.split(b"\n\n")[0] + b"\n"
    for number in numbers:
        line = cosign(text, f"witness.example/{number}", private_key(number), 1_800_000_000)
        log.note += str(line).encode()
    return log


def test_a_quorum_of_witnesses_vouches() -> None:
    result = examined(_witnessed(71, 73))
    assert result.ok
    assert (result.report.witnessed, result.witnessed.size) == (3, 3)
    assert "witness" not in " ".join(result.not_excluded())


def test_two_histories_with_a_quorum_each_are_told() -> None:
    log = _witnessed(71, 73)
    twin = Kept().start(log.boot).decide(False, True)
    text = twin.note.split(b"\n\n")[0] + b"\n"
    for number in (72, 73):
        line = cosign(text, f"witness.example/{number}", private_key(number), 1_800_000_000)
        twin.note += str(line).encode()
    aside = meant(log, notes=(("mail", twin.note),))
    result = examine(Shown(log), aside, openings=log.openings)
    assert "quorums of witnesses vouch for different trees" in " ".join(
        each.what for each in result.findings
    )
    assert result.witnessed.size == 0


@pytest.mark.parametrize("numbers", [(), (71,), (71, 71)])
def test_too_few_witnesses_do_not(numbers: tuple[int, ...]) -> None:
    result = examined(_witnessed(*numbers))
    assert result.ok
    assert result.witnessed.size == 0
    assert "No witness vouches" in " ".join(result.not_excluded())


def test_a_quorum_that_two_histories_can_have_is_told() -> None:
    result = examined(_witnessed(71, quorum=1))
    assert "1 of 3 witnesses suffice" in " ".join(result.not_excluded())


def test_a_forged_cosignature_makes_the_note_worthless() -> None:
    log = _witnessed(71, 73)
    log.note = log.note.replace(b"witness.example/71 ", b"witness.example/72 ")
    assert examined(log).witnessed.size == 0
    real = _witnessed(71, 73)
    lines = real.note.rstrip(b"\n").split(b"\n")
    lines[-1] = lines[-1][:-8] + b"AAAAAAA="
    real.note = b"\n".join(lines) + b"\n"
    assert (Problem.UNSIGNED, 0, 3) in found(examined(real))


def test_a_folder_that_is_copied_is_examined_the_same(tmp_path: Path) -> None:
    folder = LOG.store(tmp_path / "a")
    shutil.copytree(folder, tmp_path / "b")
    (tmp_path / "b" / CHECKPOINT).write_bytes(FIRST.note(LogHead(6, _head_at(6).root)))
    result = examine(FolderLog(tmp_path / "b"), meant())
    assert result.ok  # the evidence of the second boot still has all leaves
    assert result.report.proven == SIZE
    Boots(tmp_path / "b").add(SECOND.evidence())
    assert examine(FolderLog(tmp_path / "b"), meant()).report.proven == 6
