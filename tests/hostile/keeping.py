"""What is killed in `test_log_kept`: a keeper, and clients that act on what it has kept.

They are the host's own code, each in a process of its own, against a real enclave. A client acts on
an answer by saying so: `Venue.exchange` is the point after which an order may be at the venue.
"""

import secrets
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from strongroom_host.cli.log_keep import keep
from strongroom_host.cli.trading import ClientFolder
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.errors import HostError
from strongroom_host.log.keeper_client import KeeperClient
from strongroom_host.store import Journal, place
from strongroom_host.venue import NotSent, SignedRequest, VenueResponse
from strongroom_wire.frames import Intent, Kind, OrderIntent
from strongroom_wire.pages import Entry

from tests.hostile.driver import TOKEN

__all__ = ["run_client", "run_keeper"]


def run_keeper(log: Path, client: Path, enclave: str, errors: Path) -> None:
    """Is `strongroom log keep`; what ended it, other than a signal, is in `errors`."""
    try:
        keep(
            log=log, client=client, enclave=enclave, listen_at=None, listen_http=None,
            witness=None, every=0.05, manifest=None, trust=None, as_json=True,
        )  # fmt: skip
    except HostError as error:
        with errors.open("a") as file:
            file.write(f"{type(error).__name__}: {error} {error.expected} {error.actual}\n")
        sys.exit(1)


def run_client(client: Path, enclave: str, keeper: Path, said: Connection) -> None:
    """Trades for ever: has orders signed, journals them, has them kept, and acts on them.

    Says `(seen, entry)` for each answer as it comes, `(acted, entry)` when it acts on it, and
    `(failed, class name)` when something is in the way.
    """
    folder, address = ClientFolder(client), parse_enclave_address(enclave)
    while True:
        try:
            with (
                folder.trader(address, None, None) as trader,
                Journal(folder.journal(trader.evidence)) as journal,
                KeeperClient(keeper) as log,
            ):
                while True:
                    reply = trader.ask(_buying(), "buy")
                    entry = Entry(reply.leaf, reply.opening)
                    said.send(("seen", tuple(entry)))
                    hashes, sequence = reply.order_hashes, reply.decision
                    signed = SignedRequest(hashes, reply.request, sequence, entry)
                    place(journal, _Venue(said, entry), signed, log.kept)
        except HostError as error:
            said.send(("failed", f"{type(error).__name__}: {error}"))
            time.sleep(0.05)


class _Venue:
    """Takes an order in by saying so, and then claims that it did not."""

    def __init__(self, said: Connection, entry: Entry) -> None:
        self._said, self._entry = said, entry

    def exchange(self, request: bytes) -> VenueResponse:
        self._said.send(("acted", tuple(self._entry)))
        raise NotSent("no venue")


def _buying() -> Intent:
    now = time.time_ns() // 1_000_000
    order = OrderIntent(TOKEN, 0, 0, 1, 0, 500_000, 10**7, 1 + secrets.randbits(52), now, 0)
    return Intent(Kind.ORDERS, 0, now // 1000, now + 60_000, (order,))
