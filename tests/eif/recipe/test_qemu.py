"""The emulator: one that has the Nitro machine, or an error that says what to do."""

from pathlib import Path

import pytest
from strongroom_eif.recipe import errors, qemu
from strongroom_eif.recipe.pins import Pins
from strongroom_eif.recipe.qemu import Emulator, build_qemu, find_emulator, find_system_qemu
from strongroom_eif.recipe.store import Store

from tests.eif.recipe.checkout import PINS

HAS = '#!/bin/sh\n[ "$1 $2" = "-M help" ] && echo \'nitro-enclave        AWS Nitro Enclave\'\n'
LACKS = "#!/bin/sh\necho 'microvm  microvm'\n"
BROKEN = "#!/absent/interpreter\n"


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> str:
    program = folder / "qemu-system-x86_64"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return str(program)


def test_a_system_qemu_with_the_machine_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = install(tmp_path, monkeypatch, HAS)
    assert find_system_qemu() == Emulator((program,))
    store = Store(tmp_path / "cache", offline=True)
    assert find_emulator(store, Pins.load(PINS)) == Emulator((program,))


@pytest.mark.parametrize("script", [LACKS, BROKEN])
def test_a_system_qemu_without_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    install(tmp_path, monkeypatch, script)
    assert find_system_qemu() is None


def test_no_system_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_system_qemu() is None


def test_what_was_built_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = install(tmp_path, monkeypatch, HAS)
    qemu.check_machine(Emulator((program,)))
    Path(program).write_text(LACKS)
    with pytest.raises(errors.EmulatorUnusable, match="lacks the Nitro machine"):
        qemu.check_machine(Emulator((program,)))
    with pytest.raises(errors.EmulatorUnusable):
        qemu.check_machine(Emulator((str(tmp_path / "absent"),)))


def test_another_machine_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(errors.WrongArchitecture, match="Linux on amd64"):
        build_qemu(Store(tmp_path), Pins.load(PINS))


def test_the_sources_meson_build_is_the_known_one(tmp_path: Path) -> None:
    script = tmp_path / "meson.build"
    script.write_text("a\n    unpack_edk2_blobs = bzip2.found()\nb\n")
    qemu._without_blobs(script)
    assert script.read_text() == "a\n    unpack_edk2_blobs = false\nb\n"
    with pytest.raises(errors.PinsInvalid, match=r"meson\.build"):
        qemu._without_blobs(script)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.InputError, 2),
        (errors.MachineError, 5),
        (errors.BuildError, 1),
    ],
)
def test_errors_say_who_has_to_act(kind: type[errors.RecipeError], status: int) -> None:
    assert kind.exit_status == status
    error = kind("what", expected=1, actual=2, remedy="do")
    assert (str(error), error.expected, error.actual, error.remedy) == ("what", 1, 2, "do")
