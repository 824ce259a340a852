"""Every number that leaves the enclave keeps its name: lists in order must never be reordered."""

from enum import IntEnum

import pytest
from strongroom_enclave.signer.amounts import Side
from strongroom_enclave.signer.clob import OrderType
from strongroom_enclave.signer.orders import SignatureType
from strongroom_wire.bundle import Role
from strongroom_wire.errors import Rule
from strongroom_wire.frames import Direction
from strongroom_wire.leaves import Kind
from strongroom_wire.statements import Action

NUMBERS: dict[type[IntEnum], dict[str, int]] = {
    Role: {"INIT": 1, "SIGNER": 2, "RECORD": 3},
    Direction: {"TO_ENCLAVE": 1, "FROM_ENCLAVE": 2},
    Kind: {
        "BOOT": 1, "KEY": 2, "SIGNED": 3, "DENIED": 4, "KILL": 5, "PERMIT": 6, "MODEL": 7,
        "SYNC": 8, "RETURNS": 9,
    },
    Action: {
        "KILL": 1, "GENERATE": 2, "IMPORT": 3, "ENROLL_CREATE": 4, "ENROLL_DERIVE": 5,
        "EXPORT": 6, "RESTORE": 7, "CONNECT": 8,
    },
    Rule: {
        "NONE": 0, "PERMIT": 1, "KILL_SWITCH": 2, "CLOCK": 3, "PERMIT_EXPIRED": 4, "MARKET": 5,
        "SIDE": 6, "PRICE_BAND": 7, "ORDER_TYPE": 8, "LIFETIME": 9, "TIMESTAMP": 10,
        "ORDER_NOTIONAL": 11, "WINDOW_NOTIONAL": 12, "BUDGET_NOTIONAL": 13, "BUDGET_ORDERS": 14,
        "RATE": 15,
    },
    Side: {"BUY": 0, "SELL": 1},
    OrderType: {"GTC": 0, "GTD": 1, "FOK": 2, "FAK": 3},
    SignatureType: {"EOA": 0, "POLY_PROXY": 1, "POLY_GNOSIS_SAFE": 2, "POLY_1271": 3},
}  # fmt: skip


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: kind.__name__)
def test_a_name_keeps_its_number(kind: type[IntEnum]) -> None:
    assert {member.name: int(member) for member in kind} == NUMBERS[kind]
