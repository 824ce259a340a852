"""The kernel's configuration: what the fragment says is what runs, or there is no kernel."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_eif.recipe.errors import KernelOptionLost, PinsInvalid
from strongroom_eif.recipe.kernel import build_kernel
from strongroom_eif.recipe.kernel_config import check_options, options
from strongroom_eif.recipe.pins import Pins
from strongroom_eif.recipe.store import Store

from tests.eif.recipe.checkout import PINS

FRAGMENT = (PINS.parent / "kernel/config").read_text()
WANTED = options(FRAGMENT)

# What an attacker in one process, or a reader of freed memory, would miss first.
REQUIRED_ON = """
    CPU_MITIGATIONS HARDENED_USERCOPY INIT_ON_ALLOC_DEFAULT_ON INIT_ON_FREE_DEFAULT_ON
    INIT_STACK_ALL_ZERO MITIGATION_PAGE_TABLE_ISOLATION MITIGATION_RETPOLINE NSM PANIC_ON_OOPS
    RANDOMIZE_BASE SECCOMP_FILTER STACKPROTECTOR_STRONG STRICT_KERNEL_RWX VIRTIO_VSOCKETS
"""
REQUIRED_OFF = """
    BLOCK BPF_SYSCALL COREDUMP DEBUG_FS DEVMEM INET IO_URING KEXEC KEXEC_FILE MODULES NAMESPACES
    PROC_KCORE USERFAULTFD VIRTIO_CONSOLE
"""


def test_the_committed_fragment() -> None:
    for name in REQUIRED_ON.split():
        assert WANTED[f"CONFIG_{name}"] == "y"
    for name in REQUIRED_OFF.split():
        assert WANTED[f"CONFIG_{name}"] == "not set"


def test_a_fragment_is_read() -> None:
    text = '# a comment\n#\n\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=-1\nCONFIG_D="a b"\n'
    assert options(text) == {
        "CONFIG_A": "y",
        "CONFIG_B": "not set",
        "CONFIG_C": "-1",
        "CONFIG_D": '"a b"',
    }


@pytest.mark.parametrize(
    "line",
    [
        "CONFIG_A=m",
        "CONFIG_A=n",
        "CONFIG_A = y",
        "CONFIG_A",
        " CONFIG_A=y",
        "# CONFIG_A is unset",
        "# CONFIG_A=y",
        "#CONFIG_A is not set",
        "A=y",
        "include x",
        "CONFIG_A=y\nCONFIG_A=y",
        "CONFIG_A=y\n# CONFIG_A is not set",
    ],
)
def test_lines_that_mean_nothing_or_too_much(line: str) -> None:
    with pytest.raises(PinsInvalid):
        options(line)


COMPLETE = (
    "# Linux\n"
    + "\n".join(
        f"# {name} is not set" if value == "not set" else f"{name}={value}"
        for name, value in WANTED.items()
    )
    + "\n"
)


def test_a_complete_configuration_passes() -> None:
    check_options(WANTED, COMPLETE)
    check_options(WANTED, COMPLETE.replace("# CONFIG_MODULES is not set\n", ""))


@pytest.mark.parametrize("name", sorted(WANTED))
def test_every_option_of_the_fragment_is_checked(name: str) -> None:
    value = WANTED[name]
    if value == "not set":
        changed = COMPLETE.replace(f"# {name} is not set", f"{name}=y")
    else:
        changed = COMPLETE.replace(f"\n{name}={value}\n", f"\n# {name} is not set\n")
    assert changed != COMPLETE
    with pytest.raises(KernelOptionLost, match="1 options") as caught:
        check_options(WANTED, changed)
    assert name in str(caught.value.actual)


@given(st.text(max_size=80))
def test_only_our_errors_come_out(text: str) -> None:
    try:
        found = options(text)
    except PinsInvalid:
        return
    check_options({}, text)
    assert all(name.startswith("CONFIG_") for name in found)


def test_a_fragment_that_is_absent_or_no_text(tmp_path: Path) -> None:
    store, pins = Store(tmp_path / "cache", offline=True), Pins.load(PINS)
    with pytest.raises(PinsInvalid, match="cannot read"):
        build_kernel(store, pins, tmp_path / "absent")
    (tmp_path / "config").write_bytes(b"CONFIG_A=\xff\n")
    with pytest.raises(PinsInvalid, match="cannot read"):
        build_kernel(store, pins, tmp_path / "config")
