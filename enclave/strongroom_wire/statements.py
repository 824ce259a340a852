"""Owner statements that the enclave acts upon: start permits, provisioning orders, the kill switch.

Each names the boot it is for, so that a recorded one is worthless against another boot, and is
signed by the owners of the manifest. Nothing is read in one before an owner's signature is found.
"""

from enum import IntEnum
from typing import ClassVar

from msgspec import Struct

from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role
from strongroom_wire.canonical import B32, U32, U64, Ascii, Canonical
from strongroom_wire.errors import Malformed
from strongroom_wire.merkle import Frontier

PERMIT_DOMAIN = b"strongroom/permit/v2"
ORDER_DOMAIN = b"strongroom/owner-order/v2"
_NO_LOG = Frontier().serialise()


class Budget(Struct, frozen=True):
    """Absolute allowance of one key for the whole boot: pUSD in millionths, and orders."""

    key: Ascii
    notional: U64
    orders: U32


class Permit(Struct, Canonical, frozen=True):
    """Lets one boot sign. Budgets are totals since boot, never increments, so that replaying or
    re-issuing a permit cannot refill them; `serial` must grow within a boot.

    Times are in ms since the epoch; `not_before` is one that is known to have passed, that of the
    newest leaf stored. `share` is the unlock share, HPKE-sealed to init, or empty when nothing is
    sealed. `signer_log` is the encoded `Frontier` of the log this boot continues: the owners name
    the history, so nobody else is asked, and none can hand over another. `abandons` is a head of
    the same log that they know and give up, because that history does not contain it; `EMPTY_LOG`
    gives up nothing. It is in the boot's own leaf, so that every auditor reads it. The record's log
    has both of its own; `record_root` is the root of all account states in that log's newest leaf
    that has one, zero if none has.
    """

    domain: ClassVar = PERMIT_DOMAIN
    owner_root: B32
    manifest_digest: B32
    keys_digest: B32
    serial: U32
    not_before: U64
    not_after: U64
    signer_log: bytes
    abandons: LogHead
    share: bytes
    budgets: tuple[Budget, ...]
    record_log: bytes = _NO_LOG
    record_abandons: LogHead = EMPTY_LOG
    record_root: B32 = bytes(32)

    def __post_init__(self) -> None:
        for role in (Role.SIGNER, Role.RECORD):
            self.continues(role)
        for head in (self.abandons, self.record_abandons):
            Malformed.unless(head.size or head == EMPTY_LOG, "abandoned head", EMPTY_LOG, head)
        keys = [budget.key for budget in self.budgets]
        Malformed.unless(len(set(keys)) == len(keys), "permit budgets", "each key once", keys)

    def continues(self, role: Role) -> Frontier:
        """Returns the log of a role that this boot continues."""
        return Frontier.parse(self.record_log if role is Role.RECORD else self.signer_log)


# What an owner order asks for, numbered from 1. Each is idempotent within a boot. KILL stops
# signing for good in this boot; cancels still pass, and one owner is enough: stopping is the safe
# direction. CONNECT takes an account's credentials, and seals what is kept of its user under a new
# key: the one action that is the record's. Every other is the signer's.
Action = IntEnum(
    "Action", "KILL GENERATE IMPORT ENROLL_CREATE ENROLL_DERIVE EXPORT RESTORE CONNECT"
)


class OwnerOrder(Struct, Canonical, frozen=True):
    """An instruction of the owners to one boot. `key` names a manifest key (empty for all) or, to
    connect it, an account; `body` is what the action needs: sealed bytes, or the ClobAuth nonce as
    u64."""

    domain: ClassVar = ORDER_DOMAIN
    action: Action
    boot_id: B32
    manifest_digest: B32
    key: Ascii = ""
    body: bytes = b""
