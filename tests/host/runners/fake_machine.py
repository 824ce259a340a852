"""Stands for QEMU: a program with its options that behaves in one of the ways that QEMU does.

    python fake_machine.py BEHAVIOUR -M nitro-enclave,... -chardev socket,id=vsock,path=PATH ...

Behaviours are the functions below. A machine that runs is connected to its vsock backend, as QEMU
is through the chardev.
"""

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable

PANIC = "[    1.9] Kernel panic - not syncing: "
BOOTING = "[    0.0] Linux version 6.12.107\n[    1.8] Run /init as init process\n"


def device() -> str:
    chardev = sys.argv[sys.argv.index("-chardev") + 1]
    return chardev.partition("path=")[2].replace(",,", ",")


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def forever() -> None:
    while True:
        time.sleep(600)


def refuses() -> int:
    sys.stderr.write("qemu-system-x86_64: Invalid EIF image. Magic mismatch.\n")
    return 1


def panics() -> int:
    say(f"{BOOTING}{PANIC}No working init found.  Try passing init= option to kernel.\n")
    return 0


def panics_and_hangs() -> int:
    say(BOOTING + PANIC[:20])
    time.sleep(0.1)
    say(PANIC[20:] + "Attempted to kill init! exitcode=0x00000100\n")
    forever()
    return 0


def runs_out_of_memory() -> int:
    say(f"{BOOTING}[    1.9] Out of memory: Killed process 1 (init)\n{PANIC}System is deadlocked\n")
    return 0


def halts() -> int:
    say(f"{BOOTING}halted: PlatformError\n[    2.0] reboot: Restarting system\n")
    return 0


def is_silent() -> int:
    """Ended while it unpacks, QEMU leaves its temporary files where they are."""
    _, path = tempfile.mkstemp(prefix="eif-kernel-")
    say(f"unpacking to {path}\n")
    forever()
    return 0


def is_killed() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def runs() -> int:
    with socket.socket(socket.AF_UNIX) as backend:
        backend.connect(device())
        say(BOOTING)
        forever()
    return 0


def heeds_no_signal() -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return runs()


def floods() -> int:
    for number in range(40):
        say(f"{number:063d}\n" * 8192)
    return runs()


BEHAVIOURS: dict[str, Callable[[], int]] = {
    found.__name__: found
    for found in (
        refuses, panics, panics_and_hangs, runs_out_of_memory, halts, is_silent, is_killed, runs,
        heeds_no_signal, floods,
    )
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(BEHAVIOURS[sys.argv[1]]())
