"""A hostile store: whatever it does to a log is detected, and named with its place."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest
from strongroom_host.log.errors import TileMissing
from strongroom_host.log.proofs import consistency_proof
from strongroom_host.log.tiles import ENTRIES, Tile, bundle
from strongroom_host.log.tree import LogReader, TileHashes
from strongroom_host.log.verify import (
    AttestedBoot,
    Expected,
    Finding,
    KnownHead,
    Problem,
    Report,
    compare_heads,
    verify,
)
from strongroom_wire.bundle import LogHead
from strongroom_wire.leaves import Boot, Kind, Leaf
from strongroom_wire.merkle import Frontier, leaf_hash

from tests.host.log.histories import History, Memory, stored
from tests.wire.samples import byte
from tests.wire.test_merkle import grown

HISTORY = History().boot(1, 10).boot(2, 0).boot(3, 20)  # leaves 0-10, 11, 12-32
KNOWN = HISTORY.known()
SIZE = len(HISTORY.entries)


def expected(**changes: object) -> Expected:
    """Return what a careful verifier knows of `HISTORY`, with changes."""
    careful = Expected(KNOWN, {}, HISTORY.attested, HISTORY.openings, SIZE)
    return replace(careful, **changes)  # type: ignore[arg-type]


def found(report: Report) -> list[tuple[Problem, int, int]]:
    """Return the findings without their words."""
    return [(each.problem, each.start, each.end) for each in report.findings]


def test_an_honest_log() -> None:
    report = verify(HISTORY.entries, expected())
    assert report.ok
    assert (report.head, report.proven, report.witnessed) == (HISTORY.tree.head, SIZE, SIZE)
    assert [(e.epoch, e.start, e.end) for e in report.epochs] == [
        (byte(1), 0, 11),
        (byte(2), 11, 12),
        (byte(3), 12, 33),
    ]
    assert all(epoch.boot is not None for epoch in report.epochs)
    assert sum(report.kinds.values()) == SIZE
    assert report.kinds[Kind.BOOT] == 3
    assert report.opened[5] == b"record 5"
    assert len(report.opened) == SIZE
    assert report.not_excluded() == ()


def test_the_empty_log() -> None:
    assert verify([], Expected()).ok
    assert found(verify([], expected())) == [(Problem.SHORTER, 0, 33)]


# --- what a store may do --------------------------------------------------------------------------


def edited(at: int) -> list[bytes]:
    """Return the leaves with another commitment in one."""
    leaf = Leaf.parse(HISTORY.entries[at])
    other = Leaf(leaf.kind, leaf.epoch, leaf.index, leaf.time_ms, byte(0xEE), leaf.public)
    return [*HISTORY.entries[:at], other.serialise(), *HISTORY.entries[at + 1 :]]


E = HISTORY.entries
CASES: Mapping[str, tuple[list[bytes], list[tuple[Problem, int, int]]]] = {
    "truncated by one": (E[:-1], [(Problem.SHORTER, 32, 33)]),
    "truncated at a boot": (E[:12], [(Problem.SHORTER, 12, 33)]),
    "truncated in a boot": (E[:20], [(Problem.SHORTER, 20, 33)]),
    "nothing left": ([], [(Problem.SHORTER, 0, 33)]),
    "dropped first": (E[1:], [(Problem.DROPPED, 0, 1), (Problem.EPOCH_BROKEN, 0, 1)]),
    "dropped one": (E[:5] + E[6:], [(Problem.DROPPED, 5, 6)]),
    "dropped three": (E[:15] + E[18:], [(Problem.DROPPED, 15, 18)]),
    "dropped a boot": (E[:11] + E[12:], [(Problem.DROPPED, 11, 12)]),
    "dropped the start of a boot": (
        E[:12] + E[13:],
        [(Problem.DROPPED, 12, 13), (Problem.EPOCH_BROKEN, 12, 13)],
    ),
    "dropped one and truncated": (
        E[:5] + E[6:30],
        [(Problem.DROPPED, 5, 6), (Problem.SHORTER, 30, 33)],
    ),
    "swapped two": ([*E[:5], E[6], E[5], *E[7:]], [(Problem.REORDERED, 6, 7)]),
    "moved one back": ([*E[:20], E[25], *E[20:25], *E[26:]], [(Problem.REORDERED, 21, 26)]),
    "moved one ahead": ([*E[:20], *E[21:26], E[20], *E[26:]], [(Problem.REORDERED, 25, 26)]),
    "duplicated one": (E[:8] + E[7:], [(Problem.DUPLICATED, 8, 9)]),
    "duplicated at the end": ([*E, E[-1]], [(Problem.DUPLICATED, 33, 34)]),
    "edited": (edited(20), [(Problem.EDITED, 12, 33)]),
    "edited in an earlier boot": (
        edited(5),
        [(Problem.EDITED, 0, 11), (Problem.WRONG_CONTINUATION, 11, 12)],
    ),
    "rubbish in a place": ([*E[:7], b"rubbish", *E[8:]], [(Problem.UNREADABLE, 7, 8)]),
    "a byte more": ([*E[:7], E[7] + b"\x00", *E[8:]], [(Problem.UNREADABLE, 7, 8)]),
}


@pytest.mark.parametrize(("entries", "findings"), CASES.values(), ids=CASES)
def test_what_a_store_does_is_named(
    entries: list[bytes], findings: list[tuple[Problem, int, int]]
) -> None:
    report = verify(entries, expected(openings={}))
    assert found(report) == findings
    assert not report.ok


def test_an_edit_is_found_at_its_very_place_by_what_a_client_holds() -> None:
    report = verify(edited(20), expected(leaves={20: E[20], 21: E[21]}, openings={}))
    assert found(report) == [(Problem.EDITED, 20, 21)]


def test_an_edit_is_found_at_its_very_place_by_the_stores_own_tiles() -> None:
    tiles = TileHashes(stored(E), SIZE)
    report = verify(edited(20), expected(openings={}), stored_hash=lambda at: tiles(0, at))
    assert found(report) == [(Problem.EDITED, 20, 21)]


def test_an_edit_is_not_hidden_by_something_else_that_is_wrong() -> None:
    wrong = {**HISTORY.attested, byte(3): AttestedBoot(byte(0), byte(0))}
    report = verify(edited(20), expected(openings={}, boots=wrong))
    assert found(report) == [(Problem.WRONG_BOOT, 12, 13), (Problem.EDITED, 12, 33)]


def test_an_answer_that_is_not_in_the_log() -> None:
    report = verify(E[:30], Expected(KNOWN[:2], {31: E[31]}))
    assert found(report) == [(Problem.SHORTER, 31, 32)]


def test_an_old_copy_is_found_by_a_head_or_by_an_answer() -> None:
    assert found(verify(E[:11], expected(openings={}))) == [(Problem.SHORTER, 11, 33)]
    old = Expected(KNOWN[:1], {32: E[32]})
    assert found(verify(E[:11], old)) == [(Problem.SHORTER, 32, 33)]


def test_an_old_copy_without_a_newer_head_is_not_excluded_and_the_report_says_so() -> None:
    report = verify(E[:11], Expected(KNOWN[:1]))
    assert report.ok
    (sentence, _) = report.not_excluded()
    assert "newest leaves were taken away" in sentence


# --- forks ----------------------------------------------------------------------------------------


def forked() -> History:
    """Return another third boot, as an enclave whose state was rolled back would make it."""
    other = History(E[:12], {}, {}, [], grown(E[:12]))
    other.heads = HISTORY.heads[:2]
    return other.boot(4, 25)


def test_a_fork_shown_to_two_verifiers_shows_when_they_compare_heads() -> None:
    mine, theirs = KNOWN[-1], forked().known()[-1]
    for storage, size in ((stored(E), 33), (stored(forked().entries), 38)):
        tiles = TileHashes(storage, size)

        def prove(old: int, new: int, tiles: TileHashes = tiles) -> tuple[bytes, ...]:
            return consistency_proof(old, min(new, tiles._size), tiles)

        finding = compare_heads(mine, theirs, prove)
        assert finding is not None
        assert finding.problem is Problem.FORKED


def test_heads_of_one_history_agree_however_they_are_given() -> None:
    log = LogReader(stored(E), HISTORY.tree.head)

    def prove(old: int, new: int) -> tuple[bytes, ...]:
        return consistency_proof(old, new, log.hashes)

    for one in KNOWN:
        for other in KNOWN:
            assert compare_heads(one, other, prove) is None


def test_two_roots_for_one_size_need_no_proof() -> None:
    other = KnownHead(LogHead(33, byte(1)), "another verifier")
    finding = compare_heads(KNOWN[-1], other, lambda old, new: pytest.fail("asked the store"))
    assert finding is not None
    assert (finding.problem, finding.end) == (Problem.FORKED, 33)


def test_a_fork_is_named_when_both_heads_are_known() -> None:
    branch = forked()
    heads = [*KNOWN, *branch.known()]
    for entries in (E, branch.entries):
        assert not verify(entries, Expected(heads)).ok
    report = verify(branch.entries, Expected(heads))  # 38 leaves, and a head of 33 that differs
    assert found(report) == [(Problem.FORKED, 0, 33)]
    report = verify(E, Expected(heads))  # 33 leaves: a head of 38 may be of this history or not
    assert found(report) == [(Problem.SHORTER, 33, 38)]


def test_two_signed_heads_of_one_size_are_a_fork_whatever_is_stored() -> None:
    twin = KnownHead(LogHead(33, byte(1)), "witness")
    for entries in (E, E[:20], []):
        report = verify(entries, Expected([*KNOWN, twin]))
        assert (Problem.FORKED, 0, 33) in found(report)


# --- boots ----------------------------------------------------------------------------------------


def rebuilt(change: Callable[[History], None]) -> History:
    """Return a log whose maker does something that no honest enclave does."""
    history = History().boot(1, 3)
    change(history)
    history.heads.append(history.tree.head)
    return history


def _second_boot(history: History, continued: LogHead) -> None:
    start = Boot(continued, byte(1), byte(2), byte(3), "1")
    history.epoch = byte(2)
    history.add(Kind.BOOT, start.serialise())
    history.add(Kind.SIGNED)


def _go_on_after_another(history: History) -> None:
    _second_boot(history, history.tree.head)
    history.epoch = byte(1)
    history.add(Kind.SIGNED)


def _no_start(history: History) -> None:
    history.epoch = byte(2)
    history.add(Kind.SIGNED)


def _start_again_later(history: History) -> None:
    _second_boot(history, history.tree.head)
    history.epoch = byte(1)
    _start_twice(history)


def _start_twice(history: History) -> None:
    start = Boot(history.tree.head, byte(1), byte(2), byte(3), "1")
    history.add(Kind.BOOT, start.serialise())


def _clock_back(history: History) -> None:
    history.add(Kind.SIGNED, time_ms=5)


def _before_the_permit(history: History) -> None:
    """What waited for the second boot's permit has earlier times than the boot's own leaf."""
    history.boot(2, 0)
    for kind, public, back in ((Kind.KEY, b"\2", 9), (Kind.KILL, b"", 8), (Kind.KEY, b"\3", 8)):
        history.add(kind, public, time_ms=Leaf.parse(history.entries[4]).time_ms - back)


def _a_decision_before_the_permit(history: History) -> None:
    _before_the_permit(history)
    history.add(Kind.SIGNED, time_ms=Leaf.parse(history.entries[4]).time_ms - 1)


def _what_waited_out_of_order(history: History) -> None:
    _before_the_permit(history)
    history.add(Kind.KILL, time_ms=Leaf.parse(history.entries[4]).time_ms - 9)


def _no_time(history: History) -> None:
    history.add(Kind.KILL, time_ms=0)


BROKEN: Mapping[str, tuple[Callable[[History], None], list[tuple[Problem, int, int]]]] = {
    "continues a shorter log": (
        lambda h: _second_boot(h, grown(h.entries[:2]).head),
        [(Problem.WRONG_CONTINUATION, 4, 5)],
    ),
    "continues a longer log": (
        lambda h: _second_boot(h, LogHead(9, byte(1))),
        [(Problem.WRONG_CONTINUATION, 4, 5)],
    ),
    "continues another log": (
        lambda h: _second_boot(h, LogHead(4, byte(1))),
        [(Problem.WRONG_CONTINUATION, 4, 5)],
    ),
    "begins anew": (
        lambda h: _second_boot(h, Frontier().head),
        [(Problem.WRONG_CONTINUATION, 4, 5)],
    ),
    "goes on after another": (_go_on_after_another, [(Problem.EPOCH_BROKEN, 6, 7)]),
    "starts again later": (_start_again_later, [(Problem.EPOCH_BROKEN, 6, 7)]),
    "does not start": (_no_start, [(Problem.EPOCH_BROKEN, 4, 5)]),
    "starts twice": (_start_twice, [(Problem.EPOCH_BROKEN, 4, 5)]),
    "clock goes back": (
        _clock_back,
        [(Problem.CLOCK_BACKWARDS, 4, 5)],
    ),
    "decides before its permit": (
        _a_decision_before_the_permit,
        [(Problem.CLOCK_BACKWARDS, 8, 9)],
    ),
    "clock goes back before its permit": (
        _what_waited_out_of_order,
        [(Problem.CLOCK_BACKWARDS, 8, 9)],
    ),
}


@pytest.mark.parametrize(("change", "findings"), BROKEN.values(), ids=BROKEN)
def test_boots_that_do_not_follow_from_one_another(
    change: Callable[[History], None], findings: list[tuple[Problem, int, int]]
) -> None:
    history = rebuilt(change)
    assert found(verify(history.entries, Expected(history.known()))) == findings


def test_a_log_begins_with_the_start_of_a_boot() -> None:
    history = History(epoch=byte(1))
    history.add(Kind.SIGNED)
    report = verify(history.entries, Expected([KnownHead(history.tree.head, "head")]))
    assert found(report) == [(Problem.EPOCH_BROKEN, 0, 1)]


def test_no_time_is_no_step_back() -> None:
    history = rebuilt(_no_time)
    history.add(Kind.SIGNED)
    assert found(verify(history.entries, Expected(history.known()))) == []


def test_what_happened_before_the_permit_is_older_than_the_boots_own_leaf() -> None:
    history = rebuilt(_before_the_permit)
    history.add(Kind.SIGNED)
    assert found(verify(history.entries, Expected(history.known()))) == []


@pytest.mark.parametrize("changed", [0, 1])
def test_a_boot_is_held_against_its_evidence(changed: int) -> None:
    right = HISTORY.attested[byte(3)]
    values = [right.manifest_digest, right.keys_digest]
    values[changed] = byte(0)
    wrong = {**HISTORY.attested, byte(3): AttestedBoot(*values)}
    assert found(verify(E, expected(boots=wrong))) == [(Problem.WRONG_BOOT, 12, 13)]


def test_boots_without_evidence_are_counted() -> None:
    one = {byte(1): HISTORY.attested[byte(1)]}
    report = verify(E, expected(boots=one))
    assert report.ok
    assert report.unattested == (byte(2), byte(3))
    assert "2 of 3 boots" in report.not_excluded()[0]


def test_a_wrong_opening_is_named() -> None:
    openings = {**HISTORY.openings, 9: HISTORY.openings[8]}
    report = verify(E, expected(openings=openings))
    assert found(report) == [(Problem.WRONG_OPENING, 9, 10)]
    assert 9 not in report.opened


# --- ranges, and what stays open ------------------------------------------------------------------


@pytest.mark.parametrize("start", [1, 11, 12, 20, 33])
def test_a_range_is_verified_like_the_whole(start: int) -> None:
    before = grown(E[:start])
    report = verify(E[start:], expected(openings={}), before=before)
    assert report.ok
    assert (report.head, report.proven) == (HISTORY.tree.head, SIZE)
    assert before.size == start
    if start < 33:
        assert report.epochs[-1].end == SIZE


def test_a_range_after_something_else_leads_to_no_head() -> None:
    before = grown([b"x", *E[1:20]])
    report = verify(E[20:], expected(openings={}), before=before)
    assert found(report) == [(Problem.EDITED, 20, 33)]


def test_leaves_newer_than_any_head_are_not_vouched_for() -> None:
    report = verify(E, expected(heads=KNOWN[:2], witnessed=12))
    assert report.ok
    assert report.proven == 12
    assert "newest 21 leaves" in report.not_excluded()[0]


def test_without_any_head_nothing_is_proven() -> None:
    report = verify(E, Expected())
    assert not report.ok
    assert report.findings == ()
    assert report.proven == 0


def test_without_a_witness_equivocation_is_not_excluded() -> None:
    (sentence,) = verify(E, expected(witnessed=0)).not_excluded()
    assert sentence.startswith("No witness vouches")
    (sentence,) = verify(E, expected(witnessed=12)).not_excluded()
    assert sentence.startswith("After leaf 11 no witness")


def test_a_witness_counts_only_as_far_as_the_leaves_lead() -> None:
    report = verify(E[:20], expected(openings={}))
    assert report.witnessed == report.proven == 12


def test_a_store_that_withholds_a_bundle_is_named() -> None:
    history = History().boot(1, 600)
    storage = stored(history.entries)
    del storage[Tile(ENTRIES, 1).path]
    log = LogReader(storage, history.tree.head)
    report = verify(log.entries(), Expected(history.known()))
    assert found(report) == [(Problem.UNREADABLE, 256, 257), (Problem.SHORTER, 256, 601)]
    assert Tile(ENTRIES, 1).path in str(report.findings[0])


def test_a_store_whose_bundle_has_another_shape_is_named() -> None:
    history = History().boot(1, 600)
    storage = Memory(stored(history.entries))
    storage[Tile(ENTRIES, 1).path] = bundle(history.entries[256:511])
    report = verify(LogReader(storage, history.tree.head).entries(), Expected(history.known()))
    assert found(report)[0] == (Problem.UNREADABLE, 256, 257)


def test_a_missing_tile_does_not_stop_the_report() -> None:
    def hashes(at: int) -> bytes:
        if at == 4:
            raise TileMissing("gone", expected="tile/0/000")
        return leaf_hash(E[at])

    report = verify(E, expected(openings={}), stored_hash=hashes)
    assert [each.problem for each in report.findings] == [Problem.UNREADABLE, Problem.SHORTER]


def test_memory_does_not_grow_with_the_leaves() -> None:
    """Leaves are taken from a stream, and adjoining findings become one."""

    def stream() -> Iterator[bytes]:
        yield from E[:5]
        for _ in range(5_000):
            yield b"rubbish"

    report = verify(stream(), Expected())
    assert found(report) == [(Problem.UNREADABLE, 5, 5_005)]


def test_findings_say_where() -> None:
    assert str(Finding(Problem.EDITED, 3, 4, "why")) == "edited: leaf 3: why"
    assert str(Finding(Problem.SHORTER, 3, 6, "why")) == "shorter: leaves 3 to 5: why"
