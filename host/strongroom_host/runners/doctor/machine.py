"""What the machine gives: ports, folders, users, clock, devices, room."""

import ctypes
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from strongroom_host.runners.doctor.result import Result, fail, ok, warn
from strongroom_host.runners.emulator import EmulatorUnusable, chosen_emulator, installed

__all__ = [
    "examine_clock",
    "examine_devices",
    "examine_emulator",
    "examine_files",
    "examine_folders",
    "examine_ports",
    "examine_users",
]

_PORTS: Final = ("bootstrap", "control", "frames")
_MAX_RUN: Final = 103 - len("/front/bootstrap.sock")
_EARLIEST: Final = 1_767_225_600
"""2026-01-01: the signer believes no earlier time."""
_LATEST: Final = 4_102_444_800
_ROLE_USER: Final = 61002
"""The user id that the local platform gives the signer."""
_NEEDED: Final = 64 << 20
_SCARCE: Final = 1 << 30
_DESCRIPTORS: Final = 1024
_TIME_ERROR: Final = 5


def examine_ports(host: str, port: int) -> Iterator[Result]:
    """Yields whether the three ports from `port` on are free."""
    if port == 0:
        yield ok("ports", f"any three free ones on {host}")
        return
    for offset, name in enumerate(_PORTS):
        yield _port(name, host, port + offset)


def _port(name: str, host: str, port: int) -> Result:
    label, where = f"port {port}", f"{host}:{port} ({name})"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            sock.listen(1)
        except OSError as error:
            return fail(
                label,
                f"{where}: {error.strerror or error}",
                f"stop what holds it (`ss -ltnp 'sport = :{port}'`), or give other ports with"
                " --listen",
            )
    return ok(label, f"{where} is free")


def examine_folders(run: Path, state: Path) -> Iterator[Result]:
    """Yields whether the run and state directories can be used, or made, by this user alone."""
    for name, option, path in (("run", "--run", run), ("state", "--state", state)):
        yield _folder(f"{name} directory", option, path)
        yield _room(f"{name} disk", option, path)
    length = len(bytes(run))
    if length > _MAX_RUN:
        yield fail(
            "socket paths",
            f"the run directory's path has {length} bytes; Unix sockets in it allow {_MAX_RUN}",
            "choose a shorter --run, for instance under /tmp",
        )


def _folder(name: str, option: str, path: Path) -> Result:
    another = f"choose another with {option}, or correct the permissions"
    try:
        existing = _nearest(path)
        if existing != path:
            if os.access(existing, os.W_OK | os.X_OK):
                return ok(name, f"{path} (will be made)")
            return fail(name, f"{path} cannot be made: {existing} is not writable", another)
        status = path.lstat()
    except OSError as error:
        return fail(name, f"{path}: {error.strerror or error}", another)
    if not stat.S_ISDIR(status.st_mode):
        return fail(name, f"{path} is no folder", another)
    shown = f"{path} {stat.filemode(status.st_mode)}, user {status.st_uid}"
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return fail(name, f"{shown}: others could replace what is in it", another)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return fail(name, f"{shown}: not usable by this user", another)
    return ok(name, shown)


def _room(name: str, option: str, path: Path) -> Result:
    try:
        free = shutil.disk_usage(_nearest(path)).free
    except OSError as error:
        return fail(name, str(error), f"choose another with {option}")
    text = f"{free / (1 << 30):.1f} GiB free"
    if free < _NEEDED:
        return fail(name, text, f"make room, or choose another with {option}")
    if free < _SCARCE:
        return warn(name, text, "make room: console and journal grow")
    return ok(name, text)


def _nearest(path: Path) -> Path:
    """Returns `path`, or the closest ancestor that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def examine_users() -> Result:
    """Returns whether the roles can run under users of their own, and if not, why."""
    name = "user separation"
    if os.geteuid() != 0:
        return warn(
            name,
            "not possible: only root may start processes under other users; all roles share yours",
            "for development nothing; otherwise run as root, or use an image on real hardware",
        )
    command = [sys.executable, "-P", "-c", "import strongroom_wire"]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter
            command,
            env=environment,
            user=_ROLE_USER,
            group=_ROLE_USER,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        reason = (done.stderr.strip().splitlines() or [""])[-1] if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if reason:
        return warn(
            name,
            f"not possible: user {_ROLE_USER} cannot run this installation ({reason})",
            "install it where other users can read it, such as /opt, and not below a private home",
        )
    return ok(name, "front, signer and enroll get users of their own")


def examine_clock() -> Result:
    """Returns whether the time can be true, and whether anything keeps it so."""
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if not _EARLIEST <= now <= _LATEST:
        return fail(
            "clock", f"{shown} cannot be true", "set it: orders and evidence carry timestamps"
        )
    if _unsynchronised():
        return warn(
            "clock",
            f"{shown}; the kernel says that nothing synchronises it",
            "run a time service (chrony, systemd-timesyncd): venues refuse timestamps that are"
            " seconds off",
        )
    return ok("clock", shown)


def _unsynchronised() -> bool:
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return False  # no such call here, so nothing is known
    # A struct timex of zeros only asks; the result is the state of the kernel's clock.
    return bool(adjtimex(ctypes.create_string_buffer(512)) == _TIME_ERROR)


def examine_devices() -> Result:
    """Returns which enclave platforms this machine has the devices of."""
    found = {
        "/dev/nsm": "this is inside a Nitro enclave",
        "/dev/nitro_enclaves": "this machine can start Nitro enclaves",
        "/dev/sev-guest": "this is an SEV-SNP guest",
    }
    here = [f"{path}: {meaning}" for path, meaning in found.items() if Path(path).exists()]
    if here:
        return ok("devices", "; ".join(here))
    return warn(
        "devices",
        "no /dev/nsm or other enclave device: only the local platform runs here, and its evidence"
        " ends in a throw-away root",
        "nothing for development; for real keys use a machine that production policies accept",
    )


def examine_emulator() -> Result:
    """Returns which QEMU would run an image here; builds none."""
    name = "emulator"
    try:
        found = chosen_emulator(None) or installed()
    except EmulatorUnusable as error:
        return fail(name, f"{error.what} ({error.actual})", error.remedy)
    if found is not None:
        return ok(name, f"{found.command[0]} ({found.origin})")
    return warn(
        name,
        "no QEMU with the Nitro machine is installed; few distributions have one",
        "nothing for the local platform; to run images, `strongroom host qemu` builds one (minutes,"
        " once)",
    )


def examine_files() -> Result:
    """Returns whether enough files may be open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _DESCRIPTORS:
        return warn("open files", f"at most {soft}", f"raise it: ulimit -n {_DESCRIPTORS}")
    return ok("open files", f"at most {soft}")
