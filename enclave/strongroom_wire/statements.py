"""Owner statements that the enclave acts upon: start permits, provisioning orders, the kill switch.

Fixed layouts, because the signer reads them and reads no JSON. Each names the boot it is for, so
that a recorded one is worthless against another boot, and is signed by the owners of the manifest.
"""

from dataclasses import dataclass
from enum import IntEnum

from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role
from strongroom_wire.encoding import emit, member, pack, u32, u64, uint, unpack_fields
from strongroom_wire.errors import Malformed
from strongroom_wire.merkle import Frontier

__all__ = ["ORDER_DOMAIN", "PERMIT_DOMAIN", "Action", "Budget", "OwnerOrder", "Permit"]

PERMIT_DOMAIN = b"strongroom/permit/v1"
ORDER_DOMAIN = b"strongroom/owner-order/v1"
_BUDGET = b"strongroom/budget/v1"
_NO_LOG = Frontier().serialise()


@dataclass(frozen=True, slots=True)
class Budget:
    """Absolute allowance of one key for the whole boot: pUSD in millionths, and orders."""

    key: str
    notional: int
    orders: int


@dataclass(frozen=True, slots=True)
class Permit:
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

    owner_root: bytes
    manifest_digest: bytes
    keys_digest: bytes
    serial: int
    not_before: int
    not_after: int
    signer_log: bytes
    abandons: LogHead
    share: bytes
    budgets: tuple[Budget, ...]
    record_log: bytes = _NO_LOG
    record_abandons: LogHead = EMPTY_LOG
    record_root: bytes = bytes(32)

    def serialise(self) -> bytes:
        """Returns the canonical encoding; raises `WireError` for what `parse` would refuse."""
        digests = (self.owner_root, self.manifest_digest, self.keys_digest)
        times = (u32(self.serial), u64(self.not_before), u64(self.not_after))
        signers = (self.signer_log, self.abandons.serialise())
        records = (self.record_log, self.record_abandons.serialise(), self.record_root)
        rest = [pack(_BUDGET, _name(b.key), u64(b.notional), u32(b.orders)) for b in self.budgets]
        data = pack(PERMIT_DOMAIN, *digests, *times, *signers, *records, self.share, *rest)
        return emit(self, data, Permit.parse)

    @classmethod
    def parse(cls, data: bytes) -> "Permit":
        """Returns the permit encoded in `data`; its signatures are checked elsewhere.

        Raises:
            Malformed: wrong layout, a key budgeted twice, or a log given up that has no leaves and
                is not `EMPTY_LOG`.
        """
        sizes = (32, 32, 32, 4, 8, 8, None, 40, None, 40, 32, None)
        fields = unpack_fields(PERMIT_DOMAIN, data, *sizes, more=True)
        owner_root, manifest, keys, serial, since, until, *logs = fields[:11]
        signer_log, head, record_log, record_head, record_root = logs
        share, *rest = fields[11:]
        for log in (signer_log, record_log):
            Frontier.parse(log)
        abandons, record_abandons = map(LogHead.parse, (head, record_head))
        for given_up in (abandons, record_abandons):
            if not given_up.size and given_up != EMPTY_LOG:
                raise Malformed("abandoned head", EMPTY_LOG, given_up)
        parts = [unpack_fields(_BUDGET, field, None, 8, 4) for field in rest]
        budgets = tuple(Budget(_text(key), uint(n, 8), uint(count, 4)) for key, n, count in parts)
        if len({budget.key for budget in budgets}) != len(budgets):
            raise Malformed("permit budgets", "each key once", "a repetition")
        times = (uint(serial, 4), uint(since, 8), uint(until, 8))
        until_head = (owner_root, manifest, keys, *times, signer_log, abandons)
        return cls(*until_head, share, budgets, record_log, record_abandons, record_root)

    def continues(self, role: Role) -> Frontier:
        """Returns the log of a role that this boot continues."""
        return Frontier.parse(self.record_log if role is Role.RECORD else self.signer_log)


class Action(IntEnum):
    """What an owner order asks for. Each is idempotent within a boot."""

    KILL = 1
    """Stop signing for good in this boot; cancels still pass. One owner is enough: stopping is the
    safe direction."""
    GENERATE = 2
    IMPORT = 3
    ENROLL_CREATE = 4
    ENROLL_DERIVE = 5
    EXPORT = 6
    RESTORE = 7
    CONNECT = 8
    """Take an account's credentials, and seal what is kept of its user under a new key: the one
    action that is the record's. Every other is the signer's."""


@dataclass(frozen=True, slots=True)
class OwnerOrder:
    """An instruction of the owners to one boot. `key` names a manifest key (empty for all) or, to
    connect it, an account; `body` is what the action needs: sealed bytes, or the ClobAuth nonce as
    u64."""

    action: Action
    boot_id: bytes
    manifest_digest: bytes
    key: str = ""
    body: bytes = b""

    def serialise(self) -> bytes:
        """Returns the canonical encoding; raises `WireError` for what `parse` would refuse."""
        head = (bytes([self.action]), self.boot_id, self.manifest_digest)
        return emit(self, pack(ORDER_DOMAIN, *head, _name(self.key), self.body), OwnerOrder.parse)

    @classmethod
    def parse(cls, data: bytes) -> "OwnerOrder":
        """Returns the order encoded in `data`; its signatures are checked elsewhere.

        Raises:
            Malformed: wrong layout or unknown action.
        """
        fields = unpack_fields(ORDER_DOMAIN, data, 1, 32, 32, None, None)
        action, boot_id, manifest, key, body = fields
        return cls(member(Action, action[0]), boot_id, manifest, _text(key), body)


def _name(text: str) -> bytes:
    return text.encode("ascii", "replace")  # what it replaces does not parse back: see `emit`


def _text(field: bytes) -> str:
    try:
        return field.decode("ascii")
    except UnicodeDecodeError as error:
        raise Malformed("name", "ASCII", field[:40]) from error
