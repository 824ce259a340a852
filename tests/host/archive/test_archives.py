"""Archives in a directory and in S3: what is exported, what is found wrong, what comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from strongroom_host.archive.check import ArchiveProblem, ArchiveReport, Trusted, check
from strongroom_host.archive.contents import look
from strongroom_host.archive.errors import (
    ArchiveAhead,
    ArchiveUnwritable,
    HistoriesDiffer,
    NotArchived,
    NothingSigned,
    ObjectMissing,
    OpeningsSealed,
    OtherLog,
    RetentionTooShort,
)
from strongroom_host.archive.export import export
from strongroom_host.archive.folder import FolderStore, clear_immutable
from strongroom_host.archive.keeping import hold, retain
from strongroom_host.archive.manifest import (
    EVENTS,
    MANIFESTS,
    boot_key,
    openings_key,
    segment_key,
)
from strongroom_host.archive.restore import restore
from strongroom_host.archive.sealed import seal_openings
from strongroom_host.archive.segments import build
from strongroom_host.archive.store import DAY_MS, Protection, Store, StoredObject, to_second
from strongroom_host.contract.openings import WrongOpening
from strongroom_host.log.attested import ProvedBoot, prove_boot
from strongroom_host.log.boots import Boots, StoredBoot
from strongroom_host.log.errors import LeafConflict, LogDamaged
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import VerifierKey, cosign
from strongroom_host.log.openings import Openings
from strongroom_host.log.stored import StoredLog
from strongroom_wire.merkle import Frontier, leaf_hash

from tests.host.archive import orders
from tests.host.archive.conftest import Reopen
from tests.host.archive.orders import KEY, YEAR, archived, log_of, order_for
from tests.host.log.boots_made import Kept, Running, manifest, witnessed_by
from tests.wire.samples import byte, private_key


def checked(store: Store, **trusted: object) -> ArchiveReport:
    return check(store, Trusted(**trusted), now_ms=orders.NOW)  # type: ignore[arg-type]


def test_a_log_goes_in_whole_and_comes_out_whole(place: Reopen, tmp_path: Path) -> None:
    kept = log_of(600)
    done = archived(kept, tmp_path, place(), openings_key=KEY)
    assert [(each.start, each.end) for each in done.manifest.segments] == [(0, 512), (512, 600)]
    assert done.manifest.head == kept.head
    assert (done.unsigned, done.unproved, done.hidden, done.renewed) == (0, (), (), ())

    report = checked(place(), keys=[kept.boot.key], openings_key=KEY)
    assert report.ok, report.findings
    assert (report.signed, report.opened, report.sealed) == (True, 600, 600)
    assert report.until_ms >= orders.NOW + YEAR
    assert report.log.proven == 600

    back = restore(place(), tmp_path / "back", KEY)
    assert (back.added, back.openings, back.boots) == (600, 600, 1)
    log = StoredLog(tmp_path / "back")
    assert list(log.reader().entries()) == kept.entries
    assert (log.head, log.signed) == (kept.head, kept.note)
    assert dict(Openings(tmp_path / "back").items()) == kept.openings
    assert Boots(tmp_path / "back").get(kept.boot.boot_id) == kept.boots[kept.boot.boot_id]


def test_a_second_export_finds_all_there_and_leaves_no_trace(place: Reopen, tmp_path: Path) -> None:
    archived(log_of(600), tmp_path, place())
    before = list(place().objects())
    done = archived(log_of(600), tmp_path / "again", place(), now_ms=orders.NOW + 60_000)
    assert (done.added, done.renewed) == ((), ())
    assert list(place().objects()) == before


def test_a_growing_log_adds_what_is_new(place: Reopen, tmp_path: Path) -> None:
    kept = log_of(600)
    first = archived(kept, tmp_path / "1", place())
    kept.decide(*[True] * 200)
    second = archived(kept, tmp_path / "2", place(), now_ms=orders.NOW + 60_000)
    ranges = [(each.start, each.end) for each in second.manifest.segments]
    assert ranges == [(0, 512), (512, 768), (768, 800)]
    assert second.manifest.segments[0] == first.manifest.segments[0]
    assert segment_key(first.manifest.segments[0]) not in second.added
    kinds = sorted(key.partition("/")[0] for key in second.added)
    # The boot's evidence was fetched anew, with the larger head.
    assert kinds == ["boots", "events", "manifests", "segments", "segments"]
    assert checked(place()).ok
    assert look(place()).newest == second.manifest
    assert len(look(place()).manifests) == 1
    assert len(look(place(), every=True).manifests) == 2


def test_two_exports_of_one_log_give_the_same_bytes(tmp_path: Path) -> None:
    kept, found = log_of(300), []
    for name, changes in (("a", {}), ("b", {"now_ms": orders.NOW + 7, "by": "another"})):
        store = FolderStore(tmp_path / name)
        archived(kept, tmp_path / f"log {name}", store, openings_key=KEY, **changes)
        objects = [each.key for each in store.objects() if not each.key.startswith(EVENTS)]
        found.append({key: bytes(store.read(key)) for key in objects})
        for path in (tmp_path / name).rglob("*-*"):
            if path.is_file():
                clear_immutable(path)
    assert found[0] == found[1]


class Failing:
    """A store that fails at its n-th write, before or after it was done."""

    def __init__(self, store: Store, writes: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, writes, after

    def put(self, key: str, data: bytes, wanted: Protection) -> None:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise ArchiveUnwritable("the disk is full")
        self._store.put(key, data, wanted)
        if self._left == 0:
            raise ArchiveUnwritable("the connection broke")

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_an_interrupted_export_is_completed_by_the_next(place: Reopen, tmp_path: Path) -> None:
    order = order_for(log_of(300), tmp_path, openings_key=KEY)
    for writes in range(1, 8):  # 2 segments, 2 openings, a boot, the event, the manifest
        with pytest.raises(ArchiveUnwritable):
            export(order, Failing(place(), 1, after=True))  # type: ignore[arg-type]
        stored = [each.key for each in place().objects()]
        assert len(stored) == writes
        assert any(key.startswith(MANIFESTS) for key in stored) == (writes == 7)
    assert export(order, place()).added == ()
    report = checked(place(), openings_key=KEY)
    assert report.ok, report.findings


def test_what_an_interrupted_export_stored_is_kept_as_long_as_the_rest(
    place: Reopen, tmp_path: Path
) -> None:
    order = order_for(log_of(300), tmp_path, openings_key=KEY)
    with pytest.raises(ArchiveUnwritable):
        export(order, Failing(place(), 4, after=False))  # type: ignore[arg-type]
    assert len(list(place().objects())) == 3
    done = export(replace(order, now_ms=orders.NOW + 60_000), place())
    assert len(done.renewed) == 3
    report = checked(place(), openings_key=KEY)
    assert report.ok, report.findings
    assert report.until_ms >= orders.NOW + 60_000 + YEAR


def test_nothing_is_archived_that_no_head_vouches_for(place: Reopen, tmp_path: Path) -> None:
    kept = log_of(20)
    size = kept.head.size
    kept.boot.note(kept.head)
    note = kept.note
    kept.decide(True, True)
    kept.note = note
    done = archived(kept, tmp_path, place())
    assert (done.manifest.size, done.unsigned) == (size, 2)
    kept.note = b""
    with pytest.raises(NothingSigned):
        archived(kept, tmp_path / "unsigned", place())
    nothing = Kept(running=kept.running)
    nothing.note = kept.boot.note(nothing.head)
    with pytest.raises(NothingSigned):
        archived(nothing, tmp_path / "empty", place())


def test_a_log_that_is_not_in_order_is_not_archived(place: Reopen, tmp_path: Path) -> None:
    kept = log_of(20)
    kept.entries.append(kept.entries[3])  # a leaf a second time
    kept.tree.append(leaf_hash(kept.entries[-1]))
    kept.note = kept.boot.note(kept.head)
    with pytest.raises(LogDamaged):
        archived(kept, tmp_path, place())
    assert list(place().objects()) == []


def test_an_old_copy_a_fork_and_another_log_are_named(place: Reopen, tmp_path: Path) -> None:
    kept = log_of(40)
    fork = kept.copy().decide(True, True)
    longer = kept.copy().decide(False, True, True)
    archived(longer, tmp_path / "longer", place())
    before = list(place().objects())
    with pytest.raises(ArchiveAhead):
        archived(kept, tmp_path / "old", place())
    with pytest.raises(HistoriesDiffer):
        archived(fork.decide(True, True, True), tmp_path / "fork", place())
    other = Kept().start(Running(manifest(account="other")))
    with pytest.raises(OtherLog):
        archived(other, tmp_path / "other", place())
    assert list(place().objects()) == before


def test_a_shorter_retention_than_before_is_refused(place: Reopen, tmp_path: Path) -> None:
    kept = log_of(20)
    archived(kept, tmp_path / "1", place(), retention_ms=2 * YEAR)
    kept.decide(True)
    before = list(place().objects())
    with pytest.raises(RetentionTooShort) as caught:
        archived(kept, tmp_path / "2", place(), retention_ms=YEAR)
    assert caught.value.remedy
    assert list(place().objects()) == before
    archived(kept, tmp_path / "3", place(), retention_ms=2 * YEAR)


def test_retention_grows_and_never_shrinks(place: Reopen, tmp_path: Path) -> None:
    archived(log_of(20), tmp_path, place())
    until = orders.NOW + 3 * YEAR
    count = retain(place(), until, now_ms=orders.NOW + 1, by="auditor", why="the regulator asked")
    assert count == len([e for e in place().objects() if not e.key.startswith(EVENTS)]) + 1
    report = checked(place())
    assert report.ok
    assert report.until_ms // 1000 >= until // 1000
    with pytest.raises(RetentionTooShort):
        retain(place(), until - 1000, now_ms=orders.NOW, by="auditor", why="")
    key = look(place()).required("here").key
    with pytest.raises(RetentionTooShort):
        place().protect(key, Protection(place().mode, until - DAY_MS, hold=False))
    last = look(place()).events(place())[-1]
    assert (last.what, last.why) == ("retain", "the regulator asked")
    assert last.until_ms == to_second(until)


def test_an_export_lifts_no_hold_that_somebody_put_on_one_object(
    place: Reopen, tmp_path: Path
) -> None:
    """Counsel has tools of his own: what he holds in the bucket's console stays held."""
    kept = log_of(300)
    first = archived(kept, tmp_path / "1", place())
    key = segment_key(first.manifest.segments[0])
    store = place()
    store.protect(key, replace(store.protection(key), hold=True))
    kept.decide(True)
    archived(kept, tmp_path / "2", place(), now_ms=orders.NOW + 2)
    assert place().protection(key).hold
    assert checked(place()).held == 1
    if isinstance(store, FolderStore):  # a bucket's clock cannot be moved
        later = orders.NOW + 2 * YEAR  # its date has passed, so it is set again
        archived(kept, tmp_path / "2", place(), now_ms=later)
        assert place().protection(key).hold


