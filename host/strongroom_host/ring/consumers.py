"""The consumers of a ring that have a name: who they are, how far they are, who waits for whom.

Each has an entry in the ring's second region and the lock of a byte of its file for as long as it
lives. The entry outlasts a consumer that was killed, so that one of the same name goes on from it.
"""

import os
from dataclasses import dataclass
from typing import Final

from strongroom_host.errors import BadInput
from strongroom_host.ring import layout
from strongroom_host.ring.errors import ConsumerTaken, DependencyGone, NameInvalid, RingFull
from strongroom_host.ring.locks import (
    REGISTRY,
    consumer_byte,
    is_held,
    process_start,
    try_lock,
    unlock,
)
from strongroom_host.ring.places import check_name

__all__ = ["Consumer", "Consumers", "done_position"]

_PATIENCE_S: Final = 2.0


def done_position(taken: int) -> int:
    """Returns the last tick that a consumer is done with, from its `TAKEN` word."""
    return max(0, (taken >> layout.IN_HAND_BITS) - (taken & layout.NOT_BEGUN))


@dataclass(frozen=True, slots=True)
class Consumer:
    """What an entry says."""

    number: int
    name: str
    taken: int
    missed: int
    pid: int
    started: int
    after: int | None
    alive: bool

    @property
    def began(self) -> bool:
        """Whether it has chosen where to begin."""
        return self.taken != layout.NOT_BEGUN

    @property
    def position(self) -> int:
        """The last tick that it was given, or counted as lost."""
        return self.taken >> layout.IN_HAND_BITS

    @property
    def done(self) -> int:
        """The last tick that it is done with."""
        return done_position(self.taken)


