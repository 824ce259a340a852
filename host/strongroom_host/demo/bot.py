"""The strategy's side: intents out over the sealed channel, signed requests on to the venue."""

import secrets
import ssl
import time
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Final

from strongroom_wire.frames import Intent, Kind, OrderIntent, Reply

from strongroom_host.demo.owners import VENUE
from strongroom_host.demo.processes import Market
from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.enclave_client.bootstrap import BootstrapClient, fetch_evidence
from strongroom_host.enclave_client.channel import FastChannel, StreamTransport, refused_reply
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_host.store import Journal, JournalEntry, place
from strongroom_host.trust.record import EvidencePolicy, Trust
from strongroom_host.venue import SignedRequest, VenueConnection, VenueResponse

__all__ = ["Bot", "buy"]

_KEY_INDEX: Final = 0
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
    """One strategy process: verifies the enclave itself, then trades; a context manager.

    Attributes:
        evidence: What it verified before it opened the channel.
        sample: The last signed request for one order; templates are made from it.
    """

    def __init__(
        self,
        folder: Path,
        enclave: EnclaveAddress,
        venue_port: int,
        venue_ca: Path,
        journal: Path,
    ) -> None:
        """Verifies evidence against the trust file that the owners gave, and opens the channel.

        Raises:
            EvidenceRefused: it is not the owners' enclave.
        """
        policy = EvidencePolicy.pinned(Trust.load(folder / "trust.json"))
        with BootstrapClient(enclave.bootstrap) as client:
            self.evidence: VerifiedEvidence = fetch_evidence(client, policy)
        identity = ClientIdentity.load(folder)
        transport = StreamTransport.connect(enclave.frames)
        self._channel = FastChannel(self.evidence, identity, transport)
        context = ssl.create_default_context(cafile=str(venue_ca))
        address = ("127.0.0.1", venue_port)
        self._venue = VenueConnection(VENUE, 443, context, address=address)
        self._journal = Journal(journal)
        self.sample = b""

    def __enter__(self) -> "Bot":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()
        self._venue.close()
        self._journal.close()

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
        now = time.time_ns() // 1_000_000
        seconds = now // 1000 if timestamp is None else timestamp
        orders = (order,) if order else ()
        intent = Intent(kind, _KEY_INDEX, seconds, now + _PATIENCE_MS, orders, argument)
        reply = self._channel.exchange(intent)
        if refusal := refused_reply(reply, kind.name.lower().replace("_", " ")):
            raise refusal
        if reply.order_hashes:
            self.sample = reply.request
        return reply

    def post(self, reply: Reply) -> JournalEntry:
        """Returns where the order stands after it was journalled and sent once."""
        signed = SignedRequest(reply.order_hashes, reply.request, reply.decision)
        (entry,) = place(self._journal, self._venue, signed)
        return entry

    def send(self, reply: Reply) -> VenueResponse:
        """Returns the venue's answer to a request without orders: a cancel or a query."""
        return self._venue.exchange(reply.request)


def _millionths(text: str) -> int:
    return int(Decimal(text).scaleb(6))