def test_a_hold_that_comes_while_an_export_runs_holds_what_it_adds(
    place: Reopen, tmp_path: Path
) -> None:
    kept = log_of(20)
    archived(kept, tmp_path / "1", place())
    kept.decide(True)

    def counsel(_done: int, _all: int) -> None:
        hold(place(), on=True, now_ms=orders.NOW + 1, by="counsel", why="case 7")

    order = replace(order_for(kept, tmp_path / "2", now_ms=orders.NOW + 2), progress=counsel)
    export(order, place())
    report = checked(place())
    assert report.held == report.objects


def test_a_legal_hold_holds_what_is_there_and_what_comes(place: Reopen, tmp_path: Path) -> None:
    kept = log_of(20)
    archived(kept, tmp_path / "1", place())
    assert checked(place()).held == 0
    assert hold(place(), on=True, now_ms=orders.NOW + 1, by="counsel", why="case 7") > 0
    kept.decide(True)
    archived(kept, tmp_path / "2", place(), now_ms=orders.NOW + 2)
    report = checked(place())
    assert report.held == report.objects
    everything = [each.key for each in place().objects()]
    assert all(place().protection(key).hold for key in everything)
    lifted = hold(place(), on=False, now_ms=orders.NOW + 3, by="counsel", why="")
    assert lifted == len(everything)
    assert checked(place()).held == 0
    assert hold(place(), on=False, now_ms=orders.NOW + 4, by="counsel", why="") == 0
    assert [event.what for event in look(place()).events(place())] == [
        "export",
        "hold on",
        "export",
        "hold off",
    ]


