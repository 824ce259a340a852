"""kill -9 at random moments: whatever was acknowledged is there, and nothing else than was written.

One log lives through 50 rounds or, in `make soak`, four logs through 250 each. In each round, a
process goes on with it, says what it has stored, and is killed.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import Checkpoint, Note
from strongroom_host.log.stored import FolderStorage
from strongroom_host.log.tiles import CHECKPOINT, WIDTH, WITNESSED
from strongroom_host.log.tree import LogReader
from strongroom_wire.merkle import Frontier, leaf_hash

from tests.conftest import SOAK, Progress
from tests.host.log.crashing_writer import entry
from tests.host.log.test_files import Folder

LOGS, ROUNDS = (4, 250) if SOAK else (1, 50)


class Expected:
    """What the log must be at any size, computed once."""

    def __init__(self) -> None:
        self.tree, self.roots = Frontier(), [Frontier().head]

    def head(self, size: int) -> bytes:
        while len(self.roots) <= size:
            self.tree.append(leaf_hash(entry(len(self.roots) - 1)))
            self.roots.append(self.tree.head)
        return self.roots[size].root


def _killed(folder: Path, seed: int, after_s: float) -> dict[str, int]:
    """Let a writer run that long, kill it, and return the last number of each kind it gave."""
    arguments = [sys.executable, "-m", "tests.host.log.crashing_writer", str(folder), str(seed)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = {"opened": 0, "stored": 0, "published": 0, "vouched": 0}
    line = process.stdout.readline()
    time.sleep(after_s)
    process.kill()
    # The last line may be cut; only whole ones were said.
    for said in [line, *process.stdout.read().splitlines(keepends=True)]:
        if said.endswith("\n"):
            kind, _, number = said.strip().partition(" ")
            told[kind] = int(number)
    process.stdout.close()
    assert process.wait() == -9, "the writer ended by itself"
    return told


@pytest.mark.timeout(3600 if SOAK else 300)
@pytest.mark.parametrize("log_number", range(LOGS))
def test_killed_at_random_moments(log_number: int, tmp_path: Path, progress: Progress) -> None:
    chance = random.Random(20261121 + log_number)  # noqa: S311  repeatable, no secret
    expected, size = Expected(), 0
    for number in range(ROUNDS):
        progress(number, ROUNDS)
        told = _killed(tmp_path, log_number * ROUNDS + number, chance.random() ** 2 * 0.12)
        assert told["opened"] >= size, "a leaf that was seen after a crash is gone"
        with LogFiles(tmp_path) as log:
            assert log.size >= max(told["stored"], told["opened"])
            assert log.head.root == expected.head(log.size)
            recent = range(max(0, log.size - 2 * WIDTH), log.size)
            assert list(log.reader().entries(recent.start)) == [entry(n) for n in recent]
            assert log.published >= told["published"]
            size = log.size
        published = _check_served(tmp_path, expected, CHECKPOINT)
        vouched = _check_served(tmp_path, expected, WITNESSED)
        assert vouched >= told["vouched"], "a quorum's cosignatures are gone"
        assert vouched >= published or published % 2 == 0, "published, and not kept before"
    progress(ROUNDS, ROUNDS)
    # No batch was written in vain: the log has grown, and is readable from end to end.
    assert size > ROUNDS
    with LogFiles(tmp_path) as log:
        for n, found in enumerate(log.reader().entries()):
            assert found == entry(n)


def _check_served(folder: Path, expected: Expected, path: str) -> int:
    """A plain file server next to the crashed writer serves a whole log of the note there."""
    note = FolderStorage(folder).read(path)
    if note is None:
        return 0
    head = Checkpoint.parse(Note.parse(note).text).head
    assert head.root == expected.head(head.size)
    reader = LogReader(Folder(folder), head)
    for index in {0, head.size // 2, head.size - 1}:
        assert reader.entry(index) == entry(index)
    assert reader.frontier().head == head
    return head.size
