"""The QEMU runner: what it starts, how it tells why a boot failed, and that nothing is left."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from strongroom_host.enclave_client.bootstrap import BootstrapClient, Phase
from strongroom_host.errors import BadInput, HostError
from strongroom_host.runners.emulator import Emulator
from strongroom_host.runners.errors import (
    EnclaveDidNotStart,
    EnclaveEnded,
    EnclaveHalted,
    RunDirectoryInUse,
)
from strongroom_host.runners.qemu import (
    Accelerator,
    AcceleratorUnusable,
    QemuRunner,
    qemu_platform,
)
from strongroom_host.runners.run_directory import RunDirectory

from tests.e2e.commands import environment
from tests.host.runners.machines import BACKEND, boot_image, emulator, runner
from tests.host.runners.processes import children, gone, kill, until

KEEPER = """
import sys, time
from pathlib import Path
from tests.host.runners.machines import runner
boot = runner(Path(sys.argv[1]), sys.argv[2], "answers")
boot.spawn()
print(boot.pid, flush=True)
if sys.argv[2] == "runs":
    boot.wait_ready()
print("ready", flush=True)
time.sleep(600)
"""


def ends(boot: QemuRunner) -> bool:
    boot.check()
    return False


def failure(
    folder: Path,
    machine: str,
    backend: str = "answers",
    timeout: float = 30.0,
    *,
    after_heartbeat: bool = False,
) -> HostError:
    """The error of a boot that fails, after seeing that nothing is left of it. Its time begins when
    it is started, or with its heartbeat, however long that took here."""
    boot = runner(folder, machine, backend, timeout=timeout)
    launch = boot.launch

    def launched(directory: RunDirectory) -> None:
        launch(directory)
        if after_heartbeat:
            until(lambda: boot.outcome() is None and boot.may_answer(), "no heartbeat")

    boot.launch = launched  # type: ignore[method-assign]
    with pytest.raises(EnclaveDidNotStart) as failed:
        boot.start()
    assert boot.pid is None
    RunDirectory.claim(folder / "run").release()
    return failed.value


def test_a_boot_answers_and_leaves_nothing(short: Path) -> None:
    with runner(short, "runs") as boot:
        assert boot.pid is not None
        family = children(boot.pid)
        assert len(family) == 2
        # Ctrl-C at the terminal reaches the runner alone.
        assert {os.getpgid(member) for member in family} == {boot.pid}
        with BootstrapClient(boot.address.bootstrap) as client:
            assert client.status() is Phase.BOOTED
        boot.check()
        assert boot.alive()
        assert boot.root_certificate is None
        with pytest.raises(RunDirectoryInUse):
            runner(short, "runs").start()
        until(lambda: "Run /init" in boot.console.read_text(), "nothing on the console")
        assert stat.S_IMODE(boot.console.stat().st_mode) == 0o600
    assert gone(family)
    assert not boot.alive()
    with runner(short, "runs") as again:
        again.check()


def test_several_run_beside_each_other(short: Path) -> None:
    with (
        runner(short, "runs", run="one") as one,
        runner(short, "runs", run="two") as two,
    ):
        one.stop()
        two.check()


def test_what_qemu_is_told(short: Path) -> None:
    boot = runner(short, "runs", memory_mib=640, accelerator=Accelerator.KVM)
    words = list(boot._machine(boot.claim()))
    boot.stop()
    after = {word: words[place + 1] for place, word in enumerate(words[:-1]) if word[0] == "-"}
    assert after["-M"].startswith("nitro-enclave,vsock=vsock,id=i-")
    assert after["-m"] == "640M"
    assert after["-accel"] == "kvm"
    assert after["-kernel"] == str(short / "image.eif")
    assert after["-chardev"] == f"socket,id=vsock,path={short}/run/vhost.sock"
    assert {"-nodefaults", "-no-reboot", "-nographic"} <= set(words)
    assert not {"-net", "-nic", "-netdev"} & set(words)


def test_a_comma_in_a_path_is_no_end_of_an_option(short: Path) -> None:
    words = runner(short, "runs")._machine(RunDirectory(short / "a,b", -1))
    assert f"socket,id=vsock,path={short}/a,,b/vhost.sock" in words


def test_two_boots_have_two_ids(short: Path) -> None:
    boot = runner(short, "runs")
    directory = boot.claim()
    assert boot._machine(directory) != boot._machine(directory)
    boot.stop()


@pytest.mark.parametrize(
    ("machine", "what", "console", "remedy"),
    [
        ("refuses", "QEMU: exit status 1", "Magic mismatch", "strongroom eif verify"),
        ("panics", "its kernel panicked", "No working init", "rdinit=/init"),
        ("panics_and_hangs", "its kernel panicked", "Attempted to kill init", "first program"),
        ("runs_out_of_memory", "its kernel panicked", "Out of memory", "--memory"),
        ("halts", "switched its machine off", "halted: PlatformError", "new permit"),
        ("is_killed", "QEMU: killed by signal SIGKILL", "its console is empty", "dmesg"),
    ],
)
def test_a_machine_that_fails_is_explained(
    short: Path, machine: str, what: str, console: str, remedy: str
) -> None:
    failed = failure(short, machine)
    assert what in failed.what
    assert console in str(failed.actual)
    assert remedy in failed.remedy


@pytest.mark.parametrize(
    ("machine", "backend", "what"),
    [
        ("is_silent", "answers", "the enclave sent no heartbeat within 2 s"),
        ("runs", "stays_mute", "the enclave sent no heartbeat within 2 s"),
        ("runs", "gives_no_answer", "sent its heartbeat but did not answer within 2 s"),
    ],
)
def test_silence_says_how_far_it_came(short: Path, machine: str, backend: str, what: str) -> None:
    late = backend == "gives_no_answer"
    failed = failure(short, machine, backend, timeout=2.0, after_heartbeat=late)
    assert what in failed.what
    assert "--timeout" in failed.remedy


@pytest.mark.parametrize(("backend", "status"), [("ends", 3), ("ends_at_once", 4)])
def test_a_backend_that_ends_is_named(short: Path, backend: str, status: int) -> None:
    failed = failure(short, "runs", backend)
    assert f"its vsock backend: exit status {status}" in failed.what


def test_programs_that_are_not_there_are_named(short: Path) -> None:
    boot = QemuRunner(
        boot_image(short),
        short / "run",
        Emulator(("/nowhere/qemu",), (), "fake"),
        backend=(*BACKEND, "answers"),
        timeout=30.0,
    )
    with pytest.raises(EnclaveDidNotStart, match="/nowhere/qemu: No such file"):
        boot.start()
    lost = QemuRunner(
        boot_image(short), short / "run", emulator("runs"), backend=("/nowhere/python",)
    )
    with pytest.raises(EnclaveDidNotStart, match="/nowhere/python: No such file"):
        lost.start()


def test_one_that_halts_later_is_reported(short: Path) -> None:
    with runner(short, "runs") as boot:
        boot.check()
        (short / "phase").write_text("4")
        with pytest.raises(EnclaveHalted):
            until(lambda: ends(boot), "never halted")


@pytest.mark.parametrize(
    ("victim", "what"),
    [("fake_machine", "QEMU: killed by signal SIGKILL"), ("fake_backend", "vsock backend: killed")],
)
def test_one_that_is_killed_later_is_reported_and_takes_the_rest_along(
    short: Path, victim: str, what: str
) -> None:
    with runner(short, "runs") as boot:
        assert boot.pid is not None
        family = children(boot.pid)
        kill(next(pid for pid, line in family.items() if victim in line), signal.SIGKILL)
        with pytest.raises(EnclaveEnded, match=what):
            until(lambda: ends(boot), "nobody noticed")
        until(lambda: gone(family), "the other one outlived it")


def test_a_killed_supervisor_takes_both_along(short: Path) -> None:
    with runner(short, "runs") as boot:
        assert boot.pid is not None
        family = children(boot.pid)
        kill(boot.pid, signal.SIGKILL)
        until(lambda: gone(family), "they outlived their supervisor")
        with pytest.raises(EnclaveEnded, match="its supervisor: killed by signal SIGKILL"):
            boot.check()


@pytest.mark.parametrize("machine", ["runs", "is_silent"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_runner_that_is_ended_takes_all_along(
    short: Path, machine: str, number: signal.Signals
) -> None:
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(short), machine],
        cwd=Path(__file__).parents[3],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert keeper.stdout is not None
    supervisor = int(keeper.stdout.readline())
    assert keeper.stdout.readline() == "ready\n"
    family = children(supervisor) | {supervisor: "supervisor"}
    keeper.send_signal(number)
    keeper.wait()
    keeper.stdout.close()
    until(lambda: gone(family) and not children(supervisor), "processes outlived the runner")
    with runner(short, "runs") as boot:
        boot.check()


def test_what_qemu_left_when_it_was_ended_is_removed(short: Path) -> None:
    boot = runner(short, "is_silent")
    boot.spawn()
    until(lambda: "unpacking to" in boot.console.read_text(), "it never began")
    left = Path(boot.console.read_text().split()[-1])
    assert left.exists()
    boot.stop()
    assert not left.exists()
    assert left.parent != Path(tempfile.gettempdir())


def test_one_that_heeds_no_signal_is_ended_all_the_same(short: Path) -> None:
    with runner(short, "heeds_no_signal") as boot:
        assert boot.pid is not None
        family = children(boot.pid)
    assert gone(family)


def test_the_family_holds_the_run_directory(short: Path) -> None:
    with runner(short, "runs") as boot:
        boot.claim().release()
        with pytest.raises(RunDirectoryInUse) as refused:
            runner(short, "runs").start()
        assert refused.value.actual == "its lock is held"


def test_a_console_without_end_costs_a_bounded_amount_of_disk(short: Path) -> None:
    with runner(short, "floods", timeout=120.0) as boot:
        until(lambda: "Run /init" in boot.console.read_text(), "the end never came")
        kept = [boot.console, boot.console.with_name("console.previous.log")]
        assert all(path.stat().st_size <= 4 << 20 for path in kept)


def test_an_image_that_the_machine_cannot_boot_is_refused_before_it_starts(short: Path) -> None:
    def platform(memory_mib: int = 512, **changes: object) -> None:
        image = boot_image(short, **changes)
        qemu_platform(image, short / "run", emulator("runs"), memory_mib=memory_mib)

    platform()
    with pytest.raises(BadInput, match="does not boot") as refused:
        platform(format=(3, "x86_64"))
    assert "version 3" in str(refused.value.actual)
    with pytest.raises(BadInput, match="does not boot"):
        platform(format=(4, "aarch64"))
    with pytest.raises(BadInput, match="too few") as small:
        platform(unpacked=600 << 20)
    assert "--memory" in small.value.remedy
    with pytest.raises(BadInput, match="too few"):
        platform(32)


def test_kvm_is_used_only_where_it_can_be(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom_host.runners.qemu._KVM", short / "kvm")
    image = boot_image(short)
    with pytest.raises(AcceleratorUnusable, match="No such file") as refused:
        qemu_platform(image, short / "run", emulator("runs"), accelerator=Accelerator.KVM)
    assert "--kvm" in refused.value.remedy
    (short / "kvm").touch()
    qemu_platform(image, short / "run", emulator("runs"), accelerator=Accelerator.KVM)


def test_the_operator_is_told_what_is_measured_and_that_nobody_signs_it(short: Path) -> None:
    image = boot_image(short)
    platform = qemu_platform(image, short / "run", emulator("runs"))
    assert platform.facts["PCR0"] == image.pcrs[0].hex()
    assert platform.facts["PCR2"] == image.pcrs[2].hex()
    assert "PCR8" not in platform.facts
    assert any("nobody signs" in note for note in platform.notes)
