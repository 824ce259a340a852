"""What commands share that read the log of a running enclave: a verified client, as a source."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.encoding import u64
from strongroom_wire.frames import Intent, Kind

from strongroom_host.cli.trading import ClientFolder, Trader
from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.cosigning import witnesses_at
from strongroom_host.log.keeper import Source
from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.witnessed import Quorum
from strongroom_host.owner.signed import read_manifest

__all__ = ["EnclaveLog"]


@dataclass(frozen=True, slots=True)
class EnclaveLog:
    """Where an enclave is, and who asks it: a client that may call `log`.

    Attributes:
        client: The client's folder.
        address: The enclave's.
        manifest: The signed manifest in force, or None for the one in the client's folder.
        trust: The trust file, or None likewise.
        urls: Where to ask witnesses, by their name in the manifest.
    """

    client: ClientFolder
    address: EnclaveAddress
    manifest: Path | None = None
    trust: Path | None = None
    urls: Sequence[tuple[str, str]] = ()

    @property
    def manifest_path(self) -> Path:
        """The signed manifest's."""
        return self.manifest or self.client.root / "manifest.signed.json"

    @contextmanager
    def source(self) -> Iterator[Source]:
        """Verifies the enclave and yields its log.

        Raises:
            EvidenceRefused, EnclaveRefused, Unreachable: see `open_trader`.
            BadInput: a file cannot be used, or a witness is not in the manifest.
        """
        verified, statement = read_manifest(self.manifest_path)
        witnesses = witnesses_at(verified.manifest, self.urls)
        with self.client.trader(self.address, self.manifest, self.trust) as trader:
            evidence = trader.evidence
            origin = log_origin(evidence.bundle.owner_root, trader.manifest.account, Role.SIGNER)
            key = VerifierKey(origin, evidence.keys(Role.SIGNER).receipt)
            documents = evidence.document, evidence.bundle.serialise(), statement.serialise()
            boot = StoredBoot(*documents, int(time.time() * 1000))
            quorum = Quorum.of(verified.manifest)
            yield Source(_asking(trader), key, boot, witnesses, quorum)


def _asking(trader: Trader) -> Callable[[int], bytes]:
    def ask(start: int) -> bytes:
        return trader.ask(Intent(Kind.READ_LOG, 0, 0, 0, (), u64(start)), "reading the log").request

    return ask
