"""One pass over a log's leaves and their openings: what was decided, by whom, within which limits.

Nothing is believed that can be held against something else: an opening against its leaf, a permit
against the boot and its owners, the enclave's counters against the decisions that are listed, every
signed order against the budget and the kill switch. What does not agree is an alarm; what is not
there is a gap. Neither stops the reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Final

from strongroom_wire.bundle import LogHead
from strongroom_wire.encoding import pack
from strongroom_wire.errors import BadSignature, Code, Malformed, Rule, WireError
from strongroom_wire.leaves import Boot, Kind, Leaf, ModelDecision
from strongroom_wire.leaves import Decision as DecisionRecord
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.owners import Owners, Statement, verify_signature
from strongroom_wire.statements import ORDER_DOMAIN, PERMIT_DOMAIN, Action, OwnerOrder, Permit

from strongroom_host.contract.openings import WrongOpening, record_in
from strongroom_host.log.report.record import (
    ALWAYS,
    BootFacts,
    BootRow,
    Decision,
    Gap,
    KeyEvent,
    Lack,
    ModelTotals,
    Outcome,
    Period,
    PermitRow,
    Record,
    StopRow,
    Usage,
)

__all__ = ["Reading", "read"]

_UNKNOWN: Final = BootFacts()


class _Handed:
    """A model decision that was handed in: where, and whose totals it counts for."""

    __slots__ = ("index", "totals")

    def __init__(self, index: int, totals: ModelTotals | None) -> None:
        self.index, self.totals = index, totals


class Reading:
    """Takes leaves in order, gives decisions back as they come, and at the end all the rest.

    Memory grows with boots, permits, stops and models, not with decisions; of the model decisions
    only those of the boot at hand are remembered.
    """

    def __init__(self, facts: Mapping[bytes, BootFacts], period: Period = ALWAYS) -> None:
        """`facts` says, by boot id, what is known of a boot beside its leaves."""
        self._facts, self._period = facts, period
        self._tree = Frontier()
        self._kinds: Counter[Kind] = Counter()
        self._outcomes: Counter[Outcome] = Counter()
        self._rules: Counter[Rule] = Counter()
        self._outside = self._time = 0
        self._span: tuple[int, int] | None = None
        self._models: dict[bytes, ModelTotals] = {}
        self._boots: list[BootRow] = []
        self._permits: list[PermitRow] = []
        self._keys: list[KeyEvent] = []
        self._stops: list[StopRow] = []
        self._usage: dict[tuple[bytes, str], Usage] = {}
        self._gaps: dict[tuple[Lack, bytes], Gap] = {}
        self._missing = Lack.NO_OPENING
        """Why the leaf at hand has no record."""
        # Of the boot at hand:
        self._handed: dict[bytes, _Handed] = {}
        self._standing: list[StopRow] = []
        self._budgets: Mapping[str, tuple[int, int]] | None = None
        self._hidden = 0
        """How many decisions have no opening."""
        self._hidden_at: dict[str, int] = {}
        """By key, how many had none when its last decision was read."""

    def take(self, entry: bytes, opening: bytes | None) -> Decision | None:
        """Reads the next leaf; returns a decision if it is one of the period."""
        at = self._tree.size
        self._tree.append(leaf_hash(entry))
        try:
            leaf = Leaf.parse(entry)
        except WireError:
            self._lack(Lack.UNREADABLE, at, b"")
            return None
        self._begin(at, leaf)
        self._kinds[leaf.kind] += 1
        if leaf.time_ms:
            self._time = leaf.time_ms
            low, high = self._span or (leaf.time_ms, leaf.time_ms)
            self._span = min(low, leaf.time_ms), max(high, leaf.time_ms)
        else:
            self._lack(Lack.NO_TIME, at, leaf.epoch)
        record = self._opened(at, leaf, opening)
        try:
            return self._read(at, leaf, record)
        except WireError as error:
            self._missing = Lack.UNDECODABLE
            self._lack(self._missing, at, leaf.epoch, str(error))
            return self._read(at, leaf, None)

    def record(self) -> Record:
        """Returns all that was read so far."""
        order = list(Lack)
        gaps = sorted(self._gaps.values(), key=lambda gap: (order.index(gap.lack), gap.start))
        return Record(
            head=self._tree.head,
            period=self._period,
            kinds=dict(sorted(self._kinds.items())),
            outcomes={each: self._outcomes[each] for each in Outcome if self._outcomes[each]},
            outside=self._outside,
            rules=dict(self._rules.most_common()),
            models=tuple(self._models.values()),
            boots=tuple(self._boots),
            permits=tuple(self._permits),
            keys=tuple(self._keys),
            stops=tuple(self._stops),
            usage=tuple(self._usage.values()),
            gaps=tuple(gaps),
            times=self._span or (0, 0),
        )

    @property
    def head(self) -> LogHead:
        """The head of what was read."""
        return self._tree.head

    # --- one leaf -----------------------------------------------------------------------------

    def _begin(self, at: int, leaf: Leaf) -> None:
        """Counts a leaf for its boot, and starts another where it is the first of one."""
        if not self._boots or self._boots[-1].epoch != leaf.epoch:
            boot = Boot.parse(leaf.public) if leaf.kind is Kind.BOOT else None
            facts = self._facts.get(leaf.epoch, _UNKNOWN)
            self._boots.append(BootRow(leaf.epoch, at, at, boot, facts))
            self._handed, self._standing, self._budgets = {}, [], None
            self._hidden, self._hidden_at = 0, {}
            if facts.manifest is None:
                self._lack(Lack.NO_MANIFEST, at, leaf.epoch)
            if not facts.image:
                self._lack(Lack.NO_EVIDENCE, at, leaf.epoch)
        row = self._boots[-1]
        row.end = at + 1
        if leaf.time_ms:
            row.times = (row.times[0] or leaf.time_ms, leaf.time_ms)

    def _opened(self, at: int, leaf: Leaf, opening: bytes | None) -> bytes | None:
        self._missing = Lack.NO_OPENING
        if opening is not None:
            try:
                return record_in(leaf, opening)
            except WrongOpening:
                self._missing = Lack.WRONG_OPENING
        self._lack(self._missing, at, leaf.epoch)
        return None

    def _read(self, at: int, leaf: Leaf, record: bytes | None) -> Decision | None:
        match leaf.kind:
            case Kind.SIGNED | Kind.DENIED:
                return self._listed(self._decided(at, leaf, record))
            case Kind.MODEL:
                return self._listed(self._model(at, leaf, record))
            case Kind.BOOT | Kind.PERMIT:
                self._permit(at, leaf, record)
            case Kind.KILL:
                self._stop(at, leaf, record)
            case Kind.KEY:
                self._key(at, leaf, record)
            case _:
                self._lack(Lack.NOT_RENDERED, at, leaf.epoch, leaf.kind.name)
        return None

    # --- decisions ----------------------------------------------------------------------------

    def _decided(self, at: int, leaf: Leaf, record: bytes | None) -> Decision:
        rule = Rule.NONE if leaf.kind is Kind.SIGNED else Rule(leaf.public[0])
        if record is None:
            self._hidden += 1
            self._note_stops(at, leaf, rule, None)
            outcome = Outcome.SIGNED if leaf.kind is Kind.SIGNED else _refusal(rule)
            place = (at, leaf.time_ms, leaf.epoch)
            return Decision(*place, outcome, False, rule, remarks=(self._missing,))
        found = DecisionRecord.parse(record)
        reply = found.reply
        if (leaf.kind is Kind.SIGNED) != (reply.code is Code.OK) or reply.rule is not rule:
            raise Malformed("decision", f"{leaf.kind.name} {rule.name}", reply.code.name)
        outcome = Outcome.ORDERS if reply.order_hashes else Outcome.CANCEL
        if leaf.kind is Kind.DENIED:
            outcome = _refusal(rule)
        handed = self._handed.get(found.context)
        decision = Decision(
            *(at, leaf.time_ms, leaf.epoch, outcome, True, rule, found.client, found.key),
            *(reply.code, reply.order, reply.limit, reply.actual, reply.order_hashes),
            context=found.context,
            model_leaf=None if handed is None else handed.index,
            total=(found.notional, found.orders),
            intent=found.intent,
            request=found.request,
        )
        remarks = [*self._context(decision), *self._note_stops(at, leaf, rule, decision)]
        notional, miscounted = self._count(decision)
        remarks += miscounted
        for lack in remarks:
            self._lack(lack, at, leaf.epoch)
        return replace(decision, notional=notional, remarks=tuple(remarks))

    def _context(self, decision: Decision) -> Iterator[Lack]:
        """What is lacking of what led to orders. A cancel needs no reason."""
        if decision.context:
            if decision.model_leaf is None:
                yield Lack.NO_MODEL_DECISION
        elif decision.outcome is Outcome.ORDERS or decision.rule is not Rule.NONE:
            yield Lack.NO_CONTEXT

    def _count(self, decision: Decision) -> tuple[int | None, list[Lack]]:
        """Holds the key's counters against those before; returns what this request counted."""
        key, signed = decision.key, len(decision.order_hashes)
        if not key:  # no such key: nothing was counted
            return 0, []
        usage = self._usage.setdefault((decision.epoch, key), Usage(decision.epoch, key))
        pairs = zip(decision.total, usage.counted, strict=True)
        notional, orders = (new - old for new, old in pairs)
        complete = self._hidden_at.get(key, 0) == self._hidden
        self._hidden_at[key], usage.counted = self._hidden, decision.total
        wrong: list[Lack] = []
        if _disagree(decision, notional, orders, complete):
            wrong.append(Lack.MISCOUNTED)
        if complete:
            usage.listed = usage.listed[0] + notional, usage.listed[1] + orders
        else:
            usage.listed = usage.listed[0], usage.listed[1] + signed
            usage.unlisted = usage.unlisted[0] + notional, usage.unlisted[1] + orders - signed
        if self._budgets is not None:
            usage.budget = self._budgets.get(key, (0, 0))
            over = any(new > most for new, most in zip(decision.total, usage.budget, strict=True))
            if over and decision.outcome is Outcome.ORDERS:
                wrong.append(Lack.OVER_BUDGET)
        return (notional if complete or not (notional or orders) else None), wrong

    def _note_stops(
        self, at: int, leaf: Leaf, rule: Rule, decision: Decision | None
    ) -> Iterable[Lack]:
        """Counts what a kill switch denied, and names orders that it should have."""
        for stop in self._standing:
            covered = decision is None or not stop.opened or stop.covers(decision.key)
            if rule is Rule.KILL_SWITCH and covered:
                stop.denied += 1
                stop.first = stop.first or (at, leaf.time_ms)
            elif decision is None and leaf.kind is Kind.SIGNED:
                stop.unsigned += 1
        if decision is None or decision.outcome is not Outcome.ORDERS:
            return ()
        stopped = any(stop.covers(decision.key) for stop in self._standing)
        return (Lack.ORDERS_AFTER_STOP,) if stopped else ()

    def _model(self, at: int, leaf: Leaf, record: bytes | None) -> Decision:
        place = (at, leaf.time_ms, leaf.epoch)
        if record is None:
            return Decision(*place, Outcome.MODEL, False, remarks=(self._missing,))
        found = ModelDecision.parse(record)
        context = found.model + found.inputs
        totals = self._totals(found.model) if self._time in self._period else None
        self._handed[context] = _Handed(at, totals)
        return Decision(
            *(*place, Outcome.MODEL, True),
            client=found.client,
            context=context,
            output=found.output,
            model_leaf=at,
        )

    def _listed(self, decision: Decision) -> Decision | None:
        """Counts a decision if it is one of the period, and returns it then."""
        handed = self._handed.get(decision.context)
        if handed is not None and handed.totals is not None and decision.index != handed.index:
            handed.totals.followed += 1
            handed.totals = None  # once
        if self._time not in self._period:
            self._outside += 1
            return None
        self._outcomes[decision.outcome] += 1
        if decision.rule is not Rule.NONE:
            self._rules[decision.rule] += 1
        if decision.opened and decision.outcome is not Outcome.CANCEL:
            totals = self._totals(decision.model)
            totals.handed_in += decision.outcome is Outcome.MODEL
            totals.signed += decision.outcome is Outcome.ORDERS
            totals.denied += decision.outcome is Outcome.DENIED
            totals.refused += decision.outcome is Outcome.REFUSED
            totals.orders += len(decision.order_hashes)
            totals.notional += decision.notional or 0
        return decision

    def _totals(self, model: bytes) -> ModelTotals:
        return self._models.setdefault(model, ModelTotals(model))

    # --- owners -------------------------------------------------------------------------------

    def _permit(self, at: int, leaf: Leaf, record: bytes | None) -> None:
        place, row = (at, leaf.time_ms, leaf.epoch), self._boots[-1]
        if record is None:
            self._budgets = None  # whatever the new one says
            self._permits.append(PermitRow(*place, None))
            return
        statement = Statement.parse(record)
        permit, boot = Permit.parse(statement.payload), row.boot
        digest = leaf.public if leaf.kind is Kind.PERMIT else Boot.parse(leaf.public).permit_digest
        signers, owners = _signers(statement, PERMIT_DOMAIN, row.facts), _owners(row.facts)
        named = boot is None or (permit.keys_digest, permit.manifest_digest) == (
            boot.keys_digest,
            boot.manifest_digest,
        )
        in_order = None if owners is None else len(signers) >= owners.quorum
        if sha256(record).digest() != digest or not named:
            in_order = False
        if in_order is False:
            self._lack(Lack.UNAUTHORISED, at, leaf.epoch)
        self._budgets = {b.key: (b.notional, b.orders) for b in permit.budgets}
        self._permits.append(PermitRow(*place, permit, signers, in_order))

    def _stop(self, at: int, leaf: Leaf, record: bytes | None) -> None:
        stop = StopRow(at, leaf.time_ms, leaf.epoch, opened=False)
        if record is not None:
            order, stop.signers = self._order(at, record)
            stop.opened, stop.key = True, order.key
        self._stops.append(stop)
        self._standing.append(stop)

    def _key(self, at: int, leaf: Leaf, record: bytes | None) -> None:
        event = KeyEvent(at, leaf.time_ms, leaf.epoch, Action(leaf.public[0]), record is not None)
        if record is not None:
            order, signers = self._order(at, record)
            event = replace(event, key=order.key, signers=signers)
        self._keys.append(event)

    def _order(self, at: int, record: bytes) -> tuple[OwnerOrder, tuple[bytes, ...]]:
        """Returns an owners' order, and whose signatures under it are valid."""
        row, statement = self._boots[-1], Statement.parse(record)
        order, owners = OwnerOrder.parse(statement.payload), _owners(row.facts)
        signers = _signers(statement, ORDER_DOMAIN, row.facts)
        one_is_enough = order.action is Action.KILL
        needed = 0 if owners is None else 1 if one_is_enough else owners.quorum
        if len(signers) < needed or order.boot_id != row.epoch:
            self._lack(Lack.UNAUTHORISED, at, row.epoch)
        return order, signers

    def _lack(self, lack: Lack, at: int, epoch: bytes, detail: str = "") -> None:
        """Notes what is not known or wrong; once per boot, with how often."""
        found = self._gaps.get((lack, epoch))
        if found is None:
            self._gaps[lack, epoch] = Gap(lack, at, at + 1, 1, detail)
        else:
            self._gaps[lack, epoch] = replace(found, end=at + 1, count=found.count + 1)


