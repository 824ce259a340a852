"""A bot that dies: places orders over the relay, one after the other, until it is killed.

Arguments: journal, counter file, relay port, PSK in hex, plan. It prints `ready` when it is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from strongroom_host.relay import ClientLimits, RelayClient, Timing
from strongroom_host.sequences import Sequences
from strongroom_host.store import Journal, place
from strongroom_host.venue import SignedRequest

MS = 1_000_000
LIMITS = ClientLimits(
    handshake_s=5.0,
    lifetime_s=0.5,
    answer_s=0.7,
    timing=Timing(
        first_ns=10 * MS, longest_ns=60 * MS, poll_ns=20 * MS, ping_ns=50 * MS, lost_ns=300 * MS
    ),
)


def main() -> None:
    journal_path, counters, port, psk, plan = sys.argv[1:]
    with Journal(Path(journal_path)) as journal, Sequences.open(Path(counters)) as sequences:
        numbers = sequences.block("relay", 64)
        client = RelayClient(
            ("127.0.0.1", int(port)),
            bytes.fromhex(psk),
            numbers,
            host="clob.testnet",
            limits=LIMITS,
        )
        client.open()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for item in json.loads(Path(plan).read_text()):
            hashes = tuple(bytes.fromhex(text) for text in item["hashes"])
            request = bytes.fromhex(item["request"])
            place(journal, client, SignedRequest(hashes, request, item["sequence"]))
            client.pump()


if __name__ == "__main__":
    main()
