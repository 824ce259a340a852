"""The engine around the rules: batches, permits, the kill switch, failures and time."""

from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal

import pytest
from msgspec.structs import replace
from msgspec.structs import replace as replaced
from strongroom_enclave.signer import policy as policy_module
from strongroom_enclave.signer.amounts import ONE
from strongroom_enclave.signer.policy import (
    RULES,
    Approved,
    Decision,
    Denied,
    PolicyEngine,
)
from strongroom_wire.errors import Malformed, ManifestInvalid, Rule
from strongroom_wire.manifest import Window

from tests.enclave.policy.engines import DenyingEngine, FailingEngine
from tests.enclave.policy.sample import (
    BUDGET,
    BUY,
    NOT_AFTER,
    NOW,
    POLICY,
    SELL,
    at,
    decide,
    permitted,
    sized,
)


def _used(engine: PolicyEngine) -> object:
    """All that the engine remembers of what it signed."""
    state = engine
    windows = [vars(window) for window in (*state.windows, state.rate)]
    return deepcopy((state.notional, state.orders, windows))


def test_only_an_approval_is_true() -> None:
    decisions: list[Decision] = [Approved(), Denied(Rule.RATE, 0, 1, 2)]
    assert [bool(decision) for decision in decisions] == [True, False]


def test_ready_made_engines_refuse_what_the_real_one_approves() -> None:
    denying, failing = DenyingEngine(POLICY), FailingEngine(POLICY)
    for engine in (denying, failing):
        engine.permit(BUDGET, NOT_AFTER)
    assert not decide(denying, BUY)
    with pytest.raises(RuntimeError, match="made to fail"):
        decide(failing, BUY)
    assert decide(permitted(), BUY)


def test_orders_of_a_batch_count_against_each_other() -> None:
    policy = replace(POLICY, windows=(Window(60, Decimal(30)),))
    assert decide(permitted(policy), SELL, BUY) == Approved()
    denial = Denied(Rule.WINDOW_NOTIONAL, 1, 30 * ONE, 30 * ONE + 1)
    assert decide(permitted(policy), SELL, sized(10 * ONE + 1)) == denial
    budget = replaced(BUDGET, notional=30 * ONE)
    denial = Denied(Rule.BUDGET_NOTIONAL, 2, 30 * ONE, 30 * ONE + 1)
    assert decide(permitted(budget=budget), SELL, BUY, sized(1)) == denial
    denial = Denied(Rule.BUDGET_ORDERS, 2, 2, 3)
    assert decide(permitted(budget=replaced(BUDGET, orders=2)), *[BUY] * 3) == denial
    denial = Denied(Rule.RATE, 10, 10, 11)
    assert decide(permitted(), *[sized(ONE)] * 11) == denial
    assert decide(permitted(), *[sized(ONE)] * 10) == Approved()


@pytest.mark.parametrize("bad", range(3))
def test_a_denied_batch_leaves_nothing_behind(bad: int) -> None:
    engine = permitted()
    assert decide(engine, BUY, SELL)
    before = _used(engine)
    batch = [sized(5 * ONE)] * 3
    batch[bad] = sized(25 * ONE + 1)
    assert decide(engine, *batch) == Denied(Rule.ORDER_NOTIONAL, bad, 25 * ONE, 25 * ONE + 1)
    assert _used(engine) == before
    assert decide(engine, *[sized(20 * ONE)] * 3) == Approved()
    after = Denied(Rule.WINDOW_NOTIONAL, 0, 100 * ONE, 110 * ONE)
    assert decide(engine, sized(20 * ONE)) == after


def test_an_empty_batch_is_no_approval() -> None:
    engine = permitted()
    with pytest.raises(Malformed, match="an order, got none"):
        decide(engine)
    assert _used(engine) == _used(permitted())


def test_exposure_is_counted_before_the_approval_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = permitted()
    seen = []
    approved = policy_module.Approved

    def witness() -> Approved:
        seen.append((engine.notional, engine.orders, engine.rate.total(NOW)))
        return approved()

    monkeypatch.setattr(policy_module, "Approved", witness)
    assert decide(engine, BUY, SELL)
    assert seen == [(30 * ONE, 2, 2)]


def _raises(error: Exception) -> Callable[..., tuple[int, int]]:
    def rule(*_: object) -> tuple[int, int]:
        raise error

    return rule