def read(
    entries: Iterable[bytes],
    opening: Callable[[int], bytes | None],
    facts: Mapping[bytes, BootFacts],
    period: Period = ALWAYS,
) -> tuple[Record, tuple[Decision, ...]]:
    """Returns what a whole log says, with every decision of the period.

    Args:
        entries: All leaves, from the first on.
        opening: Returns the opening of the leaf at an index, or None.
        facts: See `Reading`.
        period: Which decisions to list; all by default.
    """
    reading = Reading(facts, period)
    taken = (reading.take(entry, opening(index)) for index, entry in enumerate(entries))
    decisions = tuple(decision for decision in taken if decision is not None)
    return reading.record(), decisions


def _disagree(decision: Decision, notional: int, orders: int, complete: bool) -> bool:
    """Whether counters grew otherwise than this decision, alone if `complete`, lets them.

    They never shrink; a denial and a cancel count nothing. What was refused without a rule may have
    been counted before something failed, which costs budget and never widens it.
    """
    signed = len(decision.order_hashes)
    if notional < 0 or orders < signed:
        return True
    if not complete or decision.outcome is Outcome.REFUSED:
        return False
    if decision.outcome is Outcome.ORDERS:
        return orders != signed
    return bool(notional or orders)


def _refusal(rule: Rule) -> Outcome:
    return Outcome.REFUSED if rule is Rule.NONE else Outcome.DENIED


def _owners(facts: BootFacts) -> Owners | None:
    return None if facts.manifest is None else facts.manifest.owners


def _signers(statement: Statement, domain: bytes, facts: BootFacts) -> tuple[bytes, ...]:
    """Whose signatures are valid: of the owners where they are known, else of anybody."""
    owners, found = _owners(facts), []
    for signature in statement.signatures:
        if owners is None or signature.key in owners.keys:
            try:
                verify_signature(signature.key, signature.value, pack(domain, statement.payload))
            except BadSignature:
                continue
            found.append(signature.key)
    return tuple(dict.fromkeys(found))
