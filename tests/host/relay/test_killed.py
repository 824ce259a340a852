"""kill -9 on either side, again and again: no (key, number) twice, no order twice, none lost.

A bot and a relay are processes; between them is a network that records every datagram. Each round,
one of the two is killed at a random moment and started again. Afterwards the keys of all sessions
are derived from what was on the wire, and every packet is held against them.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from strongroom_host.relay import frames_v2
from strongroom_host.relay.frames_v2 import Opener, packet_of
from strongroom_host.relay.keys import SessionKeys
from strongroom_host.store import Journal, OrderState, Reconciliation
from strongroom_host.testnet import TestnetServer, default_config
from strongroom_host.venue import SignedRequest

from tests.host.relay import trading_process
from tests.host.relay.network import TO_CLIENT, TO_RELAY, Network, network
from tests.host.relay.world import PSK
from tests.host.store.test_desk import Desk

SOAK = os.environ.get("STRONGROOM_SOAK") == "1"
PARTS, ROUNDS = (20, 20) if SOAK else (1, 8)
"""Each part is a world of its own, and a test that can be run by itself."""

ORDERS = 12
AT_VENUE = {OrderState.ACCEPTED, OrderState.OPEN, OrderState.FILLED, OrderState.CLOSED}


class Relays:
    """One relay at a time, always at the same port once it has one."""

    def __init__(self, server: TestnetServer) -> None:
        self._server = server
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "strongroom_host.cli.main", "relay", "run", "--json"]
        command += ["--listen", f"127.0.0.1:{self.port}", "--upstream", "clob.testnet"]
        command += ["--dial", f"{self._server.host}:{self._server.port}", "--connections", "2"]
        command += ["--ca", str(self._server.ca_path), "--with-stdin"]
        environment = {**os.environ, "RELAY_PSK_HEX": PSK.hex()}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.port = int(ready["address"].rpartition(":")[2])

    def kill(self) -> None:
        if self.process is not None:
            with self.process as process:
                process.kill()
            self.process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TestnetServer]:
    with TestnetServer(default_config(80002), tmp_path / "testnet") as made:
        yield made


class Bots:
    """One bot at a time, its journal and its counters."""

    def __init__(self, server: TestnetServer, folder: Path, wire: Network) -> None:
        self.desk = Desk(server, folder)
        self.desk.journal.close()
        self.folder, self.wire = folder, wire
        self.process: subprocess.Popen[str] | None = None
        self.handed_out: list[bytes] = []

    def start(self) -> None:
        requests = [self.desk.signed(self.desk.body(price=0.3)) for _ in range(ORDERS)]
        self.handed_out += [item for request in requests for item in request.order_hashes]
        plan = self.folder / "plan.json"
        plan.write_text(
            json.dumps(
                [
                    {
                        "hashes": [item.hex() for item in request.order_hashes],
                        "request": request.request.hex(),
                        "sequence": request.sequence,
                    }
                    for request in requests
                ]
            )
        )
        arguments = [str(self.folder / "journal.db"), str(self.folder / "numbers")]
        arguments += [str(self.wire.address[1]), PSK.hex(), str(plan)]
        self.process = subprocess.Popen(
            [sys.executable, trading_process.__file__, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", (self.process.stderr or sys.stderr).read()

    def kill(self) -> None:
        if self.process is not None:
            with self.process as process:
                process.kill()
            self.process = None

    def finish(self) -> None:
        assert self.process is not None
        with self.process as process:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
        self.process = None


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_used_twice_and_nothing_sent_twice(
    server: TestnetServer, tmp_path: Path, part: int, progress: Callable[[int, int], None]
) -> None:
    randomness = random.Random(11 + part)  # noqa: S311  moments of death
    relays = Relays(server)
    with contextlib.ExitStack() as stack:
        stack.callback(relays.kill)
        wire = stack.enter_context(network(("127.0.0.1", relays.port)))
        bots = Bots(server, tmp_path, wire)
        stack.callback(bots.kill)
        for number in range(ROUNDS):
            bots.start()
            time.sleep(randomness.uniform(0, 0.15))
            if number % 2:
                relays.kill()
                relays.start()
                bots.finish()
            else:
                bots.kill()
            progress(number + 1, ROUNDS)
        check_venue(bots, server)
        sessions, packets = check_wire(wire.seen)
    assert sessions >= ROUNDS
    assert packets > 4 * ROUNDS


def check_venue(bots: Bots, server: TestnetServer) -> None:
    """The journal, reconciled, says what the venue has; the venue has nothing twice."""
    desk = bots.desk
    with Journal(bots.folder / "journal.db") as journal:
        desk.journal = journal
        for entry in journal.unresolved():
            got, state = desk.reconcile(SignedRequest((entry.order_hash,), b"-", 0))
            assert got is Reconciliation.SETTLED, (got, state)
        states = {entry.order_hash: entry.state for entry in journal.entries()}
    desk.venue.close()
    at_venue = {
        item
        for item, stored in server.clob.orders.items()
        if stored.posted_by == desk.trader.address
    }
    assert at_venue == {item for item, state in states.items() if state in AT_VENUE}
    assert at_venue
    assert all(server.clob.submissions[item] <= 1 for item in bots.handed_out)


def check_wire(seen: list[tuple[str, bytes]]) -> tuple[int, int]:
    """Every (key, number) on the wire belongs to one datagram; returns sessions and packets."""
    keys: dict[bytes, SessionKeys] = {}
    used: dict[tuple[bytes, int], bytes] = {}
    counted: Counter[str] = Counter()

    def use(key: bytes, number: int, datagram: bytes) -> None:
        known = used.setdefault((key, number), datagram)
        assert known == datagram, f"number {number} twice under one key"

    for _, datagram in seen:
        if datagram[3] == frames_v2.START:
            made = SessionKeys.derive(PSK, datagram[4:20], datagram[20:36])
            keys[datagram[20:28]] = made
            use(made.to_relay, int.from_bytes(datagram[60:68], "big"), datagram)
    for direction, datagram in seen:
        if datagram[3] not in (frames_v2.TO_RELAY, frames_v2.TO_CLIENT):
            continue
        session, number = packet_of(datagram)
        assert (direction == TO_RELAY) is (datagram[3] == frames_v2.TO_RELAY)
        key = keys[session].to_relay if direction == TO_RELAY else keys[session].to_client
        Opener(key).open(datagram)  # it is that key's, or this would raise
        use(key, number, datagram)
        counted[direction] += 1
    assert counted[TO_RELAY]
    assert counted[TO_CLIENT]
    numbers = [
        int.from_bytes(datagram[12:20], "big")
        for _, datagram in seen
        if datagram[3] == frames_v2.TO_RELAY
    ]
    assert len(numbers) == len(set(numbers)), "a bot's numbers are never the same, key or no key"
    return len(keys), sum(counted.values())
