"""kill -9 at any time: no two cosignatures that were ever given out are of two histories.

In each round, a process asks a witness to cosign now one history and now another, and is killed. 50
rounds here, four witnesses' 250 each in `make soak`, and some with the whole daemon.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from strongroom_host.log.notes import Note, open_checkpoint

from tests.conftest import SOAK, Progress
from tests.host.witness.crashing_requests import HISTORIES
from tests.host.witness.daemon import Daemon
from tests.host.witness.logs import ORIGIN, Log, Station

WITNESSES, ROUNDS = (4, 250) if SOAK else (1, 50)
LOGS = {word: Log(word) for word in HISTORIES}


def _killed(folder: Path, seed: int, after_s: float) -> list[tuple[int, str, bytes]]:
    """Let a process ask that long, kill it, and return the cosignatures it was given."""
    arguments = [sys.executable, "-m", "tests.host.witness.crashing_requests", str(folder)]
    process = subprocess.Popen([*arguments, str(seed)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(after_s)
    process.kill()
    given = [line.split() for line in process.stdout.read().splitlines(keepends=True)[:-1]]
    process.stdout.close()
    assert process.wait() == -9, "the process ended by itself"
    return [(int(size), word, bytes.fromhex(line)) for size, word, line in given]


@pytest.mark.timeout(3600 if SOAK else 300)
@pytest.mark.parametrize("number", range(WITNESSES))
def test_killed_at_random_moments(number: int, tmp_path: Path, progress: Progress) -> None:
    chance = random.Random(20261121 + number)  # noqa: S311  repeatable, no secret
    first = Station(tmp_path / "w", LOGS["leaf"].vkey)
    public = first.public
    first.memory.close()
    largest, words = 0, set[str]()
    for done in range(ROUNDS):
        progress(done, ROUNDS)
        seed = number * ROUNDS + done
        for size, word, line in _killed(tmp_path / "w", seed, chance.random() ** 2 * 0.1):
            note = LOGS[word].note(size) + line
            assert open_checkpoint(note, ORIGIN, [LOGS[word].vkey], [public]).witnesses
            assert size >= largest, "a smaller head was cosigned after a larger one"
            largest, words = size, words | ({word} if size else set())
        with Station(tmp_path / "w").memory as memory:
            recorded = memory.recorded(ORIGIN)
        stored = 0 if recorded is None else recorded.head.size
        assert stored >= largest, "what was given out is forgotten"
    progress(ROUNDS, ROUNDS)
    assert len(words) == 1, "two histories were cosigned"
    assert largest > 20


@pytest.mark.slow
def test_the_daemon_killed_and_stopped(tmp_path: Path) -> None:
    station = Station(tmp_path / "w", LOGS["leaf"].vkey)
    station.memory.close()
    size = 0
    for n in range(3):
        with Daemon(tmp_path / "w") as daemon:
            for _ in range(4):
                answer = daemon.ask(LOGS["leaf"].submission(size, size + 1))
                assert answer.status_code == 200
                size += 1
            assert daemon.ask(LOGS["fork"].submission(size, size + 1)).status_code == 422
            assert daemon.ask(LOGS["leaf"].submission(0, size)).text == f"{size}\n"
            assert daemon.end(signal.SIGKILL if n < 2 else signal.SIGTERM) == (-9 if n < 2 else 0)
    with Station(tmp_path / "w").memory as memory:
        recorded = memory.recorded(ORIGIN)
    assert recorded is not None
    assert Note.parse(recorded.note).text == Note.parse(LOGS["leaf"].note(size)).text
