"""What commands that trade share: a verified fast channel, and the venue it is for."""

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from strongroom_wire.frames import Intent, Kind, Reply
from strongroom_wire.manifest import Egress, Key, Manifest
from strongroom_wire.pages import Entry

from strongroom_host.cli.output import warn
from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.enclave_client.bootstrap import BootstrapClient, fetch_evidence
from strongroom_host.enclave_client.channel import FastChannel, StreamTransport, refused_reply
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_host.errors import BadInput
from strongroom_host.log.keeper_client import KeeperClient
from strongroom_host.owner.signed import read_manifest
from strongroom_host.owner.statements import key_index
from strongroom_host.trust.record import EvidencePolicy, Trust
from strongroom_host.venue import VenueConnection

__all__ = ["ClientFolder", "OwnQueries", "Trader", "open_trader", "parse_hash", "venue_of"]

_DEADLINE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Trader:
    """One client of one verified boot, with an open channel."""

    manifest: Manifest
    evidence: VerifiedEvidence
    channel: FastChannel

    def ask(self, intent: Intent, what: str) -> Reply:
        """Returns the approval.

        Raises:
            EnclaveRefused: denied or refused; the class says why.
            ChannelClosed: see `FastChannel.exchange`.
        """
        reply = self.channel.exchange(intent)
        if error := refused_reply(reply, what):
            raise error
        return reply

    def intent(self, kind: Kind, key: str, argument: bytes = b"") -> Intent:
        """Returns an intent without orders for the key of that name, valid for five seconds."""
        now = time.time()
        index = key_index(self.manifest, key)
        return Intent(kind, index, int(now), int(now * 1000) + _DEADLINE_MS, (), argument)

    def key(self, name: str) -> Key:
        """Returns the manifest's entry of that key, or raises `UnknownManifestKey`."""
        return self.manifest.keys[key_index(self.manifest, name)]


@contextmanager
def open_trader(
    identity: ClientIdentity,
    address: EnclaveAddress,
    policy: EvidencePolicy,
    manifest: Manifest,
    *,
    busy_poll: bool = False,
) -> Iterator[Trader]:
    """Verifies the enclave, opens a channel to its signer, and closes it at the end.

    With `busy_poll` the channel spins while it waits: see `StreamTransport`.

    Raises:
        EvidenceRefused, EnclaveRefused, Unreachable: see `fetch_evidence` and `FastChannel`.
    """
    with BootstrapClient(address.bootstrap) as client:
        evidence = fetch_evidence(client, policy)
    transport = StreamTransport.connect(address.frames, busy_poll=busy_poll)
    with FastChannel(evidence, identity, transport) as channel:
        yield Trader(manifest, evidence, channel)


@dataclass(frozen=True, slots=True)
class ClientFolder:
    """A client machine's folder: its identity, the trust file and the signed manifest."""

    root: Path
    warned: set[str] = field(default_factory=set, compare=False)
    """What was said already: a daemon opens many channels, and a warning repeated is read less."""

    @property
    def journals(self) -> Path:
        """One journal per boot: decisions are counted from zero in each."""
        return self.root / "journal"

    @property
    def keeper(self) -> Path:
        """The socket at which `strongroom log keep` is asked, if there is one."""
        return self.root / "keeper.sock"

    @contextmanager
    def keeper_client(
        self, named: Path | None = None
    ) -> Iterator[Callable[[Sequence[Entry]], int] | None]:
        """Yields what has entries kept in the log (`KeeperClient.kept`).

        None, with a warning, where no keeper was named and none was ever set up for this client.
        A socket that nobody answers at is no such case: then nothing is sent.
        """
        path = self.keeper if named is None else named.expanduser()
        if named is None and not path.exists() and not path.is_symlink():
            warn(
                "nobody keeps the log: if the enclave ends now, it may lack what this order was"
                " (`strongroom log keep`)"
            )
            yield None
            return
        with KeeperClient(path) as client:
            yield client.kept

    def journal(self, evidence: VerifiedEvidence) -> Path:
        """Returns the journal's path for this boot, its folder made."""
        self.journals.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.journals / f"{evidence.bundle.boot_id.hex()[:32]}.db"

    @contextmanager
    def trader(
        self,
        address: EnclaveAddress,
        manifest: Path | None,
        trust: Path | None,
        *,
        busy_poll: bool = False,
    ) -> Iterator[Trader]:
        """Opens a channel under this folder's identity; see `open_trader`."""
        identity = ClientIdentity.load(self.root)
        verified, _ = read_manifest(manifest or self.root / "manifest.signed.json")
        record = Trust.load(trust or self.root / "trust.json")
        if record.caution and record.caution not in self.warned:
            warn(record.caution)
            self.warned.add(record.caution)
        policy = EvidencePolicy.for_manifest(record, verified)
        with open_trader(
            identity, address, policy, verified.manifest, busy_poll=busy_poll
        ) as trader:
            yield trader


@dataclass(frozen=True, slots=True)
class OwnQueries:
    """Own-order queries signed by the enclave, for reconciling."""

    trader: Trader
    key: str

    def order(self, order_hash: bytes) -> bytes:
        """Returns a signed query of one order."""
        intent = self.trader.intent(Kind.QUERY_ORDER, self.key, order_hash)
        return self.trader.ask(intent, "order query").request

    def trades(self) -> bytes:
        """Returns a signed query of the newest trades."""
        return self.trader.ask(self.trader.intent(Kind.QUERY_TRADES, self.key), "trades").request


def venue_of(manifest: Manifest, key: Key, address: str | None) -> VenueConnection:
    """Returns a verifying connection to the key's venue, trusting what the manifest trusts there.

    Args:
        manifest: Names the venue's port and, in development, its own roots.
        key: Whose venue.
        address: HOST:PORT to dial instead of the venue's name, for a local one.
    """
    egress = next(venue for venue in manifest.egress if venue.host == key.venue)
    dial = None if address is None else _parse_dial(address)
    return VenueConnection(egress.host, egress.port, _context(egress), address=dial)


def parse_hash(text: str) -> bytes:
    """Returns a 32-byte order hash (or condition id) written in hex.

    Raises:
        BadInput: not 64 hex digits.
    """
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise BadInput(f"{text!r} is not a 32-byte hash", expected="64 hex digits, 0x optional")
    return value


def _context(egress: Egress) -> ssl.SSLContext:
    if not egress.development_roots:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(
        cadata="".join(map(ssl.DER_cert_to_PEM_cert, egress.development_roots))
    )
    return context


def _parse_dial(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise BadInput(f"{text!r} is not an address", expected="HOST:PORT")
    return host, int(port)
