"""The monitor's unit: it starts what exists, remembers, and has the network and no more."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import typer
from strongroom_host.cli.app import app
from strongroom_host.errors import BadInput
from strongroom_host.log.errors import LogDamaged
from typer.main import get_command

from tests.host.deploy.test_units import (
    DEPLOY,
    LARGEST_EXPOSURE,
    analyze,
    environment,
    installed,
    settings,
)

__all__ = ["installed"]

WATCH = DEPLOY / "systemd" / "strongroom-watch.service"


def test_the_command_is_one_that_exists_with_values_that_it_takes() -> None:
    [line] = settings(WATCH)["ExecStart"]
    values = environment("watch.env")
    # As systemd does it: ${NAME} is one word, $NAME is split.
    words = [
        re.sub(r"^\$\{(\w+)\}$", lambda name: values[name[1]], word) for word in shlex.split(line)
    ]
    assert words.pop() == "$STRONGROOM_WATCH_SOURCES"
    words += values["STRONGROOM_WATCH_SOURCES"].split()
    assert words[:3] == ["/opt/strongroom/bin/strongroom", "log", "watch"]
    group = get_command(app)
    context = typer.Context(group)
    log = group.get_command(context, "log")  # type: ignore[attr-defined]
    given = log.get_command(context, "watch").make_context("watch", words[3:]).params
    assert given["sources"] == ["https://log.example/", "https://mirror.example/log/"]
    assert given["on_alarm"].startswith("/usr/bin/logger ")
    assert given["every"] == 30
    folder = f"/var/lib/{settings(WATCH)['StateDirectory'][0]}"
    assert given["state"] == Path(folder, "state")
    assert given["cache"] == Path(folder, "cache")


def test_it_is_exposed_to_little(installed: Path) -> None:
    words = ("security", "--offline=true", f"--threshold={LARGEST_EXPOSURE}")
    done = analyze(installed, *words, str(installed / WATCH.name))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_its_user_is_its_own() -> None:
    found = settings(WATCH)
    [user] = found["User"]
    accounts = (DEPLOY / "systemd" / "strongroom-watch.sysusers.conf").read_text()
    assert re.search(rf"^u {user} ", accounts, re.MULTILINE)
    assert found["CapabilityBoundingSet"] == [""]
    assert found["StateDirectoryMode"] == ["0700"]


def test_it_comes_back_unless_a_setting_is_wrong_and_its_silence_is_told() -> None:
    found = settings(WATCH)
    assert found["Restart"] == ["on-failure"]
    statuses = {BadInput.exit_status, LogDamaged.exit_status}
    assert {int(word) for word in found["RestartPreventExitStatus"][0].split()} == statuses
    assert "SuccessExitStatus" not in found, "a state that cannot be read ends it with 3"
    [alert] = found["OnFailure"]
    assert (DEPLOY / "systemd" / f"{alert.partition('@')[0]}@.service").exists()
