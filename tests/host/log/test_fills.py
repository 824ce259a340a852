"""Orders at the venue held against the log: what it proves, what it lost, what nobody signed."""

from hashlib import sha256

import pytest
from strongroom_host.log.fills import Explained, reconcile_fills
from strongroom_host.log.signed_orders import LoggedOrder, LoggedOrders, logged_orders
from strongroom_host.store.states import OrderState
from strongroom_host.venue.trades import Fill
from strongroom_wire.errors import Code
from strongroom_wire.frames import Reply
from strongroom_wire.leaves import Decision, Kind, Leaf, commitment

from tests.host.log.histories import START, History
from tests.wire.samples import byte


def signing(history: History, *hashes: bytes, key: str = "main") -> History:
    """Append the leaf of a decision that signed these orders, with its opening."""
    reply = Reply(Code.OK, 1, order_hashes=hashes)
    record = Decision(key, "bot", byte(1), byte(2), 5, 1, b"", reply).serialise()
    at = history.tree.size
    opening = sha256(b"%d" % at).digest() + record
    leaf = Leaf(Kind.SIGNED, history.epoch, at, START + at, commitment(opening))
    history.put(leaf.serialise())
    history.openings[at] = opening
    return history


def test_orders_are_found_in_opened_leaves_only() -> None:
    history = signing(History().boot(1), byte(11), byte(12))
    signing(history, byte(13), key="other")
    signing(history, byte(14))
    history.add(Kind.DENIED, b"\x01")
    openings = dict(history.openings)
    del openings[3]
    found = logged_orders(history.entries, openings.get, 2)
    assert found.orders == {
        byte(11): LoggedOrder(1, START + 1, "main", True),
        byte(12): LoggedOrder(1, START + 1, "main", True),
        byte(13): LoggedOrder(2, START + 2, "other", False),
    }
    assert (found.unopened, found.wrong) == ((3,), ())


def test_an_opening_of_another_leaf_proves_no_order() -> None:
    history = signing(signing(History().boot(1), byte(11)), byte(12))
    history.put(b"no leaf")
    openings = {1: history.openings[2], 2: history.openings[2]}
    found = logged_orders(history.entries, openings.get, 4)
    assert (set(found.orders), found.wrong) == ({byte(12)}, (1, 3))


def test_a_record_that_is_none_proves_no_order() -> None:
    history = History().boot(1)
    history.add(Kind.SIGNED)
    found = logged_orders(history.entries, history.openings.get, 2)
    assert (found.orders, found.wrong) == ({}, (1,))


def explained(
    order: bytes, logged: LoggedOrders, journalled: dict[bytes, OrderState] | None = None
) -> Explained:
    fill = Fill("t", order, True, 0, "", "", "")
    found = reconcile_fills([fill], [order], logged, journalled or {}, "main")
    assert found.fills[0][1] is found.resting[0][1], "a resting order is held to the same"
    alarms = 2 if found.fills[0][1].alarm else 0
    assert len(found.alarms) == alarms
    return found.fills[0][1]


def test_what_the_log_says_of_an_order() -> None:
    logged = logged_orders(
        signing(signing(History().boot(1), byte(11)), byte(12)).entries,
        signing(signing(History().boot(1), byte(11)), byte(12)).openings.get,
        2,
    )
    assert explained(byte(11), logged) is Explained.SIGNED
    assert explained(byte(12), logged) is Explained.UNPROVEN
    assert explained(byte(13), logged, {byte(13): OrderState.SENT}) is Explained.LOST
    assert explained(byte(13), logged) is Explained.NEVER


@pytest.mark.parametrize(("unopened", "wrong"), [((5,), ()), ((), (5,))])
def test_leaves_that_are_not_opened_leave_a_doubt(
    unopened: tuple[int, ...], wrong: tuple[int, ...]
) -> None:
    assert explained(byte(13), LoggedOrders({}, unopened, wrong)) is Explained.UNOPENED


def test_which_alarms_there_are() -> None:
    assert {how for how in Explained if how.alarm} == {
        Explained.LOST,
        Explained.UNOPENED,
        Explained.NEVER,
    }


@pytest.mark.parametrize(
    ("state", "traced"),
    [
        (None, False),
        (OrderState.SENT, False),
        (OrderState.UNKNOWN, False),
        (OrderState.ACCEPTED, True),
        (OrderState.REJECTED, True),
        (OrderState.ABSENT, True),
    ],
)
def test_signed_orders_without_a_trace_are_listed(state: OrderState | None, traced: bool) -> None:
    history = signing(signing(History().boot(1), byte(11), byte(12), byte(13)), byte(14), key="b")
    logged = logged_orders(history.entries, history.openings.get, 3)
    fill = Fill("t", byte(12), False, 0, "", "", "")
    journalled = {} if state is None else {byte(11): state}
    found = reconcile_fills([fill], [byte(13)], logged, journalled, "main")
    assert [each.order_hash for each in found.untraced] == ([] if traced else [byte(11)])
