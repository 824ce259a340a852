"""The process supervisor: the one place that starts processes.

A worker is a fresh interpreter (exec, never fork alone), so it shares no memory with init; where
the entry point names users, it runs as one of its own and can neither trace nor signal another. It
inherits its link and the sockets it needs, and no other descriptor.
"""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from socket import socket, socketpair

from strongroom_enclave.platform.links import Link

__all__ = ["Worker", "Workers"]


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker and init's end of its link."""

    role: str
    link: Link
    process: "subprocess.Popen[bytes]"

    def kill(self) -> None:
        """Ends the process, at once, and reaps it."""
        self.process.kill()
        self.process.wait()
        self.link.close()


@dataclass(frozen=True, slots=True)
class Workers:
    """How the entry point wants workers started.

    `command(role)` is the argument vector, to which the descriptors are appended. `users` gives
    each role its user and group id; an empty mapping leaves all under init's own user.
    """

    command: Callable[[str], list[str]]
    users: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def spawn(self, role: str, *sockets: socket, arguments: tuple[str, ...] = ()) -> Worker:
        """Starts the worker for `role` with its link and `sockets`, and returns it."""
        ours, theirs = socketpair()
        user = self.users.get(role) if self.users else None
        if self.users and user is None:
            raise LookupError(f"no user for role {role}")
        descriptors = [sock.fileno() for sock in (theirs, *sockets)]
        with theirs:
            process = subprocess.Popen(
                [*self.command(role), *map(str, descriptors), *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                env=dict(self.environment),
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        return Worker(role, Link(ours), process)
