"""A consumer that another one may not pass."""

import time
from typing import Final

from strongroom_host.ring import layout
from strongroom_host.ring.consumers import Consumers, done_position
from strongroom_host.ring.errors import DependencyGone

__all__ = ["Leader"]

_LOOK_S: Final = 0.02
_GRACE_S: Final = 1.0


class Leader:
    """How far the awaited consumer is, and whether it is still there.

    A leader that was killed may be started again under its name: it is missed for a second before
    that is an error.
    """

    def __init__(self, consumers: Consumers, name: str, follower: int) -> None:
        """Takes the number of the consumer that waits."""
        self._consumers, self.name, self._follower = consumers, name, follower
        self._word: int | None = None
        self._seen_at, self._look_at = time.monotonic(), 0.0
        self.look()

    def done(self) -> int:
        """Returns the last tick that it is done with; 0 while it is not known."""
        return 0 if self._word is None else done_position(self._consumers.words[self._word])

    def look(self) -> None:
        """Makes sure, now and then, that it is there.

        Raises:
            DependencyGone: it has not been for a second.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        found = self._consumers.find(self.name)
        if found is not None and found.alive:
            self._seen_at = now
            self._word = layout.entry_word(found.number) + layout.TAKEN
            mine = layout.entry_word(self._follower) + layout.AFTER
            self._consumers.words[mine] = found.number + 1
        elif now - self._seen_at > _GRACE_S:
            raise DependencyGone(
                f"the consumer {self.name!r}, which is not to be passed, is gone",
                expected="it alive, or started again within a second",
                actual="stopped" if found is None else f"process {found.pid} ended",
                remedy="start it again, then this one; or go on without it (`release`)",
            )
