"""Asking the keeper: an answer of the enclave is not acted upon before its leaf is kept."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from strongroom_wire.errors import WireError
from strongroom_wire.pages import Entry

from strongroom_host.errors import EnvironmentFault
from strongroom_host.log.errors import LogError
from strongroom_host.log.keeper_frames import Answer, Outcome, question, receive, send

__all__ = ["KeeperClient", "KeeperUnreachable", "KeepingRefused", "KeepingStopped"]


class KeeperUnreachable(EnvironmentFault):
    """No keeper answers, or it cannot read the enclave's log: whether the leaf is stored is not
    known. Do not act on the answer; asking again may help."""


class KeepingRefused(LogError):
    """The leaf is not in the log that the enclave signed. Do not act on the answer."""


class KeepingStopped(LogError):
    """Something contradicts the stored log: nothing is kept until a person has looked."""


class KeeperClient:
    """One client's connection to the keeper at `path`, made when it is needed; for one thread.

    `timeout` is how long to wait for an answer, in seconds.
    """

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self._path, self._timeout = path, timeout
        self._stream: socket.socket | None = None

    def kept(self, entries: Sequence[Entry]) -> int:
        """Returns how many leaves the log has, once it has these, durably and under a signed head.

        Raises:
            KeeperUnreachable, KeepingRefused, KeepingStopped: it has not, as far as is known.
        """
        answer = self._ask(question(entries))
        if answer.outcome is Outcome.KEPT:
            return answer.size
        kind = {
            Outcome.REFUSED: KeepingRefused,
            Outcome.NOT_YET: KeeperUnreachable,
            Outcome.STOPPED: KeepingStopped,
        }[answer.outcome]
        raise kind(answer.what, remedy=answer.remedy)

    def close(self) -> None:
        """Ends the connection; harmless when there is none."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def __enter__(self) -> KeeperClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, message: bytes) -> Answer:
        reused = self._stream is not None
        try:
            if self._stream is None:
                self._stream = socket.socket(socket.AF_UNIX)
                self._stream.settimeout(self._timeout)
                self._stream.connect(str(self._path))
            send(self._stream, message)
            return Answer.parse(receive(self._stream))
        except (OSError, WireError) as error:
            self.close()
            if reused and not isinstance(error, TimeoutError):
                return self._ask(message)  # the keeper was started anew; asking twice is no harm
            raise KeeperUnreachable(
                f"no answer from the keeper at {self._path}",
                actual=error,
                remedy="start `strongroom log keep`, or look why it ended; nothing was sent to the "
                "venue",
            ) from error
