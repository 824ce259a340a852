"""Evidence that was kept: what a boot was, proved at the time that its document is signed for.

The same steps as `verify_evidence`, less the two that say *now*: no fresh challenge, no clock. So
it is a type of its own, and nobody seals a key to an enclave on the strength of it.
"""

from dataclasses import InitVar, dataclass, replace
from datetime import datetime
from typing import Final

from strongroom_attest.errors import AttestationError
from strongroom_attest.nitro.document import AttestationDocument
from strongroom_attest.nitro.live import verify_archived
from strongroom_attest.nitro.verify import authenticate_unsigned
from strongroom_attest.policy import Exactly, Unchecked, appraise
from strongroom_wire.bundle import Bundle, Role, RoleKeys

from strongroom_host.contract.roles import role_keys
from strongroom_host.enclave_client.errors import NotVerified
from strongroom_host.enclave_client.evidence import (
    UntrustedEvidence,
    check_configured,
    image_of,
    parse_bundle,
    refused,
)
from strongroom_host.trust.record import EvidencePolicy, Image

__all__ = ["ArchivedEvidence", "verify_archived_evidence"]


class _Proof:
    """Capability to construct the result: a guard against accidents."""

    __slots__ = ()


_PROOF: Final = _Proof()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedEvidence:
    """A boot as it was at `as_of`; only `verify_archived_evidence` makes one.

    Attributes:
        bundle: The boot's keys, manifest digest and owners.
        document: What the platform said; signed by it if `signed`, else by nobody (an emulator's).
        image: Which of the trusted images ran.
        policy: What it was verified against.
        as_of: The document's own time.
        signed: Whether a platform vouches for it; False in development only.
    """

    bundle: Bundle
    document: AttestationDocument
    image: Image
    policy: EvidencePolicy
    as_of: datetime
    signed: bool
    proof: InitVar[_Proof]

    def __post_init__(self, proof: _Proof) -> None:
        if proof is not _PROOF:
            raise NotVerified(
                "verified evidence is made by verification only",
                remedy="call verify_archived_evidence",
            )

    def keys(self, role: Role) -> RoleKeys:
        """Returns the keys of `role`; INIT and SIGNER are always there."""
        return role_keys(self.bundle, role)


def verify_archived_evidence(
    untrusted: UntrustedEvidence, policy: EvidencePolicy, nonce: bytes = b""
) -> ArchivedEvidence:
    """Proves that at the document's own time a trusted image ran the manifest of `policy`, with the
    keys in the bundle.

    Args:
        untrusted: Document and bundle as they were kept.
        policy: Which image, manifest and owners are meant.
        nonce: The challenge that it answered, where that is known; it then has to be in there.

    Raises:
        EvidenceRefused: the leaf class says which step failed; nothing may be used then.
    """
    trust = policy.trust
    # 1. The bundle parses.
    bundle = parse_bundle(untrusted)
    # 2. The document is genuine under a pinned root, for the moment that it states itself, shows
    #    trusted measurements,
    # 3. and commits to that very bundle.
    wanted = replace(
        trust.nitro_policy(bundle.commitment),
        nonce=Exactly(nonce) if nonce else Unchecked("kept without the challenge"),
    )
    try:
        if trust.unsigned:
            unsigned = authenticate_unsigned(untrusted.document)
            appraise(unsigned, wanted)
            document, as_of = unsigned.document, unsigned.document.timestamp
        else:
            found = verify_archived(untrusted.document, wanted, trust.attest_roots)
            document, as_of = found.evidence.document, found.as_of
    except AttestationError as error:
        raise refused(error, bundle) from error
    # 4. PCR0 to PCR2 belong to one image, not each to another.
    image = image_of(trust, document)
    # 5. to 8.: the manifest, its register, and the keys. The TLS certificate (9.) served only live.
    check_configured(bundle, document, policy)
    return ArchivedEvidence(
        bundle=bundle,
        document=document,
        image=image,
        policy=policy,
        as_of=as_of,
        signed=not trust.unsigned,
        proof=_PROOF,
    )
