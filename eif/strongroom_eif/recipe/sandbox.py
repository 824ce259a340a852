"""Runs one program of a root, cut off from this machine: what builds are made of.

It sees the root, read-only; `/work`, its own directory, writable; `/in`, the inputs it is given,
read-only; an empty `/tmp`; five harmless devices; the processes that it started. No network, not
even loopback, no host name, no time zone, locale, user or variable of the caller, umask 022, no
capability. That is for reproducibility first: what a build cannot see cannot get into its result.

Works as root, and otherwise in a user namespace, where the kernel allows those.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from strongroom_eif.recipe import sandbox_entry
from strongroom_eif.recipe.errors import BuildFailed, SandboxUnavailable
from strongroom_eif.recipe.machine import writing
from strongroom_eif.recipe.root import Root
from strongroom_eif.recipe.sandbox_entry import Task

__all__ = ["ENVIRONMENT", "result", "run"]

ENVIRONMENT: Final = {
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "PATH": "/usr/sbin:/usr/bin",
    "SOURCE_DATE_EPOCH": "0",
    "TZ": "UTC",
}
"""What every program gets; callers may add and replace."""

_NAMESPACES: Final = ("--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child")
_AS_USER: Final = ("--user", "--map-root-user")
_WAYS: Final = ("as root", "in a user namespace")
_NAME: Final = re.compile(r"[A-Za-z0-9+_~-][A-Za-z0-9+._~-]{0,199}")
_TAIL_LINES: Final = 25
_TAIL_BYTES: Final = 1 << 14


def run(
    root: Root,
    argv: Sequence[str],
    *,
    work: Path,
    read: Mapping[str, Path],
    env: Mapping[str, str],
    log: Path,
) -> None:
    """Runs a program and returns when it has ended with status 0.

    Args:
        root: Where its programs and libraries are.
        argv: The program, by absolute path in the root, and its arguments.
        work: Becomes /work, the current directory; made if need be.
        read: Files and directories that appear below /in, by name.
        env: Added to `ENVIRONMENT`.
        log: Takes what it writes to standard output and error, appended.

    Raises:
        BuildFailed: It ended with another status, or with a signal.
        SandboxUnavailable: The kernel allows neither way of isolating it.
        DiskFull, CacheUnusable: `work` or `log` cannot be written.
    """
    for name in read:
        check_input_name(name)
    unshare = shutil.which("unshare")
    if unshare is None:
        raise SandboxUnavailable(
            "the program unshare is not on the PATH", remedy="install util-linux"
        )
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            before = stream.tell()
            refusals = []
            for user in ((), _AS_USER) if os.geteuid() == 0 else (_AS_USER,):
                status, started = _attempt([unshare, *_NAMESPACES, *user], root, argv, work, read,
                                           {**ENVIRONMENT, **env}, stream)  # fmt: skip
                if started:
                    check_status(argv, status, log, before)
                    return
                refusals.append(_tail(log, before).strip())
    raise _unavailable(refusals)


def result(work: Path, name: str) -> Path:
    """Returns a file that a program left in its work directory, for reading or writing it here.

    In the sandbox a link to any file of this machine leads nowhere; here it would be followed.

    Raises:
        BuildFailed: There is none, or it is a link or lies behind one.
    """
    path = work.resolve() / name
    if not path.is_file() or path.resolve() != path:
        raise BuildFailed(
            f"a program in the sandbox did not leave the file {name}",
            expected="a file, no link to one",
            actual=f"a link to {path.resolve()}" if path.exists() else "nothing",
            remedy="look at which package brought that program",
        )
    return path


def _attempt(
    unshare: list[str],
    root: Root,
    argv: Sequence[str],
    work: Path,
    read: Mapping[str, Path],
    env: dict[str, str],
    log: IO[bytes],
) -> tuple[int, bool]:
    """Returns the exit status, and whether the program was started at all."""
    receive, ready = os.pipe()
    task: Task = {
        "root": str(root.path.resolve()),
        "work": str(work.resolve()),
        "read": {name: str(path.resolve()) for name, path in read.items()},
        "argv": list(argv),
        "env": env,
        "ready": ready,
    }
    # Isolated from this process's environment and packages; -S since it needs the library only.
    python = [sys.executable, "-I", "-S", "-B", str(sandbox_entry.__file__)]
    try:
        status = subprocess.run(  # noqa: S603 - our own script, by absolute path
            [*unshare, "--", *python, json.dumps(task)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.defpath},
            pass_fds=(ready,),
            check=False,
        ).returncode
        os.close(ready)
        ready = -1
        return status, bool(os.read(receive, 1))
    finally:
        os.close(receive)
        if ready >= 0:
            os.close(ready)


def _tail(log: Path, start: int) -> str:
    """Returns the last lines that were written to the log since `start`."""
    with log.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(start, end - _TAIL_BYTES))
        lines = stream.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-_TAIL_LINES:])


def _unavailable(refusals: Sequence[str]) -> SandboxUnavailable:
    reasons = [refusal.splitlines()[-1] if refusal else "no reason given" for refusal in refusals]
    if len(reasons) > 1:
        reasons = [f"{how}: {why}" for how, why in zip(_WAYS, reasons, strict=True)]
    return SandboxUnavailable(
        "cannot isolate the build from this machine",
        expected="to be root, or to be allowed a user namespace",
        actual="; ".join(reasons),
        remedy=f"{'' if os.geteuid() == 0 else 'run it as root; '}in a plain chroot, make its "
        "directory a mount before entering it: mount --bind DIR DIR; or allow user namespaces: "
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), "
        "kernel.unprivileged_userns_clone=1 (Debian 10), user.max_user_namespaces=15000; in a "
        "container: docker run --privileged",
    )


# --- Rules ---------------------------------------------------------------------------------------


def check_input_name(name: str) -> None:
    """Refuses a name that would be a path of its own."""
    if not _NAME.fullmatch(name):
        raise SandboxUnavailable(f"{name!a} cannot name an input of a build")


def check_status(argv: Sequence[str], status: int, log: Path, start: int) -> None:
    """Turns a failed program into an error that shows what it said last."""
    if status != 0:
        tail = _tail(log, start)
        raise BuildFailed(
            f"{argv[0]} failed in the sandbox",
            expected="exit status 0",
            actual=f"exit status {status}" if status < 128 else f"signal {status - 128}",
            remedy=f"its output is in {log}; inputs are pinned, so look for too little memory or "
            "disk space first",
            tail=tail,
        )
