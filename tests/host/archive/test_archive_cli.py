"""`strongroom archive` as an owner and an auditor use it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from secrets import token_hex

import pytest
from strongroom_host.archive.folder import clear_immutable
from strongroom_host.cli.app import app
from typer.testing import CliRunner, Result

from tests.host.archive.orders import log_of
from tests.host.archive.server import client_of, new_bucket
from tests.host.log.boots_made import Kept


def run(*arguments: object, status: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == status, result.output + result.stderr
    return result


class World:
    """A log in a folder, and a place."""

    def __init__(self, folder: Path, place: list[str]) -> None:
        self.kept: Kept = log_of(300)
        self.folder, self.place = folder, place
        self.log = self.kept.store(folder)

    def __call__(self, command: str, *arguments: object, status: int = 0) -> Result:
        return run("archive", *command.split(), *self.place, *arguments, status=status)


@pytest.fixture(params=["folder", "bucket"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "folder":
        return World(tmp_path, [str(request.getfixturevalue("folder"))])
    request.getfixturevalue("credentials")
    address, name = request.getfixturevalue("s3"), f"cli-{token_hex(6)}"
    new_bucket(client_of(address), name)
    return World(tmp_path, [f"s3://{name}/fund/log", "--endpoint", address])


def test_from_the_log_to_the_archive_and_back(world: World) -> None:
    key = world.folder / "openings.key"
    made = run("archive", "key", key)
    assert run("archive", "key", key).stdout.strip() in made.stdout
    sealed = ("--openings-key", key)
    options = ("--log", world.log, "--retention", "6y", *sealed, "--by", "Anna Auditor")
    done = world("export", *options)
    assert "300 leaves are archived" in done.stdout
    assert "already" in world("export", *options).stdout
    told = json.loads(world("export", *options, "--json").stdout)
    assert (told["size"], told["added"], told["root"]) == (300, [], world.kept.head.root.hex())

    vkey = ("--key", str(world.kept.boot.key))
    report = world("verify", *vkey, *sealed)
    assert "in order: 300 leaves of 1 boot in" in report.stdout
    told = json.loads(world("verify", *vkey, *sealed, "--json").stdout)
    assert (told["ok"], told["openings"]) == (True, {"archived": 300, "opened": 300})
    proved = world("verify", "--trust", world.folder / "trust.json")
    assert "No evidence" not in proved.stderr
    assert "signature" not in proved.stderr
    assert "signature" in world("verify").stderr

    back = world.folder / "back"
    assert "300 of them new" in world("restore", "--log", back, *sealed).stdout
    manifest = world.folder / "manifest.signed.json"
    trusted = ("--trust", world.folder / "trust.json", "--manifest", manifest)
    run("log", "verify", "--log", back, *trusted)

    status = world("status")
    assert "Anna Auditor" in status.stdout
    assert "300 leaves" in status.stdout
    told = json.loads(world("status", "--json").stdout)
    assert [event["what"] for event in told["events"]] == ["export"]
    assert (told["unprotected"], told["hidden"], told["held"]) == ([], [], 0)


def test_leaves_are_found_and_printed_for_people_and_programs(world: World) -> None:
    world("export", "--log", world.log, "--retention", "90d")
    lines = world("show").stdout.splitlines()
    assert len(lines) == 300
    assert "BOOT" in lines[0]
    some = json.loads(
        world("show", "--kind", "denied", "--from", 5, "--to", 9, "--as", "json").stdout
    )
    assert [each["index"] for each in some] == [7]
    assert some[0]["leaf"] == world.kept.entries[7].hex()
    table = world("show", "--from", 298, "--as", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["kind"] for row in rows] == ["DENIED", "MODEL"]
    at = int(rows[1]["offset"])
    if "://" not in world.place[0]:
        stored = Path(world.place[0], rows[1]["object"]).read_bytes()
        assert stored[at : at + int(rows[1]["length"])] == world.kept.entries[299]
    start = some[0]["time"]
    found = json.loads(world("show", "--since", start, "--as", "json").stdout)
    assert [each["index"] for each in found][:2] == [7, 8]
    assert len(json.loads(world("show", "--until", start, "--as", "json").stdout)) == 7
    assert world("show", "--boot", "ffff").stdout == ""
    world("show", "--kind", "nonsense", status=2)
    world("show", "--since", "yesterday", status=2)


def test_holding_and_retaining(world: World) -> None:
    world("export", "--log", world.log, "--retention", "30d")
    world("hold on", "--why", "case 7", "--by", "counsel")
    assert "under a legal hold" in world("verify").stdout
    world("hold off", "--why", "closed")
    assert "3 objects" not in world("retain", "--retention", "60d", "--why", "asked").stdout
    refused = world("retain", "--retention", "10d", "--why", "regretted", status=2)
    assert "kept longer already" in refused.stderr
    world("export", "--log", world.log, "--retention", "30d", status=2)
    told = json.loads(world("status", "--json").stdout)
    whats = {event["what"] for event in told["events"]}
    assert whats == {"export", "hold on", "hold off", "retain"}


def test_log_export_is_the_same(world: World) -> None:
    run("log", "export", *world.place, "--log", world.log, "--retention", "90d")
    assert "in order" in world("verify").stdout


def test_what_is_wrong_is_said_and_the_status_tells_whose_fault(
    folder: Path, tmp_path: Path
) -> None:
    log = log_of(20).store(tmp_path)
    where = ("archive", "export", folder, "--log", log)
    assert "100y" in run(*where, "--retention", "forever", status=2).stderr
    run("archive", "verify", folder, status=2)
    run("archive", "verify", "s3://X", status=2)
    run("archive", "export", folder, "--log", tmp_path / "none", "--retention", "1d", status=2)
    done = run(*where, "--retention", "1d")
    assert "openings are left out" in done.stderr
    [segment] = (folder / "segments").iterdir()
    clear_immutable(segment)
    segment.unlink()
    broken = run("archive", "verify", folder, status=3)
    assert "missing: segments/" in broken.stdout
    run("archive", "show", folder, status=3)
    run("archive", "restore", folder, "--log", tmp_path / "back", status=3)