class Consumers:
    """A ring's consumers, over their region of its memory."""

    def __init__(self, region: memoryview, count: int, descriptor: int) -> None:
        self._bytes, self.words = region, region.cast("Q")
        self._count, self._descriptor = count, descriptor
        self._mine: int | None = None

    def all(self) -> list[Consumer]:
        """Returns the entries in use, of the living and of the dead."""
        found = (self.get(number) for number in range(self._count))
        return [consumer for consumer in found if consumer is not None]

    def get(self, number: int) -> Consumer | None:
        """Returns an entry, or None if it is free."""
        at = (number + 1) * layout.ENTRY_SIZE + layout.NAME
        length = min(self._bytes[at], layout.NAME_SIZE)
        if not length:
            return None
        name = bytes(self._bytes[at + 1 : at + 1 + length]).decode("utf-8", "replace")
        word = layout.entry_word(number)
        after = self.words[word + layout.AFTER]
        return Consumer(
            number=number,
            name=name,
            taken=self.words[word + layout.TAKEN],
            missed=self.words[word + layout.MISSED],
            pid=self.words[word + layout.PID],
            started=self.words[word + layout.START],
            after=after - 1 if 0 < after <= self._count else None,
            alive=number == self._mine or is_held(self._descriptor, consumer_byte(number)),
        )

    def find(self, name: str) -> Consumer | None:
        """Returns the consumer of a name, living or dead."""
        return next((one for one in self.all() if one.name == name), None)

    def is_alive(self, number: int, name: str) -> bool:
        """Returns whether an entry is that consumer's and it lives."""
        consumer = self.get(number)
        return consumer is not None and consumer.name == name and consumer.alive

    def register(self, name: str, after: str | None) -> tuple[int, Consumer | None]:
        """Takes an entry for this process.

        Returns:
            Its number, and what it said if a consumer of this name was there before.

        Raises:
            NameInvalid: consumers cannot be called that.
            ConsumerTaken: a consumer of this name is alive.
            DependencyGone: there is none called `after`, or waiting for it would go in a circle.
            RingFull: no entry is free.
        """
        check_name(name, "consumer")
        if len(name) > layout.NAME_SIZE:
            raise NameInvalid(
                "a consumer cannot have this name",
                expected=f"{layout.NAME_SIZE} characters at most",
                actual=len(name),
            )
        if not try_lock(self._descriptor, REGISTRY, _PATIENCE_S):
            raise RingFull(
                "another consumer has been registering for too long",
                expected=f"less than {_PATIENCE_S:.0f} s",
                remedy="`strongroom ring show` names the ring's processes; is one stopped?",
            )
        try:
            return self._register(name, after)
        finally:
            unlock(self._descriptor, REGISTRY)

    def count_gap(self, number: int, last: int, missed: int) -> None:
        """Records that all up to `last` was given or lost, `missed` in all; whole even if this
        process is killed within."""
        word = layout.entry_word(number)
        self.words[word + layout.GAP_MISSED] = missed
        self.words[word + layout.GAP] = last
        self.words[word + layout.MISSED] = missed
        self.words[word + layout.TAKEN] = last << layout.IN_HAND_BITS
        self.words[word + layout.GAP] = 0

    def leave(self) -> None:
        """Gives the entry back; if others wait for this consumer, it stays theirs to wait for."""
        if self._mine is None:
            return
        number, self._mine = self._mine, None
        if try_lock(self._descriptor, REGISTRY, _PATIENCE_S):
            if not any(one.alive and one.after == number for one in self.all()):
                self._bytes[(number + 1) * layout.ENTRY_SIZE + layout.NAME] = 0
            unlock(self._descriptor, REGISTRY)
        unlock(self._descriptor, consumer_byte(number))

    def release(self) -> None:
        """Lets go of the views of the region."""
        self.words.release()
        self._bytes.release()

    def _register(self, name: str, after: str | None) -> tuple[int, Consumer | None]:
        entries = {one.number: one for one in self.all()}
        before = next((one for one in entries.values() if one.name == name), None)
        leader = None if after is None else self._leader(entries, before, name, after)
        number = before.number if before else self._free(entries)
        if not try_lock(self._descriptor, consumer_byte(number)):
            raise ConsumerTaken(
                f"the ring has a consumer called {name!r}: process {before.pid if before else 0}",
                expected="a name of its own for each consumer",
                remedy="stop it, or choose another name",
            )
        self._mine = number
        word, pid = layout.entry_word(number), os.getpid()
        if before is None:
            for fresh in (layout.MISSED, layout.GAP, layout.GAP_MISSED):
                self.words[word + fresh] = 0
            self.words[word + layout.TAKEN] = layout.NOT_BEGUN
        elif gap := self.words[word + layout.GAP]:
            self.count_gap(number, gap, self.words[word + layout.GAP_MISSED])
            before = self.get(number)
        self.words[word + layout.PID] = pid
        self.words[word + layout.START] = process_start(pid)
        self.words[word + layout.AFTER] = 0 if leader is None else leader + 1
        at = (number + 1) * layout.ENTRY_SIZE + layout.NAME
        data = name.encode()
        self._bytes[at + 1 : at + 1 + len(data)] = data
        self._bytes[at] = len(data)
        return number, before

    def _leader(
        self, entries: dict[int, Consumer], before: Consumer | None, name: str, after: str
    ) -> int:
        """Returns the number of the consumer that `name` may not pass."""
        leader = next((one for one in entries.values() if one.name == after), None)
        if after == name:
            raise BadInput(f"the consumer {name!r} cannot come after itself")
        if leader is None or not leader.alive:
            raise DependencyGone(
                f"there is no consumer {after!r} for {name!r} to come after",
                expected="a consumer that is attached to the ring",
                actual=", ".join(one.name for one in entries.values() if one.alive) or "none",
                remedy="start that one first",
            )
        step: Consumer | None = leader
        for _ in range(self._count):
            if step is None or step.after is None:
                return leader.number
            if before is not None and step.after == before.number:
                break
            step = entries.get(step.after)
        raise DependencyGone(
            f"{name!r} cannot come after {after!r}, which comes after {name!r} itself",
            expected="consumers that do not wait for each other in a circle",
        )

    def _free(self, entries: dict[int, Consumer]) -> int:
        """Returns an entry that nobody has, else one of the dead for whom nobody waits."""
        for number in range(self._count):
            if number not in entries:
                return number
        awaited = {one.after for one in entries.values() if one.alive}
        for number, one in entries.items():
            if not one.alive and number not in awaited:
                return number
        raise RingFull(
            f"the ring has room for {self._count} consumers, and all are in use",
            actual=", ".join(one.name for one in entries.values()),
            remedy="stop one, or start the producer with more (a new ring)",
        )
