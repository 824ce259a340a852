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
from strongroom_wire.manifest import Manifest

from strongroom_host.cli.trading import ClientFolder, Trader
from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.errors import BadInput
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.cosigning import WitnessAt
from strongroom_host.log.keeper import Source
from strongroom_host.log.notes import SignatureType, VerifierKey
from strongroom_host.log.witnessed import Quorum
from strongroom_host.owner.signed import read_manifest

__all__ = ["EnclaveLog", "witnesses_at"]


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


def witnesses_at(manifest: Manifest, urls: Sequence[tuple[str, str]]) -> tuple[WitnessAt, ...]:
    """The manifest's witnesses that a URL is known for.

    Raises:
        BadInput: a name is none of the manifest's, or a URL is none.
    """
    keys = {
        witness.name: VerifierKey(
            witness.name, bytes.fromhex(witness.key), SignatureType.COSIGNATURE
        )
        for witness in manifest.witnesses
    }
    for name, _ in urls:
        if name not in keys:
            raise BadInput(
                f"the manifest names no witness {name!r}",
                expected=", ".join(keys) or "none: it has no witnesses",
                remedy="correct --witness, or `strongroom manifest new --witness VKEY`",
            )
    return tuple(WitnessAt(keys[name], url) for name, url in urls)


def _asking(trader: Trader) -> Callable[[int], bytes]:
    def ask(start: int) -> bytes:
        return trader.ask(Intent(Kind.READ_LOG, 0, 0, 0, (), u64(start)), "reading the log").request

    return ask
