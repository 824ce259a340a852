"""What a page is made of, and the pieces that its sections are put together from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from strongroom_wire.manifest import VerifiedManifest

from strongroom_host.log.report.markup import Child, Html, joined, tag
from strongroom_host.log.report.people import People
from strongroom_host.log.report.record import Decision, Record
from strongroom_host.log.report.words import short

__all__ = ["Sheet", "boot_link", "code", "facts", "lack", "listed", "section", "signers", "table"]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the page is made of.

    Attributes:
        origin: The log's name.
        record: What was read.
        decisions: Those that the page lists; the CSV has all.
        people: Names.
        now_ms: When the report was made, by this machine's clock.
        findings: What verification found, if it found something.
        vouched: How the log was verified, in sentences.
        not_excluded: What verification does not exclude, in sentences.
    """

    origin: str
    record: Record
    decisions: Sequence[Decision]
    people: People
    now_ms: int
    findings: Sequence[str] = ()
    vouched: Sequence[str] = ()
    not_excluded: Sequence[str] = ()

    @property
    def manifest(self) -> VerifiedManifest | None:
        """The manifest of the newest boot of which it is at hand."""
        known = (row.facts.manifest for row in reversed(self.record.boots))
        return next((manifest for manifest in known if manifest is not None), None)


def section(name: str, title: str, *children: Child) -> Html:
    """Returns a section that links lead to by `name`."""
    return tag("section", tag("h2", title), *children, "\n", id=name)


def facts(rows: Iterable[tuple[str, Child]]) -> Html:
    """Returns names with what they stand for."""
    return tag("dl", *(joined((tag("dt", name), tag("dd", value))) for name, value in rows))


def listed(items: Iterable[Child]) -> Html:
    """Returns a list of sentences."""
    return tag("ul", *(tag("li", each) for each in items))


def table(columns: Sequence[str], rows: Iterable[Sequence[Child]], class_: str = "") -> Html:
    """Returns a table; a column whose name begins with # holds figures, and is set flush right."""
    styles = ["num" if name.startswith("#") else None for name in columns]
    heads = (
        tag("th", name.removeprefix("#"), class_=style, scope="col")
        for name, style in zip(columns, styles, strict=True)
    )
    lines = (
        tag("tr", *(tag("td", cell, class_=s) for cell, s in zip(row, styles, strict=True)))
        for row in rows
    )
    body = tag("tbody", *(joined(("\n", line)) for line in lines))
    return tag(
        "div",
        tag("table", tag("thead", tag("tr", *heads)), body, class_=class_ or None),
        class_="scroll",
    )


def code(value: bytes) -> Html:
    """Returns the beginning of a digest, with the whole of it where the pointer rests."""
    return tag("code", short(value), title=value.hex())


def lack(text: str) -> Html:
    """Returns words for something that is not known."""
    return tag("span", text, class_="lack")


def boot_link(epoch: bytes) -> Html:
    """Returns a boot by the beginning of its id, leading to where it is described."""
    return tag("a", tag("code", short(epoch)), href=f"#boot-{short(epoch)}")


def signers(keys: Sequence[bytes], people: People) -> Html:
    """Returns who signed something, by name where there is one."""
    if not keys:
        return tag("span", "nobody's valid signature", class_="alarm")
    parts: list[Child] = []
    for key in keys:
        person = people.owners.get(key)
        parts += [", " if parts else None, person.name if person else code(key)]
    return joined(parts)
