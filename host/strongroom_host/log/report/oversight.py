"""The sections about people: who may stop it, whether that was tried, who permitted what."""

from __future__ import annotations

from collections.abc import Iterator

from strongroom_wire.manifest import Manifest
from strongroom_wire.owners import Owners

from strongroom_host.log.report.markup import Child, Html, joined, tag
from strongroom_host.log.report.people import Person
from strongroom_host.log.report.record import BootRow, PermitRow, StopRow
from strongroom_host.log.report.sheet import (
    Sheet,
    boot_link,
    code,
    facts,
    lack,
    section,
    signers,
    table,
)
from strongroom_host.log.report.words import amount, moment, quantity, short

__all__ = ["boots_section", "people_section", "stops_section", "usage_section"]


def people_section(sheet: Sheet) -> Html:
    """Returns who can throw the kill switch, and which machines carry that order."""
    title, manifest = "Who may stop it", sheet.manifest
    if manifest is None:
        text = "No manifest of any boot is at hand, so who the owners are is not known here."
        return section("people", title, tag("p", text, class_="lack"))
    owners, document = manifest.owners, manifest.manifest
    carriers = [client.name for client in document.clients if "owner" in client.calls]
    alone = len(owners.keys) == 1
    who = "The owner" if alone else f"Any single one of these {len(owners.keys)} owners"
    text = (
        f"{who} can stop one key or all of them for the rest of the boot. To start again takes a"
        f" new boot, and a permit signed by {'the owner' if alone else f'{owners.quorum} of them'}."
    )
    through = f"An order to stop reaches the enclave through: {', '.join(carriers) or 'no client'}."
    word = "No file of names was given, so owners appear by their keys."
    if sheet.people.digest:
        word = "The names are from a file that the owners wrote; the log holds keys only."
    return section(
        "people",
        title,
        tag("p", text),
        table(("owner", "role", "key", "last stop thrown"), _owners(owners, sheet)),
        tag("p", through, " ", word, class_="note"),
        table(("client", "run by", "role", "may call"), _clients(document, sheet)),
    )


def _owners(owners: Owners, sheet: Sheet) -> Iterator[list[Child]]:
    for key in owners.keys:
        last = "none in this log"
        for stop in sheet.record.stops:
            if key in stop.signers:
                last = f"{moment(stop.time_ms)}, leaf {stop.index}"
        yield [*_named(sheet.people.owners.get(key)), code(key), last]


def _clients(document: Manifest, sheet: Sheet) -> list[list[Child]]:
    return [
        [client.name, *_named(sheet.people.clients.get(client.name)), ", ".join(client.calls)]
        for client in document.clients
    ]


def _named(person: Person | None) -> tuple[Child, Child]:
    return (lack("not named"), "") if person is None else (person.name, person.role)


def stops_section(sheet: Sheet) -> Html:
    """Returns each use of the kill switch, and what was denied from then on."""
    intro = tag(
        "p",
        "From the moment an owner throws the kill switch, the enclave denies every order of that"
        " key, or of all, until the boot ends. Cancels still pass. Throwing it and asking for an"
        " order afterwards is a test of it.",
    )
    body = tag("p", lack("This log shows no use of the kill switch, and so no test of it."))
    if sheet.record.stops:
        columns = ("leaf", "thrown", "boot", "for", "by", "#denied since", "first denial")
        body = table(columns, [_stop(stop, sheet) for stop in sheet.record.stops])
    return section("stops", "The kill switch", intro, body)


def _stop(stop: StopRow, sheet: Sheet) -> list[Child]:
    whom: Child = (stop.key or "all keys") if stop.opened else lack("not opened")
    first: Child = lack("nothing was asked for: not shown to deny")
    if stop.first is not None:
        index, time_ms = stop.first
        timed = stop.time_ms and time_ms
        after = f", {(time_ms - stop.time_ms) / 1000:.3f} s later" if timed else ""
        first = f"leaf {index}{after}"
    denied: list[Child] = [f"{stop.denied:,}"]
    if stop.unsigned:
        unknown = quantity(stop.unsigned, "signed entry", "signed entries")
        denied.append(lack(f" ({unknown} since without details: cancels, or not)"))
    by = signers(stop.signers, sheet.people) if stop.opened else lack("not opened")
    place = (str(stop.index), moment(stop.time_ms), boot_link(stop.epoch))
    return [*place, whom, by, joined(denied), first]