def test_protection_that_ended_is_named(place: Reopen, tmp_path: Path) -> None:
    archived(log_of(20), tmp_path, place())
    report = check(place(), Trusted(), now_ms=orders.NOW + YEAR + 1000)
    assert {each.problem for each in report.findings} == {ArchiveProblem.UNPROTECTED}
    assert len(report.findings) == report.objects


def test_the_signature_is_checked_where_there_is_a_key(place: Reopen, tmp_path: Path) -> None:
    kept = log_of(20)
    archived(kept, tmp_path, place())
    right, wrong = kept.boot.key, VerifierKey(kept.boot.origin, byte(9))
    assert checked(place(), keys=[right]).signed
    unknown = checked(place())
    assert unknown.ok
    assert any("signature" in sentence for sentence in unknown.not_excluded())
    report = checked(place(), keys=[wrong])
    assert [each.problem for each in report.findings] == [ArchiveProblem.UNSIGNED]

    proved = checked(place(), prove=_proving(kept))
    assert proved.ok
    assert proved.signed
    assert proved.log.unattested == ()
    other = Kept().start(Running(manifest()))
    (evidence,) = other.boots.values()
    found = checked(place(), prove=lambda _stored: _proving(other)(evidence)).findings
    assert ArchiveProblem.UNSIGNED in {each.problem for each in found}


