"""Logs that compete for a witness in a process of its own, which is to be killed.

Arguments: the witness's folder, and a number that seeds the choice. Each line on stdout is one
cosignature that was given out: size, history, and the line itself in hex.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from strongroom_host.witness.errors import Refusal

from tests.host.witness.logs import ORIGIN, Log, Station

__all__ = ["HISTORIES"]

HISTORIES = ("leaf", "fork")


def main() -> None:
    folder, seed = sys.argv[1:]
    chance = random.Random(int(seed))  # noqa: S311  repeatable, no secret
    station = Station(Path(folder))
    logs = [Log(word) for word in HISTORIES]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        recorded = station.memory.recorded(ORIGIN)
        size = 0 if recorded is None else recorded.head.size
        log = chance.choice(logs)
        grown = min(size + chance.choice((0, 1, 1, 2)), 250)
        try:
            line = station.witness.add_checkpoint(log.submission(size, grown))
        except Refusal:
            continue
        sys.stdout.write(f"{grown} {log.word} {line.hex()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
