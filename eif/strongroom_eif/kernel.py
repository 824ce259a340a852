r"""What a kernel image says about itself, and which command line it takes.

x86_64: a bzImage (Linux `Documentation/arch/x86/boot.rst`), little-endian: 0xAA55 at 0x1FE, "HdrS"
at 0x202, boot protocol version u16 at 0x206, pointer to the version string u16 at 0x20E (less
0x200), cmdline_size u32 at 0x238 from protocol 2.06 on.
aarch64: an Image (`Documentation/arch/arm64/booting.rst`): "ARM\x64" at 56.
"""

import struct
from dataclasses import dataclass
from typing import Final

from strongroom_eif.errors import ArchitectureMismatch, CmdlineInvalid, KernelInvalid
from strongroom_eif.header import Architecture
from strongroom_eif.image import Bytes

__all__ = ["MAX_CMDLINE_BYTES", "Kernel", "inspect_kernel", "require_cmdline"]

MAX_CMDLINE_BYTES: Final = 2_047
"""COMMAND_LINE_SIZE of both architectures, less the NUL that the loader appends."""

_X86_HEADER_END: Final = 0x23C
_ARM_HEADER_BYTES: Final = 64
_VERSION_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel image's own header.

    Attributes:
        architecture: Which processors it is for.
        version: What `uname -rv` will say, empty where the format has no such field.
        cmdline_bytes: Longest command line it takes, without the NUL.
    """

    architecture: Architecture
    version: str
    cmdline_bytes: int


def inspect_kernel(data: Bytes, declared: Architecture) -> Kernel:
    """Proves that `data` begins like a kernel for the declared architecture.

    Only headers are looked at; that the kernel runs is not proved.

    Raises:
        KernelInvalid: It is neither a bzImage nor an arm64 Image.
        ArchitectureMismatch: It is for the other architecture.
    """
    view = memoryview(data).cast("B")
    found = _x86(view) or _arm(view)
    if found is None:
        raise KernelInvalid(
            "the kernel is neither a bzImage (x86_64) nor an arm64 Image; a vmlinux or a "
            "compressed Image does not boot"
        )
    check_architecture(found.architecture, declared)
    return found


def check_architecture(found: Architecture, declared: Architecture) -> None:
    """Refuses a kernel that the image's processors cannot run."""
    if found != declared:
        raise ArchitectureMismatch(
            f"the kernel is for {found.name.lower()}, the image is declared for "
            f"{declared.name.lower()}",
            expected=declared.name.lower(),
            actual=found.name.lower(),
        )


def require_cmdline(cmdline: bytes, longest: int = MAX_CMDLINE_BYTES) -> None:
    """Proves that the kernel sees all of the measured command line, and a reader as well.

    Raises:
        CmdlineInvalid: Too long, or bytes other than printable ASCII.
    """
    check_cmdline_length(cmdline, longest)
    check_cmdline_text(cmdline)


def check_cmdline_length(cmdline: bytes, longest: int) -> None:
    """Refuses a command line that the kernel would cut off."""
    if len(cmdline) > longest:
        raise CmdlineInvalid(
            f"the command line has {len(cmdline)} bytes; the kernel reads {longest}, and all are "
            "measured",
            expected=longest,
            actual=len(cmdline),
        )


def check_cmdline_text(cmdline: bytes) -> None:
    """Refuses a NUL, at which the kernel stops, and what a terminal would not show."""
    for position, byte in enumerate(cmdline):
        if not 0x20 <= byte < 0x7F:
            raise CmdlineInvalid(
                f"byte {position} of the command line is {byte:#04x}; only printable ASCII is "
                "accepted" + (", and the kernel stops reading at a NUL" if not byte else ""),
                actual=byte,
            )


def _x86(view: memoryview) -> Kernel | None:
    if len(view) < _X86_HEADER_END or bytes(view[0x1FE:0x200]) != b"\x55\xaa":
        return None
    if bytes(view[0x202:0x206]) != b"HdrS":
        return None
    protocol, pointer = struct.unpack_from("<H6xH", view, 0x206)
    limit = struct.unpack_from("<I", view, 0x238)[0] if protocol >= 0x206 else 255
    version = b""
    if pointer:
        start = pointer + 0x200
        version = bytes(view[start : start + _VERSION_BYTES]).partition(b"\0")[0]
    return Kernel(
        Architecture.X86_64,
        version.decode("ascii", "backslashreplace"),
        min(limit, MAX_CMDLINE_BYTES),
    )


def _arm(view: memoryview) -> Kernel | None:
    if len(view) < _ARM_HEADER_BYTES or bytes(view[56:60]) != b"ARM\x64":
        return None
    return Kernel(Architecture.AARCH64, "", MAX_CMDLINE_BYTES)
