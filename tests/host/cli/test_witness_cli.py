"""`strongroom witness` as its operator uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from strongroom_host.cli.app import app
from strongroom_host.log.notes import VerifierKey
from strongroom_host.owner.signed import SignedFile
from strongroom_host.witness.errors import HistoryContradicted
from strongroom_wire.manifest import MANIFEST_DOMAIN
from typer.testing import CliRunner, Result

from tests.host.witness.logs import ORIGIN, Log, Station, document, introduction, origin_of
from tests.wire.samples import signed

LOG = Log()


class Cli:
    """Runs the command with one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(app, ["witness", *arguments, "--witness", str(self.folder)])
        assert result.exit_code == status, result.output
        return result


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Return the command of a witness that was just made."""
    made = Cli(tmp_path / "w")
    result = made("init", "--name", "witness.example/w1")
    assert "do not restore" in result.stderr
    assert VerifierKey.parse(result.stdout.strip()).name == "witness.example/w1"
    return made


def test_a_key_is_made_once_and_shown(cli: Cli) -> None:
    shown = cli("key").stdout
    assert VerifierKey.parse(shown.strip()).name == "witness.example/w1"
    assert "second history" in cli("init", "--name", "again", status=2).stderr
    assert cli("key").stdout == shown


def test_nothing_works_without_a_folder(tmp_path: Path) -> None:
    missing = Cli(tmp_path / "none")
    for command in (["key"], ["status"], ["run"], ["follow", str(LOG.vkey)]):
        assert "witness init" in missing(*command, status=2).stderr


def test_a_key_without_its_memory_is_refused(cli: Cli) -> None:
    (cli.folder / "memory.db").unlink()
    for command in (["run"], ["status"], ["follow", str(LOG.vkey)]):
        assert "make a new witness" in cli(*command, status=3).stderr


@pytest.mark.parametrize("name", ["", "with space", "with+plus", "line\nbreak"])
def test_a_name_that_no_note_can_hold(tmp_path: Path, name: str) -> None:
    made = Cli(tmp_path / "w")
    made("init", "--name", name, status=2)
    assert not made.folder.exists()


def test_logs_are_followed_by_key(cli: Cli) -> None:
    cli("follow", str(LOG.vkey))
    station = Station(cli.folder)
    station.witness.add_checkpoint(LOG.submission(0, 5))
    row = json.loads(cli("status", "--json").stdout)["logs"][0]
    assert (row["origin"], row["size"], row["root"]) == (ORIGIN, 5, LOG.head(5).root.hex())
    assert ORIGIN in cli("status").stdout


def test_a_log_may_have_another_name_than_its_key(cli: Cli) -> None:
    assert "follows go.sum tree" in cli("follow", str(LOG.vkey), "--origin", "go.sum tree").stdout
    assert json.loads(cli("status", "--json").stdout)["logs"][0]["origin"] == "go.sum tree"


def test_logs_are_followed_by_owners(cli: Cli, tmp_path: Path) -> None:
    made = document()
    file = tmp_path / "manifest.signed.json"
    file.write_bytes(b"")
    statement = signed(MANIFEST_DOMAIN, made.serialise(), 1, 2)
    SignedFile(SignedFile.unsigned(statement.payload).kind, statement).save(file)
    told = cli("follow", "--manifest", str(file)).stdout
    assert origin_of(made) in told
    arguments = ["--owner-root", made.owner_root.hex(), "--account", made.account]
    assert cli("follow", *arguments).stdout == told
    station = Station(cli.folder)
    station.witness.add_boot(introduction(0x61).serialise())
    log = Log(key=0x61, origin=origin_of(made))
    station.witness.add_checkpoint(log.submission(0, 3))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--owner-root", "ab" * 32],
        ["--account", "acme"],
        ["--owner-root", "ab" * 31, "--account", "acme"],
        ["--owner-root", "xy" * 32, "--account", "acme"],
        ["nonsense"],
        [str(LOG.vkey), "--account", "acme"],
        ["--origin", "log", "--owner-root", "ab" * 32, "--account", "acme"],
    ],
)
def test_whom_to_follow_is_said_exactly(cli: Cli, arguments: list[str]) -> None:
    cli("follow", *arguments, status=2)
    assert json.loads(cli("status", "--json").stdout)["logs"] == []


def test_a_witness_s_key_is_no_log(cli: Cli) -> None:
    cli("follow", cli("key").stdout.strip(), status=2)


def test_two_histories_are_shown_with_their_proof(cli: Cli) -> None:
    cli("follow", str(LOG.vkey))
    station = Station(cli.folder)
    station.witness.add_checkpoint(LOG.submission(0, 5))
    fork = Log("fork")
    with pytest.raises(HistoryContradicted):
        station.witness.add_checkpoint(fork.submission(5, 5))
    assert "two histories" in cli("status", status=3).stderr
    (pair,) = json.loads(cli("evidence", ORIGIN).stdout)
    assert pair["shown"] == fork.note(5).decode()
    assert pair["cosigned"].startswith(LOG.note(5).decode())


def test_listening_is_said_exactly(cli: Cli, tmp_path: Path) -> None:
    for address in ("7780", "host:", ":1", "127.0.0.1:99999"):
        assert "ADDRESS:PORT" in cli("run", "--listen", address, status=2).stderr
    cli("run", "--certificate", str(tmp_path / "cert.pem"), status=2)
    pair = ["--certificate", str(tmp_path / "no.pem"), "--key", str(tmp_path / "no.key")]
    told = cli("run", "--listen", "127.0.0.1:0", *pair, status=2).stderr
    assert "certificate cannot be used" in told