@pytest.mark.parametrize("place", range(len(RULES)))
@pytest.mark.parametrize(
    "rule",
    [
        _raises(RuntimeError("boom")),
        _raises(MemoryError()),
        _raises(RecursionError()),
        lambda order, state: None,
        lambda order, state: True,
        lambda order, state: Approved(),
        lambda order, state: (1,),
        lambda order, state: (1, 1, 1),
        lambda order, state: (None, 0),
        lambda order, state: ("9", 1),
    ],
)
def test_a_rule_that_breaks_or_answers_nonsense_refuses(
    place: int, rule: Callable[..., tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = list(RULES)
    table[place] = (table[place][0], rule)
    monkeypatch.setattr(policy_module, "RULES", tuple(table))
    engine = permitted()
    with pytest.raises((RuntimeError, MemoryError, TypeError, ValueError)):
        decide(engine, BUY)
    monkeypatch.undo()
    assert _used(engine) == _used(permitted())
    assert decide(engine, BUY) == Approved()


def test_a_clock_that_breaks_refuses() -> None:
    def broken() -> int:
        raise OSError("no device")

    engine = permitted()
    with pytest.raises(OSError, match="no device"):
        engine.decide([BUY], broken)
    with pytest.raises(TypeError):
        engine.decide([BUY], lambda: None)  # type: ignore[arg-type,return-value]
    assert _used(engine) == _used(permitted())


def test_a_permit_that_comes_again_refills_nothing() -> None:
    budget = replaced(BUDGET, notional=30 * ONE)
    engine = permitted(budget=budget)
    assert decide(engine, SELL)
    for _ in range(3):
        engine.permit(budget, NOT_AFTER)
        spent = Denied(Rule.BUDGET_NOTIONAL, 0, 30 * ONE, 40 * ONE)
        assert decide(engine, SELL) == spent
    assert decide(engine, BUY)
    assert not decide(engine, sized(1))


def test_a_later_permit_replaces_the_numbers_in_both_directions() -> None:
    engine = permitted(budget=replaced(BUDGET, notional=30 * ONE))
    assert decide(engine, SELL)
    engine.permit(replaced(BUDGET, notional=10 * ONE), NOT_AFTER)
    assert decide(engine, sized(1)) == Denied(Rule.BUDGET_NOTIONAL, 0, 10 * ONE, 20 * ONE + 1)
    engine.permit(replaced(BUDGET, notional=45 * ONE), NOT_AFTER)
    assert decide(engine, sized(25 * ONE)) == Approved()
    assert decide(engine, sized(1)) == Denied(Rule.BUDGET_NOTIONAL, 0, 45 * ONE, 45 * ONE + 1)
    engine.permit(replaced(BUDGET, orders=2), NOT_AFTER)
    assert decide(engine, sized(1)) == Denied(Rule.BUDGET_ORDERS, 0, 2, 3)
    engine.permit(BUDGET, NOW - 1)
    assert decide(engine, sized(1)) == Denied(Rule.PERMIT_EXPIRED, 0, NOW - 1, NOW)


def test_nothing_undoes_the_kill_switch() -> None:
    engine = permitted()
    engine.kill()
    engine.kill()
    engine.permit(BUDGET, NOT_AFTER)
    assert decide(engine, BUY, time_ms=NOW) == Denied(Rule.KILL_SWITCH, 0, 0, 1)
    never_permitted = PolicyEngine(POLICY)
    never_permitted.kill()
    assert decide(never_permitted, BUY) == Denied(Rule.PERMIT, 0, 1, 0)


def test_a_clock_moved_back_neither_revives_a_permit_nor_empties_a_window() -> None:
    engine = permitted(not_after_ms=NOW + 1000)
    late = replace(BUY, timestamp=NOW + 1001)
    assert not decide(engine, late, time_ms=NOW + 1001)
    expired = Denied(Rule.PERMIT_EXPIRED, 0, NOW + 1000, NOW + 1001)
    assert decide(engine, BUY, time_ms=NOW) == expired
    engine = permitted()
    for _ in range(4):
        assert decide(engine, sized(25 * ONE))
    full = Denied(Rule.WINDOW_NOTIONAL, 0, 100 * ONE, 101 * ONE)
    assert decide(engine, sized(ONE, NOW - 120_000), time_ms=NOW - 120_000) == Denied(
        Rule.TIMESTAMP, 0, 5_000, 120_000
    )
    assert decide(engine, sized(ONE), time_ms=NOW - 120_000) == full
    assert decide(engine, sized(ONE), time_ms=NOW) == full


def test_a_clock_moved_ahead_does_not_touch_the_budget() -> None:
    engine = permitted(budget=replaced(BUDGET, notional=100 * ONE))
    for _ in range(4):
        assert decide(engine, sized(25 * ONE))
    later = NOW + 7_200_000
    spent = Denied(Rule.BUDGET_NOTIONAL, 0, 100 * ONE, 100 * ONE + 1)
    assert decide(engine, sized(1, later), time_ms=later) == spent


def test_the_clock_is_asked_once_for_a_batch() -> None:
    asked = []

    def clock() -> int:
        asked.append(NOW)
        return NOW

    assert permitted().decide([BUY, SELL, BUY], clock)
    assert len(asked) == 1


def test_a_kill_reaches_a_decision_under_way() -> None:
    engine = permitted()

    def kills() -> int:
        engine.kill()
        return NOW

    assert engine.decide([BUY], kills) == Denied(Rule.KILL_SWITCH, 0, 0, 1)


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "0.0000001", "18446744073709.551616"])
def test_a_policy_with_an_amount_that_is_none_builds_no_engine(amount: str) -> None:
    with pytest.raises(ManifestInvalid):
        PolicyEngine(replace(POLICY, order_notional=Decimal(amount)))
    with pytest.raises(ManifestInvalid):
        PolicyEngine(replace(POLICY, windows=(Window(60, Decimal(amount)),)))


def test_engines_share_nothing() -> None:
    first, second = permitted(), permitted()
    first.kill()
    assert decide(second, BUY)
    assert first.decide([BUY], at(NOW)) == Denied(Rule.KILL_SWITCH, 0, 0, 1)
