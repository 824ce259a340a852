"""Many clients at one limit, by every way in: what is signed never exceeds it, and reaches it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from strongroom_wire.errors import Code, Rule
from strongroom_wire.frames import Reply
from strongroom_wire.statements import Action, Budget

from tests.hostile.conftest import Start
from tests.hostile.driver import Boot, Channel, Desk, Enclave

DOLLAR = 10**6


def race(channels: list[Channel], act: Callable[[Channel], Reply], times: int) -> list[Reply]:
    """Returns all replies of all channels, which begin at the same moment."""
    gate = Barrier(len(channels))

    def run(channel: Channel) -> list[Reply]:
        gate.wait()
        return [act(channel) for _ in range(times)]

    with ThreadPoolExecutor(len(channels)) as pool:
        return [reply for replies in pool.map(run, channels) for reply in replies]


def channels(boot: Boot) -> list[Channel]:
    """Two clients, each on three connections."""
    return [boot.channel(bot) for bot in boot.desk.bots for _ in range(3)]


def outcome(replies: list[Reply]) -> tuple[int, set[Rule]]:
    denied = {reply.rule for reply in replies if reply.code is not Code.OK}
    assert len({reply.decision for reply in replies}) == len(replies)
    signed = [order for reply in replies for order in reply.order_hashes]
    assert len(set(signed)) == len(signed)
    assert all(bool(reply.request) == (reply.code is Code.OK) for reply in replies)
    return len(signed), denied


def test_clients_that_race_for_a_window_get_it_once(start: Start) -> None:
    boot = start(Desk()).make_ready()
    replies = race(channels(boot), lambda channel: channel.buy(9), 12)
    assert outcome(replies) == (500 // 9, {Rule.WINDOW_NOTIONAL})
    assert boot.channel().signed_so_far() == 500 // 9 * 9


@pytest.mark.parametrize(
    ("budget", "rule"),
    [
        (Budget("main", 200 * DOLLAR, 1000), Rule.BUDGET_NOTIONAL),
        (Budget("main", 10**9, 40), Rule.BUDGET_ORDERS),
    ],
)
def test_clients_that_race_for_a_budget_get_it_once(
    start: Start, budget: Budget, rule: Rule
) -> None:
    boot = start(Desk()).make_ready(budgets=(budget,))
    replies = race(channels(boot), lambda channel: channel.buy(5), 12)
    assert outcome(replies) == (40, {rule})


def test_a_race_for_the_rate_is_won_once(start: Start) -> None:
    boot = start(Desk(policy_changes={"orders_per_minute": 25})).make_ready()
    replies = race(channels(boot), lambda channel: channel.buy(1), 10)
    assert outcome(replies) == (25, {Rule.RATE})


def test_nothing_is_signed_after_the_receipt_of_a_kill(start: Start) -> None:
    boot = start(Desk()).make_ready()
    racing = channels(boot)
    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(lambda: boot.order(Action.KILL, signers=1))
        replies = race(racing, lambda channel: channel.buy(1), 10)
        assert killed.result(30) == (Code.OK, b"")
    assert outcome(replies)[1] <= {Rule.KILL_SWITCH}
    after = race(racing, lambda channel: channel.buy(1), 3)
    assert outcome(after) == (0, {Rule.KILL_SWITCH})


def test_permits_and_orders_at_once_never_add_up(start: Start) -> None:
    """Each of these permits allows 100 pUSD since boot; together they still do."""
    boot = start(Desk()).make_ready(budgets=(Budget("main", 100 * DOLLAR, 1000),))
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(lambda: [_renew(boot, serial) for serial in range(2, 22)])
        replies = race(channels(boot), lambda channel: channel.buy(5), 12)
        assert again.result(30) == [Code.OK] * 20
    assert outcome(replies) == (20, {Rule.BUDGET_NOTIONAL})


def _renew(boot: Boot, serial: int) -> Code:
    return boot.submit_permit(boot.permit(serial, budgets=(Budget("main", 100 * DOLLAR, 1000),)))


def test_two_loads_of_a_manifest_at_once_configure_once() -> None:
    with Enclave() as enclave, ThreadPoolExecutor(6) as pool:
        desks = [Desk() for _ in range(6)]
        codes = list(pool.map(lambda desk: enclave.load(desk.signed).code, desks))
        assert sorted(codes) == [Code.OK] + [Code.WRONG_PHASE] * 5
        winner = desks[codes.index(Code.OK)]
        assert Boot(enclave, winner).bundle.owner_root == winner.manifest.owner_root
