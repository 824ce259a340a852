"""The units: systemd takes them, they start what exists, and they give no right too many."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
from strongroom_host.cli.app import app
from strongroom_host.cli.daemon import STORE_SOCKET
from strongroom_host.errors import BadInput, EnvironmentFault
from strongroom_host.log.keeper import KeeperStopped
from strongroom_host.runners import nitro
from typer.main import get_command

DEPLOY = Path(__file__).resolve().parents[3] / "host" / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
ENCLAVE = DEPLOY / "systemd" / "strongroom-enclave.service"
RECORD = DEPLOY / "systemd" / "strongroom-record.service"
KEEPER = DEPLOY / "systemd" / "strongroom-log.service"
LARGEST_EXPOSURE = 25
"""Of 100, in systemd's own reckoning; a unit without any hardening has 96."""


def settings(path: Path) -> dict[str, list[str]]:
    """Every setting of a unit, in order of appearance."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def environment(file: str = "enclave.env") -> dict[str, str]:
    """The settings that a unit reads, as they are shipped."""
    lines = (DEPLOY / file).read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units in a folder, with programs that exist on this machine."""
    for unit in UNITS:
        text = re.sub(r"^(ExecStart=)\S+", r"\1/bin/true", unit.read_text(), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text)
    allocator = "[Unit]\nDescription=AWS's\n[Service]\nType=oneshot\nExecStart=/bin/true\n"
    (tmp_path / "nitro-enclaves-allocator.service").write_text(allocator)
    return tmp_path


def analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze on this machine; the units were read by our own tests only")
    return subprocess.run(
        [program, *words],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_COLORS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("unit", [unit.name for unit in UNITS])
def test_systemd_understands_every_word(installed: Path, unit: str) -> None:
    # An instance of its own: a template alone is not verified.
    path = installed / unit.replace("@.", "@strongroom-enclave.")
    if "@" in unit:
        path.write_text((installed / unit).read_text())
    done = analyze(installed, "verify", "--man=no", str(path))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_word_that_systemd_does_not_know_would_show(installed: Path) -> None:
    path = installed / ENCLAVE.name
    path.write_text(path.read_text().replace("KillMode=mixed", "KillMode=gentle"))
    done = analyze(installed, "verify", "--man=no", str(path))
    assert "gentle" in done.stdout + done.stderr


@pytest.mark.parametrize("unit", [ENCLAVE, KEEPER], ids=lambda unit: unit.name)
def test_the_service_is_exposed_to_little(installed: Path, unit: Path) -> None:
    words = ("security", "--offline=true", f"--threshold={LARGEST_EXPOSURE}")
    done = analyze(installed, *words, str(installed / unit.name))
    if "unrecognized option" in done.stderr:
        pytest.skip(f"this systemd cannot look at a unit offline: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_the_command_is_one_that_exists_with_values_that_it_takes() -> None:
    [line] = settings(ENCLAVE)["ExecStart"]
    values = environment()
    program, *words = shlex.split(re.sub(r"\$\{?(\w+)\}?", lambda name: values[name[1]], line))
    assert program == "/opt/strongroom/bin/strongroom"
    command = get_command(app)
    context = typer.Context(command)
    while found := getattr(command, "get_command", None):
        command = found(context, words.pop(0))
    given = command.make_context("boot", words).params
    assert given["platform"] == "nitro"
    assert str(given["image"]) == values["STRONGROOM_IMAGE"]
    assert given["run"] == Path("/run/strongroom")
    assert given["memory"] == int(values["STRONGROOM_MEMORY"])
    assert given["debug_console"] is False
    assert (given["record"], given["manifest"]) == (None, None)


def test_the_daemon_leads_a_record_where_its_settings_say() -> None:
    """What the settings propose in a comment, with the record's own socket behind it."""
    [line] = settings(ENCLAVE)["ExecStart"]
    text = (DEPLOY / "enclave.env").read_text()
    [words] = re.findall(r"^# (--manifest .*)$", text, flags=re.MULTILINE)
    values = environment() | {"STRONGROOM_REACHES": words}
    called = re.sub(r"\$\{?(\w+)\}?", lambda name: values[name[1]], line)
    context = typer.Context(command := get_command(app))
    enclave = command.get_command(context, "enclave")  # type: ignore[attr-defined]
    given = (
        enclave.get_command(context, "boot").make_context("boot", shlex.split(called)[3:]).params
    )
    [store] = settings(RECORD)["ExecStart"]
    assert f"--listen unix:{given['record']}/{STORE_SOCKET}" in store
    assert f"/run/{settings(RECORD)['RuntimeDirectory'][0]}" == str(given["record"])
    assert settings(RECORD)["Group"] == settings(ENCLAVE)["User"], "so that it may connect"


def test_the_keeper_is_one_that_exists_with_values_that_it_takes() -> None:
    [line] = settings(KEEPER)["ExecStart"]
    values = environment("log.env")
    program, *words = shlex.split(re.sub(r"\$\{?(\w+)\}?", lambda name: values[name[1]], line))
    assert program == "/opt/strongroom/bin/strongroom"
    assert words[:2] == ["log", "keep"]
    group = get_command(app)
    context = typer.Context(group)
    log = group.get_command(context, "log")  # type: ignore[attr-defined]
    given = log.get_command(context, "keep").make_context("keep", words[2:]).params
    assert str(given["log"]) == values["STRONGROOM_LOG"]
    assert str(given["client"]) == values["STRONGROOM_CLIENT"]
    assert given["listen_http"] == values["STRONGROOM_LOG_LISTEN"]
    assert not given["witness"]


def test_the_keeper_comes_back_unless_somebody_has_to_look() -> None:
    found = settings(KEEPER)
    assert found["Restart"] == ["on-failure"]
    statuses = {BadInput.exit_status, KeeperStopped.exit_status}
    assert {int(word) for word in found["RestartPreventExitStatus"][0].split()} == statuses
    assert EnvironmentFault.exit_status not in statuses
    [alert] = found["OnFailure"]
    assert (DEPLOY / "systemd" / f"{alert.partition('@')[0]}@.service").exists()
    [user] = found["User"]
    accounts = (DEPLOY / "systemd" / "strongroom.sysusers.conf").read_text()
    assert re.search(rf"^u {user} ", accounts, re.MULTILINE)
    state = f"/var/lib/{found['StateDirectory'][0]}/"
    values = environment("log.env")
    for name in ("STRONGROOM_LOG", "STRONGROOM_CLIENT"):
        assert values[name].startswith(state), "the rest of the file system is read-only"


def test_it_is_never_restarted_and_somebody_is_told() -> None:
    found = settings(ENCLAVE)
    assert found["Restart"] == ["no"]
    [alert] = found["OnFailure"]
    assert (DEPLOY / "systemd" / f"{alert.partition('@')[0]}@.service").exists()


def test_its_user_has_the_enclaves_device_and_no_other_right() -> None:
    found = settings(ENCLAVE)
    [user] = found["User"]
    accounts = (DEPLOY / "systemd" / "strongroom.sysusers.conf").read_text()
    assert re.search(rf"^u {user} ", accounts, re.MULTILINE)
    assert re.search(rf"^m {user} ne$", accounts, re.MULTILINE)
    assert found["SupplementaryGroups"] == ["ne"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["NoNewPrivileges"] == ["yes"]
    assert found["DevicePolicy"] == ["closed"]
    assert "/dev/nitro_enclaves rw" in found["DeviceAllow"]
    assert "PrivateDevices" not in found, "it would hide the enclave's device"
    assert "AF_VSOCK" in found["RestrictAddressFamilies"][0].split()
    assert found["ReadWritePaths"] == ["/run/nitro_enclaves /var/log/nitro_enclaves"]
    assert "169.254.169.254/32" in found["IPAddressDeny"][0].split()


def test_a_stop_waits_for_a_start_that_is_under_way() -> None:
    found = settings(ENCLAVE)
    assert found["KillMode"] == ["mixed"], "the daemon ends the machine before anything is killed"
    assert int(found["TimeoutStopSec"][0]) > nitro.LONGEST_START


def test_the_allocator_comes_first_and_sets_enough_apart() -> None:
    found = settings(ENCLAVE)
    assert found["Requires"] == ["nitro-enclaves-allocator.service"]
    assert "nitro-enclaves-allocator.service" in found["After"][0].split()
    yaml = (DEPLOY / "aws" / "allocator.yaml").read_text()
    assert yaml.startswith("---\n"), "the allocator skips everything before it"
    apart = {name: int(value) for name, value in re.findall(r"^(\w+): (\d+)$", yaml, re.MULTILINE)}
    assert set(apart) == {"memory_mib", "cpu_count"}
    assert apart["memory_mib"] >= int(environment()["STRONGROOM_MEMORY"])
    assert apart["cpu_count"] >= int(environment()["STRONGROOM_CPUS"])
