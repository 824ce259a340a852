"""What the operator is told while the record is served: lines of JSON, and counters.

Names of accounts, stages and codes, never a number of the account's: what is not disclosed to a
reader is in no log line either.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final, TextIO

from strongroom_host.record_store.desk import Event, Stage
from strongroom_host.record_store.failures import shown

__all__ = ["OperatorLog", "Repeats", "exposition"]

_LEVELS: Final = {Stage.DEAD: "error", Stage.RETRYING: "warning"}


_QUIET_S: Final = 60.0
_QUIETEST_S: Final = 3600.0
_REMEMBERED: Final = 64
"""What is said again is said after a minute, then after twice as long each time, up to an hour."""


class Repeats:
    """What was said lately, so that a state that lasts is one line and a count, not a flood.

    A record that is refused tries again every second, on each of its connections.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now` is a clock in seconds that never goes back."""
        self._now = now
        self._said: OrderedDict[str, tuple[float, float, int]] = OrderedDict()

    def due(self, what: str) -> int:
        """Returns how often this came since it was said last, itself included, if it is to be said
        now; else 0."""
        now = self._now()
        quiet, since, count = self._said.pop(what, (0.0, -_QUIETEST_S * 2, 0))
        if now < since + quiet:
            self._said[what] = quiet, since, count + 1
            return 0
        lasts = now < since + 2 * quiet
        self._said[what] = min(quiet * 2, _QUIETEST_S) if lasts else _QUIET_S, now, 0
        while len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
        return count + 1


class OperatorLog:
    """Lines of JSON on a stream, from any thread."""

    def __init__(self, stream: TextIO, repeats: Repeats | None = None) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._repeats = repeats or Repeats()
        self.warnings = 0
        """How often there was something that a person has to look at."""

    def heard(self, event: Event) -> None:
        """Tells how far a job is."""
        said: dict[str, object] = {"account": event.account, "stage": event.stage.value}
        if event.failure:
            said |= {"failure": event.failure, "means": shown(event.failure)}
        self._line(_LEVELS.get(event.stage, "info"), "sync", said)

    def warn(self, what: str) -> None:
        """Tells what a person has to look at: what repeats itself now and then, with `times`."""
        with self._lock:
            self.warnings += 1
            times = self._repeats.due(what)
        if times:
            again = {"times": times} if times > 1 else {}
            self._line("error", "look at this", {"what": what, **again})

    def say(self, what: str, **facts: object) -> None:
        """Tells what happened."""
        self._line("info", what, facts)

    def _line(self, level: str, event: str, facts: dict[str, object]) -> None:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps({"at": at, "level": level, "event": event, **facts})
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


def exposition(counts: Counter[str], gauges: dict[str, int]) -> str:
    """Returns counters of stages and gauges in Prometheus' text format."""
    lines = ["# TYPE strongroom_record_jobs_total counter"]
    lines += [
        f'strongroom_record_jobs_total{{stage="{name}"}} {count}'
        for name, count in sorted(counts.items())
    ]
    for name, value in sorted(gauges.items()):
        lines += [f"# TYPE strongroom_record_{name} gauge", f"strongroom_record_{name} {value}"]
    return "\n".join(lines) + "\n"
