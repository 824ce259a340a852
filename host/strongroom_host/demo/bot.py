"""The strategy's side: intents out over the sealed channel, signed requests on to the venue."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final

from strongroom_wire.frames import Intent, Kind, OrderIntent, Reply
from strongroom_wire.leaves import Leaf
from strongroom_wire.pages import Entry

from strongroom_host.cli.trading import ClientFolder, Trader, open_trader, venue_of
from strongroom_host.demo.owners import KEY
from strongroom_host.demo.processes import Market
from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_host.log.keeper_client import KeeperClient
from strongroom_host.log.stored import StoredLog, head_of
from strongroom_host.owner.signed import read_manifest
from strongroom_host.store import Journal, JournalEntry, place
from strongroom_host.trust.record import EvidencePolicy, Trust
from strongroom_host.venue import SignedRequest, VenueConnection, VenueResponse

__all__ = ["Bot", "buy", "open_bot"]

_TICKS: Final = ("0.1", "0.01", "0.005", "0.0025", "0.001", "0.0001")
_GTC, _FAK = 0, 3
_PATIENCE_MS: Final = 5_000
_SALT_BITS: Final = 53


def buy(market: Market, price: str, size: str, *, rest: bool = False) -> OrderIntent:
    """Returns an intent to buy `size` shares of the first outcome at up to `price`.

    It fills at once or is dropped; with `rest` it stays on the book.
    """
    return OrderIntent(
        token=int(market.tokens[0]),
        side=0,
        order_type=_GTC if rest else _FAK,
        tick=_TICKS.index(market.tick_size),
        flags=0,
        price=_millionths(price),
        size=_millionths(size),
        salt=1 + secrets.randbits(_SALT_BITS - 1),
        timestamp=time.time_ns() // 1_000_000,
        expiration=0,
    )


class Bot:
    """A strategy with an open channel, a connection to the venue, and a journal.

    Attributes:
        sample: The last signed request for orders; templates are made from it.
        seen: Everything the enclave ever handed out to it.
        logged: How many leaves the log had after the last approval.
        posted: For each order that left for the venue: was its leaf on disk by then, under a signed
            head?
    """

    def __init__(
        self,
        trader: Trader,
        venue: VenueConnection,
        journal: Journal,
        keeper: KeeperClient,
        log: Path,
    ) -> None:
        self._trader, self._venue, self._journal = trader, venue, journal
        self._keeper, self._log = keeper, log
        self.sample = b""
        self.seen: list[bytes] = []
        self.logged = 0
        self.posted: list[bool] = []

    def ask(
        self,
        kind: Kind,
        order: OrderIntent | None = None,
        argument: bytes = b"",
        *,
        timestamp: int | None = None,
    ) -> Reply:
        """Returns the signer's reply to one intent.

        Raises:
            EnclaveRefused: it said no; `Denied` if a policy rule did.
        """
        if order is None:
            intent = self._trader.intent(kind, KEY, argument)
        else:
            now = time.time_ns() // 1_000_000
            seconds = now // 1000 if timestamp is None else timestamp
            intent = Intent(kind, 0, seconds, now + _PATIENCE_MS, (order,), argument)
        reply = self._trader.ask(intent, kind.name.lower().replace("_", " "))
        if reply.order_hashes:
            self.sample = reply.request
        self.seen.append(reply.request)
        if reply.leaf:
            self.logged = Leaf.parse(reply.leaf).index + 1
        return reply

    def post(self, reply: Reply) -> JournalEntry:
        """Returns where the order stands after it was journalled, kept in the log, sent once."""
        logged = Entry(reply.leaf, reply.opening)
        signed = SignedRequest(reply.order_hashes, reply.request, reply.decision, logged)
        leaving = _Leaving(self._venue, lambda: self.posted.append(_is_kept(self._log, logged)))
        (entry,) = place(self._journal, leaving, signed, self._keeper.kept)
        return entry

    def send(self, reply: Reply) -> VenueResponse:
        """Returns the venue's answer to a request without orders: a cancel or a query."""
        return self._venue.exchange(reply.request)


class _Leaving:
    """The way to the venue; looks once more before the first byte leaves."""

    def __init__(self, venue: VenueConnection, look: Callable[[], None]) -> None:
        self._venue, self._look = venue, look

    def exchange(self, request: bytes) -> VenueResponse:
        self._look()
        return self._venue.exchange(request)


def _is_kept(log: Path, logged: Entry) -> bool:
    stored, index = StoredLog(log), Leaf.parse(logged.leaf).index
    signed = 0 if stored.signed is None else head_of(stored.signed).size
    return index < signed and stored.leaf(index) == logged.leaf


@contextmanager
def open_bot(
    folder: Path, enclave: EnclaveAddress, venue_port: int, keeper: Path, log: Path
) -> Iterator[Bot]:
    """Yields a bot that verified the enclave against the trust file its owners gave it.

    Raises:
        EvidenceRefused: it is not the owners' enclave.
    """
    policy = EvidencePolicy.pinned(Trust.load(folder / "trust.json"))
    manifest = read_manifest(folder / "manifest.signed.json")[0].manifest
    with (
        open_trader(ClientIdentity.load(folder), enclave, policy, manifest) as trader,
        venue_of(manifest, trader.key(KEY), f"127.0.0.1:{venue_port}") as venue,
        Journal(ClientFolder(folder).journal(trader.evidence)) as journal,
        KeeperClient(keeper) as client,
    ):
        yield Bot(trader, venue, journal, client, log)


def _millionths(text: str) -> int:
    return int(Decimal(text).scaleb(6))
