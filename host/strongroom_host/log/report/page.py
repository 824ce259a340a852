"""The report as one HTML file: no script, nothing loaded, readable on paper.

What is wrong comes first, then what was decided, then what is not known. Everything is escaped by
`markup`; the page shows digests by their beginning, and the CSV files beside it have them whole.
"""

from __future__ import annotations

from strongroom_host.log.report.activity import decisions_section, gaps_section, models_section
from strongroom_host.log.report.articles import ARTICLES, DISCLAIMER, SCOPE
from strongroom_host.log.report.markup import Child, Html, document, joined, tag
from strongroom_host.log.report.oversight import (
    boots_section,
    people_section,
    stops_section,
    usage_section,
)
from strongroom_host.log.report.record import Outcome
from strongroom_host.log.report.sheet import Sheet, facts, listed, section, table
from strongroom_host.log.report.style import STYLE
from strongroom_host.log.report.words import ago, amount, moment, quantity

__all__ = ["page"]


def page(sheet: Sheet) -> str:
    """Returns the whole report."""
    manifest = sheet.manifest
    account = "a log" if manifest is None else f"account {manifest.manifest.account}"
    title = f"Decision record of {account}"
    sections = (
        _summary(sheet),
        people_section(sheet),
        stops_section(sheet),
        models_section(sheet),
        decisions_section(sheet),
        boots_section(sheet),
        usage_section(sheet),
        gaps_section(sheet),
        _articles(),
        _check(sheet),
    )
    return document(title, STYLE, _head(title, sheet), tag("main", *sections))


def _head(title: str, sheet: Sheet) -> Html:
    record, period = sheet.record, sheet.record.period
    since = "the beginning" if period.start_ms is None else moment(period.start_ms)
    until = "the end" if period.end_ms is None else moment(period.end_ms)
    size = quantity(record.head.size, "entry", "entries")
    known = (
        ("Log", tag("code", sheet.origin)),
        ("Head", joined((size, ", root ", tag("code", record.head.root.hex())))),
        ("Period", f"from {since} to {until}"),
        ("Entries", f"from {moment(record.times[0])} to {moment(record.times[1])}"),
        ("Made", f"{moment(sheet.now_ms)}, by the clock of the machine that made it"),
    )
    return tag(
        "header",
        tag("h1", title),
        facts(known),
        _verdict(sheet),
        _care(sheet),
        tag("p", DISCLAIMER, class_="note"),
    )


def _verdict(sheet: Sheet) -> Html:
    """The first thing that a reader must know: whether this can be relied on."""
    alarms = [
        f"{gap.lack.value}: {quantity(gap.count, 'entry', 'entries')} from leaf {gap.start} on"
        for gap in sheet.record.alarms
    ]
    if sheet.findings:
        head = tag("strong", "This log does not verify. ")
        text = (
            "The report was asked for all the same. Rely on nothing in it before this is explained:"
        )
        return tag("div", head, text, listed([*sheet.findings, *alarms]), class_="verdict bad")
    if alarms:
        head = tag("strong", "The log verifies, and contradicts what the enclave promises:")
        return tag("div", head, listed(alarms), class_="verdict bad")
    head = tag("strong", "The log verifies. ")
    text = "Details, permits, counters, limits and stops agree, as far as they are here."
    return tag("div", head, text, listed(sheet.vouched), class_="verdict good")


def _care(sheet: Sheet) -> Html | None:
    """What a reader of the first page only would otherwise take for granted."""
    sentences: list[Child] = [*sheet.not_excluded]
    kinds = [gap.lack for gap in sheet.record.gaps if not gap.lack.alarming]
    if kinds:
        count = quantity(len(set(kinds)), "kind of gap", "kinds of gaps")
        there = tag("a", "what is not known", href="#gaps")
        sentences.append(joined((f"{count} in what was recorded: see ", there, ".")))
    if not sentences:
        return None
    head = tag("strong", "Not excluded, or not known:")
    return tag("div", head, listed(sentences), class_="verdict care")


