"""From a log in a folder to a report in a folder, through the command."""

from __future__ import annotations

import csv
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import typer
from strongroom_host.cli.log_report import report as command
from strongroom_host.errors import BadInput
from strongroom_host.log.attested import prove_boot
from strongroom_host.log.errors import LogDamaged, LogDisordered
from strongroom_host.log.examination import Meant
from strongroom_host.log.examine import examine
from strongroom_host.log.notes import open_checkpoint
from strongroom_host.log.openings import OPENINGS
from strongroom_host.log.report.folder import SUMS, ReportFolder, ReportUnwritable
from strongroom_host.log.report.making import Wanted, make_report
from strongroom_host.log.report.people import NOBODY
from strongroom_host.log.report.tables import TABLES
from strongroom_host.log.sources import open_source
from strongroom_wire.manifest import VerifiedManifest, verify_manifest
from strongroom_wire.owners import Statement
from typer.testing import CliRunner

from tests.host.log.report.days import Day, a_day, people_file
from tests.host.log.report.test_page import Read

app = typer.Typer()
app.command()(command)
Ask = Callable[..., Path]


@pytest.fixture
def day(tmp_path: Path) -> Day:
    """A log in tmp_path/log, with trust file and manifest beside."""
    made = a_day()
    made.kept.sign().store(tmp_path)
    return made


@pytest.fixture
def ask(tmp_path: Path, day: Day) -> Ask:
    """Run the command; raise what it raises."""

    def run(*options: str, out: str = "report") -> Path:
        arguments = ["--log", str(tmp_path / "log"), "--owner", str(tmp_path), *options]
        arguments += ["--client", str(tmp_path / "none"), "--out", str(tmp_path / out)]
        result = CliRunner().invoke(app, arguments)
        if result.exception is not None:
            raise result.exception
        return tmp_path / out

    return run


