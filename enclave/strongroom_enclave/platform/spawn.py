"""The process supervisor: the one place that starts processes.

A worker is a fresh interpreter (exec, never fork alone), so it shares no memory with init; where
the entry point names users, it runs as one of its own and can neither trace nor signal another. It
inherits its link and the sockets it needs, and no other descriptor.
"""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from socket import socket, socketpair
from typing import NamedTuple

from strongroom_enclave.platform.links import Link


class Worker(NamedTuple):
    """A running worker and init's end of its link."""

    role: str
    link: Link
    process: "subprocess.Popen[bytes]"

    def kill(self) -> None:
        """Ends the process, at once, and reaps it."""
        self.process.kill()
        self.process.wait()
        self.link.close()


class Workers(NamedTuple):
    """How the entry point wants workers started.

    `command(role)` is the argument vector, to which the descriptors are appended. `users` gives
    each role its user and group id; an empty mapping leaves all under init's own user.
    """

    command: Callable[[str], list[str]]
    users: Mapping[str, int]
    environment: Mapping[str, str]

    def spawn(self, role: str, *sockets: socket) -> Worker:
        """Starts the worker for `role` with its link and `sockets`, and returns it."""
        ours, theirs = socketpair()
        user = self.users[role] if self.users else None
        descriptors = [sock.fileno() for sock in (theirs, *sockets)]
        with theirs:
            process = subprocess.Popen(  # noqa: S603  our own interpreter and modules
                [*self.command(role), *map(str, descriptors)],
                user=user,
                group=user,
                extra_groups=[] if self.users else None,
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                env=dict(self.environment),
            )
        return Worker(role, Link(ours.detach()), process)


def make_home(path: Path, user: int) -> None:
    """Makes a folder that only `user` may enter."""
    path.mkdir(mode=0o700)
    os.chown(path, user, user)
