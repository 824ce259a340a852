"""The store's unit: it starts what exists, for the one daemon that may reach it."""

import re
import shlex
from pathlib import Path

import typer
from strongroom_host.cli.app import app
from strongroom_host.log.errors import LogDamaged
from strongroom_host.record_serving.service import PortTaken
from strongroom_host.record_store.errors import DatabaseUnavailable
from typer.main import get_command

from tests.host.deploy.test_units import (
    DEPLOY,
    LARGEST_EXPOSURE,
    RECORD,
    analyze,
    environment,
    installed,
    settings,
)

__all__ = ["installed"]


def test_the_command_is_one_that_exists_with_values_that_it_takes() -> None:
    [line] = settings(RECORD)["ExecStart"]
    values = environment("record.env")
    words = shlex.split(re.sub(r"\$\{?(\w+)\}?", lambda name: values[name[1]], line))
    assert words[:3] == ["/opt/strongroom/bin/strongroom", "record", "serve"]
    group = get_command(app)
    context = typer.Context(group)
    record = group.get_command(context, "record")  # type: ignore[attr-defined]
    given = record.get_command(context, "serve").make_context("serve", words[3:]).params
    folder = f"/var/lib/{settings(RECORD)['StateDirectory'][0]}"
    assert given["record"] == Path(folder)
    assert given["db"] == Path(folder, "db")
    assert given["listen_metrics"] == values["STRONGROOM_RECORD_METRICS"]
    assert not given["witness"]


def test_it_is_exposed_to_little(installed: Path) -> None:
    words = ("security", "--offline=true", f"--threshold={LARGEST_EXPOSURE}")
    done = analyze(installed, *words, str(installed / RECORD.name))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_its_user_is_its_own() -> None:
    [user] = settings(RECORD)["User"]
    accounts = (DEPLOY / "systemd" / "strongroom-record.sysusers.conf").read_text()
    assert f"u {user} " in accounts


def test_what_will_not_mend_itself_is_not_tried_again() -> None:
    [statuses] = settings(RECORD)["RestartPreventExitStatus"]
    assert str(LogDamaged.exit_status) in statuses.split()
    for passing in (DatabaseUnavailable, PortTaken):
        assert str(passing.exit_status) not in statuses.split()
