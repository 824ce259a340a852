"""Owner statements that the enclave acts upon: start permits, provisioning orders, the kill switch.

Fixed layouts, because the signer reads them and reads no JSON. Each names the boot it is for, so
that a recorded one is worthless against another boot, and is signed by the owners of the manifest.
"""

from dataclasses import dataclass
from enum import IntEnum

from strongroom_wire.bundle import LogHead, Role
from strongroom_wire.encoding import pack, u32, u64, uint, unpack
from strongroom_wire.errors import Malformed

__all__ = ["ORDER_DOMAIN", "PERMIT_DOMAIN", "Action", "Budget", "OwnerOrder", "Permit"]

PERMIT_DOMAIN = b"strongroom/permit/v1"
ORDER_DOMAIN = b"strongroom/owner-order/v1"
_BUDGET = b"strongroom/budget/v1"


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

    `not_after` is in ms since the epoch. `share` is the unlock share, HPKE-sealed to init, or empty
    when nothing is sealed. `signer_head` is the log head this boot continues.
    """

    owner_root: bytes
    manifest_digest: bytes
    keys_digest: bytes
    serial: int
    not_after: int
    signer_head: LogHead
    share: bytes
    budgets: tuple[Budget, ...]

    def serialise(self) -> bytes:
        """Returns the canonical encoding."""
        return pack(
            PERMIT_DOMAIN,
            self.owner_root,
            self.manifest_digest,
            self.keys_digest,
            u32(self.serial),
            u64(self.not_after),
            u64(self.signer_head.size) + self.signer_head.root,
            self.share,
            *(pack(_BUDGET, b.key.encode(), u64(b.notional), u32(b.orders)) for b in self.budgets),
        )

    @classmethod
    def parse(cls, data: bytes) -> "Permit":
        """Returns the permit encoded in `data`; its signatures are checked elsewhere.

        Raises:
            Malformed: wrong layout, or a key budgeted twice.
        """
        fields = unpack(PERMIT_DOMAIN, data)
        if [len(f) for f in fields[:6]] != [32, 32, 32, 4, 8, 40] or len(fields) < 7:
            raise Malformed("permit", "lengths 32, 32, 32, 4, 8, 40", [len(f) for f in fields[:6]])
        budgets = []
        for name, notional, orders in (_triple(field) for field in fields[7:]):
            budgets.append(Budget(_text(name), uint(notional, 8), uint(orders, 4)))
        if len({b.key for b in budgets}) != len(budgets):
            raise Malformed("permit budgets", "each key once", [b.key for b in budgets])
        head = LogHead(uint(fields[5][:8], 8), fields[5][8:])
        serial, until = uint(fields[3], 4), uint(fields[4], 8)
        return cls(fields[0], fields[1], fields[2], serial, until, head, fields[6], tuple(budgets))


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


@dataclass(frozen=True, slots=True)
class OwnerOrder:
    """An instruction of the owners to one boot. `key` names a manifest key (empty for all), and
    `body` is what the action needs: sealed bytes, or the ClobAuth nonce as u64."""

    action: Action
    boot_id: bytes
    manifest_digest: bytes
    key: str = ""
    body: bytes = b""

    @property
    def role(self) -> Role:
        """The process that carries it out."""
        return Role.SIGNER

    def serialise(self) -> bytes:
        """Returns the canonical encoding."""
        head = (bytes([self.action]), self.boot_id, self.manifest_digest)
        return pack(ORDER_DOMAIN, *head, self.key.encode(), self.body)

    @classmethod
    def parse(cls, data: bytes) -> "OwnerOrder":
        """Returns the order encoded in `data`; its signatures are checked elsewhere.

        Raises:
            Malformed: wrong layout or unknown action.
        """
        fields = unpack(ORDER_DOMAIN, data)
        if [len(f) for f in fields[:3]] != [1, 32, 32] or len(fields) != 5:
            raise Malformed("owner order", "five fields: 1, 32, 32, key, body", len(fields))
        if fields[0][0] not in list(Action):
            raise Malformed("owner order action", [int(a) for a in Action], fields[0][0])
        return cls(Action(fields[0][0]), fields[1], fields[2], _text(fields[3]), fields[4])


def _triple(data: bytes) -> tuple[bytes, bytes, bytes]:
    fields = unpack(_BUDGET, data)
    if len(fields) != 3:
        raise Malformed("budget", "three fields", len(fields))
    return fields[0], fields[1], fields[2]


def _text(field: bytes) -> str:
    try:
        return field.decode("ascii")
    except UnicodeDecodeError as error:
        raise Malformed("name", "ASCII", field[:40]) from error
