"""`strongroom enclave boot`: one daemon on every platform, and what it says before it starts."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom_eif import measure, parse
from strongroom_host.cli import emulators
from strongroom_host.runners.boot_image import read_boot_image
from strongroom_host.runners.emulator import NoEmulator

from tests.e2e.commands import STRONGROOM, environment, one_message, run
from tests.eif.samples import baseline
from tests.host.runners.processes import children, gone

FAKE = Path(__file__).parents[1] / "runners" / "fake_machine.py"


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        yield Path(name)


@pytest.fixture
def image(short: Path) -> Path:
    path = short / "image.eif"
    path.write_bytes(baseline().data())
    return path


def qemu(folder: Path, behaviour: str) -> str:
    """A program that has the machine and its firmware, and then behaves so."""
    for name in ("qboot.rom", "linuxboot_dma.bin"):
        (folder / name).touch()
    path = folder / "qemu"
    path.write_text(
        "#!/bin/sh\n"
        'case "$1 $2" in\n'
        "'-M help') echo 'nitro-enclave        AWS Nitro Enclave';;\n"
        f"'-L help') echo '{folder}';;\n"
        f"*) exec '{sys.executable}' -P '{FAKE}' {behaviour} \"$@\";;\n"
        "esac\n"
    )
    path.chmod(0o755)
    return str(path)


def boot(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    where = ("--run", str(folder / "run"), "--listen", "127.0.0.1:0")
    return run("enclave", "boot", *where, *words)


def test_the_local_platform_is_the_same_daemon(short: Path) -> None:
    words = ["enclave", "boot", "--platform", "local", "--run", str(short / "run")]
    words += ["--state", str(short / "state"), "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(
        [*STRONGROOM, *words], env=environment(), stdout=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stdout is not None
        ready = json.loads(daemon.stdout.readline())
        family = children(daemon.pid)
        daemon.send_signal(signal.SIGTERM)
        stopped = json.loads(daemon.stdout.readline())
        assert daemon.wait(60) == 0
    assert (ready["ready"], ready["platform"]) == (True, "local")
    assert ready["root"] == str(short / "run" / "nsm-root.der")
    assert ready["state"] == str(short / "state")
    assert stopped["stopped"] is True
    assert gone(family)


@pytest.mark.parametrize(
    ("behaviour", "what", "remedy"),
    [
        ("panics", "its kernel panicked", "rdinit=/init"),
        ("refuses", "QEMU: exit status 1", "strongroom eif verify"),
        ("halts", "it switched its machine off", "new permit"),
    ],
)
def test_a_machine_that_fails_is_one_message(
    short: Path, image: Path, behaviour: str, what: str, remedy: str
) -> None:
    said = one_message(boot(short, str(image), "--qemu", qemu(short, behaviour)), 5)
    assert f"the enclave ended before it was ready ({what})" in said
    assert remedy in said


def test_one_that_stays_silent_is_given_up(short: Path, image: Path) -> None:
    done = boot(short, str(image), "--timeout", "1", "--qemu", qemu(short, "is_silent"))
    assert "the enclave sent no heartbeat within 1 s" in one_message(done, 5)


def test_a_broken_image_is_refused_with_the_rule_before_anything_starts(
    short: Path, image: Path
) -> None:
    image.write_bytes(image.read_bytes() + b"\0")
    said = one_message(boot(short, str(image), "--qemu", qemu(short, "runs")), 2)
    assert "(trailing-bytes)" in said
    assert "strongroom eif describe" in said
    assert not (short / "run").exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--platform", "qemu"], "say which image to boot"),
        (["--platform", "nitro"], "say which image to boot"),
        (["IMAGE", "--platform", "local"], "boots no image"),
        (["IMAGE", "--busy-poll"], "--busy-poll means nothing on the platform qemu"),
        (["IMAGE", "--state", "/x"], "--state means nothing on the platform qemu"),
        (["IMAGE", "--cpus", "2"], "--cpus means nothing on the platform qemu"),
        (["IMAGE", "--platform", "nitro", "--kvm"], "--kvm means nothing on the platform nitro"),
        (["--platform", "local", "--memory", "512"], "--memory means nothing on the platform loc"),
        (["IMAGE", "--memory", "64", "--qemu", "QEMU"], "64 MiB of memory are too few"),
        (["nowhere.eif"], "cannot read nowhere.eif"),
        (["IMAGE", "--map", "clob.testnet"], "leads nowhere"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_starts(
    short: Path, image: Path, words: list[str], what: str
) -> None:
    if "--memory" in words and "IMAGE" in words:
        big = baseline().adding((3, b"\xfd7zXZ\0" + bytes(80 << 20)))
        image.write_bytes(big.data())
    known = {"IMAGE": str(image), "QEMU": qemu(short, "runs")}
    assert what in one_message(boot(short, *(known.get(word, word) for word in words)), 2)
    assert not (short / "run").exists()


def test_no_qemu_and_no_way_to_build_one_says_what_to_do(
    short: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulators, "CHECKOUT", short)
    monkeypatch.setattr(emulators, "installed", lambda: None)
    monkeypatch.delenv("STRONGROOM_QEMU", raising=False)
    with pytest.raises(NoEmulator) as refused:
        emulators.find_or_build(None)
    assert "--qemu" in refused.value.remedy
    assert "no checkout" in str(refused.value.actual)


def test_a_qemu_that_will_not_do_is_not_replaced_by_another(short: Path, image: Path) -> None:
    done = boot(short, str(image), "--qemu", "/bin/true")
    assert "/bin/true has no machine nitro-enclave" in one_message(done, 5)


def test_host_qemu_says_which_it_is(short: Path) -> None:
    program = qemu(short, "runs")
    done = run("host", "qemu", "--json", STRONGROOM_QEMU=program)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {"command": [program], "firmware": [], "origin": "STRONGROOM_QEMU"}
    assert program in run("host", "qemu", "--qemu", program).stdout


def test_the_doctor_names_the_emulator(short: Path) -> None:
    where = ("--run", str(short / "run"), "--state", str(short / "state"))

    def line(variable: str, value: str) -> dict[str, str]:
        words = ("host", "doctor", *where, "--listen", "127.0.0.1:0", "--json")
        done = run(*words, cwd=None, **{variable: value})
        checks: list[dict[str, str]] = json.loads(done.stdout)["checks"]
        return next(check for check in checks if check["name"] == "emulator")

    assert line("STRONGROOM_QEMU", "/bin/true")["level"] == "fail"
    found = line("STRONGROOM_QEMU", qemu(short, "runs"))
    assert (found["level"], found["detail"]) == ("ok", f"{short}/qemu (STRONGROOM_QEMU)")
    none = line("PATH", "/nowhere")
    assert none["level"] == "warn"
    assert "host qemu" in none["remedy"]


def test_the_pcrs_to_compare_are_those_of_the_image(image: Path) -> None:
    found = read_boot_image(image)
    assert found.pcrs == measure(parse(image.read_bytes())).pcrs
    assert found.name == "sample 1.2.3"
