"""Entry point of the local platform: starts init with a software NSM, a file sealer, Unix sockets.

This and `worker` are the only code outside `enclave/` that imports from it. It runs the very
processes of the image on the host itself, so it keeps nothing from the host; it is for development
and tests, and its evidence ends in a throw-away root that no production policy accepts.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from threading import Thread
from types import FrameType
from typing import Final

from strongroom_enclave.init.boot import Init
from strongroom_enclave.platform.hardening import harden
from strongroom_enclave.platform.nsm import NsmPlatform
from strongroom_enclave.platform.spawn import Workers

from strongroom_local.errors import LocalError
from strongroom_local.measure import measure_installed
from strongroom_local.sealer import FileSealer
from strongroom_local.server import in_process
from strongroom_local.transport import stream

__all__ = ["USERS", "LocalPlatform", "boot", "main", "separated_users"]

USERS: Final[Mapping[str, int]] = {
    "front": 61001,
    "signer": 61002,
    "enroll": 61003,
    "record": 61004,
}
"""User and group ids of the roles when started as root; no account needs to exist."""


class LocalPlatform(NsmPlatform):
    """The software module's documents are signed, but the memory around it is the host's."""

    def copyable(self) -> bool:
        """Returns True: whoever runs this machine may copy any process of it."""
        return True


def separated_users(run: Path) -> Mapping[str, int]:
    """Returns the users to run roles under, or none where this machine does not allow it.

    That takes root, an installation that other users can read, and a way to `run` for them: all
    of it is tried, not assumed. A folder below a private home is out of their reach.
    """
    if os.geteuid() != 0:
        return {}
    reach = "import os, sys, strongroom_enclave.signer.service; os.stat(sys.argv[1] + '/.')"
    probe = [sys.executable, "-P", "-c", reach, str(run)]
    user = USERS["signer"]
    try:
        subprocess.run(  # noqa: S603  our own interpreter
            probe,
            env=_environment(),
            user=user,
            group=user,
            extra_groups=[],
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return USERS


def boot(run: Path, platform_socket: socket, sealer_path: Path, *, busy_poll: bool = False) -> Init:
    """Returns an init that has started front, with its listeners in the folder `run`.

    Raises:
        LocalError: the source tree cannot be measured, or the sealer's file is not safe.
        OSError: a folder is missing or not writable.
    """
    run.chmod(0o711)
    users = separated_users(run)
    if not users:
        sys.stderr.write("local platform: all processes under one user\n")
        run.chmod(0o700)
    front = run / "front"
    shutil.rmtree(front, ignore_errors=True)
    front.mkdir(mode=0o700)
    if users:
        os.chown(front, users["front"], users["front"])
    for name in ("bootstrap.sock", "control.sock"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(front / name)
    frames = socket(AF_UNIX, SOCK_STREAM)
    (run / "frames.sock").unlink(missing_ok=True)
    frames.bind(str(run / "frames.sock"))
    frames.listen(64)

    def egress() -> socket:
        proxy = socket(AF_UNIX, SOCK_STREAM)
        proxy.connect(str(run / "egress.sock"))
        return proxy

    arguments = {"front": [str(front)], "signer": ["--busy-poll"] * busy_poll}

    def command(role: str) -> list[str]:
        worker = [sys.executable, "-P", "-m", "strongroom_local.worker", role]
        return worker + arguments.get(role, [])

    return Init(
        LocalPlatform(stream(platform_socket)),
        FileSealer(sealer_path, measure_installed().pcr0).secret,
        Workers(command, users, _environment()),
        frames,
        egress,
    )


def main() -> int:
    """Runs one boot until it is told to stop or front dies."""
    parser = argparse.ArgumentParser(prog="strongroom_local.entry", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder for this boot's sockets")
    parser.add_argument("--state", type=Path, required=True, help="folder kept across boots")
    parser.add_argument("--busy-poll", action="store_true", help="the signer spins for low latency")
    parser.add_argument("--debug", action="store_true", help="PCR0 to PCR2 zero, as Nitro's debug")
    parser.add_argument(
        "--until-stdin-ends", action="store_true", help="also stop when stdin closes (no orphan)"
    )
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    if arguments.until_stdin_ends:
        Thread(target=_stop_at_end_of_stdin, name="until-stdin-ends", daemon=True).start()
    try:
        for folder in (arguments.run, arguments.state):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        nsm = in_process(arguments.state, debug=arguments.debug)
        shutil.copyfile(arguments.state / "root.der", arguments.run / "nsm-root.der")
        harden()
        seal = arguments.state / "sealer.key"
        boot(arguments.run, nsm.sock, seal, busy_poll=arguments.busy_poll).serve()
    except (LocalError, OSError) as error:
        sys.stderr.write(f"local platform: {error}\n")
        return 1
    return 0


def _environment() -> dict[str, str]:
    """What workers get: where to import from, and which path of it; nothing else of ours."""
    kept = {name: os.environ[name] for name in ("STRONGROOM_PURE",) if name in os.environ}
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **kept}


def _stop_at_end_of_stdin() -> None:
    """Covers what the death signal does not: systems without it, and the time before it is set."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(number: int, _: FrameType | None) -> None:
    """Ends init; its workers end with it (PR_SET_PDEATHSIG, and the close of their links)."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
