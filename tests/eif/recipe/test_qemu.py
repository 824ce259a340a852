"""The emulator: one that has the Nitro machine, or an error that says what to do."""

from pathlib import Path

import pytest
from strongroom_eif.recipe import errors, qemu
from strongroom_eif.recipe.pins import Pins
from strongroom_eif.recipe.qemu import Emulator, build_qemu
from strongroom_eif.recipe.store import Store

from tests.eif.recipe.checkout import PINS

HAS = '#!/bin/sh\n[ "$1 $2" = "-M help" ] && echo \'nitro-enclave        AWS Nitro Enclave\'\n'
LACKS = "#!/bin/sh\necho 'microvm  microvm'\n"


def install(folder: Path, script: str) -> str:
    program = folder / "qemu-system-x86_64"
    program.write_text(script)
    program.chmod(0o755)
    return str(program)


def test_what_was_built_is_tried(tmp_path: Path) -> None:
    program = install(tmp_path, HAS)
    qemu.check_machine(Emulator((program,)))
    Path(program).write_text(LACKS)
    with pytest.raises(errors.EmulatorUnusable, match="lacks the Nitro machine"):
        qemu.check_machine(Emulator((program,)))
    with pytest.raises(errors.EmulatorUnusable):
        qemu.check_machine(Emulator((str(tmp_path / "absent"),)))
    Path(program).write_text("#!/absent/interpreter\n")
    with pytest.raises(errors.EmulatorUnusable):
        qemu.check_machine(Emulator((program,)))


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
