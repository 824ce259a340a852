"""The runner on Nitro: what it boots, what it refuses, how it ends; nothing is left behind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.enclave_client.bootstrap import BootstrapClient, Phase
from strongroom_host.errors import BadInput
from strongroom_host.runners.errors import EnclaveDidNotStart, EnclaveEnded, ListenFailed
from strongroom_host.runners.nitro import (
    DebugModeFound,
    EnclaveStillRuns,
    MeasuredOtherwise,
    NitroRunner,
    nitro_platform,
)
from strongroom_host.runners.nitro_cli import (
    NitroCliFailed,
    NitroCliMissing,
    NitroCliUnreadable,
)

from tests.e2e.commands import environment
from tests.eif.samples import baseline
from tests.fakes.nitro_cli import Plan
from tests.host.runners.instances import Instance, instance
from tests.host.runners.processes import children, gone, kill, until

DAEMON = """
import sys, time
from pathlib import Path
from tests.host.runners.instances import Instance
from tests.fakes.nitro_cli import Fake
from strongroom_host.runners.boot_image import read_boot_image
folder = Path(sys.argv[1])
class Kept(Fake):
    def plan(self, plan): pass
runner = Instance(folder, Kept(folder / "aws"), read_boot_image(folder / "image.eif")).runner()
runner.spawn()
print("spawned", flush=True)
if sys.argv[2] == "runs":
    while not runner.may_answer():
        time.sleep(0.01)
    print("runs", flush=True)
