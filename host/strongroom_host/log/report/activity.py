"""The sections about what was decided, by which model, and what of it is not known."""

from __future__ import annotations

from typing import Final

from strongroom_host.log.report.markup import Child, Html, joined, tag
from strongroom_host.log.report.record import Decision, Outcome
from strongroom_host.log.report.sheet import Sheet, boot_link, code, lack, listed, section, table
from strongroom_host.log.report.words import amount, because, moment, quantity

__all__ = ["decisions_section", "gaps_section", "models_section"]

_PILLS: Final = {
    Outcome.ORDERS: "good",
    Outcome.CANCEL: "calm",
    Outcome.SIGNED: "calm",
    Outcome.DENIED: "warn",
    Outcome.REFUSED: "warn",
    Outcome.MODEL: "model",
}
_NEVER: Final = (
    "What no log of this kind holds: the inputs and outputs themselves, why a model decided so, the"
    " terms of an order, and what became of it at the venue (strongroom log reconcile compares"
    " fills with signed orders)."
)


def models_section(sheet: Sheet) -> Html:
    """Returns, for each model, what it led to."""
    rows: list[list[Child]] = []
    for row in sheet.record.models:
        person = sheet.people.models.get(row.model)
        name: Child = str(person) if person else lack("not named")
        if not row.model:
            name = lack("the client named no model")
        counts = (row.handed_in, row.followed, row.signed, row.orders)
        figures = [f"{count:,}" for count in counts] + [amount(row.notional)]
        figures += [f"{row.denied:,}", f"{row.refused:,}"]
        rows.append([code(row.model) if row.model else "", name, *figures])
    intro = (
        "A client says which model decided, on which inputs, and with which output, by their"
        " SHA-256 digests. The enclave records what it is told, when it is told. Whether it is true"
        " the files themselves show: they have these digests, or not."
    )
    columns = (
        *("model", "name", "#decisions handed in", "#of them with a request"),
        *("#requests signed", "#orders", "#pUSD counted", "#denied", "#refused"),
    )
    body = table(columns, rows) if rows else tag("p", "There is no decision in the period.")
    return section("models", "Models", tag("p", intro), body)


def decisions_section(sheet: Sheet) -> Html:
    """Returns the decisions, one row each."""
    shown, whole = len(sheet.decisions), sheet.record.listed
    intro = f"All {quantity(whole, 'decision')} of the period, in order."
    if shown < whole:
        intro = (
            f"The newest {shown:,} of {whole:,} decisions of the period. The others are left out of"
            " this page, not of its totals: decisions.csv has every one."
        )
    terms = (
        " Market, side, price and size of an order are not in the log. It holds the order's hash,"
        " by which the venue knows it, and the digest of what the client asked for."
    )
    columns = ("leaf", "time", "boot", "client, key", "model, inputs", "outcome", "#pUSD counted")
    rows = [_decision(each, sheet) for each in sheet.decisions]
    return section(
        "decisions", "Decisions", tag("p", intro, terms), table(columns, rows, "decisions")
    )


def _decision(decision: Decision, sheet: Sheet) -> list[Child]:
    asked: Child = lack("not opened")
    if decision.opened:
        asked = f"{decision.client}, {decision.key}" if decision.key else decision.client
    counted: Child = ""
    if decision.opened and decision.outcome is not Outcome.MODEL:
        known = decision.notional is not None
        counted = amount(decision.notional or 0) if known else lack("not known")
    place = (str(decision.index), moment(decision.time_ms), boot_link(decision.epoch))
    return [*place, asked, _model(decision, sheet), _outcome(decision), counted]


def _model(decision: Decision, sheet: Sheet) -> Child:
    if not decision.context:
        return ""
    person = sheet.people.models.get(decision.model)
    parts: list[Child] = [person.name if person else code(decision.model), " on "]
    parts.append(code(decision.inputs))
    if decision.model_leaf is not None and decision.outcome is not Outcome.MODEL:
        parts.append(tag("span", f" decided in leaf {decision.model_leaf}", class_="dim"))
    return joined(parts)


def _outcome(decision: Decision) -> Html:
    style = f"pill {_PILLS[decision.outcome]}"
    parts: list[Child] = [tag("span", decision.outcome.value, class_=style)]
    if decision.order_hashes:
        parts.append(f" {quantity(len(decision.order_hashes), 'order')}")
        parts += [joined((" ", code(each))) for each in decision.order_hashes]
    if decision.output:
        parts += [" output ", code(decision.output)]
    if reason := because(decision):
        parts.append(f" {reason}")
    for each in decision.remarks:
        parts.append(tag("div", each.value, class_="alarm" if each.alarming else "lack"))
    return joined(parts)


def gaps_section(sheet: Sheet) -> Html:
    """Returns everything that is wrong or not known; nothing is left out for looking bad."""
    rows: list[list[Child]] = []
    for gap in sheet.record.gaps:
        where = f"leaf {gap.start}" if gap.count == 1 else f"leaves {gap.start} to {gap.end - 1}"
        what = tag("span", f"{gap.lack.value}.", class_="alarm" if gap.lack.alarming else "lack")
        rows.append([joined((what, f" {gap.detail}")), where, f"{gap.count:,}"])
    body = tag("p", "Of this log nothing is missing, and nothing contradicts anything else.")
    if rows:
        body = table(("what", "where", "#entries"), rows)
    return section("gaps", "What is not known", body, listed((_NEVER, *sheet.not_excluded)))