@pytest.mark.parametrize(("numbers", "vouched"), [((71, 73), 3), ((71,), 0), ((), 0)])
def test_witnesses_are_those_of_the_boot_whose_evidence_is_archived(
    numbers: tuple[int, ...], vouched: int, place: Reopen, tmp_path: Path
) -> None:
    boot = Running(manifest(9, **witnessed_by(71, 72, 73, quorum=2)))
    kept = Kept().start(boot).decide(True, True)
    text = kept.note.split(b"\n\n")[0] + b"\n"
    for number in numbers:
        line = cosign(text, f"witness.example/{number}", private_key(number), 1_800_000_000)
        kept.note += str(line).encode()
    archived(kept, tmp_path, place())
    proved = checked(place(), prove=_proving(kept))
    assert (proved.ok, proved.log.witnessed) == (True, vouched)
    told = " ".join(proved.not_excluded())
    assert ("No witness vouches" in told) is not bool(vouched)
    unproved = " ".join(checked(place(), keys=[kept.boot.key]).not_excluded())
    assert "Which witnesses vouch for it was not checked" in unproved
    assert "No witness vouches" not in unproved


def _proving(kept: Kept) -> Callable[[StoredBoot], ProvedBoot]:
    owners = kept.boot.document.owner_root
    return lambda stored: prove_boot(stored, kept.trust, owners)


def test_openings_are_only_there_sealed_and_only_with_a_key(place: Reopen, tmp_path: Path) -> None:
    kept = log_of(20)
    none = archived(kept, tmp_path / "1", place())
    assert none.manifest.openings == ()
    assert any("not archived" in each for each in checked(place()).not_excluded())
    sealed = archived(kept, tmp_path / "2", place(), openings_key=KEY)
    assert sealed.manifest.openings[0].known == 20
    for each in place().objects():
        data = bytes(place().read(each.key))
        assert not any(opening[:32] in data for opening in kept.openings.values())
    report = checked(place(), openings_key=bytes(32))
    assert [each.problem for each in report.findings] == [ArchiveProblem.OPENING]
    with pytest.raises(OpeningsSealed):
        restore(place(), tmp_path / "back", bytes(32))
    assert restore(place(), tmp_path / "without").openings == 0
    assert any("no key was given" in each for each in checked(place()).not_excluded())


