"""A desk in a process of its own, that dies where it is told to, or when it is killed.

Arguments: journal, port, CA file, plan file, name of the deadly step ("" for none), and how many
times that step is passed before it kills. It places the plan's requests one by one.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
from pathlib import Path

from strongroom_host.store import Journal, OrderState, place
from strongroom_host.store.journal import JournalEntry
from strongroom_host.venue import SignedRequest, VenueConnection, VenueResponse

STEPS = (
    "before journal",
    "inside journal",
    "before send",
    "half sent",
    "after answer",
    "inside record",
    "after record",
)


class Reaper:
    """Kills this process, as a power cut would, at the n-th pass of one step."""

    def __init__(self, step: str, passes: int) -> None:
        self.step, self.passes = step, passes

    def at(self, step: str) -> None:
        if step == self.step:
            if self.passes == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.passes -= 1


class MortalJournal(Journal):
    """Dies in the middle of its transactions: after the writes, before the commit."""

    reaper: Reaper
    phase = ""

    def _move(self, entry: JournalEntry, state: OrderState, detail: str) -> None:
        super()._move(entry, state, detail)
        if self.phase:
            self.reaper.at(self.phase)


class MortalVenue:
    """Dies around and in the middle of sending."""

    def __init__(self, connection: VenueConnection, journal: MortalJournal) -> None:
        self.connection, self.journal = connection, journal

    def exchange(self, request: bytes) -> VenueResponse:
        reaper = self.journal.reaper
        reaper.at("before send")
        if reaper.step == "half sent" and reaper.passes == 0:
            self.connection.open()
            assert self.connection._socket is not None
            self.connection._socket.sendall(request[: len(request) // 2])
        reaper.at("half sent")
        response = self.connection.exchange(request)
        reaper.at("after answer")
        self.journal.phase = "inside record"
        return response


def main() -> None:
    journal_path, port, ca, plan, step, passes = sys.argv[1:]
    reaper = Reaper(step, int(passes))
    journal = MortalJournal(Path(journal_path))
    journal.reaper = reaper
    connection = VenueConnection(
        "clob.testnet",
        443,
        ssl.create_default_context(cafile=ca),
        address=("127.0.0.1", int(port)),
    )
    venue = MortalVenue(connection, journal)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for item in json.loads(Path(plan).read_text()):
        request = SignedRequest(
            tuple(bytes.fromhex(text) for text in item["hashes"]),
            bytes.fromhex(item["request"]),
            item["sequence"],
        )
        reaper.at("before journal")
        journal.phase = "inside journal"
        place(journal, venue, request)
        journal.phase = ""
        reaper.at("after record")


if __name__ == "__main__":
    main()
