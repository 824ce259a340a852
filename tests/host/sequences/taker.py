"""Takes numbers and writes each one down, until it is killed. Arguments: counters, list, size."""

import os
import sys
from pathlib import Path

from strongroom_host.sequences import Sequences


def main() -> None:
    path, taken, size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    listed = os.open(taken, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with Sequences.open(path) as sequences:
        one, other = sequences.block("one", size), sequences.block("other", size + 1)
        os.write(1, b"+")
        while True:
            os.write(listed, b"1 %d\n2 %d\n" % (one.next(), other.next()))


if __name__ == "__main__":
    main()
