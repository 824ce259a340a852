"""What leaves commit to, held against the leaf, the boot's evidence and the owners' signatures.

A leaf of a genuine boot is right by construction. What is found here is a log that no genuine boot
wrote, or one whose owners were not asked: so a permit counts only with their signatures, whatever
the leaf in front of it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role
from strongroom_wire.errors import Code, Rule, WireError
from strongroom_wire.leaves import Boot, Decision, Kind, Leaf, ModelDecision
from strongroom_wire.owners import Statement
from strongroom_wire.record import ReturnsReceipt, SyncReceipt
from strongroom_wire.statements import (
    ORDER_DOMAIN,
    PERMIT_DOMAIN,
    Action,
    OwnerOrder,
    Permit,
)

from strongroom_host.log.attested import ProvedBoot
from strongroom_host.log.verify import Problem

__all__ = ["FoundPermit", "RecordsOfBoots", "given_up_by"]


def given_up_by(permit: Permit, role: Role) -> LogHead:
    """Returns the head of that role's log which the permit gives up; `EMPTY_LOG` if none."""
    return permit.record_abandons if role is Role.RECORD else permit.abandons


@dataclass(frozen=True, slots=True)
class FoundPermit:
    """A permit in the log of `role`: its leaf, and whether the owners' signatures on it were
    verified, which takes the evidence of its boot."""

    index: int
    permit: Permit
    verified: bool
    role: Role = Role.SIGNER

    @property
    def continued(self) -> LogHead:
        """The head of this log that its boot continues."""
        return self.permit.continues(self.role).head

    @property
    def abandons(self) -> LogHead:
        """The head of this log that it gives up; `EMPTY_LOG` if none."""
        return given_up_by(self.permit, self.role)

    def gives_up(self, head: LogHead) -> bool:
        """Whether the owners said with it that a history of this size, other than the one that the
        boot continues, is given up; of the size that they named, only the one that they named."""
        gone = self.abandons if self.verified else EMPTY_LOG
        return head == gone != EMPTY_LOG or self.continued.size < head.size < gone.size


class RecordsOfBoots:
    """Checks records of leaves, which come in order; a `RecordCheck`.

    Without evidence of its boot a record is read, and no more: nobody says who its owners are.
    """

    def __init__(self, boots: Mapping[bytes, ProvedBoot], role: Role = Role.SIGNER) -> None:
        """`boots` are those whose evidence was verified, by boot id; `role` is whose log it is."""
        self._boots, self._role = boots, role
        self.permits: dict[bytes, list[FoundPermit]] = {}
        """By boot: the permit it began with, and further ones."""
        self._starts: dict[bytes, Boot] = {}

    def __call__(self, index: int, leaf: Leaf, record: bytes) -> Iterator[tuple[Problem, str]]:
        """Says what is wrong with the record of the leaf at `index`."""
        try:
            match leaf.kind:
                case Kind.BOOT | Kind.PERMIT:
                    yield from self._permit(index, leaf, record)
                case Kind.KEY | Kind.KILL:
                    yield from self._order(leaf, record)
                case Kind.SIGNED | Kind.DENIED:
                    yield from self._decision(leaf, Decision.parse(record))
                case Kind.MODEL:
                    yield from self._client(leaf, ModelDecision.parse(record).client)
                case Kind.SYNC:
                    SyncReceipt.parse(record)
                case Kind.RETURNS:
                    ReturnsReceipt.parse(record)
        except WireError as error:
            bad = leaf.kind in (Kind.BOOT, Kind.PERMIT)
            yield Problem.WRONG_PERMIT if bad else Problem.WRONG_RECORD, str(error)

    def _permit(self, index: int, leaf: Leaf, record: bytes) -> Iterator[tuple[Problem, str]]:
        statement = Statement.parse(record)
        permit = Permit.parse(statement.payload)
        proved = self._boots.get(leaf.epoch)
        found = self.permits.setdefault(leaf.epoch, [])
        if leaf.kind is Kind.BOOT:
            self._starts[leaf.epoch] = start = Boot.parse(leaf.public)
            named = start.permit_digest
        else:
            named = leaf.public
        start_of = self._starts.get(leaf.epoch)
        wrong = [
            what
            for what, holds in (
                ("another permit than the leaf names", named == sha256(record).digest()),
                (
                    "a permit to continue another history",
                    start_of is None or permit.continues(self._role).head == start_of.continued,
                ),
                (
                    "a permit with a serial that had been used",
                    all(permit.serial > each.permit.serial for each in found),
                ),
                ("a permit for another boot", _is_for(permit, proved)),
            )
            if not holds
        ]
        if proved is not None:
            proved.manifest.owners.verify(PERMIT_DOMAIN, statement)
        found.append(FoundPermit(index, permit, proved is not None and not wrong, self._role))
        yield from ((Problem.WRONG_PERMIT, what) for what in wrong)

    def _order(self, leaf: Leaf, record: bytes) -> Iterator[tuple[Problem, str]]:
        statement = Statement.parse(record)
        order = OwnerOrder.parse(statement.payload)
        action = Action.KILL if leaf.kind is Kind.KILL else Action(leaf.public[0])
        if order.action is not action:
            yield Problem.WRONG_RECORD, f"an order to {order.action.name}, not to {action.name}"
        if order.boot_id != leaf.epoch:
            yield Problem.WRONG_RECORD, "an order to another boot"
        proved = self._boots.get(leaf.epoch)
        if proved is None:
            return
        if order.manifest_digest != proved.manifest.digest:
            yield Problem.WRONG_RECORD, "an order under another manifest"
        one_suffices = 1 if action is Action.KILL else None
        proved.manifest.owners.verify(ORDER_DOMAIN, statement, one_suffices)

    def _decision(self, leaf: Leaf, decision: Decision) -> Iterator[tuple[Problem, str]]:
        approved = leaf.kind is Kind.SIGNED
        if approved != (decision.reply.code is Code.OK):
            yield Problem.WRONG_RECORD, f"a decision with the code {decision.reply.code.name}"
        if not approved and decision.reply.rule is not Rule(leaf.public[0]):
            yield Problem.WRONG_RECORD, f"a denial by the rule {decision.reply.rule.name}"
        proved = self._boots.get(leaf.epoch)
        if proved is None:
            return
        names = [key.name for key in proved.manifest.manifest.keys]
        if decision.key not in names and (approved or decision.key):
            yield Problem.WRONG_RECORD, f"a decision for {decision.key!r}, no key of the manifest"
        yield from self._client(leaf, decision.client)

    def _client(self, leaf: Leaf, name: str) -> Iterator[tuple[Problem, str]]:
        proved = self._boots.get(leaf.epoch)
        if proved is not None and name not in [c.name for c in proved.manifest.manifest.clients]:
            yield Problem.WRONG_RECORD, f"asked for by {name!r}, no client of the manifest"


def _is_for(permit: Permit, proved: ProvedBoot | None) -> bool:
    if proved is None:
        return True
    bundle = proved.evidence.bundle
    meant = bundle.owner_root, bundle.manifest_digest, bundle.keys_digest
    return (permit.owner_root, permit.manifest_digest, permit.keys_digest) == meant
