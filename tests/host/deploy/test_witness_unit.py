"""The witness's unit: it starts what exists, and has its folder and the network, no more."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import typer
from strongroom_host.cli.app import app
from typer.main import get_command

from tests.host.deploy.test_units import DEPLOY, LARGEST_EXPOSURE, analyze, installed, settings

__all__ = ["installed"]

WITNESS = DEPLOY / "systemd" / "strongroom-witness.service"
FOLDER = "/var/lib/strongroom-witness/memory"


def test_the_command_is_one_that_exists() -> None:
    [line] = settings(WITNESS)["ExecStart"]
    program, *words = shlex.split(line)
    assert program == "/opt/strongroom/bin/strongroom"
    command = get_command(app)
    context = typer.Context(command)
    while found := getattr(command, "get_command", None):
        command = found(context, words.pop(0))
    given = command.make_context("run", words).params
    assert str(given["witness"]) == FOLDER
    assert given["listen_on"].startswith("127.0.0.1:"), "TLS ends before it"
    assert FOLDER.startswith(f"/var/lib/{settings(WITNESS)['StateDirectory'][0]}/")
    assert WITNESS.read_text().count(FOLDER) == 3, "made, told whom to follow, and run"


def test_it_is_exposed_to_little(installed: Path) -> None:
    words = ("security", "--offline=true", f"--threshold={LARGEST_EXPOSURE}")
    done = analyze(installed, *words, str(installed / WITNESS.name))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_its_user_is_its_own() -> None:
    found = settings(WITNESS)
    [user] = found["User"]
    accounts = (DEPLOY / "systemd" / "strongroom-witness.sysusers.conf").read_text()
    assert re.search(rf"^u {user} ", accounts, re.MULTILINE)
    assert found["CapabilityBoundingSet"] == [""]
    assert found["StateDirectoryMode"] == ["0700"]


def test_what_will_not_mend_itself_is_not_tried_again() -> None:
    """2: the folder is exposed or none; 3: a key without its memory."""
    assert settings(WITNESS)["RestartPreventExitStatus"] == ["2 3"]
    assert settings(WITNESS)["Restart"] == ["on-failure"]
