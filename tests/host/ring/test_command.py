"""`strongroom ring` as a person uses it: what is shown and explained, and the exit status."""

import json
import os
from pathlib import Path

import pytest
from strongroom_host.cli.app import app
from strongroom_host.ring.places import ring_path
from strongroom_host.ring.reader import RingReader
from strongroom_host.ring.writer import RingWriter
from typer.testing import CliRunner

from tests.host.ring.torture import publish


def ring(*arguments: str) -> tuple[int, str, str]:
    """Returns exit status, stdout and stderr of a command."""
    result = CliRunner().invoke(app, ["ring", *arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


def test_without_a_ring_it_says_where_it_looked(ring_folder: Path) -> None:
    assert ring("list") == (0, f"no rings in {ring_folder}\n", "")
    assert json.loads(ring("list", "--json")[1]) == {"rings": [], "unusable": []}


def test_a_living_ring_is_listed_and_shown() -> None:
    with (
        RingWriter.create("btc", slots=8) as writer,
        RingReader.attach("btc", consumer="strategy") as reader,
        RingReader.attach("btc", consumer="recorder", after="strategy"),
    ):
        writer.instrument("BTCUSDT")
        publish(writer, 1200)
        reader.poll()
        status, out, err = ring("list")
        assert (status, err) == (0, "")
        for said in ("btc", f"process {os.getpid()}", "1,200", "8", "2"):
            assert said in out
        status, out, _ = ring("show", "btc")
        assert status == 0
        for said in ("generation 1", "ordinary pages", "strategy", "BTCUSDT"):
            assert said in out
        facts = json.loads(ring("show", "btc", "--json")[1])
        assert facts["ticks"] == 1200
        assert facts["producer"] == {"pid": os.getpid(), "alive": True}
        first, second = facts["consumers"]
        assert (first["position"], first["missed"]) == (reader.position, reader.missed)
        assert (second["name"], second["after"], second["alive"]) == ("recorder", "strategy", True)
        status, _, err = ring("remove", "btc")
        assert status == 2
        assert f"process {os.getpid()}" in err
        assert "stop it" in err


def test_what_was_left_is_told_and_removed() -> None:
    RingWriter.create("btc").close(keep=True)
    status, out, err = ring("list")
    assert status == 0
    assert f"gone (was process {os.getpid()})" in out
    assert "nobody writes to btc" in err
    assert ring("remove", "btc") == (0, "removed btc\n", "")
    assert ring("list")[1].startswith("no rings")


def test_what_is_no_ring_is_listed_as_such_and_can_be_removed() -> None:
    path = ring_path("notes")
    path.write_bytes(b"\x1b[2J not a ring".ljust(5000))
    path.chmod(0o600)
    status, out, err = ring("list")
    assert status == 0
    assert "unusable" in out
    assert "notes" in err
    assert json.loads(ring("list", "--json")[1])["unusable"][0]["name"] == "notes"
    status, _, err = ring("show", "notes")
    assert status == 5
    assert "is no ring" in err
    assert ring("remove", "notes")[0] == 0
    assert not path.exists()


@pytest.mark.parametrize("command", ["show", "remove"])
@pytest.mark.parametrize(
    ("name", "said"), [("nope", "there is no ring"), ("../nope", "cannot have this name")]
)
def test_a_ring_that_is_not_there_is_explained(command: str, name: str, said: str) -> None:
    status, out, err = ring(command, name)
    assert status == 2
    assert said in err
    assert "do " in err or "expected" in err
    assert out == ""


def test_the_help_names_the_commands() -> None:
    status, out, _ = ring("--help")
    assert status == 0
    for command in ("list", "show", "remove"):
        assert command in out
