"""What every worker does to itself before it holds a secret: no dump, no debugger, no orphan.

Call `harden` after the last change of user and after exec: the kernel clears the death signal when
credentials change and makes a process dumpable again on exec, without telling anybody.

Considered and left out:
- mlockall: the image's kernel has no swap to keep pages from, and under the default RLIMIT_MEMLOCK
  of an ordinary user MCL_FUTURE turns later allocations into failures. A host that swaps sees the
  pages of the local platform; that one protects nothing from its host in any case.
- seccomp: one filter per role belongs with the supervisor that knows the roles.
"""

import ctypes
import os
import resource
import signal
import sys

from strongroom_enclave.platform import PlatformError

__all__ = ["HardeningFailed", "harden"]

# Name, PR_SET_* option of include/uapi/linux/prctl.h, argument.
_PRCTL = (
    ("dumpable=0", 4, 0),
    ("no_new_privs=1", 38, 1),
    ("pdeathsig=SIGKILL", 1, signal.SIGKILL),
)


class HardeningFailed(PlatformError):
    """The kernel did not take a measure, so the process must not be given a secret."""


def harden(lifetime: int = 0) -> None:
    """Applies every measure this system has.

    RLIMIT_CORE=0 keeps the kernel from writing a core file; a pipe in core_pattern ignores it, and
    dumpable=0 covers that, ptrace by the same user, and /proc/<pid>/mem. no_new_privs makes
    set-user-ID files powerless. pdeathsig=SIGKILL ends the worker when the thread that started it
    ends; if that was before, the closed link does. Outside Linux only the first exists.

    Args:
        lifetime: Seconds after which the kernel ends the process, whatever it waits for; 0: none.

    Raises:
        HardeningFailed: a measure that this system has was refused.
    """
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except OSError as error:
        raise HardeningFailed("RLIMIT_CORE", "(0, 0)", error) from error
    signal.alarm(lifetime)
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        for name, option, argument in _PRCTL:
            if prctl(option, *map(ctypes.c_ulong, (argument, 0, 0, 0))) != 0:
                raise HardeningFailed(name, "success", os.strerror(ctypes.get_errno()))
