"""From an examined log to a report in a folder: what was proved, what was read, what is shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from strongroom_wire.bundle import LogHead
from strongroom_wire.manifest import VerifiedManifest

from strongroom_host.log.errors import BundleMalformed, LogDamaged, TileMalformed, TileMissing
from strongroom_host.log.examination import Examination, ExaminedBoot
from strongroom_host.log.report.folder import ReportFolder
from strongroom_host.log.report.people import NOBODY, People
from strongroom_host.log.report.reading import Reading
from strongroom_host.log.report.record import ALWAYS, BootFacts, Decision, Period, Record
from strongroom_host.log.report.sheet import Sheet
from strongroom_host.log.report.words import quantity, short
from strongroom_host.log.sources import LogSource
from strongroom_host.log.tree import LogReader
from strongroom_host.log.verify import OpeningsByIndex

__all__ = ["Wanted", "boot_facts", "make_report", "vouched"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the report is to be like.

    Attributes:
        period: Which decisions to list.
        rows: How many of them the page shows, the newest; the table has all.
        people: Names.
        manifest: A manifest that its owners signed, for boots whose own is not kept; a boot's first
            leaf says by digest which one it ran.
        now_ms: When the report is made.
    """

    now_ms: int
    period: Period = ALWAYS
    rows: int = 1000
    people: People = NOBODY
    manifest: VerifiedManifest | None = None


def make_report(
    source: LogSource,
    examination: Examination,
    openings: OpeningsByIndex,
    target: Path,
    wanted: Wanted,
) -> Record:
    """Reads the log that was examined, whole, and puts the report of it at `target`.

    Raises:
        LogDamaged: the log is not the one that was examined a moment ago.
        BadInput: there is something at `target`.
        ReportUnwritable: nothing was made.
    """
    reading = Reading(boot_facts(examination, wanted.manifest), wanted.period)
    shown = deque[Decision](maxlen=wanted.rows)
    with ReportFolder(target, wanted.people) as folder:
        for index, entry in enumerate(_entries(source)):
            decision = reading.take(entry, openings.get(index))
            if decision is not None:
                folder.add(decision)
                shown.append(decision)
        record = reading.record()
        if record.head != examination.report.head:
            raise LogDamaged(
                "the log changed while the report was made",
                expected=examination.report.head,
                actual=record.head,
                remedy="copy the log's folder, and report on the copy",
            )
        sheet = Sheet(
            examination.origin,
            record,
            tuple(shown),
            wanted.people,
            wanted.now_ms,
            _findings(examination),
            vouched(examination),
            examination.not_excluded(),
        )
        newest = max(examination.notes, key=lambda note: note.signed.head.size, default=None)
        folder.finish(sheet, newest.data if newest else b"")
    return record


def _findings(examination: Examination) -> list[str]:
    found = [str(finding) for finding in examination.findings]
    if not found and not examination.ok:
        found.append("no signed head has any of these entries: nobody vouches for them")
    return found


def boot_facts(
    examination: Examination, manifest: VerifiedManifest | None = None
) -> Mapping[bytes, BootFacts]:
    """Returns by boot id what is known of a boot beside its leaves: what its evidence proved, or of
    an unproved one the manifest that it says it ran, if that is at hand."""
    starts = {epoch.epoch: epoch.boot for epoch in examination.report.epochs}
    found: dict[bytes, BootFacts] = {}
    for boot in examination.boots:
        if boot.proved is not None:
            found[boot.boot_id] = BootFacts(boot.proved.manifest, _image(boot))
            continue
        start = starts.get(boot.boot_id)
        if start is not None and manifest is not None and start.manifest_digest == manifest.digest:
            found[boot.boot_id] = BootFacts(manifest)
    return found


def vouched(examination: Examination) -> Sequence[str]:
    """Returns who vouches for the log, in sentences."""
    report = examination.report
    size = quantity(report.proven, "entry", "entries")
    sentences = [
        f"The first {size} of {report.head.size:,} lead to a head that the log's key signed."
    ]
    proved = [boot for boot in examination.boots if boot.proved is not None]
    if proved:
        sentences.append(
            f"Of {quantity(len(examination.boots), 'boot')}, {len(proved)} have evidence that was"
            " verified: it ties their keys to an image and to a manifest that the owners signed."
        )
    witnessed = examination.report.witnessed
    if witnessed:
        sentences.append(
            f"Witnesses ({examination.quorum.needed} of {len(examination.quorum.witnesses)} are"
            f" needed) vouch that they saw no other history of the first {witnessed:,}."
        )
    opened = quantity(report.records, "entry", "entries")
    sentences.append(f"The details of {opened} were opened and are those that were committed to.")
    return [*sentences, *examination.given_up]


def _image(boot: ExaminedBoot) -> str:
    proved = boot.proved
    if proved is None:
        return ""
    evidence = proved.evidence
    pcr0 = short(evidence.image.triple[0])
    by = "signed by the platform" if evidence.signed else "signed by nobody (an emulator's)"
    mode = "" if evidence.policy.trust.mode == "production" else ", development trust file"
    when = f"{evidence.as_of:%Y-%m-%d %H:%M:%S} UTC"
    return f"{evidence.image.name}, PCR0 {pcr0}…, evidence of {when}, {by}{mode}"


def _entries(source: LogSource) -> Iterator[bytes]:
    """The leaves, as far as the source gives them: the examination has said where it does not."""
    try:
        yield from LogReader(source, LogHead(source.size, bytes(32))).entries()
    except (TileMissing, TileMalformed, BundleMalformed):
        return
