"""``python -m strongroom_host.vsock``: one guest's vsock device, until QEMU closes or SIGTERM."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path

from strongroom_host.errors import EnvironmentFault, HostError
from strongroom_host.vsock.backend import Backend, BackendConfig
from strongroom_host.vsock.errors import BadMapping

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Serve; print ``ready`` once QEMU can connect, and ``heartbeat`` when the enclave's came."""
    parser = argparse.ArgumentParser(prog="strongroom_host.vsock", description=__doc__)
    parser.add_argument("--device", type=Path, required=True, metavar="PATH")
    parser.add_argument("--cid", type=int, required=True, metavar="N")
    parser.add_argument("--listen", action="append", default=[], metavar="GUEST_PORT=PATH")
    parser.add_argument("--connect", action="append", default=[], metavar="HOST_PORT=PATH")
    parser.add_argument("--heartbeat", type=int, metavar="HOST_PORT")
    options = parser.parse_args(arguments)
    try:
        config = BackendConfig(
            options.device,
            options.cid,
            listen=_mapping(options.listen),
            connect=_mapping(options.connect),
            heartbeat=options.heartbeat,
        )
        backend = Backend(config, _say)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: backend.stop())
        backend.run()
    except HostError as error:
        facts = (("expected", error.expected), ("actual", error.actual), ("do", error.remedy))
        detail = "".join(f"\n  {name}: {fact}" for name, fact in facts if fact not in (None, ""))
        sys.stderr.write(f"vsock: {error}{detail}\n")
        return error.exit_status
    except OSError as error:  # this machine is out of something that we cannot go on without
        sys.stderr.write(f"vsock: {error.strerror or error}\n")
        return EnvironmentFault.exit_status
    return 0


def _mapping(arguments: list[str]) -> dict[int, Path]:
    """Returns ports and paths of ``PORT=PATH`` arguments.

    Raises:
        BadMapping: another shape, or a port twice.
    """
    found: dict[int, Path] = {}
    for text in arguments:
        port, equals, path = text.partition("=")
        if not (equals and path and port.isascii() and port.isdecimal() and len(port) <= 10):
            raise BadMapping("not a port and a path", expected="PORT=PATH", actual=text)
        if int(port) in found:
            raise BadMapping("a port is given twice", actual=port)
        found[int(port)] = Path(path)
    return found


def _say(word: str) -> None:
    # Whoever started us may have gone: no reason to stop serving.
    with contextlib.suppress(OSError):
        sys.stdout.write(word + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
