"""What the operator is told while the record is served: lines of JSON, and counters.

Names of accounts, stages and codes, never a number of the account's: what is not disclosed to a
reader is in no log line either.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from typing import Final, TextIO

from strongroom_host.record_store.desk import Event, Stage
from strongroom_host.record_store.failures import shown

__all__ = ["OperatorLog", "exposition"]

_LEVELS: Final = {Stage.DEAD: "error", Stage.RETRYING: "warning"}


class OperatorLog:
    """Lines of JSON on a stream, from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self.warnings = 0
        """How often something was said that a person has to look at."""

    def heard(self, event: Event) -> None:
        """Tells how far a job is."""
        said: dict[str, object] = {"account": event.account, "stage": event.stage.value}
        if event.failure:
            said |= {"failure": event.failure, "means": shown(event.failure)}
        self._line(_LEVELS.get(event.stage, "info"), "sync", said)

    def warn(self, what: str) -> None:
        """Tells what a person has to look at."""
        self.warnings += 1
        self._line("error", "look at this", {"what": what})

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
