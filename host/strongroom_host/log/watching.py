"""Watching a log: look at every source, hold the looks together, save, and only then call somebody.

An alarm that was raised is in the state file before anybody is told of it, and is marked as told
afterwards. So a monitor that is killed at any moment tells it at least once.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec
from strongroom_wire.bundle import LogHead

from strongroom_host.errors import HostError
from strongroom_host.log.monitor import Event, KeyRing, Look, Monitor, Rules, look_at
from strongroom_host.log.monitor_state import StateFile
from strongroom_host.log.sources import open_source

__all__ = ["AttestedHeads", "CallFailed", "Watch", "call", "event_json"]

_CALL_S: Final = 60.0
_LOOK_S: Final = 900.0
"""How long one source may take in a round: the others are looked at after it."""
_TAIL: Final = 500


class CallFailed(HostError):
    """The command that is to call somebody did not do so."""


class AttestedHeads(Protocol):
    """Somebody who names heads of the log without having its leaves: a boot's fresh evidence, an
    owner's memory."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def head(self) -> LogHead | None:
        """The newest head, or None where there is none yet.

        Raises:
            HostError: it cannot be had.
        """


@dataclass(frozen=True, slots=True)
class Watch:
    """One log, as several sources show it.

    Attributes:
        origin: Which log.
        sources: Folders and URLs.
        attesting: Who names heads without leaves.
        ring: The keys of the log.
        rules: What it has to live up to.
        file: Where the state is kept.
        cache: Where full tiles of URLs are kept, if anywhere.
    """

    origin: str
    sources: Sequence[str]
    attesting: Sequence[AttestedHeads]
    ring: KeyRing
    rules: Rules
    file: StateFile
    cache: Path | None = None

    @property
    def newest(self) -> LogHead | None:
        """The largest head that was proven so far, once a key of the log had signed it.

        Raises:
            LogDamaged: the state cannot be read.
        """
        newest = self.file.load(self.origin).newest
        return None if newest is None or not newest.note else newest.head

    @property
    def standing(self) -> tuple[Event, ...]:
        """The alarms that are on and that somebody was told of before.

        Raises:
            LogDamaged: the state cannot be read.
        """
        alarms = self.file.load(self.origin).alarms
        return tuple(Event.of(each) for each in alarms if each.raised and each.told)

    def acknowledge(self) -> None:
        """Begins anew: a person has looked at every alarm there was.

        Raises:
            LogDamaged, BadInput: the state cannot be read or written.
        """
        state = self.file.load(self.origin)
        state.acknowledge()
        self.file.save(state)

    def once(self, now_ms: int, tell: Callable[[Event], None]) -> bool:
        """Looks once, and tells what is new and what was not told before; whether all is well.

        Args:
            now_ms: ms since the epoch.
            tell: Is called with each event. Where it raises on an alarm, that one is told again the
                next time.

        Raises:
            LogDamaged, BadInput: the state cannot be read or written.
            HostError: what `tell` raised, after everything else was told.
        """
        state = self.file.load(self.origin)
        monitor = Monitor(self.rules, state)
        looks = [self._attested(each) for each in self.attesting]
        with _Opened(self) as opened:
            looks += [opened.look(place, now_ms) for place in self.sources]
            events = monitor.round(looks, now_ms)
        self.file.save(state)
        failures = []
        for event in events:
            tell(event)
        for alarm in monitor.untold():
            try:
                tell(Event.of(alarm))
            except HostError as error:
                failures.append(error)
            else:
                alarm.told = True
        self.file.save(state)
        if failures:
            raise failures[0]
        return not monitor.alarmed

    def _attested(self, source: AttestedHeads) -> Look:
        try:
            return Look(source.name, source.head())
        except HostError as error:
            return Look(source.name, failure=error)


class _Opened:
    """The sources of one round, open until it is over: proofs are read across them."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._stack = ExitStack()

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def look(self, place: str, now_ms: int) -> Look:
        watch = self._watch
        try:
            source = self._stack.enter_context(open_source(place, watch.cache, within_s=_LOOK_S))
        except HostError as error:
            return Look(place, failure=error)
        return look_at(place, source, watch.origin, watch.ring, watch.rules.quorum, now_ms)


def event_json(event: Event) -> dict[str, object]:
    """The event as plain values; the same for `--json` and for the command that is called."""
    head = event.head
    return {
        "at_ms": event.at_ms,
        "kind": event.kind.value,
        "alarm": event.alarm,
        "source": event.source,
        "what": event.what,
        "size": None if head is None else head.size,
        "root": None if head is None else head.root.hex(),
        "notes": [note.decode("utf-8", "replace") for note in event.notes],
    }


def call(command: str, event: Event) -> None:
    """Runs a command with the event as JSON on its standard input; no shell is involved.

    Raises:
        CallFailed: it cannot be started, fails, or takes longer than a minute.
    """
    try:
        done = subprocess.run(  # noqa: S603  the person's own command
            shlex.split(command),
            input=msgspec.json.encode(event_json(event)),
            capture_output=True,
            timeout=_CALL_S,
            check=False,
        )
        problem = f"exit status {done.returncode}: {done.stderr[-_TAIL:].decode(errors='replace')}"
        failed = done.returncode != 0
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        problem, failed = str(error), True
    if failed:
        raise CallFailed(
            f"the command that was to call somebody failed: {command}",
            expected="exit status 0 within a minute",
            actual=problem,
            remedy="the alarm stays untold, and is told again at the next look",
        )
