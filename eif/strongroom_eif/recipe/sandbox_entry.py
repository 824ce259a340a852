"""The first process in the sandbox: mounts the root, gives up every privilege, runs one program.

Started by `sandbox` as a script, in fresh namespaces, with a JSON object as its only argument. It
uses nothing but the standard library, and libc for the calls that Python 3.11 lacks. A byte on the
`ready` descriptor says that the program is about to start; all that fails before is this machine's
fault, all that fails after it the program's.
"""

import ctypes
import json
import os
import resource
import socket
import sys
from typing import Final, NoReturn, TypedDict

__all__ = ["Task", "main"]

_MS_RDONLY: Final = 1
_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_REMOUNT: Final = 32
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_PRIVATE: Final = 1 << 18
# What a mount may be locked to, by statvfs flag: a user namespace must ask for it again.
_KEPT: Final = {
    os.ST_NOSUID: _MS_NOSUID,
    os.ST_NODEV: _MS_NODEV,
    os.ST_NOEXEC: 8,
    os.ST_NOATIME: 1024,
    os.ST_NODIRATIME: 2048,
    os.ST_RELATIME: 1 << 21,
}
_MNT_DETACH: Final = 2
_PIVOT_ROOT: Final = 155
"""System call number on amd64; not every libc has a function for it."""
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITIES: Final = 64
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")
_NOT_STARTED: Final = 126
_HOST_NAME: Final = "strongroom"


class Task(TypedDict):
    """What to do.

    Attributes:
        root: The root's directory on this machine.
        work: Directory to be /work, writable.
        read: Files and directories to be below /in, read-only, by name.
        argv: The program and its arguments.
        env: Its whole environment.
        ready: Descriptor to write a byte to.
    """

    root: str
    work: str
    read: dict[str, str]
    argv: list[str]
    env: dict[str, str]
    ready: int


_libc = ctypes.CDLL(None, use_errno=True)


def _call(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    encoded = [part.encode("utf-8", "surrogateescape") for part in (source, target, kind)]
    done = _libc.mount(*encoded, ctypes.c_ulong(flags), data.encode() or None)
    _call(f"mount {target}", done)


def _bind(source: str, target: str, *, writable: bool) -> None:
    _mount(source, target, "", _MS_BIND)
    kept = sum(flag for bit, flag in _KEPT.items() if os.statvfs(target).f_flag & bit)
    flags = _MS_REMOUNT | _MS_BIND | _MS_NOSUID | _MS_NODEV | kept
    _mount("", target, "", flags | (0 if writable else _MS_RDONLY))


def _devices(place: str) -> None:
    """Mounts a /dev with what every program may expect, and no other device of this machine."""
    _mount("tmpfs", place, "tmpfs", _MS_NOSUID, "mode=0755,size=1m")
    for name in _DEVICES:
        with open(f"{place}/{name}", "x"):  # noqa: PTH123 - plain paths throughout
            pass
        _mount(f"/dev/{name}", f"{place}/{name}", "", _MS_BIND)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{place}/{name}")  # noqa: PTH211


def _inputs(place: str, read: dict[str, str]) -> None:
    _mount("tmpfs", place, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=1m")
    for name, source in read.items():
        target = f"{place}/{name}"
        if os.path.isdir(source):  # noqa: PTH112
            os.mkdir(target)  # noqa: PTH102
        else:
            with open(target, "x"):  # noqa: PTH123
                pass
        _bind(source, target, writable=False)


def _enter(task: Task) -> None:
    """Makes the task's root this process's root, with nothing of the machine's left in sight."""
    root = task["root"]
    socket.sethostname(_HOST_NAME)
    # Nothing that is mounted here may show outside.
    _mount("", "/", "", _MS_REC | _MS_PRIVATE)
    _mount(root, root, "", _MS_BIND)
    os.chdir(root)
    _devices(f"{root}/dev")
    _mount("tmpfs", f"{root}/tmp", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")  # noqa: S108
    _inputs(f"{root}/in", task["read"])
    _bind(task["work"], f"{root}/work", writable=True)
    # Read-only: to the kernel's settings (core_pattern names a program that it starts as root,
    # outside) user 0 may write without any capability.
    _mount("proc", f"{root}/proc", "proc", _MS_RDONLY | _MS_NOSUID | _MS_NODEV | 8)
    kept = sum(flag for bit, flag in _KEPT.items() if os.statvfs(root).f_flag & bit)
    _mount("", root, "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | kept)
    os.chdir(root)
    _call("pivot_root", _libc.syscall(_PIVOT_ROOT, b".", b"."))
    _call("umount", _libc.umount2(b".", _MNT_DETACH))
    os.chdir("/work")


def _give_up_privileges() -> None:
    for capability in range(_CAPABILITIES):
        # Fails beyond the last one that the kernel knows.
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _call("no_new_privs", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _start(task: Task) -> NoReturn:
    _give_up_privileges()
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.write(task["ready"], b"1")
    os.close(task["ready"])
    try:
        os.execve(task["argv"][0], task["argv"], task["env"])  # noqa: S606 - its purpose
    except OSError as error:
        sys.stderr.write(f"cannot start {task['argv'][0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(_NOT_STARTED)


def main() -> int:
    """Runs the task and returns its exit status, 128 and more if a signal ended it."""
    task: Task = json.loads(sys.argv[1])
    try:
        _enter(task)
    except OSError as error:
        sys.stderr.write(f"sandbox: {error.filename or ''}: {error.strerror}\n")
        return 1
    child = os.fork()
    if child == 0:
        _start(task)
    os.close(task["ready"])
    # As the namespace's first process this one inherits every orphan.
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
