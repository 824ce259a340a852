"""What an enclave wrote to its console, as far as a person needs it.

The console comes from the machine's least trusted corner: cut to the end, one line at a time,
without anything a terminal would act upon.
"""

import re
from pathlib import Path
from typing import Final

__all__ = ["explain", "quoted", "tail"]

_TAIL: Final = 32 * 1024
_LINE: Final = 300

_CAUSES: Final = (
    ("ModuleNotFoundError", "a Python package is missing: run `make env`, then `strongroom host"
     " doctor`"),
    ("Address already in use", "another boot uses these sockets: stop it, or choose another --run"),
    ("AF_UNIX path too long", "choose a shorter --run, for instance under /tmp"),
    ("No space left on device", "make room on the disk of the run and state directories"),
    ("Could not access KVM", "leave --kvm out"),
    ("failed to initialize kvm", "leave --kvm out"),
    ("failed to set MSR", "this machine's KVM cannot run the guest: leave --kvm out"),
    ("Permission denied", "check who owns the run and state directories"),
    ("MemoryError", "give the machine more memory"),
    # QEMU's own words.
    ("unsupported machine type", "this QEMU lacks the Nitro machine: `strongroom host qemu` finds"
     " or builds one that has it"),
    ("Invalid EIF image", "QEMU refuses the image: `strongroom eif verify IMAGE` names the rule"),
    ("CRC mismatch", "QEMU refuses the image: `strongroom eif verify IMAGE` names the rule"),
    ("Expected EIF", "QEMU refuses the image: `strongroom eif verify IMAGE` names the rule"),
    ("could not load PC BIOS", "QEMU's firmware is missing: install qemu-system-data, or use the"
     " QEMU of `strongroom host qemu`"),
    ("cannot set up guest memory", "this machine has too little memory for the guest: give --memory"
     " less, or free some"),
    ("Cannot allocate memory", "this machine has too little memory for the guest: give --memory"
     " less, or free some"),
    # The guest's kernel. What made it panic stands before the panic.
    ("unpacking failed", "a ramdisk cannot be unpacked: give it more with --memory; if that does"
     " not help, `strongroom eif verify IMAGE`"),
    ("Out of memory", "the guest ran out of memory: give it more with --memory"),
    ("No working init found", "the image holds no program to begin with: its command line names"
     " rdinit=/init, so a ramdisk has to have it, executable"),
    ("Requested init", "the image holds no program to begin with: its command line names"
     " rdinit=/init, so a ramdisk has to have it, executable"),
    ("Unable to mount root fs", "the kernel found no ramdisk it can read: `strongroom eif verify"
     " IMAGE`"),
    ("local platform: ", "the console's last line says what the local platform found"),
    ("halted:", "the enclave stopped itself, for the reason on its console. Start it again, verify"
     " it again, and issue a new permit"),
    ("Attempted to kill init", "the image's first program ended, which ends the machine: the lines"
     " before the panic are its own"),
    ("Kernel panic", "the image's kernel gave up; the lines before the panic say over what"),
)  # fmt: skip
"""What a line of the console means for the operator; the first that occurs counts."""

_NOTES: Final = ("local platform: all processes under one user",)
"""What an enclave says in good health."""

_TRACES: Final = (
    "Traceback (most recent", "Exception ignored in", " ", "\t",
    "Call Trace:", "CPU: ", "Hardware name: ", "Kernel Offset: ", "RIP: ", "Code: ",
)  # fmt: skip
"""How the lines of a traceback begin, all but the one that says what it was; Python's and the
kernel's."""

_FAILURE: Final = re.compile(r"  (?:because|expected|found|do) ")
"""What a command of ours says below its `error:`, when it is the one whose console this is."""

_KERNEL_TIME: Final = re.compile(r"\[ *\d+\.\d{6}\] ")

_AFTERMATH: Final = (
    "Failed to set msg fds", "Failed to write msg", "ring restore failed", "set_vring_call failed",
)  # fmt: skip
"""What QEMU says about its vsock device as it ends, whyever it ends."""


def tail(path: Path, lines: int = 12) -> list[str]:
    """Returns the last lines of a console that tell a person something; an unreadable one counts
    as empty."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _TAIL))
            data = stream.read(_TAIL)
    except OSError:
        return []
    found = data.decode("utf-8", "replace").splitlines()
    return [_clean(line) for line in found if _tells(line)][-lines:]


def quoted(name: str, lines: list[str]) -> str:
    """Returns the lines for an error's `actual`, each below the first in the CLI's message."""
    return "\n           ".join([f"{name} ends with:", *lines]) if lines else f"{name} is empty"


def explain(lines: list[str]) -> str:
    """Returns what to do about the console's last words, or "" where they tell nothing."""
    telling = [line for line in lines if line not in _NOTES]
    for mark, remedy in _CAUSES:
        if any(mark in line for line in telling):
            return remedy
    return ""


def _tells(line: str) -> bool:
    words = _KERNEL_TIME.sub("", line, count=1)
    if not words.strip() or (words.startswith(_TRACES) and not _FAILURE.match(words)):
        return False
    return not any(mark in words for mark in _AFTERMATH)


def _clean(line: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in line.expandtabs()[:_LINE])
