"""Permits and owner orders: layout by hand, round trips, one flaw at a time."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from msgspec.structs import replace
from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role
from strongroom_wire.encoding import MAX_STATEMENT, pack
from strongroom_wire.errors import Malformed, TooLarge, WireError
from strongroom_wire.merkle import Frontier, node_hash
from strongroom_wire.statements import (
    PERMIT_DOMAIN,
    Action,
    Budget,
    OwnerOrder,
    Permit,
)

from tests.wire.by_hand import flawed, laid_out
from tests.wire.samples import byte, owner_order, permit
from tests.wire.strategies import OWNER_ORDERS, PERMITS
from tests.wire.test_encoding import packed


def _budget(key: object, notional: object, orders: object) -> dict[str, object]:
    return {"key": key, "notional": notional, "orders": orders}


def test_permit_layout_is_the_documented_one() -> None:
    signers = packed(b"strongroom/frontier/v1", struct.pack(">Q", 5), byte(0x51) + byte(0x52))
    fields = {
        "owner_root": byte(1),
        "manifest_digest": byte(2),
        "keys_digest": byte(3),
        "serial": 5,
        "not_before": 1_700_000_000_000,
        "not_after": 1_800_000_000_000,
        "signer_log": signers,
        "abandons": {"size": 6, "root": byte(0x53)},
        "share": byte(9, 80),
        "budgets": [_budget("main", 250_000_000, 40), _budget("second", 1, 0)],
        "record_log": packed(b"strongroom/frontier/v1", struct.pack(">Q", 2), byte(0x54)),
        "record_abandons": {"size": 7, "root": byte(0x55)},
        "record_root": byte(0x56),
    }
    by_hand = laid_out(b"strongroom/permit/v2", fields)
    assert permit().serialise() == by_hand
    assert Permit.parse(by_hand) == permit()


def test_a_permit_names_the_head_of_the_history_that_it_hands_over() -> None:
    head = permit().continues(Role.SIGNER).head
    assert (head.size, head.root) == (5, node_hash(byte(0x51), byte(0x52)))
    assert (
        replace(permit(), signer_log=Frontier().serialise()).continues(Role.SIGNER).head
        == EMPTY_LOG
    )


def test_a_permit_has_a_log_for_each_role() -> None:
    assert permit().continues(Role.RECORD).head == LogHead(2, byte(0x54))
    without = Permit(*(getattr(permit(), name) for name in Permit.__struct_fields__[:10]))
    assert without.continues(Role.RECORD).head == without.record_abandons == EMPTY_LOG
    assert without.record_root == bytes(32)


def test_order_layout_is_the_documented_one() -> None:
    fields = {"action": 3, "boot_id": byte(1), "manifest_digest": byte(2), "key": "main"}
    by_hand = laid_out(b"strongroom/owner-order/v2", {**fields, "body": byte(7, 80)})
    assert owner_order().serialise() == by_hand
    assert OwnerOrder.parse(by_hand) == owner_order()


def test_published_actions_keep_their_number() -> None:
    names = ["KILL", "GENERATE", "IMPORT", "ENROLL_CREATE", "ENROLL_DERIVE", "EXPORT", "RESTORE"]
    names += ["CONNECT"]
    assert [(action.name, int(action)) for action in Action] == list(
        zip(names, range(1, 9), strict=True)
    )


def test_smallest_values() -> None:
    kill = OwnerOrder(Action.KILL, bytes(32), bytes(32))
    assert OwnerOrder.parse(kill.serialise()) == kill
    none = replace(permit(), share=b"", budgets=(), serial=0, not_before=0, not_after=0)
    none = replace(none, abandons=EMPTY_LOG, record_abandons=EMPTY_LOG)
    assert Permit.parse(none.serialise()) == none


def _flawed_permits() -> dict[str, bytes]:
    def put(name: str, value: object) -> bytes:
        return flawed(permit(), lambda tree: tree.update({name: value}))

    def spend(budget: object) -> bytes:
        return flawed(permit(), lambda tree: tree["budgets"].append(budget))

    fixed = ("owner_root", "manifest_digest", "keys_digest", "record_root")
    cases = {f"{name} a byte short": put(name, byte(1, 31)) for name in fixed}
    cases |= {f"{name} a byte long": put(name, byte(1, 33)) for name in fixed}
    logs = ("signer_log", "record_log")
    cases |= {f"{name} a byte long": put(name, Frontier().serialise() + b"\0") for name in logs}
    cases |= {f"{name} of nothing": put(name, b"") for name in logs}
    for name in ("abandons", "record_abandons"):
        cases[f"{name}, empty, of another root"] = put(name, {"size": 0, "root": byte(0x53)})
        cases[f"{name} of a short root"] = put(name, {"size": 1, "root": byte(1, 31)})
    return cases | {
        "serial of five bytes": put("serial", 1 << 32),
        "a time below zero": put("not_before", -1),
        "no share": flawed(permit(), lambda tree: {n: tree[n] for n in tree if n != "share"}),
        "nothing": pack(PERMIT_DOMAIN),
        "key budgeted twice": spend(_budget("main", 250_000_000, 40)),
        "key budgeted twice, otherwise": spend(_budget("main", 1, 1)),
        "budget without orders": spend({"key": "a", "notional": 1}),
        "budget with a field more": spend({**_budget("a", 1, 1), "more": 1}),
        "budget below zero": spend(_budget("a", -1, 1)),
        "budget of more orders than fit": spend(_budget("a", 1, 1 << 32)),
        "empty budget": spend({}),
        "key not ASCII": spend(_budget("ä", 1, 1)),
        "key not text": spend(_budget(b"a", 1, 1)),
        "trailing byte": permit().serialise() + b"\x00",
        "an owner order": owner_order().serialise(),
        "another version": permit().serialise().replace(b"permit/v2", b"permit/v1"),
    }


@pytest.mark.parametrize("data", _flawed_permits().values(), ids=_flawed_permits())
def test_a_flawed_permit_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        Permit.parse(data)


def _flawed_orders() -> dict[str, bytes]:
    def put(name: str, value: object) -> bytes:
        return flawed(owner_order(), lambda tree: tree.update({name: value}))

    return {
        "no action": put("action", None),
        "action 0": put("action", 0),
        "action 9": put("action", 9),
        "action in bytes": put("action", b"\x03"),
        "boot id short": put("boot_id", byte(1, 31)),
        "boot id long": put("boot_id", byte(1, 33)),
        "manifest digest short": put("manifest_digest", byte(1, 31)),
        "manifest digest long": put("manifest_digest", byte(1, 33)),
        "no body": flawed(owner_order(), lambda tree: {n: tree[n] for n in tree if n != "body"}),
        "a field more": put("more", b""),
        "key not ASCII": put("key", "ä"),
        "key in bytes": put("key", b"main"),
        "trailing byte": owner_order().serialise() + b"\x00",
        "a permit": permit().serialise(),
    }


@pytest.mark.parametrize("data", _flawed_orders().values(), ids=_flawed_orders())
def test_a_flawed_order_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        OwnerOrder.parse(data)


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(permit(), owner_root=byte(1, 31)),
        lambda: replace(permit(), keys_digest=b""),
        lambda: replace(permit(), serial=-1),
        lambda: replace(permit(), serial=2**32),
        lambda: replace(permit(), not_before=2**64),
        lambda: replace(permit(), not_after=2**64),
        lambda: replace(permit(), abandons=LogHead(1, b"")),
        lambda: replace(permit(), abandons=LogHead(0, bytes(32))),
        lambda: replace(permit(), record_abandons=LogHead(0, bytes(32))),
        lambda: replace(permit(), record_log=b""),
        lambda: replace(permit(), record_root=bytes(31)),
        lambda: replace(permit(), signer_log=b""),
        lambda: replace(permit(), signer_log=bytes(8) + EMPTY_LOG.root),
        lambda: replace(permit(), signer_log=Frontier(1, (byte(1),)).serialise() + b"\x00"),
        lambda: replace(permit(), budgets=(Budget("a", 1, 1), Budget("a", 2, 2))),
        lambda: replace(permit(), budgets=(Budget("a", -1, 1),)),
        lambda: replace(permit(), budgets=(Budget("a", 2**64, 1),)),
        lambda: replace(permit(), budgets=(Budget("a", 1, 2**32),)),
        lambda: replace(permit(), budgets=(Budget("ä", 1, 1),)),
        lambda: replace(permit(), budgets=(Budget("\ud800", 1, 1),)),
        lambda: replace(owner_order(), boot_id=b""),
        lambda: replace(owner_order(), manifest_digest=byte(1, 33)),
        lambda: replace(owner_order(), key="ключ"),
        lambda: replace(owner_order(), key="\udcff"),
    ],
)
def test_a_flawed_value_is_never_signed(make: Callable[[], Permit | OwnerOrder]) -> None:
    with pytest.raises(WireError):
        make().serialise()


def test_statements_above_a_megabyte_are_refused() -> None:
    for large in (
        replace(permit(), share=bytes(MAX_STATEMENT)),
        replace(owner_order(), body=bytes(MAX_STATEMENT)),
    ):
        with pytest.raises(TooLarge):
            large.serialise()
    for parse in (Permit.parse, OwnerOrder.parse):
        with pytest.raises(TooLarge):
            parse(bytes(MAX_STATEMENT + 1))


@given(PERMITS)
def test_permits_round_trip(value: Permit) -> None:
    assert Permit.parse(value.serialise()) == value


@given(OWNER_ORDERS)
def test_orders_round_trip(value: OwnerOrder) -> None:
    assert OwnerOrder.parse(value.serialise()) == value
