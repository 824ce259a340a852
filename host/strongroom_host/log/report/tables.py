"""The report as CSV (RFC 4180, UTF-8): one file per kind of row, complete, for programs and people.

Whoever opens such a file in a spreadsheet must not run what somebody wrote into a name: a cell that
could begin a formula gets an apostrophe in front. Digests and hashes carry a prefix, so that none
is taken for a number. Amounts are in pUSD, exact; times are RFC 3339 in UTC.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from strongroom_wire.bundle import Role

from strongroom_host.cli.explain import RULES
from strongroom_host.log.report.people import People
from strongroom_host.log.report.record import Decision, Outcome, Record
from strongroom_host.log.report.words import amount, because, rfc3339, sha

__all__ = ["DECISION_COLUMNS", "TABLES", "DecisionTable", "write_table"]

_FORMULA: Final = frozenset("=+-@\t\r\n|%\uff1d\uff0b\uff0d\uff20")

DECISION_COLUMNS: Final = (
    *("leaf", "time", "boot", "outcome", "client", "client_run_by", "key"),
    *("model", "model_name", "inputs", "model_output", "model_decision_leaf"),
    *("orders", "order_hashes", "counted_pusd", "key_total_pusd", "key_total_orders"),
    *("code", "rule", "limit", "actual", "unit", "order_at_fault", "because"),
    *("intent", "request", "opened", "remarks"),
)


_Rows = Iterable[Sequence[object]]


class _Stream(Protocol):
    def write(self, text: str, /) -> object: ...


class DecisionTable:
    """Writes decisions as they are read, so that their number costs no memory."""

    def __init__(self, stream: _Stream, people: People) -> None:
        self._people = people
        self._rows = csv.writer(stream, lineterminator="\r\n")
        self._rows.writerow(DECISION_COLUMNS)

    def add(self, decision: Decision) -> None:
        """Writes one row. What is not known is an empty cell, and `opened` says why."""
        d, opened = decision, decision.opened
        signed = d.outcome is Outcome.ORDERS
        client, model = self._people.clients.get(d.client), self._people.models.get(d.model)
        denied = opened and d.rule.value != 0
        counted = opened and d.outcome is not Outcome.MODEL
        cells: list[object] = [
            *(d.index, rfc3339(d.time_ms), _hash(d.epoch), d.outcome.value, d.client),
            *(str(client or ""), d.key, sha(d.model), str(model or ""), sha(d.inputs)),
            *(sha(d.output), "" if d.model_leaf is None else d.model_leaf),
            *(len(d.order_hashes) if counted else "", " ".join(map(_hash, d.order_hashes))),
            "" if d.notional is None or not counted else amount(d.notional),
            *((amount(d.total[0]), d.total[1]) if counted else ("", "")),
            d.code.name if counted else "",
            "" if signed or not d.rule else d.rule.name,
            *((d.limit, d.actual, RULES[d.rule].unit, d.order) if denied else ("",) * 4),
            *(because(d), sha(d.intent), sha(d.request if d.request.strip(b"\0") else b"")),
            "yes" if opened else "no",
            "; ".join(lack.value for lack in d.remarks),
        ]
        self._rows.writerow(map(_cell, cells))


def write_table(stream: _Stream, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes one whole table."""
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([*map(_cell, row)] for row in rows)


def _boots(record: Record, _people: People) -> _Rows:
    for row in record.boots:
        boot, manifest = row.boot, row.facts.manifest
        start: tuple[object, ...] = ("", "", "", "", "", "")
        if boot is not None:
            digests = boot.manifest_digest, boot.keys_digest, boot.permit_digest
            continued = boot.continued.size, _hash(boot.continued.root)
            start = (boot.version, *map(sha, digests), *continued)
        version = "" if manifest is None else manifest.manifest.version
        mode = "" if manifest is None else manifest.manifest.mode
        where = (row.start, row.end - 1, *map(rfc3339, row.times))
        yield (_hash(row.epoch), *where, *start, version, mode, row.facts.image)


def _permits(record: Record, people: People) -> _Rows:
    for row in record.permits:
        place = (row.index, rfc3339(row.time_ms), _hash(row.epoch))
        permit = row.permit
        if permit is None:
            yield (*place, "no", *("",) * 11)
            continue
        given_up, continued = permit.abandons, permit.continues(Role.SIGNER).head
        terms = (
            *(permit.serial, rfc3339(permit.not_before), rfc3339(permit.not_after)),
            *(continued.size, _hash(continued.root)),
            *((given_up.size, _hash(given_up.root)) if given_up.size else ("", "")),
        )
        who = _signers(row.signers, people)
        verdict = {True: "yes", False: "no", None: "not known"}[row.in_order]
        for budget in permit.budgets or (None,):
            allowed = ("", "", "")
            if budget is not None:
                allowed = (budget.key, amount(budget.notional), str(budget.orders))
            yield (*place, "yes", *terms, *allowed, who, verdict)


