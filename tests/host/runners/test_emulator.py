"""Which QEMU is used: the named one or none, the system's only if it has the machine."""

from pathlib import Path

import pytest
from strongroom_host.runners.emulator import (
    EmulatorUnusable,
    chosen_emulator,
    installed,
)

FIRMWARE = ("qboot.rom", "linuxboot_dma.bin")


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing named, nothing installed, no firmware on the system."""
    monkeypatch.delenv("STRONGROOM_QEMU", raising=False)
    monkeypatch.setattr(
        "strongroom_host.runners.emulator._FIRMWARE_FOLDERS", (tmp_path / "system",)
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def program(
    folder: Path, *, machine: str = "nitro-enclave", firmware: str = "own", name: str = "qemu"
) -> Path:
    """A QEMU that answers what it is asked, with its firmware in the folder `firmware`."""
    (folder / "own").mkdir(exist_ok=True)
    path = folder / name
    path.write_text(
        "#!/bin/sh\n"
        'case "$1 $2" in\n'
        f"'-M help') echo 'Supported machines are:'; echo '{machine}        A machine';;\n"
        f"'-L help') echo '{folder / firmware}';;\n"
        "*) echo 'QEMU emulator version 7.2.0';;\n"
        "esac\n"
    )
    path.chmod(0o755)
    return path


def supply(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in FIRMWARE:
        (folder / name).touch()


def test_without_a_choice_there_is_none(tmp_path: Path) -> None:
    assert chosen_emulator(None) is None
    assert installed() is None


def test_the_option_goes_before_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supply(tmp_path / "own")
    named, other = program(tmp_path), program(tmp_path, name="other")
    monkeypatch.setenv("STRONGROOM_QEMU", str(other))
    found = chosen_emulator(str(named))
    assert found is not None
    assert (found.command, found.firmware, found.origin) == ((str(named),), (), "--qemu")
    found = chosen_emulator(None)
    assert found is not None
    assert (found.command, found.origin) == ((str(other),), "STRONGROOM_QEMU")


def test_the_systems_firmware_serves_one_that_has_none(tmp_path: Path) -> None:
    named = program(tmp_path)
    with pytest.raises(EmulatorUnusable, match="firmware") as refused:
        chosen_emulator(str(named))
    assert "qemu-system-data" in refused.value.remedy
    assert "no qboot.rom, no linuxboot_dma.bin" in str(refused.value.actual)
    supply(tmp_path / "system")
    found = chosen_emulator(str(named))
    assert found is not None
    assert found.words == [str(named), "-L", str(tmp_path / "system")]


def test_one_without_the_machine_is_refused_with_its_version(tmp_path: Path) -> None:
    supply(tmp_path / "own")
    for machine in ("microvm", "nitro-enclave-2", "a nitro-enclave"):
        with pytest.raises(EmulatorUnusable, match="no machine nitro-enclave") as refused:
            chosen_emulator(str(program(tmp_path, machine=machine)))
        assert refused.value.actual == "QEMU emulator version 7.2.0"
        assert "host qemu" in refused.value.remedy


def test_what_is_no_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmulatorUnusable, match="no program"):
        chosen_emulator(str(tmp_path / "nowhere"))
    (tmp_path / "data").write_text("no program")
    with pytest.raises(EmulatorUnusable, match="no program"):
        chosen_emulator(str(tmp_path / "data"))
    (tmp_path / "data").chmod(0o755)
    with pytest.raises(EmulatorUnusable, match="cannot be run"):
        chosen_emulator(str(tmp_path / "data"))
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'error while loading shared libraries' >&2; exit 127\n")
    broken.chmod(0o755)
    monkeypatch.setenv("STRONGROOM_QEMU", str(broken))
    with pytest.raises(EmulatorUnusable, match="cannot be run") as refused:
        chosen_emulator(None)
    assert refused.value.actual == "exit status 127: error while loading shared libraries"


def test_the_systems_counts_only_with_the_machine(tmp_path: Path) -> None:
    supply(tmp_path / "own")
    path = program(tmp_path, machine="microvm", name="qemu-system-x86_64")
    assert installed() is None
    program(tmp_path, name="qemu-system-x86_64")
    found = installed()
    assert found is not None
    assert (found.command, found.origin) == ((str(path),), "this system")
    path.unlink()
    assert installed() is None