def boots_section(sheet: Sheet) -> Html:
    """Returns each boot: version, image, manifest, keys, and its permits with their budgets."""
    intro = (
        "A boot is one run of the enclave, with keys of its own. It begins with a permit that the"
        " owners signed for it, and continues the log of the boots before it."
    )
    blocks = (_boot(row, sheet) for row in sheet.record.boots)
    return section("boots", "Boots, versions, manifests, permits", tag("p", intro), *blocks)


def _boot(row: BootRow, sheet: Sheet) -> Html:
    times = f"{moment(row.times[0])} to {moment(row.times[1])}"
    known: list[tuple[str, Child]] = [("Leaves", f"{row.start} to {row.end - 1}, {times}")]
    boot = row.boot
    if boot is None:
        known.append(("Beginning", lack("its first leaf cannot be read")))
    else:
        continued = quantity(boot.continued.size, "leaf", "leaves")
        known += [("Version", boot.version), ("Continues", continued)]
        known.append(("Manifest", joined((code(boot.manifest_digest), " ", _manifest(row)))))
    image = row.facts.image
    known.append(
        ("Image", image or lack("no evidence verified: version and keys are its own word"))
    )
    events = [
        f"{event.action.name.lower().replace('_', ' ')} {event.key or '(not opened)'},"
        f" leaf {event.index}"
        for event in sheet.record.keys
        if event.epoch == row.epoch
    ]
    if events:
        known.append(("Keys", "; ".join(events)))
    permits = [_permit(each, sheet) for each in sheet.record.permits if each.epoch == row.epoch]
    columns = ("permit", "time", "valid until", "budgets", "signed by")
    heading = tag("h3", "Boot ", tag("code", short(row.epoch)), id=f"boot-{short(row.epoch)}")
    return tag("div", heading, facts(known), table(columns, permits), class_="block")


def _manifest(row: BootRow) -> Child:
    manifest = row.facts.manifest
    if manifest is None:
        return lack("not at hand: owners and limits cannot be shown")
    owners, document = manifest.owners, manifest.manifest
    who = f"{owners.quorum} of {quantity(len(owners.keys), 'owner')} sign"
    return f"version {document.version}, {document.mode}, {who}"


def _permit(row: PermitRow, sheet: Sheet) -> list[Child]:
    title: list[Child] = [f"leaf {row.index}"]
    permit = row.permit
    if permit is None:
        return [joined(title), moment(row.time_ms), *(lack("not opened") for _ in range(3))]
    budgets = ", ".join(
        f"{budget.key}: {amount(budget.notional)} pUSD and {quantity(budget.orders, 'order')}"
        for budget in permit.budgets
    )
    signed: list[Child] = [signers(row.signers, sheet.people)]
    if row.in_order is False:
        signed.append(tag("span", " not in order", class_="alarm"))
    elif row.in_order is None:
        signed.append(lack(" (the owners are not known here)"))
    title.append(f", serial {permit.serial}")
    if given_up := permit.abandons.size:
        sentence = (
            f" With it the owners give up a history of {quantity(given_up, 'leaf', 'leaves')}, root"
            f" {permit.abandons.root.hex()}."
        )
        title.append(tag("span", sentence, class_="alarm"))
    until = moment(permit.not_after)
    return [joined(title), moment(row.time_ms), until, budgets or "none", joined(signed)]


def usage_section(sheet: Sheet) -> Html:
    """Returns what each key signed in each boot, beside the enclave's counter and the budget."""
    rows: list[list[Child]] = []
    for row in sheet.record.usage:
        budget: Child = lack("not known") if row.budget is None else _sum(row.budget)
        verdict: Child = "yes" if row.adds_up else tag("span", "NO", class_="alarm")
        sums = map(_sum, (row.listed, row.unlisted, row.counted))
        rows.append([boot_link(row.epoch), row.key, *sums, budget, verdict])
    intro = (
        "The enclave counts, for each key and boot, everything that it ever signed at its worst"
        " price: fills and cancels give nothing back. The counter is in every entry, so the"
        " decisions have to add up to it."
    )
    columns = ("boot", "key", "#listed", "#without details", "#counted", "#budget", "adds up")
    body = table(columns, rows) if rows else tag("p", "Nothing was counted.")
    return section("usage", "Used and allowed", tag("p", intro), body)


def _sum(pair: tuple[int, int]) -> str:
    return f"{amount(pair[0])} pUSD, {quantity(pair[1], 'order')}"
