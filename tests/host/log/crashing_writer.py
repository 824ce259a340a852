"""A writer of a log in a process of its own, to be killed; it says what is durable as it goes.

Arguments: folder, and a number that seeds the sizes of its batches. It appends `entry(n)` for each
n and prints the size after every append and the size of every checkpoint that it has published;
those of odd sizes it keeps as the last with a quorum as well, before.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from strongroom_host.log.files import LogFiles

from tests.host.log.histories import checkpoint

__all__ = ["entry"]


def entry(n: int) -> bytes:
    """Return the leaf at this place, in every round the same."""
    return b"leaf %d " % n + bytes([n % 256]) * (n * 37 % 400)


def main() -> None:
    folder, seed = sys.argv[1:]
    chance = random.Random(int(seed))  # noqa: S311  repeatable, no secret
    log = LogFiles(Path(folder))
    sys.stdout.write(f"opened {log.size}\n")
    while True:
        size = log.size
        log.append(size, [entry(n) for n in range(size, size + chance.choice((1, 1, 1, 3, 90)))])
        sys.stdout.write(f"stored {log.size}\n")
        if chance.random() < 0.3:
            note = checkpoint(log.head)
            if log.size % 2:  # as if a quorum had cosigned it
                log.vouch(note)
                sys.stdout.write(f"vouched {log.size}\n")
                sys.stdout.flush()
            log.publish(note)
            sys.stdout.write(f"published {log.size}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