def test_an_opening_of_another_leaf_is_neither_archived_nor_restored(
    place: Reopen, tmp_path: Path
) -> None:
    kept = log_of(20)
    right = dict(kept.openings)
    kept.openings[7] = kept.openings[8]
    with pytest.raises(WrongOpening):
        archived(kept, tmp_path / "1", place(), openings_key=KEY)
    # Somebody who has the key puts it there nevertheless, in a manifest of his own.
    kept.openings = right
    done = archived(kept, tmp_path / "2", place(), openings_key=KEY)
    data = seal_openings(done.manifest.origin, 0, 20, right | {7: right[8]}, KEY)
    entry = msgspec.structs.replace(
        done.manifest.openings[0], bytes=len(data), sha256=sha256(data).hexdigest()
    )
    forged = msgspec.structs.replace(done.manifest, openings=(entry,))
    wanted = Protection(place().mode, to_second(orders.NOW + YEAR), hold=False)
    place().put(openings_key(entry), data, wanted)
    store = Only(place(), forged.key, forged.serialise())
    report = checked(store, openings_key=KEY)  # type: ignore[arg-type]
    assert [each.problem for each in report.findings] == [ArchiveProblem.OPENING]
    with pytest.raises(WrongOpening):
        restore(store, tmp_path / "back", KEY)  # type: ignore[arg-type]


def test_a_forged_manifest_of_another_history_is_found(place: Reopen, tmp_path: Path) -> None:
    kept = log_of(40)
    fork = kept.copy().decide(False, False)
    archived(kept.decide(True), tmp_path / "1", place())
    # Somebody who may write to the place archives the fork as if nothing else were there.
    forked = archived(fork, tmp_path / "2", Blind(place()))  # type: ignore[arg-type]
    report = checked(place())
    assert ArchiveProblem.LOG in {each.problem for each in report.findings}
    assert forked.manifest.size == 42


def test_two_logs_at_one_place_are_no_archive(place: Reopen, tmp_path: Path) -> None:
    archived(log_of(20), tmp_path / "1", place())
    other = Kept().start(Running(manifest(account="other")))
    archived(other, tmp_path / "2", Blind(place()))  # type: ignore[arg-type]
    with pytest.raises(OtherLog, match="2 logs"):
        checked(place())


class Blind:
    """A store in which nothing seems to be."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def objects(self, _prefix: str = "") -> list[object]:
        return []

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_a_manifest_that_names_too_little_is_found(place: Reopen, tmp_path: Path) -> None:
    """Objects that a manifest describes wrongly, under right names."""
    kept = log_of(300)
    done = archived(kept, tmp_path, place(), openings_key=KEY)
    first = done.manifest.segments[0]
    changes = {
        "earliest_ms": 5,
        "boots": (byte(3).hex(),),
        "bytes": first.bytes + 1,
    }
    for name, value in changes.items():
        segments = (msgspec.structs.replace(first, **{name: value}), *done.manifest.segments[1:])
        forged = msgspec.structs.replace(done.manifest, segments=segments)
        store = Only(place(), forged.key, forged.serialise())
        problems = {each.problem for each in checked(store).findings}  # type: ignore[arg-type]
        assert ArchiveProblem.ALTERED in problems, name


def test_a_segment_whose_tables_lie_is_found(place: Reopen, tmp_path: Path) -> None:
    """Its digest is right, and its leaves are the log's: what is read in place is not."""
    kept = log_of(300)
    found = archived(kept, tmp_path, place()).manifest
    first, second = found.segments
    rows = bytearray(place().read(segment_key(first)))
    rows[256 + 8] ^= 1  # the time in the first row
    false = Frontier(256, (byte(9),))
    tree = build(found.origin, false, kept.entries[256:])
    for number, data in ((0, bytes(rows)), (1, tree)):
        entry = msgspec.structs.replace((first, second)[number], sha256=sha256(data).hexdigest())
        segments = (entry, second) if number == 0 else (first, entry)
        forged = msgspec.structs.replace(found, segments=segments)
        wanted = Protection(place().mode, to_second(orders.NOW + YEAR), hold=False)
        place().put(segment_key(entry), data, wanted)
        store = Only(place(), forged.key, forged.serialise())
        problems = {(e.problem, e.where) for e in checked(store).findings}  # type: ignore[arg-type]
        assert (ArchiveProblem.ALTERED, segment_key(entry)) in problems


