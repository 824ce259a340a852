"""The machine under init: what a kernel leaves to its first process, and vsock, the only way out.

For the image alone; the local platform is a guest of the host's own machine. The root file system
is closed for writing, and what stays writable (`/dev`, `/run`) is memory that nothing runs from.

Considered and left out: `/sys` and `/tmp`, which nothing here needs.
"""

import ctypes
import fcntl
import os
import struct
from collections.abc import Callable
from socket import AF_VSOCK, SOCK_STREAM, VMADDR_CID_ANY, socket

from strongroom_enclave.platform import PlatformError

_HOST = 3  # the parent's context id on Nitro and in QEMU's Nitro machine
_HEARTBEAT_PORT, _HEARTBEAT = 9000, b"\xb7"
_TIMEOUT = 10.0
_NOSUID, _NODEV, _NOEXEC, _RDONLY, _REMOUNT = 2, 4, 8, 1, 32  # MS_* of linux/mount.h
_DATA = _NOSUID | _NODEV | _NOEXEC
_MOUNTS = (
    (b"devtmpfs", b"/dev", _NOSUID | _NOEXEC, b""),
    (b"proc", b"/proc", _DATA, b"hidepid=2"),  # a worker sees no other
    (b"tmpfs", b"/run", _DATA, b"mode=0711,size=64k,nr_inodes=64"),
    (b"", b"/", _REMOUNT | _RDONLY, b""),
)
_ADD_ENTROPY = 0x40085203  # _IOW('R', 3, int[2]) of linux/random.h
_RESTART = 0x01234567  # LINUX_REBOOT_CMD_RESTART


def prepare() -> None:
    """Mounts what init and its workers need, and closes the rest for writing.

    Raises:
        PlatformError: the kernel refused a mount.
    """
    mount = ctypes.CDLL(None, use_errno=True).mount
    for kind, target, flags, options in _MOUNTS:
        if mount(kind, target, kind, ctypes.c_ulong(flags), options) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise PlatformError(f"mount {target.decode()}", "success", reason)


def seed(random: Callable[[int], bytes]) -> None:
    """Mixes the platform's entropy into the kernel's pool, and has it counted, before any key.

    Raises:
        PlatformError: the kernel did not take it.
    """
    data = random(256)
    pool = os.open("/dev/urandom", os.O_WRONLY)
    try:
        fcntl.ioctl(pool, _ADD_ENTROPY, struct.pack("ii", 8 * len(data), len(data)) + data)
    except OSError as error:
        raise PlatformError("entropy", "counted", error.strerror) from error
    finally:
        os.close(pool)


def heartbeat() -> None:
    """Tells the hypervisor that the image runs; without it the launch fails.

    Raises:
        PlatformError: it did not send the byte back.
    """
    with connect(_HEARTBEAT_PORT) as sock:
        sock.sendall(_HEARTBEAT)
        answer = sock.recv(1)
        PlatformError.unless(answer == _HEARTBEAT, "heartbeat", _HEARTBEAT, answer)


def listen(port: int) -> socket:
    """Returns a socket that listens for the host on a vsock port."""
    listener = socket(AF_VSOCK, SOCK_STREAM)
    listener.bind((VMADDR_CID_ANY, port))
    listener.listen(64)
    return listener


def connect(port: int) -> socket:
    """Returns a connection to a vsock port of the host; OSError if nothing answers in time."""
    sock = socket(AF_VSOCK, SOCK_STREAM)
    sock.settimeout(_TIMEOUT)
    try:
        sock.connect((_HOST, port))
    except OSError:
        sock.close()
        raise
    sock.settimeout(None)  # a worker that inherits it sets its own
    return sock


def restart() -> None:
    """Ends this machine: a first process that merely exits makes the kernel panic instead."""
    ctypes.CDLL(None).reboot(_RESTART)
