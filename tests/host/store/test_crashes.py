"""kill -9 at every step and at random moments: nothing is lost, nothing is doubled.

One journal and one venue live through all rounds. In each, a desk process places a few orders
(resting, filling, refused, batched) and dies; then the survivors' accounts are compared: the
journal, once reconciled, must say exactly what the venue knows.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom_host.store import Journal, OrderState, Reconciliation
from strongroom_host.testnet import TestnetServer, default_config
from strongroom_host.venue import SignedRequest

from tests.conftest import Progress
from tests.host.store import crashing_desk
from tests.host.store.test_desk import Desk

SOAK = os.environ.get("STRONGROOM_SOAK") == "1"
STEP_PASSES = (0, 1, 2, 3) * (10 if SOAK else 1)
RANDOM_ROUNDS = 12 if not SOAK else 400
AT_VENUE = {OrderState.ACCEPTED, OrderState.OPEN, OrderState.FILLED, OrderState.CLOSED}
NOT_AT_VENUE = {OrderState.REJECTED, OrderState.ABSENT, OrderState.UNSENT}


class Rounds:
    """The venue, the journal's path, and everything that was ever handed to a desk."""

    def __init__(self, server: TestnetServer, folder: Path) -> None:
        self.desk = Desk(server, folder)
        self.desk.journal.close()
        self.server, self.folder = server, folder
        self.journal = folder / "journal.db"
        self.requests: list[SignedRequest] = []

    def plan(self) -> Path:
        """Fresh orders, behind those of which nothing ever left."""
        fresh = [
            self.desk.signed(self.desk.body(price=0.3)),
            self.desk.signed(self.desk.body(price=0.61, size=5)),
            self.desk.signed(self.desk.body(size=1)),
            self.desk.signed(self.desk.body(price=0.31), self.desk.body(price=0.32)),
        ]
        with Journal(self.journal) as journal:
            unsent = {
                entry.sequence for entry in journal.entries() if entry.state is OrderState.UNSENT
            }
        again = [request for request in self.requests if request.sequence in unsent]
        self.requests += fresh
        plan = self.folder / "plan.json"
        plan.write_text(
            json.dumps(
                [
                    {
                        "hashes": [item.hex() for item in request.order_hashes],
                        "request": request.request.hex(),
                        "sequence": request.sequence,
                    }
                    for request in again + fresh
                ]
            )
        )
        return plan

    def run(self, step: str, passes: int, *, kill_after_s: float | None = None) -> int:
        """One life of the desk process; returns its exit status."""
        process = subprocess.Popen(
            [
                *(sys.executable, crashing_desk.__file__, str(self.journal)),
                *(str(self.server.port), str(self.server.ca_path), str(self.plan())),
                *(step, str(passes)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            if kill_after_s is not None:
                time.sleep(kill_after_s)
                process.kill()
            return process.wait(timeout=60)

    def settle(self) -> None:
        """Let the venue finish what reached it, then reconcile until nothing is unknown."""
        while self.server.connections:
            time.sleep(0.005)
        for _ in range(3):  # one request after another: the loop has run what was queued
            self.desk.venue.exchange(self.desk.queries.trades())
        with Journal(self.journal) as journal:
            self.desk.journal = journal
            for entry in journal.unresolved():
                request = SignedRequest((entry.order_hash,), b"-", 0)
                got, state = self.desk.reconcile(request)
                assert got is Reconciliation.SETTLED, (got, state)
            self.check(journal)
        self.desk.venue.close()

    def check(self, journal: Journal) -> None:
        venue = self.server.clob
        states = {entry.order_hash: entry.state for entry in journal.entries()}
        handed_out = {item for request in self.requests for item in request.order_hashes}
        at_venue = {
            order_id
            for order_id, stored in venue.orders.items()
            if stored.posted_by == self.desk.trader.address
        }
        # Nothing lost: what the venue has, the journal has, as something the venue has.
        assert at_venue == {item for item, state in states.items() if state in AT_VENUE}
        assert set(states) <= handed_out
        assert set(states.values()) <= AT_VENUE | NOT_AT_VENUE
        # Nothing doubled: no order ever reached the venue twice, not even to be refused.
        assert all(venue.submissions[item] <= 1 for item in handed_out)
        for item in handed_out - set(states):
            assert venue.submissions[item] == 0


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rounds]:
    with TestnetServer(default_config(80002), tmp_path_factory.mktemp("testnet")) as server:
        yield Rounds(server, tmp_path_factory.mktemp("desk"))


@pytest.mark.slow
@pytest.mark.parametrize("step", crashing_desk.STEPS)
def test_death_at_every_step(rounds: Rounds, step: str, progress: Progress) -> None:
    for done, passes in enumerate(STEP_PASSES):
        progress(done, len(STEP_PASSES))
        status = rounds.run(step, passes)
        assert status == -9, "the desk outlived its death"
        rounds.settle()
    assert rounds.run("", 0) == 0
    rounds.settle()
    progress(len(STEP_PASSES), len(STEP_PASSES))


@pytest.mark.slow
def test_death_at_random_moments(rounds: Rounds, progress: Progress) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311  # moments, not secrets
    moments = random.Random(seed)  # noqa: S311
    deaths = 0
    for done in range(RANDOM_ROUNDS):
        progress(done, RANDOM_ROUNDS)
        status = rounds.run("", 0, kill_after_s=moments.uniform(0, 0.04))
        deaths += status == -9
        rounds.settle()
    progress(RANDOM_ROUNDS, RANDOM_ROUNDS)
    assert deaths > 0, f"seed {seed}: no kill came in time"
