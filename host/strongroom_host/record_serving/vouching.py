"""Who signs the record's log: proved by evidence of the boot that runs, once a page came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.manifest import Manifest

from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.enclave_client.bootstrap import BootstrapClient, fetch_evidence
from strongroom_host.errors import BadInput
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.cosigning import witnesses_at
from strongroom_host.log.keeper import Source
from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.witnessed import Quorum
from strongroom_host.owner.signed import read_manifest
from strongroom_host.trust.record import EvidencePolicy, Trust

__all__ = ["EnclaveVouching", "NoAccounts"]

_RECORD: Final = Role.RECORD


class NoAccounts(BadInput):
    """A record is to be served of an enclave that has none."""


@dataclass(frozen=True, slots=True)
class EnclaveVouching:
    """The enclave whose record is kept, and what it is verified against.

    Attributes:
        address: The enclave's.
        manifest: The signed manifest in force. Read anew for each boot, as the trust file is.
        trust: The trust file.
        urls: Where to ask witnesses, by their name in the manifest.
    """

    address: EnclaveAddress
    manifest: Path
    trust: Path
    urls: Sequence[tuple[str, str]] = ()

    @property
    def document(self) -> Manifest:
        """The manifest.

        Raises:
            BadInput: it cannot be read, or is not signed by its owners.
        """
        return read_manifest(self.manifest)[0].manifest

    @property
    def origin(self) -> str:
        """The name of the record's log, the same from boot to boot; see `document`."""
        found = self.document
        return log_origin(found.owner_root, found.account, _RECORD)

    def check(self) -> None:
        """Returns if there is a record to vouch for, and all that it takes, before there is a boot.

        Raises:
            NoAccounts: the manifest has none.
            BadInput: a file cannot be used, or a witness is not in the manifest.
            TrustConflict: trust file and manifest are of different owners.
        """
        verified, _ = read_manifest(self.manifest)
        if not verified.manifest.accounts:
            raise NoAccounts(
                "the manifest has no accounts, so its enclave keeps no record",
                expected="an account in it",
                actual=self.manifest,
                remedy="the owner adds one (`strongroom manifest add-account`), signs and loads it;"
                " or name the manifest that is in force with --manifest",
            )
        EvidencePolicy.for_manifest(Trust.load(self.trust), verified)
        witnesses_at(verified.manifest, self.urls)

    def __call__(self) -> Source:
        """Returns the key of the running boot's record, and the evidence for it.

        Raises:
            EvidenceRefused, Unreachable: the enclave proves nothing, or does not answer.
            RoleMissing: it has no record.
            BadInput: a file cannot be used, or a witness is not in the manifest.
        """
        verified, statement = read_manifest(self.manifest)
        policy = EvidencePolicy.for_manifest(Trust.load(self.trust), verified)
        with BootstrapClient(self.address.bootstrap) as client:
            evidence = fetch_evidence(client, policy)
        keys = evidence.keys(_RECORD)
        documents = evidence.document, evidence.bundle.serialise(), statement.serialise()
        return Source(
            _unasked,
            VerifierKey(self.origin, keys.receipt),
            StoredBoot(*documents, time.time_ns() // 1_000_000),
            witnesses_at(verified.manifest, self.urls),
            Quorum.of(verified.manifest),
        )


def _unasked(_start: int) -> bytes:
    raise BadInput("a record's log is pushed, never asked for")
