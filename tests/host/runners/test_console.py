"""The console's last words: cleaned for a terminal, without tracebacks, and explained."""

from pathlib import Path

import pytest
from strongroom_host.runners.console import explain, quoted, tail

TRACE = """\
local platform: all processes under one user
Traceback (most recent call last):
  File "x.py", line 1, in <module>
    import cbor2
ModuleNotFoundError: No module named 'cbor2'
halted: signer died
"""


def test_a_traceback_is_reduced_to_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(TRACE)
    assert tail(tmp_path / "log") == [
        "local platform: all processes under one user",
        "ModuleNotFoundError: No module named 'cbor2'",
        "halted: signer died",
    ]


FAILURE = """\
error: the database could not be made
  found    initdb: error while loading shared libraries
  do       check space and permissions of /tmp/x
"""


def test_what_a_command_of_ours_found_is_not_taken_for_a_trace(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(FAILURE)
    assert tail(tmp_path / "log") == FAILURE.splitlines()


PANIC = """\
[    0.906283] Run /init as init process
[    0.906700] Kernel panic - not syncing: No working init found.
[    0.906924] CPU: 0 UID: 0 PID: 1 Comm: swapper/0 Not tainted 6.12.117 #1
[    0.907253] Call Trace:
[    0.908295]  <TASK>
[    0.908791]  0xffffffff92d1b18e
[    0.910171]  </TASK>
[    0.910551] Kernel Offset: 0x11a00000 from 0xffffffff81000000
qemu-system-x86_64: Failed to set msg fds.
qemu-system-x86_64: vhost VQ 0 ring restore failed: -22: Invalid argument (22)
"""


def test_a_kernels_trace_is_reduced_to_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(PANIC)
    lines = tail(tmp_path / "log")
    assert lines == PANIC.splitlines()[:2]
    assert "rdinit=/init" in explain(lines)


def test_the_end_of_a_long_console_is_what_counts(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert tail(tmp_path / "log", 2) == ["line 99998", "line 99999"]


def test_nothing_in_it_drives_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\x1b]0;owned\x07 red\x1b[31m\xff\r" + b"a" * 5000)
    [line, *_] = tail(tmp_path / "log")
    assert line.isprintable()
    assert all(len(line) <= 300 for line in tail(tmp_path / "log"))


def test_an_unreadable_console_says_nothing(tmp_path: Path) -> None:
    assert tail(tmp_path / "none") == []
    assert quoted("it", []) == "it is empty"


@pytest.mark.parametrize(
    ("lines", "remedy"),
    [
        (["ModuleNotFoundError: No module named 'x'", "halted: signer died"], "make env"),
        (["OSError: AF_UNIX path too long"], "shorter --run"),
        (["local platform: sealer.key: expected mode 0600, got 0644"], "last line"),
        (["halted: signer died"], "new permit"),
        (["qemu: unsupported machine type", "Use -machine help"], "host qemu"),
        (["qemu: CRC mismatch. Expected 1 but header has 2."], "eif verify"),
        (["qemu: could not load PC BIOS 'qboot.rom'"], "qemu-system-data"),
        (["Could not access KVM kernel module: Permission denied"], "--kvm"),
        (["error: failed to set MSR 0x38d to 0x0"], "leave --kvm out"),
        (["qemu: cannot set up guest memory 'ram': Cannot allocate memory"], "--memory less"),
        (["Initramfs unpacking failed: write error", "Kernel panic - not"], "--memory"),
        (["Out of memory: Killed process 7", "halted: signer died"], "more with --memory"),
        (["Kernel panic - not syncing: Attempted to kill init!"], "first program"),
        (["Kernel panic - not syncing: VFS: Unable to mount root fs"], "no ramdisk"),
        (["Kernel panic - not syncing: stack-protector"], "kernel gave up"),
        (["local platform: all processes under one user"], ""),
        ([], ""),
    ],
)
def test_the_cause_decides_what_to_do(lines: list[str], remedy: str) -> None:
    found = explain(lines)
    assert remedy in found
    assert bool(found) is bool(remedy)
