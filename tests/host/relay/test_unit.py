"""The relay's unit: it starts what exists, with its settings as shipped, and has few rights."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer
from strongroom_host.cli.app import app
from strongroom_host.relay.server import RelayLimits
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

RELAY = DEPLOY / "systemd" / "strongroom-relay.service"


def test_the_command_is_one_that_exists() -> None:
    [line] = settings(RELAY)["ExecStart"]
    held = environment("relay.env")
    words: list[str] = []
    for word in shlex.split(line):
        name = word.strip("${}")
        # As systemd: ${NAME} is one word, $NAME as many as are in it.
        words += [held[name]] if word.startswith("${") else [word]
        if word.startswith("$") and not word.startswith("${"):
            words[-1:] = held[name].split()
    assert words.pop(0) == "/opt/strongroom/bin/strongroom"
    command = get_command(app)
    context = typer.Context(command)
    while found := getattr(command, "get_command", None):
        command = found(context, words.pop(0))
    given = command.make_context("run", words).params
    assert given["listen"] == "0.0.0.0:7760"
    assert given["upstream"] == "clob.polymarket.com:443"
    assert given["no_v1"] is True


def test_systemd_understands_every_word(installed: Path) -> None:
    done = analyze(installed, "verify", "--man=no", str(installed / RELAY.name))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_it_is_exposed_to_little(installed: Path) -> None:
    words = ("security", "--offline=true", f"--threshold={LARGEST_EXPOSURE}")
    done = analyze(installed, *words, str(installed / RELAY.name))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_the_key_is_where_its_user_cannot_read_it() -> None:
    found = settings(RELAY)
    assert found["DynamicUser"] == ["yes"]
    assert found["EnvironmentFile"] == [
        "/etc/strongroom/relay.env",
        "/etc/strongroom/relay/psk.env",
    ]
    assert "RELAY_PSK_HEX" not in environment("relay.env")
    assert found["CapabilityBoundingSet"] == [""]


def test_there_is_time_to_answer_what_is_under_way() -> None:
    [seconds] = settings(RELAY)["TimeoutStopSec"]
    assert int(seconds) > RelayLimits().drain_s
    assert settings(RELAY)["RestartPreventExitStatus"] == ["2"]


@pytest.mark.parametrize("name", ["STRONGROOM_RELAY_LISTEN", "STRONGROOM_RELAY_OPTIONS"])
def test_every_setting_is_used(name: str) -> None:
    assert name in settings(RELAY)["ExecStart"][0]
    assert set(environment("relay.env")) == {
        *("STRONGROOM_RELAY_LISTEN", "STRONGROOM_RELAY_UPSTREAM"),
        *("STRONGROOM_RELAY_CONNECTIONS", "STRONGROOM_RELAY_OPTIONS"),
    }
