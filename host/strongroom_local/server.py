"""The software NSM behind a stream socket, in frames (`framing`) both ways.

A socket pair, never a path: the module answers whoever holds the other end, as the device answers
whoever may open its node, so the holder should be the one process that the end was made for. It
must not leave its end open in processes that it forks.

Run as a module, this file is the process that `in_process` starts.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

from strongroom_local.framing import LENGTH_SIZE, receive, send
from strongroom_local.measure import DEBUG, measure_installed
from strongroom_local.nsm import MAX_REQUEST, SoftwareNsm
from strongroom_local.pki import root_of_run

__all__ = ["NsmProcess", "in_process", "in_thread", "serve"]

_CHUNK = 1 << 16


def serve(nsm: SoftwareNsm, sock: socket.socket) -> None:
    """Answers request after request until the other end closes, then closes this one.

    A length over the limit is refused before its bytes are read; they are dropped after the answer,
    so that the next request is found.
    """
    with sock:
        try:
            while len(head := receive(sock, LENGTH_SIZE)) == LENGTH_SIZE:
                size = int.from_bytes(head, "big")
                unread = size if size > MAX_REQUEST else 0
                request = bytes(MAX_REQUEST + 1) if unread else receive(sock, size)
                if not unread and len(request) < size:
                    return
                send(sock, nsm.handle(request))
                while unread and (dropped := sock.recv(min(unread, _CHUNK))):
                    unread -= len(dropped)
        except OSError:
            return  # the other end is gone, and with it anybody to tell


def in_thread(nsm: SoftwareNsm) -> socket.socket:
    """Serves `nsm` from a thread and returns the other end; closing that ends the thread."""
    ours, theirs = socket.socketpair()
    Thread(target=serve, args=(nsm, ours), name="software-nsm", daemon=True).start()
    return theirs


@dataclass(frozen=True, slots=True)
class NsmProcess:
    """A module in a process of its own.

    Attributes:
        sock: The end to speak to it; when its last copy closes, the process ends.
        process: For whoever wants to wait for that.
    """

    sock: socket.socket
    process: subprocess.Popen[bytes]

    def close(self) -> None:
        """Closes this copy of the end and waits for the process."""
        self.sock.close()
        self.process.wait()


def in_process(folder: Path, *, indefinite: bool = False, debug: bool = False) -> NsmProcess:
    """Launches a module under the root of a run folder, measuring the packages installed here.

    Args:
        folder: Where `root.pem` and `root.der` are, or will be; both exist on return.
        indefinite: As in `SoftwareNsm`.
        debug: Report PCR0 to PCR2 as zero.

    Raises:
        LocalError: the folder's files or the source trees are not usable.
        OSError: the folder is missing or not writable, or no process could be started.
    """
    root_of_run(folder, datetime.now(UTC))
    measure_installed()
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-P", "-m", "strongroom_local.server", "--folder", str(folder)]
    command += ["--fd", str(ours.fileno())]
    command += ["--indefinite"] * indefinite + ["--debug"] * debug
    # The child must find, and measure, the very packages that this process imports.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            command, pass_fds=[ours.fileno()], stdin=subprocess.DEVNULL, env=environment
        )
    except OSError:
        theirs.close()
        raise
    finally:
        ours.close()
    return NsmProcess(theirs, process)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="strongroom_local.server", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="the run folder")
    parser.add_argument("--fd", type=int, required=True, help="a connected stream socket")
    parser.add_argument("--indefinite", action="store_true", help="open-length payload maps")
    parser.add_argument("--debug", action="store_true", help="PCR0 to PCR2 are zero")
    args = parser.parse_args()
    # The end of the socket ends this process; an interrupt at the terminal must not end it first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    root = root_of_run(args.folder, datetime.now(UTC))
    measured = DEBUG if args.debug else measure_installed()
    nsm = SoftwareNsm(root, measured, indefinite=args.indefinite)
    serve(nsm, socket.socket(fileno=args.fd))


if __name__ == "__main__":
    _main()
