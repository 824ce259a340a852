"""A racing producer, consumers in other processes, pauses and kills: every tick is seen or counted
as lost, none is torn, none comes twice, none before the consumer it has to come after."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from strongroom_host.ring.listing import remove_ring
from strongroom_host.ring.reader import RingReader

from tests.conftest import SOAK
from tests.host.ring.torture import BEGAN, PASSED, POSITION, SEEN, TORN, TWICE, tally

ROOT = Path(__file__).resolve().parents[3]
TOTAL = 100_000_000 if SOAK else 1_000_000
SLOTS = 512
READERS = {
    "spinning": ("", "spin"),
    "yielding": ("", "yield"),
    "sleeping": ("", "block"),
    "in-batches": ("", "yield-many"),
    "following": ("yielding", "yield-many"),
}
BATCHES = 64


@dataclass
class Cast:
    """The processes of one run."""

    folder: Path
    total: int
    slots: int
    readers: dict[str, tuple[str, str]]
    seed: int
    producer: subprocess.Popen[bytes] | None = None
    consumers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=dict)

    def start_producer(self) -> None:
        self.seed += 1
        numbers = map(str, (self.slots, self.total, self.seed))
        self.producer = started("produce", "ring", *numbers)

    def start(self, name: str) -> None:
        after, how = self.readers[name]
        path = str(self.folder / name)
        self.consumers[name] = started("consume", "ring", name, after, how, str(self.total), path)

    def kill(self, name: str) -> None:
        process = self.producer if name == "producer" else self.consumers[name]
        if process is None or process.poll() is not None:
            return
        process.kill()
        process.wait()
        self.kills[name] = self.kills.get(name, 0) + 1
        if name == "producer":
            self.start_producer()
        else:
            self.start(name)

    def pause(self, name: str, seconds: float) -> None:
        process = self.producer if name == "producer" else self.consumers[name]
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        for process in (self.producer, *self.consumers.values()):
            if process is not None:
                process.kill()
                process.wait()


def started(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.host.ring.torture", *arguments]
    return subprocess.Popen(command, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.timeout(7200 if SOAK else 240)
def test_every_tick_is_seen_or_counted_through_pauses_and_kills(
    tmp_path: Path, ring_folder: Path
) -> None:
    cast = Cast(tmp_path, TOTAL, SLOTS, READERS, seed=1)
    chance = random.Random(7)  # noqa: S311  (a schedule, not a secret)
    try:
        cast.start_producer()
        for name in READERS:
            cast.start(name)
        torment(cast, chance)
        for name in READERS:
            reader = finished(cast, name)
            report(name, reader)
            assert reader.torn == 0
            assert reader.twice == 0
            assert reader.passed == 0
            assert reader.seen > 0
            # What a killed consumer had in its hands is neither seen nor lost: it was given.
            in_hand = reader.due - reader.seen - reader.missed
            batch = BATCHES if READERS[name][1].endswith("-many") else 1
            assert 0 <= in_hand <= batch * cast.kills.get(name, 0)
    finally:
        cast.end()
        remove_ring("ring")
    assert cast.kills["producer"] >= 1
    assert sum(cast.kills.values()) > cast.kills["producer"]
    assert list(ring_folder.iterdir()) == []


def torment(cast: Cast, chance: random.Random) -> None:
    """Pauses and kills at random until all ticks are published."""
    everybody = ["producer", *cast.readers]
    every = 12.0 if SOAK else 0.4
    next_kill = time.monotonic() + 0.8
    while cast.producer is not None and cast.producer.poll() is None:
        cast.pause(chance.choice(everybody), chance.random() * 0.02)
        time.sleep(chance.random() * 0.05)
        if time.monotonic() > next_kill:
            cast.kill(chance.choice(everybody) if sum(cast.kills.values()) > 1 else "producer")
            if cast.kills.get("producer") == 1 and len(cast.kills) == 1:
                cast.kill("yielding")
            next_kill = time.monotonic() + chance.random() * every
    assert cast.producer is not None
    assert cast.producer.returncode == 0


@dataclass(frozen=True)
class Outcome:
    """What one consumer's tally says in the end."""

    due: int
    seen: int
    torn: int
    twice: int
    passed: int
    missed: int


def finished(cast: Cast, name: str) -> Outcome:
    """Waits until a consumer has handled the last tick."""
    words = tally(cast.folder / name)
    until = time.monotonic() + 60
    while words[POSITION] < cast.total:
        assert cast.consumers[name].poll() is None, f"{name} ended"
        assert time.monotonic() < until, f"{name} stays at {words[POSITION]:,}"
        time.sleep(0.01)
    with RingReader.attach("ring", consumer="auditor") as auditor:
        assert auditor._consumers is not None
        entry = auditor._consumers.find(name)
    assert entry is not None
    assert entry.position == cast.total
    due = cast.total + 1 - words[BEGAN]
    return Outcome(due, words[SEEN], words[TORN], words[TWICE], words[PASSED], entry.missed)


def report(name: str, outcome: Outcome) -> None:
    sys.stdout.write(f"{name:>12}: {outcome}\n")
