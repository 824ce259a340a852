"""The gateway's units: they start what exists, as a user who reaches only what was disclosed."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from strongroom_host.cli.app import app
from strongroom_host.cli.log_meant import LogRole
from strongroom_host.gateway.errors import PrivilegesTooWide
from strongroom_host.log.errors import LogAbsent
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

GATEWAY = DEPLOY / "systemd" / "strongroom-gateway.service"
COPY = DEPLOY / "systemd" / "strongroom-gateway-log.service"
TIMER = DEPLOY / "systemd" / "strongroom-gateway-log.timer"
HOME = "/var/lib/strongroom-gateway"


def given(unit: Path, *path: str, **changes: str) -> dict[str, object]:
    """What the unit's command is given, by the settings as they are shipped."""
    [line] = settings(unit)["ExecStart"]
    values = environment("gateway.env") | changes
    words = shlex.split(re.sub(r"\$\{?(\w+)\}?", lambda name: values[name[1]], line))
    assert words[:3] == ["/opt/strongroom/bin/strongroom", *path]
    group = get_command(app)
    inner = group.get_command(typer.Context(group), path[0])  # type: ignore[attr-defined]
    command = inner.get_command(typer.Context(inner), path[1])
    return dict(command.make_context(path[1], words[3:]).params)


def test_the_gateway_is_one_that_exists_with_values_that_it_takes() -> None:
    found = given(GATEWAY, "gateway", "run")
    assert found["listen_http"] == "127.0.0.1:7800", "in the clear, so on this machine only"
    assert (found["folder"], found["db"]) == (Path(HOME, "keys"), Path(HOME, "db"))
    assert not found["proxy"]
    assert found["tls_cert"] is None


def test_the_ways_to_end_tls_that_the_settings_propose_are_options() -> None:
    text = (DEPLOY / "gateway.env").read_text()
    proxied, own = re.findall(r"^#   (--.*)$", text, flags=re.MULTILINE)
    assert given(GATEWAY, "gateway", "run", STRONGROOM_GATEWAY_TLS=proxied)["proxy"]
    found = given(GATEWAY, "gateway", "run", STRONGROOM_GATEWAY_TLS=own)
    assert found["tls_cert"]
    assert str(found["tls_key"]).startswith(HOME)


def test_its_copy_of_the_log_is_where_it_looks_and_comes_from_where_it_is_shown() -> None:
    found = given(COPY, "log", "mirror")
    assert found["role"] is LogRole.RECORD
    assert found["log"] == given(GATEWAY, "gateway", "run")["log"]
    assert found["source"] == f"http://{environment('record.env')['STRONGROOM_RECORD_LOG']}"
    [line] = settings(RECORD)["ExecStart"]
    assert "--listen-http ${STRONGROOM_RECORD_LOG}" in line
    assert "OnUnitInactiveSec" in settings(TIMER)
    assert TIMER.stem == COPY.stem, "the timer calls the service of its name"


@pytest.mark.parametrize("unit", [GATEWAY, COPY], ids=lambda unit: unit.name)
def test_they_are_exposed_to_little(installed: Path, unit: Path) -> None:
    words = ("security", "--offline=true", f"--threshold={LARGEST_EXPOSURE}")
    done = analyze(installed, *words, str(installed / unit.name))
    if "unrecognized option" in done.stderr:
        pytest.skip(f"this systemd cannot look at a unit offline: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_systemd_understands_the_timer(installed: Path) -> None:
    (installed / TIMER.name).write_text(TIMER.read_text())
    done = analyze(installed, "verify", "--man=no", str(installed / TIMER.name))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_their_user_is_their_own_and_in_no_group_that_reaches_more() -> None:
    for unit in (GATEWAY, COPY):
        found = settings(unit)
        assert found["User"] == ["strongroom-gateway"]
        assert not {"Group", "SupplementaryGroups"} & found.keys(), "the store's socket has one"
        assert found["StateDirectoryMode"] == ["0700"]
    accounts = (DEPLOY / "systemd" / "strongroom-gateway.sysusers.conf").read_text()
    assert "u strongroom-gateway " in accounts
    assert "\nm " not in accounts
    [mode] = settings(RECORD)["StateDirectoryMode"]
    assert mode == "0711", "it passes through to the database's socket, and lists nothing"
    assert settings(RECORD)["UMask"] == ["0077"]


def test_what_will_not_mend_itself_is_not_tried_again() -> None:
    [statuses] = settings(GATEWAY)["RestartPreventExitStatus"]
    for lasting in (PrivilegesTooWide, LogAbsent):
        assert str(lasting.exit_status) in statuses.split()
    assert str(DatabaseUnavailable.exit_status) not in statuses.split()
