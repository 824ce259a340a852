"""The runner starts one boot, says why when it cannot, and leaves nothing behind, ever."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from strongroom_host.enclave_client.bootstrap import BootstrapClient, Phase
from strongroom_host.runners.errors import (
    EnclaveDidNotStart,
    EnclaveEnded,
    EnclaveHalted,
    RunDirectoryInUse,
    RunDirectoryRefused,
)
from strongroom_host.runners.local import LocalRunner

from tests.e2e.commands import environment
from tests.host.runners.enclaves import configure
from tests.host.runners.processes import children, gone, kill, until

KEEPER = """
import sys, time
from pathlib import Path
from strongroom_host.runners.local import LocalRunner
runner = LocalRunner(Path(sys.argv[1]) / "run", Path(sys.argv[1]) / "state")
runner.spawn()
print(runner.pid, flush=True)
if sys.argv[2] == "ready":
    runner.wait_ready()
    print("ready", flush=True)
time.sleep(600)
"""


def runner(folder: Path) -> LocalRunner:
    return LocalRunner(folder / "run", folder / "state")


def keeps_serving(boot: LocalRunner) -> bool:
    boot.check()
    return False


def test_a_boot_answers_halts_when_a_role_dies_and_leaves_nothing(short: Path) -> None:
    with runner(short) as boot:
        assert boot.pid is not None
        family = children(boot.pid)
        assert any("worker front" in line for line in family.values())
        # Ctrl-C at the terminal reaches the runner alone.
        assert {os.getpgid(member) for member in family} == {boot.pid}
        with BootstrapClient(boot.address.bootstrap) as client:
            assert client.status() is Phase.BOOTED
        with pytest.raises(RunDirectoryInUse):
            runner(short).start()
        configure(boot)
        boot.check()
        family = children(boot.pid) | {boot.pid: "supervisor"}
        signer = next(pid for pid, line in family.items() if "worker signer" in line)
        kill(signer, signal.SIGKILL)
        with pytest.raises(EnclaveHalted) as halted:
            until(lambda: keeps_serving(boot), "the enclave never halted")
        assert "halted:" in str(halted.value.actual)
        assert "new permit" in halted.value.remedy
    assert gone(family)
    assert not boot.alive()
    with runner(short) as again:
        again.check()


def test_an_enclave_that_ends_is_reported_with_how(short: Path) -> None:
    with runner(short) as boot:
        assert boot.pid is not None
        kill(boot.pid, signal.SIGKILL)
        until(lambda: not boot.alive(), "the enclave survived")
        with pytest.raises(EnclaveEnded, match="SIGKILL") as ended:
            boot.check()
        assert "memory" in ended.value.remedy
    boot.stop()


@pytest.mark.parametrize("when", ["ready", "at once"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_runner_that_is_ended_takes_the_enclave_along(
    short: Path, when: str, number: signal.Signals
) -> None:
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(short), when],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert keeper.stdout is not None
    enclave = int(keeper.stdout.readline())
    if when == "ready":
        assert keeper.stdout.readline() == "ready\n"
    family = children(enclave) | {enclave: "supervisor"}
    keeper.send_signal(number)
    keeper.wait()
    keeper.stdout.close()
    until(lambda: gone(family) and not children(enclave), "processes outlived a killed runner")
    with runner(short) as boot:
        boot.check()


def test_state_that_others_may_read_stops_the_boot_with_the_reason(short: Path) -> None:
    runner(short).start().stop()
    (short / "state" / "sealer.key").chmod(0o644)
    with pytest.raises(EnclaveDidNotStart) as failed:
        runner(short).start()
    assert "sealer.key" in str(failed.value.actual)
    assert "local platform found" in failed.value.remedy
    (short / "state" / "sealer.key").chmod(0o600)
    runner(short).start().stop()


def test_a_missing_package_is_named(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (short / "sitecustomize.py").write_text("import sys; sys.modules['cbor2'] = None")
    monkeypatch.setattr(sys, "path", [str(short), *sys.path])
    with pytest.raises(EnclaveDidNotStart) as failed:
        runner(short).start()
    assert "cbor2" in str(failed.value.actual)
    assert "make env" in failed.value.remedy
    assert "Traceback" not in str(failed.value.actual)


def test_one_that_stays_silent_is_ended(short: Path) -> None:
    boot = LocalRunner(short / "run", short / "state", timeout=0.0)
    with pytest.raises(EnclaveDidNotStart, match="did not answer within 0 s"):
        boot.start()
    assert boot.pid is None
    runner(short).start().stop()


def test_an_unusable_state_directory_is_refused(short: Path) -> None:
    (short / "state").touch()
    with pytest.raises(RunDirectoryRefused, match="state directory"):
        runner(short).start()
    (short / "state").unlink()
    runner(short).start().stop()


def test_the_enclave_itself_holds_the_run_directory(short: Path) -> None:
    with runner(short) as boot:
        boot.claim().release()
        with pytest.raises(RunDirectoryInUse) as refused:
            runner(short).start()
        assert refused.value.actual == "its lock is held"


def test_the_console_is_private(short: Path) -> None:
    with runner(short) as boot:
        assert boot.console.stat().st_mode & 0o077 == 0