def rows(report: Path, name: str = "decisions") -> list[dict[str, str]]:
    with (report / f"{name}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_report_of_a_log_in_order(ask: Ask, tmp_path: Path, day: Day) -> None:
    (tmp_path / "people.json").write_bytes(people_file())
    report = ask("--people", str(tmp_path / "people.json"))
    names = {"report.html", "checkpoint", "decisions.csv", SUMS, *(f"{n}.csv" for n in TABLES)}
    assert {path.name for path in report.iterdir()} == names
    assert len(rows(report)) == 13
    page = Read((report / "report.html").read_text()).text
    assert page.startswith("Decision record of account acme")
    for words in (
        "The log verifies.",
        "The first 19 entries of 19 lead to a head that the log's key signed.",
        "Of 2 boots, 2 have evidence that was verified",
        "The details of 19 entries were opened",
        "No witness vouches for this log",
        "PCR0",
        "Ada Holder",
    ):
        assert words in page, words
    for line in (report / SUMS).read_text().splitlines():
        digest, _, name = line.partition("  ")
        assert sha256((report / name).read_bytes()).hexdigest() == digest
    running = day.kept.boot
    note = (report / "checkpoint").read_bytes()
    assert open_checkpoint(note, running.origin, [running.key]).head == day.kept.head


def test_it_is_its_makers_alone(ask: Ask) -> None:
    assert stat.S_IMODE(ask().stat().st_mode) == 0o700


def test_a_report_says_the_same_each_time_but_when_it_was_made(ask: Ask) -> None:
    one, other = ask(out="one"), ask(out="other")
    for path in one.iterdir():
        if path.name not in ("report.html", SUMS):
            assert path.read_bytes() == (other / path.name).read_bytes()


def test_it_replaces_nothing(ask: Ask, tmp_path: Path) -> None:
    before = sorted(path.name for path in ask().iterdir())
    with pytest.raises(BadInput, match="is there already"):
        ask()
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == before


def test_a_log_that_does_not_verify_has_no_report(ask: Ask, tmp_path: Path, day: Day) -> None:
    edit(tmp_path / "log", day)
    with pytest.raises(LogDisordered, match="no report"):
        ask()
    assert not (tmp_path / "report").exists()


def test_unless_somebody_asks_for_it_and_then_it_says_so_first(
    ask: Ask, tmp_path: Path, day: Day
) -> None:
    edit(tmp_path / "log", day)
    with pytest.raises(LogDisordered, match="says on top what is wrong"):
        ask("--despite-findings")
    page = Read((tmp_path / "report" / "report.html").read_text()).text
    assert "This log does not verify." in page
    assert "edited: leaf" in page
    assert "The log verifies" not in page


def test_leaves_that_nobody_vouches_for_are_not_called_verified(tmp_path: Path, day: Day) -> None:
    with open_source(str(tmp_path / "log")) as source:
        found = examine(source, Meant(day.kept.trust, day.kept.boot.document.owner_root))
        nobody = replace(found, report=replace(found.report, proven=0))
        assert not nobody.ok
        make_report(source, nobody, {}, tmp_path / "out", Wanted(1))
    page = Read((tmp_path / "out" / "report.html").read_text()).text
    assert "This log does not verify." in page
    assert "nobody vouches for them" in page


def edit(log: Path, day: Day) -> None:
    """Put another boot's history into the place of the one that is signed."""
    other = a_day().kept.sign()
    note = (log / "checkpoint").read_bytes()
    boots = shutil.copytree(log / "boots", log.parent / "boots")
    shutil.rmtree(log)
    other.boots = day.kept.boots
    other.store(log.parent)
    shutil.rmtree(log / "boots")
    boots.rename(log / "boots")
    (log / "checkpoint").write_bytes(note)


def test_alarms_are_reported_and_the_command_fails(tmp_path: Path, ask: Ask) -> None:
    shutil.rmtree(tmp_path / "log")
    wrong = Day().boot()
    context = wrong.model(1)
    wrong.stop()
    wrong.decide(context=context)
    wrong.kept.sign().store(tmp_path)
    with pytest.raises(LogDisordered) as caught:
        ask()
    assert "although the kill switch had been thrown" in str(caught.value.actual)
    assert (tmp_path / "report" / "report.html").exists()


def test_a_log_without_openings_is_reported_with_what_is_known(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "log" / OPENINGS).unlink()
    report = ask()
    assert {row["opened"] for row in rows(report)} == {"no"}
    page = Read((report / "report.html").read_text()).text
    assert "The details are not in this copy" in page


@pytest.mark.parametrize(
    ("options", "leaves"),
    [
        (("--since", "2027-01-15", "--until", "2027-01-16"), 13),
        (("--since", "2027-01-16"), 0),
        (("--until", "2027-01-15"), 0),
        (("--since", "2027-01-15T08:00:08", "--until", "2027-01-15T08:00:11"), 3),
        (("--since", "2027-01-15T09:00:08+01:00"), 8),
    ],
)
def test_periods(ask: Ask, options: tuple[str, ...], leaves: int) -> None:
    assert len(rows(ask(*options))) == leaves


@pytest.mark.parametrize(
    "options",
    [("--since", "yesterday"), ("--since", "2027-01-16", "--until", "2027-01-15")],
)
def test_periods_that_are_none(ask: Ask, options: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        ask(*options)
    assert not (tmp_path / "report").exists()


def test_the_page_lists_as_many_as_asked_for_and_the_table_all(ask: Ask) -> None:
    report = ask("--rows", "2")
    assert "The newest 2 of 13 decisions" in Read((report / "report.html").read_text()).text
    assert len(rows(report)) == 13


def test_nothing_says_whose_log_it_is(ask: Ask, tmp_path: Path, day: Day) -> None:
    (tmp_path / "manifest.signed.json").unlink()
    assert ask(out="by-the-trust-file").exists()
    trust = day.kept.boot.machine.trust
    assert trust.owner_root is None
    trust.save(tmp_path / "trust.json")
    with pytest.raises(BadInput, match="whose log"):
        ask()


def test_boots_without_evidence_have_the_manifest_that_is_given(tmp_path: Path, day: Day) -> None:
    boot_id = day.kept.boot.boot_id
    statement = Statement.parse(day.kept.boots[boot_id].manifest)
    given: VerifiedManifest = verify_manifest(statement)
    with open_source(str(tmp_path / "log")) as source:
        proved = prove_boot(day.kept.boots[boot_id], day.kept.trust, given.manifest.owner_root)
        found = examine(source, Meant(keys=(proved.key,)))
        record = make_report(
            source, found, day.kept.openings, tmp_path / "out", Wanted(1, manifest=given)
        )
    known = [row.facts.manifest for row in record.boots]
    assert known == [None, given]
    assert [row.facts.image for row in record.boots] == ["", ""]


def test_a_log_that_changes_meanwhile_is_refused(tmp_path: Path, day: Day) -> None:
    trust = day.kept.trust
    root = day.kept.boot.document.owner_root
    with open_source(str(tmp_path / "log")) as source:
        found = examine(source, Meant(trust, root))
    day.stop()
    shutil.rmtree(tmp_path / "log")
    day.kept.sign().store(tmp_path)
    with (
        open_source(str(tmp_path / "log")) as source,
        pytest.raises(LogDamaged, match="changed while"),
    ):
        make_report(source, found, {}, tmp_path / "out", Wanted(1))
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, day: Day, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: str, **_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ReportUnwritable) as caught:
        ask()
    assert caught.value.actual == "No space left on device"
    assert caught.value.remedy
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir() if "report" in path.name] == []
    assert ask().exists()


def test_a_report_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    with ReportFolder(tmp_path / "report", NOBODY):
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())
