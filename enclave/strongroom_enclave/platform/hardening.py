"""What every worker does to itself before it holds a secret: no dump, no debugger, no orphan.

Call `harden` after the last change of user and after exec: the kernel clears the death signal when
credentials change and makes a process dumpable again on exec, without telling anybody.

Considered and left out:
- mlockall: the image's kernel has no swap to keep pages from, and under the default RLIMIT_MEMLOCK
  of an ordinary user MCL_FUTURE turns later allocations into failures. A host that swaps sees the
  pages of the local platform; that one protects nothing from its host in any case.
- A list of the system calls each role may make: it changes with every release of gRPC and libc, and
  what fails then fails at some rare moment. Two calls decide whether a parser's bug stays inside.
"""

import ctypes
import mmap
import os
import resource
import signal
import struct
import sys
from pathlib import Path
from socket import AF_UNIX

from strongroom_enclave.platform import PlatformError

# Name, PR_SET_* option of include/uapi/linux/prctl.h, argument.
_PRCTL = (
    ("dumpable=0", 4, 0),
    ("no_new_privs=1", 38, 1),
    ("pdeathsig=SIGKILL", 1, signal.SIGKILL),
)
# AUDIT_ARCH_* of linux/audit.h; numbers of execve, execveat, socket. io_uring, which makes sockets
# without that call, has one number everywhere.
_CALLS = {"x86_64": (0xC000003E, 59, 322, 41), "aarch64": (0xC00000B7, 221, 281, 198)}
_IO_URING_SETUP = 425
_SET_SECCOMP, _FILTER = 22, 2
_LOAD, _EQUAL, _ATLEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # opcodes of linux/bpf_common.h
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | EPERM
_X32 = 0x40000000  # the other numbering of an x86-64 kernel


class HardeningFailed(PlatformError):
    """The kernel did not take a measure, so the process must not be given a secret."""


def limit_memory(size: int) -> None:
    """Makes this process go first where memory is short: it is refused more than `size` bytes of
    its own, or half of the machine's, and the kernel ends it before any other. To be called before
    `harden`, which takes /proc/self away.

    Raises:
        OSError: the kernel refused one of them.
    """
    size = min(size, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    if sys.platform == "linux":
        Path("/proc/self/oom_score_adj").write_text("1000")


def harden(lifetime: int = 0) -> None:
    """Applies every measure this system has.

    RLIMIT_CORE=0 keeps the kernel from writing a core file; a pipe in core_pattern ignores it, and
    dumpable=0 covers that, ptrace by the same user, and /proc/<pid>/mem. no_new_privs makes
    set-user-ID files powerless. pdeathsig=SIGKILL ends the worker when the thread that started it
    ends; if that was before, the closed link does. Outside Linux only the limits exist.

    Args:
        lifetime: Seconds after which the kernel ends the process, whatever it waits for; 0: none.
            Such a process cannot start another, which would live on: RLIMIT_NPROC=0.

    Raises:
        HardeningFailed: a measure that this system has was refused.
    """
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if lifetime:
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    except OSError as error:
        raise HardeningFailed("RLIMIT_CORE, RLIMIT_NPROC", "(0, 0)", error) from error
    signal.alarm(lifetime)
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        for name, option, argument in _PRCTL:
            if prctl(option, *map(ctypes.c_ulong, (argument, 0, 0, 0))) != 0:
                raise HardeningFailed(name, "success", os.strerror(ctypes.get_errno()))


def confine() -> None:
    """Takes away for good what a worker never needs: starting programs, and any socket but Unix.

    Descriptors it inherited go on working. Whatever takes a worker over can then reach nothing but
    the links it has; vsock in particular has no permissions of its own. To be called after
    `harden`, and before there is a second thread.

    Raises:
        HardeningFailed: the kernel refused the filter, or this architecture is not known here.
    """
    if sys.platform != "linux":
        return
    machine = os.uname().machine
    HardeningFailed.unless(machine in _CALLS, "architecture", list(_CALLS), machine)
    architecture, execve, execveat, sock = _CALLS[machine]
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (  # opcode, jump if true, jump if false, operand
            (_LOAD, 0, 0, 4),
            (_EQUAL, 0, 9, architecture),
            (_LOAD, 0, 0, 0),
            (_ATLEAST, 7, 0, _X32),
            (_EQUAL, 6, 0, execve),
            (_EQUAL, 5, 0, execveat),
            (_EQUAL, 4, 0, _IO_URING_SETUP),
            (_EQUAL, 0, 2, sock),
            (_LOAD, 0, 0, 16),  # its first argument
            (_EQUAL, 0, 1, AF_UNIX),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _REFUSE),
        )
    )
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_SECCOMP, _FILTER, head) != 0:
        raise HardeningFailed("seccomp filter", "taken", os.strerror(ctypes.get_errno()))


def unforked(size: int) -> memoryview:
    """Returns zeroed memory, which is zero again in the child of a fork.

    Raises:
        OSError: this system has no such memory.
    """
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(18)  # MADV_WIPEONFORK of linux/mman.h
    return memoryview(memory)