time.sleep(600)
"""

SERVE = """
import sys
from pathlib import Path
from tests.host.runners.instances import Instance
from tests.fakes.nitro_cli import Fake, Plan
from strongroom_host.runners.boot_image import read_boot_image
from strongroom_host.runners.operator import HostPlan, serve
from strongroom_host.runners.runner import Platform
folder = Path(sys.argv[1])
fake = Fake(folder / "aws")
fake.plan(Plan(guest="local"))
runner = Instance(folder, fake, read_boot_image(folder / "image.eif")).runner
plan = HostPlan(Platform("nitro", runner), ("127.0.0.1", 0))
print(serve(plan, lambda serving: print(serving.address, flush=True)).forwarded["opened"])
"""


@pytest.fixture
def aws(short: Path) -> Iterator[Instance]:
    with instance(short) as found:
        yield found
    assert strays(short) == []


def strays(folder: Path) -> list[str]:
    """Processes of the test that still run: its folder is on their command line."""
    return [line for line in children(1).values() if str(folder) in line]


def running(aws: Instance, **options: bool) -> NitroRunner:
    """A boot whose machine runs and does not answer."""
    boot = aws.runner(**options)
    boot.spawn()
    until(boot.may_answer, "the machine never ran")
    return boot


def test_the_enclave_answers_through_the_run_directory(aws: Instance) -> None:
    aws.fake.plan(Plan(guest="local"))
    with aws.runner() as boot:
        [machine] = aws.fake.machines()
        assert boot.pid == machine["ProcessID"]
        assert boot.alive()
        assert boot.root_certificate is None
        with BootstrapClient(boot.address.bootstrap) as client:
            assert client.status() is Phase.BOOTED
        boot.check()
        assert machine["Flags"] == "NONE"
        assert str(machine["EnclaveName"]).startswith("strongroom-")
    assert aws.fake.machines() == []
    assert not boot.alive()
    boot.stop()  # harmless


def test_the_daemon_serves_it_as_any_other_platform(aws: Instance) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", SERVE, str(aws.folder)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as daemon:
        assert daemon.stdout is not None
        address = parse_enclave_address(daemon.stdout.readline().strip())
        with BootstrapClient(address.bootstrap) as client:
            assert client.status() is Phase.BOOTED
        daemon.send_signal(signal.SIGTERM)
        opened = daemon.stdout.read()
    assert daemon.returncode == 0
    assert int(opened) >= 1
    assert aws.fake.machines() == []


def test_one_that_switches_itself_off_is_reported_with_what_can_be_known(aws: Instance) -> None:
    boot = running(aws)
    assert boot.pid is not None
    boot.check()
    kill(boot.pid, signal.SIGTERM)
    until(lambda: not boot.alive(), "the end was not noticed")
    with pytest.raises(EnclaveEnded, match="lists it no more") as ended:
        boot.check()
    assert "--debug-console" in ended.value.remedy
    assert "new permit" in ended.value.remedy
    boot.stop()


def test_an_image_that_is_measured_otherwise_is_refused_and_ended(aws: Instance) -> None:
    pcrs = {f"PCR{i}": value.hex() for i, value in aws.image.pcrs.items() if any(value)}
    other = "ab" * 48
    for changed, named in (
        ({**pcrs, "PCR0": other}, "PCR0"),
        ({**pcrs, "PCR1": other, "PCR2": other}, "PCR1, PCR2"),
        ({**pcrs, "PCR8": other}, "PCR8"),
        ({name: value for name, value in pcrs.items() if name != "PCR2"}, "PCR2"),
        ({}, "no measurement"),
    ):
        aws.fake.plan(Plan(measurements=changed))
        with pytest.raises(MeasuredOtherwise, match=named) as refused:
            aws.runner().start()
        assert refused.value.exit_status == 3
        assert aws.fake.machines() == []
    boot = aws.runner()
    boot.spawn()
    with pytest.raises(MeasuredOtherwise):
        until(boot.may_answer, "never refused")
    assert aws.fake.machines() == [], "it runs no longer than it takes to see what it is"
    boot.stop()


def test_a_file_exchanged_between_check_and_boot_is_refused(aws: Instance) -> None:
    aws.image.path.write_bytes(baseline().replacing(1, b"another command line").data())
    with pytest.raises(MeasuredOtherwise, match="PCR0, PCR1"):
        aws.runner().start()
    assert aws.fake.machines() == []


def test_debug_mode_that_nobody_asked_for_is_refused_and_ended(aws: Instance) -> None:
    aws.fake.plan(Plan(debug=True))
    with pytest.raises(DebugModeFound) as refused:
        aws.runner().start()
    assert refused.value.exit_status == 3
    assert aws.fake.machines() == []


def test_debug_mode_that_was_asked_for_has_a_console(aws: Instance) -> None:
    boot = running(aws, debug_console=True)
    [machine] = aws.fake.machines()
    assert machine["Flags"] == "DEBUG_MODE"
    until(lambda: "console of a debug machine" in boot.console.read_text(), "no console")
    boot.stop()
    assert aws.fake.machines() == []
    run, program = aws.folder / "run", aws.program
    plain = nitro_platform(aws.image, run, nitro_cli=program)
    debug = nitro_platform(aws.image, run, nitro_cli=program, debug_console=True)
    assert not any("debug" in note for note in plain.notes)
    assert any("proves no image" in note for note in debug.notes)


def test_a_console_without_end_costs_a_bounded_amount_of_disk(aws: Instance) -> None:
    aws.fake.plan(Plan(console="x" * (6 << 20)))
    boot = running(aws, debug_console=True)
    until(lambda: boot.console.stat().st_size >= 4 << 20, "it never filled up")
    boot.check()
    boot.stop()
    assert boot.console.stat().st_size <= 4 << 20


def test_what_nitro_cli_refuses_is_said_as_it_is(aws: Instance) -> None:
    aws.fake.plan(Plan(memory_mib=8))
    boot = aws.runner()
    with pytest.raises(NitroCliFailed) as failed:
        boot.start()
    assert failed.value.code == "E27"
    assert "E27" in boot.console.read_text()
    assert strays(aws.folder) == []


def test_one_that_cannot_say_anything_leaves_no_doubt_about_what_runs(aws: Instance) -> None:
    # It also fails when asked what runs; since nothing was started, that must not hide why.
    aws.fake.plan(Plan(fail={"run-enclave": "E56", "describe-enclaves": "E56"}))
    with pytest.raises(NitroCliFailed, match="run-enclave"):
        aws.runner().start()


def test_an_unreadable_answer_leaves_no_machine(aws: Instance) -> None:
    aws.fake.plan(Plan(garbage={"run-enclave": "what?"}))
    with pytest.raises(NitroCliUnreadable):
        aws.runner().start()
    assert aws.fake.machines() == []


def test_one_gone_at_once_or_ending_did_not_start(aws: Instance) -> None:
    aws.fake.plan(Plan(state="TERMINATING"))
    with pytest.raises(EnclaveDidNotStart, match="TERMINATING"):
        aws.runner().start()
    aws.fake.plan(Plan(garbage={"describe-enclaves": "[]"}))
    boot = aws.runner()
    boot.spawn()
    with pytest.raises(EnclaveDidNotStart, match="as soon as"):
        until(boot.may_answer, "never refused")
    aws.fake.plan(Plan())
    boot.stop()
    assert aws.fake.machines() == []


def test_no_nitro_cli_starts_nothing(aws: Instance) -> None:
    boot = aws.runner()
    nitro_platform(aws.image, aws.folder / "run", nitro_cli=aws.program)
    aws.fake.program.unlink()
    with pytest.raises(NitroCliMissing):
        boot.start()
    with pytest.raises(NitroCliMissing, match="there is no"):
        nitro_platform(aws.image, aws.folder / "run", nitro_cli=aws.program)


def test_a_second_enclave_finds_the_port_taken(aws: Instance) -> None:
    boot = running(aws)
    other = NitroRunner(
        aws.image, aws.folder / "other", nitro_cli=aws.program, keeper=aws.fake.keeper
    )
    with pytest.raises(ListenFailed, match="5002"):
        other.start()
    assert [m["ProcessID"] for m in aws.fake.machines()] == [boot.pid]
    boot.stop()


def test_a_machine_that_is_not_ended_is_said_so_with_its_id(aws: Instance) -> None:
    boot = running(aws)
    [machine] = aws.fake.machines()
    aws.fake.plan(Plan(fail={"terminate-enclave": "E38"}))
    with pytest.raises(EnclaveStillRuns) as still:
        boot.stop()
    assert str(machine["EnclaveID"]) in still.value.remedy
    aws.fake.plan(Plan())
    until(lambda: aws.fake.machines() == [], "the keeper did not go on trying")
    until(lambda: strays(aws.folder) == [], "the keeper stayed")


def test_the_end_during_the_start_waits_for_the_machine_and_ends_it(aws: Instance) -> None:
    aws.fake.plan(Plan(boot_s=1.0))
    boot = aws.runner()
    boot.spawn()
    waiting = threading.Thread(target=lambda: _quietly(boot))
    waiting.start()
    boot.stop()
    waiting.join(30)
    assert [words[0] for words in aws.fake.calls()].count("terminate-enclave") == 1
    assert aws.fake.machines() == []


def _quietly(boot: NitroRunner) -> None:
    try:
        boot.wait_ready()
    except EnclaveDidNotStart:
        return


def test_a_keeper_that_dies_ends_the_boot(aws: Instance) -> None:
    boot = running(aws)
    [keeper] = [pid for pid, line in children(os.getpid()).items() if "vsock_over_unix" in line]
    kill(keeper, signal.SIGKILL)
    until(lambda: not boot.alive(), "nobody noticed")
    with pytest.raises(EnclaveEnded, match="keeper: killed by signal SIGKILL"):
        boot.check()
    boot.stop()
    assert aws.fake.machines() == []


@pytest.mark.parametrize("moment", ["spawned", "runs"])
def test_a_daemon_that_is_killed_leaves_no_machine(aws: Instance, moment: str) -> None:
    aws.fake.plan(Plan(boot_s=0.5 if moment == "spawned" else 0.0))
    with subprocess.Popen(
        [sys.executable, "-P", "-c", DAEMON, str(aws.folder), moment],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as daemon:
        assert daemon.stdout is not None
        while daemon.stdout.readline().strip() != moment:
            assert daemon.poll() is None
        family = children(daemon.pid)
        daemon.kill()
        daemon.wait()
        until(lambda: gone(family), "the keeper stayed")
    assert aws.fake.machines() == []
    assert [words[0] for words in aws.fake.calls()].count("terminate-enclave") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_mib": 3}, "too few"),
        ({"cpus": 0}, "needs a CPU"),
        ({"cid": 3}, "vsock address"),
        ({"cid": 0}, "vsock address"),
        ({"cid": 4294967295}, "vsock address"),
    ],
)
def test_what_no_instance_can_do_is_refused_beforehand(
    aws: Instance, options: dict[str, int], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        nitro_platform(aws.image, aws.folder / "run", **options)  # type: ignore[arg-type]
    assert aws.fake.calls() == []


def test_an_image_for_another_processor_is_refused_beforehand(
    aws: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = os.uname()
    other = os.uname_result((*name[:4], "aarch64"))
    monkeypatch.setattr(os, "uname", lambda: other)
    with pytest.raises(BadInput, match="processor"):
        nitro_platform(aws.image, aws.folder / "run")
