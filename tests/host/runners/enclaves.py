"""A configured enclave for runner tests: the smallest manifest that there is."""

from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strongroom_host.demo.evidence_chapter import development_trust
from strongroom_host.enclave_client.bootstrap import BootstrapClient, load_manifest
from strongroom_host.owner.manifest_draft import owner_set
from strongroom_host.owner.signed import SignedFile
from strongroom_host.runners.local import LocalRunner
from strongroom_host.trust.record import EvidencePolicy
from strongroom_wire.manifest import Manifest, verify_manifest

__all__ = ["configure"]


def configure(runner: LocalRunner) -> None:
    """Loads a manifest without keys or clients, and verifies that it was taken."""
    owner = Ed25519PrivateKey.generate()
    owners = owner_set((owner.public_key().public_bytes_raw().hex(),), 1)
    mode: Literal["development"] = "development"
    manifest = Manifest(
        "strongroom-manifest/1", 1, mode, "tests", owners, (), (), (), (), (), (), 0
    )
    file = SignedFile.unsigned(manifest.serialise()).signed_by(owner, manifest.owners())
    verified = verify_manifest(file.statement)
    trust = development_trust(Path(runner.root_certificate)).pinned_to(verified)
    with BootstrapClient(runner.address.bootstrap) as client:
        load_manifest(client, file.statement, EvidencePolicy.pinned(trust))
