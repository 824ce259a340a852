"""kill -9 at random moments: no number comes twice, in hundreds of lives of one file."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from strongroom_host.sequences import Sequences

from tests.conftest import Progress
from tests.host.sequences import taker

ROUNDS = 1000 if os.environ.get("STRONGROOM_SOAK") == "1" else 30


def test_no_number_comes_twice_whenever_it_is_killed(tmp_path: Path, progress: Progress) -> None:
    path, taken = tmp_path / "counters", tmp_path / "taken"
    chance = random.Random(20261121)  # noqa: S311
    for done in range(ROUNDS):
        progress(done, ROUNDS)
        size = chance.choice((1, 2, 7, 64))
        command = [sys.executable, "-m", taker.__name__, str(path), str(taken), str(size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            # Sometimes while it opens and mends, mostly while it takes numbers.
            if chance.random() < 0.8:
                assert process.stdout.read(1) == b"+"
            time.sleep(chance.random() * 0.03)
            process.kill()
    progress(ROUNDS, ROUNDS)
    numbers: dict[str, list[int]] = {"1": [], "2": []}
    for line in taken.read_text().splitlines():
        which, number = line.split()
        numbers[which].append(int(number))
    for found in numbers.values():
        assert len(found) > ROUNDS
        assert found == sorted(set(found))
    with Sequences.open(path) as sequences:
        assert sequences.block("one").next() > numbers["1"][-1]
        assert sequences.block("other").next() > numbers["2"][-1]