def _stops(record: Record, people: People) -> _Rows:
    for row in record.stops:
        first = ("", "") if row.first is None else (row.first[0], rfc3339(row.first[1]))
        key = (row.key or "all keys") if row.opened else ""
        place = (row.index, rfc3339(row.time_ms), _hash(row.epoch), key)
        yield (*place, _signers(row.signers, people), row.denied, *first, row.unsigned)


def _keys(record: Record, people: People) -> _Rows:
    for row in record.keys:
        place = (row.index, rfc3339(row.time_ms), _hash(row.epoch))
        who = _signers(row.signers, people)
        yield (*place, row.action.name, row.key, who, "yes" if row.opened else "no")


def _usage(record: Record, _people: People) -> _Rows:
    for row in record.usage:
        pairs = (row.listed, row.unlisted, row.counted)
        sums = [each for pusd, orders in pairs for each in (amount(pusd), orders)]
        budget = ("", "") if row.budget is None else (amount(row.budget[0]), row.budget[1])
        yield (_hash(row.epoch), row.key, *sums, *budget, "yes" if row.adds_up else "NO")


def _models(record: Record, people: People) -> _Rows:
    for row in record.models:
        name = str(people.models.get(row.model) or "")
        counts = (row.handed_in, row.followed, row.signed, row.orders, amount(row.notional))
        yield (sha(row.model), name, *counts, row.denied, row.refused)


def _gaps(record: Record, _people: People) -> _Rows:
    for gap in record.gaps:
        alarm = "alarm" if gap.lack.alarming else "gap"
        yield (alarm, gap.lack.value, gap.start, gap.end - 1, gap.count, gap.detail)


def _totals(record: Record, _people: People) -> _Rows:
    for kind, count in record.kinds.items():
        yield ("entries of the log", kind.name, count)
    yield ("entries of the log", "unreadable", record.head.size - sum(record.kinds.values()))
    yield ("entries of the log", "all", record.head.size)
    for outcome, count in record.outcomes.items():
        yield ("decisions of the period", outcome.value, count)
    yield ("decisions of the period", "all", record.listed)
    yield ("decisions outside the period", "all", record.outside)
    for rule, count in record.rules.items():
        yield ("denials of the period", rule.name, count)


TABLES: Final[Mapping[str, tuple[Sequence[str], Callable[[Record, People], _Rows]]]] = {
    "boots": (
        (
            *("boot", "first_leaf", "last_leaf", "first_time", "last_time", "version"),
            *("manifest", "keys", "permit", "continues_leaves", "continues_root"),
            *("manifest_version", "manifest_mode", "image"),
        ),
        _boots,
    ),
    "permits": (
        (
            *("leaf", "time", "boot", "opened", "serial", "not_before", "not_after"),
            *("continues_leaves", "continues_root", "abandons_leaves", "abandons_root"),
            *("key", "budget_pusd", "budget_orders", "signed_by", "quorum_reached"),
        ),
        _permits,
    ),
    "stops": (
        (
            *("leaf", "time", "boot", "key", "thrown_by", "denied_since"),
            *("first_denied_leaf", "first_denied_time", "signed_entries_not_opened"),
        ),
        _stops,
    ),
    "keys": (("leaf", "time", "boot", "action", "key", "ordered_by", "opened"), _keys),
    "usage": (
        (
            *("boot", "key", "listed_pusd", "listed_orders", "unlisted_pusd", "unlisted_orders"),
            *("counted_pusd", "counted_orders", "budget_pusd", "budget_orders", "adds_up"),
        ),
        _usage,
    ),
    "models": (
        (
            *("model", "name", "decisions_handed_in", "followed_by_a_request", "requests_signed"),
            *("orders_signed", "counted_pusd", "denied", "refused"),
        ),
        _models,
    ),
    "gaps": (("kind", "what", "first_leaf", "last_leaf", "count", "detail"), _gaps),
    "totals": (("of", "what", "count"), _totals),
}
"""By name of the file: its columns, and what gives its rows."""


def _signers(keys: Iterable[bytes], people: People) -> str:
    named = ((key, people.owners.get(key)) for key in keys)
    return "; ".join(f"{person} 0x{key.hex()}" if person else _hash(key) for key, person in named)


def _hash(value: bytes) -> str:
    """Returns an id, key or hash with a prefix that keeps it text."""
    return f"0x{value.hex()}"


def _cell(value: object) -> str:
    """Returns a cell that a spreadsheet shows and does not compute."""
    text = str(value)
    return f"'{text}" if text[:1] in _FORMULA and text else text