def _summary(sheet: Sheet) -> Html:
    record, outcomes = sheet.record, sheet.record.outcomes
    orders = sum(row.orders for row in record.models)
    pusd = sum(row.notional for row in record.models)
    denied = outcomes.get(Outcome.DENIED, 0) + outcomes.get(Outcome.REFUSED, 0)
    cards = (
        (quantity(outcomes.get(Outcome.MODEL, 0), "model decision"), "handed in"),
        (quantity(orders, "order"), f"signed, {amount(pusd)} pUSD counted"),
        (quantity(denied, "request"), "denied or refused"),
        (quantity(len(record.boots), "boot"), f"under {quantity(len(record.permits), 'permit')}"),
        _last_stop(sheet),
    )
    shown = (tag("div", tag("b", big), tag("span", small), class_="card") for big, small in cards)
    oldest = ago(record.times[0], sheet.now_ms)
    kept = f"The oldest entry was made {oldest} this report." if oldest else None
    return section(
        "summary",
        "Summary",
        tag("div", *shown, class_="cards"),
        tag("p", kept),
        table(("what the log has", "#entries"), _ledger(sheet), "narrow"),
    )


def _ledger(sheet: Sheet) -> list[list[Child]]:
    """All entries, by what they are; they add up to the size of the log."""
    record = sheet.record
    rows: list[list[Child]] = [[each.value, f"{n:,}"] for each, n in record.outcomes.items()]
    rows.append([tag("b", "decisions of the period"), tag("b", f"{record.listed:,}")])
    rows.append(["decisions outside the period", f"{record.outside:,}"])
    rows += [
        [f"{kind.name.lower()} entries", f"{count:,}"]
        for kind, count in record.kinds.items()
        if kind.name not in ("SIGNED", "DENIED", "MODEL")
    ]
    unreadable = record.head.size - sum(record.kinds.values())
    rows.append(["unreadable entries", f"{unreadable:,}"])
    rows.append([tag("b", "all entries of the log"), tag("b", f"{record.head.size:,}")])
    return rows


def _last_stop(sheet: Sheet) -> tuple[str, str]:
    stops = sheet.record.stops
    if not stops:
        return "Never thrown", "the kill switch: this log shows no try of it"
    last = stops[-1]
    when = ago(last.time_ms, sheet.now_ms).replace(" before", " ago") or moment(last.time_ms)
    denied = "nothing was asked for after it"
    if last.denied:
        denied = f"{quantity(last.denied, 'request')} denied after it"
    return when, f"the kill switch was last thrown; {denied}"


def _articles() -> Html:
    rows: list[list[Child]] = []
    for article in ARTICLES:
        links = [joined((tag("a", each, href=f"#{each}"), " ")) for each in article.sections]
        see = tag("div", "See ", *links, class_="dim") if links else None
        shown = joined((article.shown, see))
        command = tag("code", article.command) if article.command else ""
        rows.append([tag("b", article.provision), article.asks, shown, command, article.not_shown])
    columns = ("article", "asks that", "shown here", "command", "not shown")
    texts = (tag("p", each) for each in (DISCLAIMER, *SCOPE))
    title = "Regulation (EU) 2024/1689 (AI Act)"
    return section("articles", title, *texts, table(columns, rows, "articles"))


def _check(sheet: Sheet) -> Html:
    commands = (
        "strongroom log verify --log DIR",
        "strongroom log open INDEX --log DIR",
        "strongroom log prove inclusion INDEX --log DIR",
        "sha256sum --check SHA256SUMS",
    )
    text = (
        "Nothing here has to be believed. With a copy of the log and its openings anybody can"
        " verify the log, open an entry, prove that the head has it, and make this report again."
        " The CSV files beside this page have the same rows, complete."
    )
    names = None
    if sheet.people.digest:
        digest = tag("code", sheet.people.digest.hex())
        names = tag("p", "The names are from a file with SHA-256 ", digest, ".", class_="note")
    made = listed(tag("code", each) for each in commands)
    return section("check", "How to check it", tag("p", text), made, names)