class Only:
    """A store in which this is the only manifest."""

    def __init__(self, store: Store, key: str, data: bytes) -> None:
        self._store, self._key, self._data = store, key, data

    def objects(self, prefix: str = "") -> list[object]:
        others = [e for e in self._store.objects(prefix) if not e.key.startswith(MANIFESTS)]
        return [*others, StoredObject(self._key, len(self._data))]

    def read(self, key: str) -> bytes | memoryview:
        return self._data if key == self._key else self._store.read(key)

    def protection(self, key: str) -> Protection:
        if key == self._key:
            return Protection(self._store.mode, orders.NOW + YEAR, hold=False)
        return self._store.protection(key)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_restoring_goes_on_and_mixes_nothing(place: Reopen, tmp_path: Path) -> None:
    kept = log_of(300)
    archived(kept, tmp_path, place())
    part = tmp_path / "part"
    with LogFiles(part) as log:
        log.append(0, kept.entries[:270])
    assert restore(place(), part).added == 30
    assert restore(place(), part).added == 0
    fork = tmp_path / "fork"
    with LogFiles(fork) as log:
        log.append(0, log_of(300).copy().entries[:100])
        log.append(100, [kept.entries[5]])
    with pytest.raises((LeafConflict, LogDamaged, HistoriesDiffer)):
        restore(place(), fork)
    more = tmp_path / "more"
    with LogFiles(more) as log:
        log.append(0, kept.copy().decide(True).entries)
    with pytest.raises(HistoriesDiffer, match="more leaves"):
        restore(place(), more)
    whole = tmp_path / "whole"
    with LogFiles(whole) as log:
        log.append(0, [*kept.entries[:299], kept.entries[5]])
    with pytest.raises(HistoriesDiffer):
        restore(place(), whole)


def test_a_manifest_that_cannot_be_read_is_told_and_passed_over(
    place: Reopen, tmp_path: Path
) -> None:
    kept = log_of(20)
    done = archived(kept, tmp_path, place())
    data = b"{}"
    key = f"{MANIFESTS}{21:015d}-{sha256(data).hexdigest()}.json"
    wanted = Protection(place().mode, to_second(orders.NOW + YEAR), hold=False)
    place().put(key, data, wanted)
    assert look(place()).newest == done.manifest
    problems = [(each.problem, each.where) for each in checked(place()).findings]
    assert (ArchiveProblem.ALTERED, key) in problems


def test_nowhere_is_no_archive(place: Reopen, tmp_path: Path) -> None:
    for look_at in (checked, lambda store: restore(store, tmp_path / "back")):
        with pytest.raises(NotArchived):
            look_at(place())


def test_a_boot_without_evidence_is_told(place: Reopen, tmp_path: Path) -> None:
    kept = log_of(20)
    boot = kept.boots.popitem()[0]
    done = archived(kept, tmp_path, place())
    assert done.unproved == (boot.hex(),)
    assert done.manifest.boots == ()
    assert checked(place()).ok


def test_every_object_is_needed(place: Reopen, tmp_path: Path) -> None:
    """Take any object away, and verification says which."""
    kept = log_of(300)
    found = archived(kept, tmp_path, place(), openings_key=KEY).manifest
    named = [segment_key(e) for e in found.segments] + [openings_key(e) for e in found.openings]
    for key in [*named, *map(boot_key, found.boots)]:
        report = checked(Without(place(), key))  # type: ignore[arg-type]
        assert (ArchiveProblem.MISSING, key) in {(e.problem, e.where) for e in report.findings}


class Without:
    """A store that lost one object."""

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key

    def read(self, key: str) -> bytes | memoryview:
        if key == self._key:
            raise ObjectMissing(f"no {key}")
        return self._store.read(key)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)
