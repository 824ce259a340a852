"""Permits and owner orders: layout by hand, round trips, one flaw at a time."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role
from strongroom_wire.encoding import MAX_STATEMENT, pack, unpack
from strongroom_wire.errors import Malformed, TooLarge, WireError
from strongroom_wire.merkle import Frontier, node_hash
from strongroom_wire.statements import (
    ORDER_DOMAIN,
    PERMIT_DOMAIN,
    Action,
    Budget,
    OwnerOrder,
    Permit,
)

from tests.wire.samples import byte, owner_order, permit
from tests.wire.strategies import OWNER_ORDERS, PERMITS
from tests.wire.test_encoding import packed


def _budget(key: bytes, notional: int, orders: int) -> bytes:
    fields = (key, struct.pack(">Q", notional), struct.pack(">I", orders))
    return packed(b"strongroom/budget/v1", *fields)


def test_permit_layout_is_the_documented_one() -> None:
    by_hand = packed(
        b"strongroom/permit/v1",
        byte(1),
        byte(2),
        byte(3),
        b"\x00\x00\x00\x05",
        struct.pack(">Q", 1_700_000_000_000),
        struct.pack(">Q", 1_800_000_000_000),
        packed(b"strongroom/frontier/v1", struct.pack(">Q", 5), byte(0x51) + byte(0x52)),
        struct.pack(">Q", 6) + byte(0x53),
        packed(b"strongroom/frontier/v1", struct.pack(">Q", 2), byte(0x54)),
        struct.pack(">Q", 7) + byte(0x55),
        byte(0x56),
        byte(9, 80),
        _budget(b"main", 250_000_000, 40),
        _budget(b"second", 1, 0),
    )
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
    fields = unpack(PERMIT_DOMAIN, permit().serialise())
    none = [Frontier().serialise(), bytes(8) + EMPTY_LOG.root, bytes(32)]
    without = Permit.parse(pack(PERMIT_DOMAIN, *fields[:8], *none, *fields[11:]))
    assert without == Permit(*(getattr(permit(), name) for name in Permit.__slots__[:10]))


def test_order_layout_is_the_documented_one() -> None:
    by_hand = packed(b"strongroom/owner-order/v1", b"\x03", byte(1), byte(2), b"main", byte(7, 80))
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
    fields = unpack(PERMIT_DOMAIN, permit().serialise())

    def put(at: int, *changed: bytes) -> bytes:
        return pack(PERMIT_DOMAIN, *fields[:at], *changed, *fields[at + 1 :])

    cases = {f"field {at} a byte short": put(at, fields[at][1:]) for at in range(11)}
    cases |= {f"field {at} a byte long": put(at, fields[at] + b"\x00") for at in range(11)}
    return cases | {
        "share missing": pack(PERMIT_DOMAIN, *fields[:11]),
        "an empty log given up, of another root": put(7, bytes(8) + byte(0x53)),
        "an empty log of the record given up, of another root": put(9, bytes(8) + byte(0x53)),
        "nothing": pack(PERMIT_DOMAIN),
        "a field too many in front": put(0, b"", fields[0]),
        "key budgeted twice": put(13, fields[12]),
        "key budgeted twice, otherwise": put(13, _budget(b"main", 1, 1)),
        "budget without orders": put(13, packed(b"strongroom/budget/v1", b"a", bytes(8))),
        "budget with a field more": put(13, fields[13] + bytes(4)),
        "budget of u32 notional": put(
            13, packed(b"strongroom/budget/v1", b"a", bytes(4), bytes(4))
        ),
        "budget of u64 orders": put(13, packed(b"strongroom/budget/v1", b"a", bytes(8), bytes(8))),
        "budget of another domain": put(
            13, packed(b"strongroom/budget/v2", b"a", bytes(8), bytes(4))
        ),
        "empty budget": put(13, b""),
        "key not ASCII": put(13, _budget("ä".encode(), 1, 1)),
        "key not text": put(13, _budget(b"\xff", 1, 1)),
        "trailing byte": permit().serialise() + b"\x00",
        "an owner order": owner_order().serialise(),
        "another version": permit().serialise().replace(b"permit/v1", b"permit/v2"),
    }


@pytest.mark.parametrize("data", _flawed_permits().values(), ids=_flawed_permits())
def test_a_flawed_permit_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        Permit.parse(data)


def _flawed_orders() -> dict[str, bytes]:
    fields = unpack(ORDER_DOMAIN, owner_order().serialise())

    def put(at: int, *changed: bytes) -> bytes:
        return pack(ORDER_DOMAIN, *fields[:at], *changed, *fields[at + 1 :])

    return {
        "no action": put(0, b""),
        "action 0": put(0, b"\x00"),
        "action 9": put(0, b"\x09"),
        "action of two bytes": put(0, b"\x03\x00"),
        "boot id short": put(1, byte(1, 31)),
        "boot id long": put(1, byte(1, 33)),
        "manifest digest short": put(2, byte(1, 31)),
        "manifest digest long": put(2, byte(1, 33)),
        "no body": put(4),
        "a field more": put(4, b"", b""),
        "key not ASCII": put(3, "ä".encode()),
        "trailing byte": owner_order().serialise() + b"\x00",
        "a permit": permit().serialise(),
    }


@pytest.mark.parametrize("data", _flawed_orders().values(), ids=_flawed_orders())
def test_a_flawed_order_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        OwnerOrder.parse(data)


@pytest.mark.parametrize(
    "flawed",
    [
        replace(permit(), owner_root=byte(1, 31)),
        replace(permit(), keys_digest=b""),
        replace(permit(), serial=-1),
        replace(permit(), serial=2**32),
        replace(permit(), not_before=2**64),
        replace(permit(), not_after=2**64),
        replace(permit(), abandons=LogHead(1, b"")),
        replace(permit(), abandons=LogHead(0, bytes(32))),
        replace(permit(), record_abandons=LogHead(0, bytes(32))),
        replace(permit(), record_log=b""),
        replace(permit(), record_root=bytes(31)),
        replace(permit(), signer_log=b""),
        replace(permit(), signer_log=bytes(8) + EMPTY_LOG.root),
        replace(permit(), signer_log=Frontier(1, (byte(1),)).serialise() + b"\x00"),
        replace(permit(), budgets=(Budget("a", 1, 1), Budget("a", 2, 2))),
        replace(permit(), budgets=(Budget("a", -1, 1),)),
        replace(permit(), budgets=(Budget("a", 2**64, 1),)),
        replace(permit(), budgets=(Budget("a", 1, 2**32),)),
        replace(permit(), budgets=(Budget("ä", 1, 1),)),
        replace(permit(), budgets=(Budget("\ud800", 1, 1),)),
        replace(owner_order(), boot_id=b""),
        replace(owner_order(), manifest_digest=byte(1, 33)),
        replace(owner_order(), key="ключ"),
        replace(owner_order(), key="\udcff"),
    ],
)
def test_a_flawed_value_is_never_signed(flawed: Permit | OwnerOrder) -> None:
    with pytest.raises(WireError):
        flawed.serialise()


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
