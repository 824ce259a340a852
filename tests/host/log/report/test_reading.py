"""What is read out of a log: everything that happened, and everything that is missing or wrong."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.log.report.reading import read
from strongroom_host.log.report.record import (
    BootFacts,
    Decision,
    Gap,
    Lack,
    ModelTotals,
    Outcome,
    Period,
    Record,
)
from strongroom_wire.bundle import LogHead
from strongroom_wire.errors import Code, Rule
from strongroom_wire.leaves import Kind, Leaf, commitment
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.owners import Signature, Statement
from strongroom_wire.statements import Action, Budget

from tests.host.log.boots_made import START, Running, manifest
from tests.host.log.report.days import MODEL, OTHER, Day, a_day
from tests.wire.samples import byte, public


def lacks(record: Record) -> set[Lack]:
    return {gap.lack for gap in record.gaps}


def at(decisions: tuple[Decision, ...], index: int) -> Decision:
    return next(each for each in decisions if each.index == index)


def test_a_whole_day() -> None:
    day = a_day()
    record, decisions = day.read()
    assert record.head == day.kept.head
    assert sum(record.kinds.values()) == record.head.size == 19
    assert record.listed == len(decisions) == 13
    assert [each.index for each in decisions] == [3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 17, 18]
    assert record.outcomes == {
        Outcome.ORDERS: 4,
        Outcome.CANCEL: 2,
        Outcome.DENIED: 2,
        Outcome.REFUSED: 1,
        Outcome.MODEL: 4,
    }
    assert record.rules == {Rule.ORDER_NOTIONAL: 1, Rule.KILL_SWITCH: 1}
    assert record.gaps == (Gap(Lack.NO_CONTEXT, 9, 10, 1),), "one order named no model"
    assert record.times == (START, START + 18_000)
    assert [(row.start, row.end) for row in record.boots] == [(0, 16), (16, 19)]
    assert [row.facts.manifest.manifest.version for row in record.boots if row.facts.manifest] == [
        *(7, 8)
    ]


def test_what_led_to_an_order() -> None:
    record, decisions = a_day().read()
    signed, handed = at(decisions, 4), at(decisions, 3)
    assert (signed.client, signed.key) == ("strategy", "main")
    assert (signed.model, signed.inputs, signed.model_leaf) == (MODEL, byte(1), 3)
    assert (handed.model, handed.inputs, handed.output) == (MODEL, byte(1), byte(0xFE))
    assert signed.order_hashes == (byte(4), byte(5))
    assert (signed.intent, signed.request) == (byte(0x55), byte(0x77))
    assert (signed.notional, signed.total) == (7_000_000, (7_000_000, 2))
    denied = at(decisions, 8)
    assert (denied.rule, denied.limit, denied.actual) == (
        *(Rule.ORDER_NOTIONAL, 250_000_000, 600_000_000),
    )
    assert (denied.notional, denied.order_hashes, denied.request) == (0, (), bytes(32))
    assert at(decisions, 11).code is Code.EXPIRED
    assert record.models == (
        ModelTotals(MODEL, 3, 2, 2, 3, 11_000_000, 1, 0),
        ModelTotals(OTHER, 1, 1, 1, 1, 3_000_000, 1, 0),
        ModelTotals(b"", 0, 0, 1, 1, 1_000_000, 0, 1),
    )


def test_a_stop_and_what_was_denied_by_it() -> None:
    record, _ = a_day().read()
    one_key, all_keys = record.stops
    assert (one_key.index, one_key.key, one_key.signers) == (12, "second", (public(1),))
    assert (one_key.denied, one_key.first) == (0, None), "it was about another key"
    assert (all_keys.index, all_keys.key, all_keys.signers) == (13, "", (public(2),))
    assert (all_keys.denied, all_keys.first) == (1, (14, START + 14_000))


def test_a_stop_ends_with_its_boot() -> None:
    day = Day().boot()
    day.stop()
    day.boot(8)
    day.decide(context=day.model(1))
    record, _ = day.read()
    assert not record.alarms
    assert record.stops[0].denied == 0


def test_counters_and_budgets_by_boot() -> None:
    record, _ = a_day().read()
    first, second = record.usage
    assert (first.listed, first.unlisted, first.counted) == (
        (11_000_000, 4),
        (0, 0),
        (11_000_000, 4),
    )
    assert (first.budget, second.budget) == ((500_000_000, 200), (100_000_000, 10))
    assert (second.counted, second.adds_up, first.adds_up) == ((4_000_000, 1), True, True)


def test_permits_and_key_events() -> None:
    day = a_day()
    running = day.kept.boot
    further = running.permit(Frontier(), serial=2, abandons=LogHead(5, byte(9))).serialise()
    day.kept.add(Kind.PERMIT, further, sha256(further).digest())
    record, _ = day.read()
    assert [(p.index, p.in_order, p.signers) for p in record.permits] == [
        (0, True, (public(1), public(2))),
        (16, True, (public(1), public(2))),
        (19, True, (public(1), public(2))),
    ]
    assert record.permits[2].permit is not None
    assert record.permits[2].permit.abandons == LogHead(5, byte(9))
    assert [(e.index, e.action, e.key) for e in record.keys] == [
        (1, Action.GENERATE, "main"),
        (2, Action.ENROLL_DERIVE, "main"),
    ]


# --- what is not known ----------------------------------------------------------------------------


def without(day: Day, *indices: int) -> tuple[Record, tuple[Decision, ...]]:
    kept = day.kept.sign()
    known = {index: each for index, each in kept.openings.items() if index not in indices}
    return read(kept.entries, known.get, day.facts())


def test_without_openings_the_leaves_still_tell_kind_time_and_rule() -> None:
    day = a_day()
    record, decisions = read(day.kept.entries, lambda _: None, day.facts())
    assert record.outcomes == {
        Outcome.SIGNED: 6,
        Outcome.DENIED: 2,
        Outcome.REFUSED: 1,
        Outcome.MODEL: 4,
    }
    assert at(decisions, 14).rule is Rule.KILL_SWITCH
    assert not any(each.opened or each.client or each.notional is not None for each in decisions)
    assert all(each.remarks == (Lack.NO_OPENING,) for each in decisions)
    hidden = [gap for gap in record.gaps if gap.lack is Lack.NO_OPENING]
    assert sum(gap.count for gap in hidden) == record.head.size
    assert (record.usage, record.models) == ((), ())
    assert [permit.in_order for permit in record.permits] == [None, None]
    stop = record.stops[1]
    assert (stop.opened, stop.denied, stop.unsigned) == (False, 1, 1)


def test_what_one_missing_opening_leaves_open() -> None:
    record, decisions = without(a_day(), 4)
    after = at(decisions, 7)
    assert after.notional is None, "some of it is of the decision that cannot be read"
    assert at(decisions, 9).notional == 1_000_000, "from there on it is known again"
    assert at(decisions, 18).notional == 4_000_000, "and another boot counts from nothing"
    usage = record.usage[0]
    assert (usage.listed, usage.unlisted, usage.counted) == (
        *((1_000_000, 2), (10_000_000, 2), (11_000_000, 4)),
    )
    assert usage.adds_up
    assert not record.alarms


def test_a_missing_permit_leaves_the_budget_unknown() -> None:
    record, _ = without(a_day(), 0)
    assert (record.permits[0].permit, record.usage[0].budget) == (None, None)
    assert record.usage[1].budget == (100_000_000, 10)


def test_after_a_permit_that_is_missing_no_budget_is_held_against_anything() -> None:
    day = Day().boot(7, budgets=(Budget("main", 10_000_000, 5),))
    context = day.model(1)
    day.decide(pusd=4, context=context)
    further = day.kept.boot.permit(Frontier(), serial=2).serialise()
    day.kept.add(Kind.PERMIT, further, sha256(further).digest())
    day.decide(pusd=40, context=context)
    assert not day.read()[0].alarms
    assert not without(day, 3)[0].alarms


def test_a_missing_stop_is_still_a_stop() -> None:
    record, _ = without(a_day(), 13)
    assert (record.stops[1].opened, record.stops[1].denied) == (False, 1)


def test_signed_entries_after_a_stop_that_cannot_be_opened() -> None:
    record, _ = without(a_day(), 15)
    assert record.stops[1].unsigned == 1
    assert not record.alarms


def test_boots_of_which_nothing_else_is_known() -> None:
    day = a_day()
    record, _ = read(day.kept.entries, day.kept.openings.get, {})
    assert {Lack.NO_MANIFEST, Lack.NO_EVIDENCE} <= lacks(record)
    assert [permit.in_order for permit in record.permits] == [None, None]
    assert record.permits[0].signers == (public(1), public(2)), "valid, whoever they are"
    unverified = {epoch: BootFacts(facts.manifest) for epoch, facts in day.facts().items()}
    record, _ = read(day.kept.entries, day.kept.openings.get, unverified)
    assert lacks(record) == {Lack.NO_EVIDENCE, Lack.NO_CONTEXT}


def test_orders_whose_model_decision_was_not_handed_in() -> None:
    day = Day().boot()
    context = day.model(1)
    day.decide(context=MODEL + byte(2))
    day.boot(8)
    day.decide(context=context)
    record, decisions = day.read()
    gaps = [gap for gap in record.gaps if gap.lack is Lack.NO_MODEL_DECISION]
    assert [gap.start for gap in gaps] == [2, 4], "one handed in before another boot is not of this"
    assert decisions[1].model_leaf is None


def test_times_that_the_enclave_did_not_have() -> None:
    day = Day().boot()
    day.decide(context=day.model(1))
    leaf = Leaf.parse(day.kept.entries[2])
    day.kept.entries[2] = Leaf(
        leaf.kind, leaf.epoch, leaf.index, 0, leaf.commitment, leaf.public
    ).serialise()
    record, decisions = read(day.kept.entries, day.kept.openings.get, day.facts())
    assert lacks(record) == {Lack.NO_TIME}
    assert decisions[1].time_ms == 0


def test_kinds_that_are_not_rendered_are_named() -> None:
    day = Day().boot()
    day.kept.add(Kind.SYNC, b"?", bytes(32))
    record, _ = day.read()
    assert [(gap.lack, gap.detail) for gap in record.gaps] == [(Lack.NOT_RENDERED, "SYNC")]


# --- what is wrong --------------------------------------------------------------------------------


def alarmed(day: Day) -> set[Lack]:
    record, _ = day.read()
    return {gap.lack for gap in record.alarms}


@pytest.mark.parametrize("key", ["", "main"])
def test_orders_after_the_kill_switch_are_an_alarm(key: str) -> None:
    day = Day().boot()
    context = day.model(1)
    day.decide(context=context)
    day.stop(key)
    assert not alarmed(day)
    index = day.decide(context=context)
    assert alarmed(day) == {Lack.ORDERS_AFTER_STOP}
    _, decisions = day.read()
    assert at(decisions, index).remarks == (Lack.ORDERS_AFTER_STOP,)


def test_orders_of_another_key_after_its_kill_switch_are_none() -> None:
    day = Day().boot()
    day.stop("session")
    day.decide(context=day.model(1))
    assert not alarmed(day)


def test_more_than_the_permit_allows_is_an_alarm() -> None:
    for grown, fits in (((10, 1), True), ((11, 1), False), ((10, 2), False)):
        day = Day().boot(7, budgets=(Budget("main", 10, 1),))
        day.decide(grown[1], grown=grown, context=day.model(1))
        assert alarmed(day) == (set() if fits else {Lack.OVER_BUDGET})


def test_a_key_without_a_budget_may_sign_nothing() -> None:
    day = Day().boot()
    day.decide(key="session", context=day.model(1))
    assert alarmed(day) == {Lack.OVER_BUDGET}


@pytest.mark.parametrize(
    "decide",
    [
        lambda day, context: day.decide(2, grown=(5, 1), context=context),
        lambda day, context: day.decide(1, grown=(5, 2), context=context),
        lambda day, context: day.decide(1, grown=(-1, 1), context=context),
        lambda day, context: day.decide(0, grown=(5, 0)),
        lambda day, context: day.decide(0, grown=(0, 1)),
        lambda day, context: day.decide(rule=Rule.RATE, grown=(1, 0), context=context),
        lambda day, context: day.decide(code=Code.EXPIRED, grown=(0, -1)),
    ],
)
def test_counters_that_do_not_agree_are_an_alarm(decide: Callable[[Day, bytes], int]) -> None:
    day = Day().boot()
    context = day.model(1)
    day.decide(3, pusd=9, context=context)
    assert not alarmed(day)
    decide(day, context)
    assert alarmed(day) == {Lack.MISCOUNTED}


def test_what_failed_after_it_was_counted_is_none() -> None:
    day = Day().boot()
    day.decide(code=Code.INTERNAL, grown=(5_000_000, 1))
    record, decisions = day.read()
    assert not record.alarms
    assert decisions[0].notional == 5_000_000
    assert record.usage[0].counted == (5_000_000, 1)


def test_permits_without_a_quorum_or_of_another_boot_are_an_alarm() -> None:
    for running, permit in (
        (Running(manifest(), (1,)), {}),
        (Running(manifest()), {"keys_digest": byte(1)}),
        (Running(manifest()), {"manifest_digest": byte(1)}),
    ):
        day = Day()
        day.kept.start(running, running.permit(Frontier(), **permit))
        day.kept.sign()
        facts = Day().boot().facts()
        verified = next(iter(facts.values()))
        record, _ = read(day.kept.entries, day.kept.openings.get, {running.boot_id: verified})
        assert {gap.lack for gap in record.alarms} == {Lack.UNAUTHORISED}
        assert record.permits[0].in_order is False


def test_signatures_that_do_not_verify_count_for_nobody() -> None:
    day = Day()
    running = Running(manifest())
    genuine = running.permit(Frontier())
    one, other = genuine.signatures
    forged = Statement(genuine.payload, (one, Signature(other.key, one.value)))
    day.kept.start(running, forged)
    record, _ = day.read()
    assert {gap.lack for gap in record.alarms} == {Lack.UNAUTHORISED}
    assert record.permits[0].signers == (public(1),)


def test_a_permit_that_is_not_the_one_its_leaf_names_is_an_alarm() -> None:
    day = Day().boot()
    further = day.kept.boot.permit(Frontier(), serial=2).serialise()
    day.kept.add(Kind.PERMIT, further, byte(1))
    assert alarmed(day) == {Lack.UNAUTHORISED}


def test_owner_orders_without_enough_owners_are_an_alarm() -> None:
    for action, signers, fine in (
        (Action.KILL, (3,), True),
        (Action.KILL, (5,), False),
        (Action.GENERATE, (1, 3), True),
        (Action.GENERATE, (1,), False),
    ):
        day = Day().boot()
        order = day.kept.boot.order(action, "main", signers).serialise()
        kill = action is Action.KILL
        day.kept.add(Kind.KILL if kill else Kind.KEY, order, b"" if kill else bytes([action]))
        assert alarmed(day) == (set() if fine else {Lack.UNAUTHORISED}), (action, signers)


def test_an_owner_order_of_another_boot_is_an_alarm() -> None:
    day = Day().boot()
    other = day.kept.boot
    day.boot(8)
    day.kept.add(Kind.KILL, other.order(Action.KILL).serialise())
    assert alarmed(day) == {Lack.UNAUTHORISED}


def test_wrong_openings_and_records_that_cannot_be_read() -> None:
    day = a_day()
    openings = {**day.kept.openings, 4: day.kept.openings[5]}
    record, decisions = read(day.kept.entries, openings.get, day.facts())
    assert {gap.lack for gap in record.alarms} == {Lack.WRONG_OPENING}
    assert at(decisions, 4).remarks == (Lack.WRONG_OPENING,)

    day = Day().boot()
    day.kept.add(Kind.SIGNED, b"of a later version")
    record, decisions = day.read()
    assert lacks(record) == {Lack.UNDECODABLE}
    assert (decisions[0].outcome, decisions[0].remarks) == (Outcome.SIGNED, (Lack.UNDECODABLE,))


def test_a_record_that_says_otherwise_than_its_leaf_cannot_be_read() -> None:
    day = Day().boot()
    day.decide(context=day.model(1))
    opening = day.kept.openings[2]
    leaf = Leaf(Kind.DENIED, day.kept.boot.boot_id, 3, START, commitment(opening), bytes([1]))
    day.kept.entries.append(leaf.serialise())
    day.kept.tree.append(leaf_hash(day.kept.entries[-1]))
    day.kept.openings[3] = opening
    record, _ = day.read()
    assert lacks(record) == {Lack.UNDECODABLE}


def test_bytes_that_are_no_leaf_stop_nothing() -> None:
    day = a_day()
    entries = [*day.kept.entries[:5], b"?", *day.kept.entries[6:]]
    record, decisions = read(entries, day.kept.openings.get, day.facts())
    assert Lack.UNREADABLE in {gap.lack for gap in record.alarms}
    assert (record.head.size, sum(record.kinds.values()), len(decisions)) == (19, 18, 12)


# --- periods --------------------------------------------------------------------------------------


def test_a_period_lists_its_own_decisions_and_counts_the_others() -> None:
    day = a_day()
    record, decisions = day.read(Period(START + 7_000, START + 12_000))
    assert [each.index for each in decisions] == [7, 8, 9, 10, 11]
    assert (record.listed, record.outside) == (5, 8)
    assert at(decisions, 7).notional == 3_000_000, "what was counted before is known"
    assert [model.handed_in for model in record.models] == [0, 0]
    assert len(record.stops) == 2
    assert record.usage[0].counted == (11_000_000, 4)


@given(st.integers(-1, 19), st.integers(-1, 19))
def test_periods_cut_a_log_into_parts_that_add_up(one: int, other: int) -> None:
    day = DAY
    first, second = sorted((START + one * 1000, START + other * 1000))
    parts = [Period(None, first), Period(first, second), Period(second, None)]
    read_parts = [read(day.kept.entries, day.kept.openings.get, FACTS, each) for each in parts]
    whole, decisions = WHOLE
    assert [d for _, part in read_parts for d in part] == list(decisions)
    for outcome, count in whole.outcomes.items():
        assert sum(record.outcomes.get(outcome, 0) for record, _ in read_parts) == count
    for record, _ in read_parts:
        assert record.listed + record.outside == len(decisions)
    notional = sum(model.notional for record, _ in read_parts for model in record.models)
    assert notional == sum(usage.counted[0] for usage in whole.usage)


@given(st.sets(st.integers(0, 18)))
def test_whatever_is_missing_the_rest_adds_up_and_raises_no_alarm(missing: set[int]) -> None:
    known = {index: each for index, each in DAY.kept.openings.items() if index not in missing}
    record, decisions = read(DAY.kept.entries, known.get, FACTS)
    assert not record.alarms
    assert all(usage.adds_up for usage in record.usage)
    assert len(decisions) == 13
    hidden = sum(gap.count for gap in record.gaps if gap.lack is Lack.NO_OPENING)
    assert hidden == len(missing)
    assert {each.index for each in decisions if not each.opened} == missing & {
        each.index for each in decisions
    }


DAY = a_day()
WHOLE = DAY.read()
FACTS = DAY.facts()
