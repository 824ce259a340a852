"""What the stored evidence of a boot proves of the log: its image, manifest, key, and a head.

The owners are whom the reader means; everything else follows from the evidence itself. Which
manifest a boot ran is proved by the platform's register and signed by those owners, so that a log
over many versions is verified with one trust file.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.errors import WireError
from strongroom_wire.manifest import VerifiedManifest, verify_manifest
from strongroom_wire.owners import Statement

from strongroom_host.enclave_client.archived import ArchivedEvidence, verify_archived_evidence
from strongroom_host.enclave_client.errors import EvidenceRefused
from strongroom_host.enclave_client.evidence import UntrustedEvidence
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.errors import BootUnproved
from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.verify import AttestedBoot, KnownHead
from strongroom_host.trust.record import EvidencePolicy, Trust

__all__ = ["ProvedBoot", "prove_boot", "role_of"]


@dataclass(frozen=True, slots=True)
class ProvedBoot:
    """A boot whose evidence was verified, at its own time; `prove_boot` makes it. `role` is that
    whose log is meant: a boot with accounts has two."""

    evidence: ArchivedEvidence
    manifest: VerifiedManifest
    role: Role = Role.SIGNER
    note: bytes = b""
    """The newest head that it is said to have signed; `open_checkpoint` with `key` says if so."""

    @property
    def boot_id(self) -> bytes:
        """The epoch of its leaves, 32 bytes."""
        return self.evidence.bundle.boot_id

    @property
    def key(self) -> VerifierKey:
        """What it signs the heads of its log with; the name is the log's origin."""
        document = self.manifest.manifest
        origin = log_origin(document.owner_root, document.account, self.role)
        return VerifierKey(origin, self.evidence.keys(self.role).receipt)

    @property
    def attested(self) -> AttestedBoot:
        """What its first leaf has to say."""
        bundle = self.evidence.bundle
        return AttestedBoot(bundle.manifest_digest, bundle.keys_digest)

    @property
    def head(self) -> KnownHead | None:
        """The head that its evidence commits to, or None where its log was not open yet."""
        head = self.evidence.keys(self.role).head
        source = f"the evidence of boot {self.boot_id.hex()[:16]}"
        return KnownHead(head, source) if head.size else None

    @property
    def owners(self) -> tuple[bytes, ...]:
        """The digests of all owner sets, from the genesis to those who signed its manifest."""
        document = self.manifest.manifest
        sets = (document.genesis, *(change.owners for change in document.owner_changes))
        return tuple(each.owners.root for each in sets)


def role_of(origin: str) -> Role:
    """Returns the role whose log has this name; the signer if the name says none."""
    found = [role for role in Role if origin.startswith(f"strongroom.log/{role.name.lower()}/")]
    return found[0] if found else Role.SIGNER


def prove_boot(
    stored: StoredBoot, trust: Trust, owner_root: bytes, role: Role = Role.SIGNER
) -> ProvedBoot:
    """Proves which image and manifest the boot ran, and that the manifest is of these owners.

    Args:
        stored: The evidence, believed nothing.
        trust: Roots and images, past ones too. The one manifest that it may pin is not asked for:
            it is the newest, and older boots ran older ones.
        owner_root: Whose log it is, 32 bytes.
        role: Which log it is.

    Raises:
        BootUnproved: not so; the cause says which step failed.
    """
    try:
        statement = Statement.parse(stored.manifest)
        digest = sha256(statement.payload).digest()
        policy = EvidencePolicy(trust.looking_back(), digest, owner_root)
        untrusted = UntrustedEvidence(stored.document, stored.bundle)
        evidence = verify_archived_evidence(untrusted, policy, stored.nonce)
        manifest = verify_manifest(statement)
        evidence.keys(role)
    except (EvidenceRefused, WireError) as error:
        raise BootUnproved(
            f"the stored evidence proves nothing: {error.what}",
            expected=error.expected,
            actual=error.actual,
            remedy=(
                error.remedy
                if isinstance(error, EvidenceRefused)
                else "take the boot's evidence from another copy of the log"
            ),
        ) from error
    if manifest.manifest.owner_root != owner_root:
        raise BootUnproved(
            "the stored manifest is of other owners",
            expected=owner_root.hex(),
            actual=manifest.manifest.owner_root.hex(),
        )
    return ProvedBoot(evidence, manifest, role, stored.note)
