"""Why talking to an enclave failed, split by who erred.

`EvidenceRefused`: what answers is not (provably) the enclave that was meant. `EnclaveRefused`: it
is, and it said no; `code` is all it says, and `strongroom_host.cli.explain` has the words.
"""

from typing import ClassVar

from strongroom_wire.errors import Code, Rule

from strongroom_host.errors import EnvironmentFault, HostError

__all__ = [
    "BootChanged",
    "BootNotConfigured",
    "BundleRefused",
    "CallerRefused",
    "CertificateRefused",
    "ChannelBroken",
    "ChannelClosed",
    "ChannelTimeout",
    "CommitmentMismatch",
    "Denied",
    "DocumentRefused",
    "EnclaveClientError",
    "EnclaveRefused",
    "EvidenceRefused",
    "Halted",
    "IdentityRefused",
    "ImageMismatch",
    "ManifestMismatch",
    "ManifestPcrMismatch",
    "NotVerified",
    "OwnerDocumentRefused",
    "OwnerRootMismatch",
    "PermitStale",
    "PlatformFault",
    "QuorumRefused",
    "ReceiptInvalid",
    "RoleMissing",
    "SequenceRefused",
    "SignatureRefused",
    "Unreachable",
    "VenueFault",
    "WrongBoot",
    "WrongManifest",
    "WrongOwner",
    "WrongPhase",
    "refusal",
]


class EnclaveClientError(HostError):
    """Root of this subpackage's errors."""


class NotVerified(EnclaveClientError, TypeError):
    """Code tried to use an enclave without verifying its evidence: a mistake in that code."""


class Unreachable(EnclaveClientError, EnvironmentFault):
    """Nobody answers at the address, or the transport broke before an answer came."""

    exit_status = 5


class IdentityRefused(EnclaveClientError):
    """The client's own certificate or keys are unusable."""

    exit_status = 2


# --- What answers is not the enclave that was meant ----------------------------------------------


class EvidenceRefused(EnclaveClientError):
    """The evidence does not prove what the trust file demands. Nothing it says may be used."""

    exit_status = 3


class DocumentRefused(EvidenceRefused):
    """The platform's document is not genuine, not fresh, or of another image; see the cause."""


class ImageMismatch(EvidenceRefused):
    """PCR0 to PCR2 are not together those of one trusted image."""


class CertificateRefused(EvidenceRefused):
    """The bundle's TLS certificate is not one that can be pinned."""


class BundleRefused(EvidenceRefused):
    """The bundle beside the document does not parse."""


class CommitmentMismatch(EvidenceRefused):
    """The document commits to another bundle: the relay swapped keys or mixed two boots."""


class BootNotConfigured(EvidenceRefused):
    """A genuine enclave without a manifest: it has no keys yet, so there is nothing to talk to."""


class RoleMissing(EvidenceRefused):
    """The bundle lacks the keys of a role that a configured enclave must have."""


class ManifestMismatch(EvidenceRefused):
    """The enclave runs another manifest than the one meant."""


class OwnerRootMismatch(EvidenceRefused):
    """The enclave belongs to other owners."""


class ManifestPcrMismatch(EvidenceRefused):
    """PCR16 does not hold the manifest's digest, so the bundle's claim about it is not measured."""


class BootChanged(EvidenceRefused):
    """The enclave was restarted or swapped since its evidence was verified."""


class ReceiptInvalid(EvidenceRefused):
    """A reply does not carry the signature of the role that must have made it."""


# --- The enclave said no -------------------------------------------------------------------------


class EnclaveRefused(EnclaveClientError):
    """The enclave refused.

    Attributes:
        code: Why.
        request: What was asked, in words.
        authenticated: Whether a receipt proves that the enclave itself refused. Many refusals have
            none; whoever relays them could also have made them up, which is no worse than not
            relaying at all.
    """

    exit_status = 4

    def __init__(self, code: Code, request: str, *, authenticated: bool = False) -> None:
        super().__init__(f"{request}: refused with {code.name}")
        self.code, self.request, self.authenticated = code, request, authenticated


class CallerRefused(EnclaveRefused):
    """1xx: the request itself."""


class WrongPhase(CallerRefused):
    """The boot is not in a phase that serves this request."""


class SequenceRefused(CallerRefused):
    """A frame was replayed, reordered or lost."""


class OwnerDocumentRefused(EnclaveRefused):
    """2xx: something that the owners signed, or should have."""


class SignatureRefused(OwnerDocumentRefused):
    """A signature is wrong."""


class QuorumRefused(OwnerDocumentRefused):
    """Too few owners signed."""


class WrongBoot(OwnerDocumentRefused):
    """Made for another boot."""


class WrongManifest(OwnerDocumentRefused):
    """Made for another manifest."""


class WrongOwner(OwnerDocumentRefused):
    """Made by or for other owners."""


class PermitStale(OwnerDocumentRefused):
    """A newer permit was accepted before."""


class Denied(EnclaveRefused):
    """300: policy.

    Attributes:
        rule: Which rule of the manifest.
        limit: What it allows, in the rule's unit.
        actual: What the request would have made of it.
        order: Index of the order at fault.
    """

    def __init__(
        self,
        request: str,
        rule: Rule = Rule.NONE,
        limit: int = 0,
        actual: int = 0,
        order: int = 0,
        *,
        authenticated: bool = False,
    ) -> None:
        super().__init__(Code.DENIED, request, authenticated=authenticated)
        self.what = f"{request}: denied by policy rule {rule.name}"
        self.rule, self.limit, self.figure, self.order = rule, limit, actual, order


class VenueFault(EnclaveRefused):
    """4xx: the venue, or the way to it."""


class PlatformFault(EnclaveRefused):
    """5xx: the platform or this enclave."""


class Halted(PlatformFault):
    """This boot is over."""


_LEAVES: dict[Code, type[EnclaveRefused]] = {
    Code.WRONG_PHASE: WrongPhase,
    Code.BAD_SEQUENCE: SequenceRefused,
    Code.BAD_SIGNATURE: SignatureRefused,
    Code.QUORUM_MISSING: QuorumRefused,
    Code.WRONG_BOOT: WrongBoot,
    Code.WRONG_MANIFEST: WrongManifest,
    Code.WRONG_OWNER: WrongOwner,
    Code.PERMIT_STALE: PermitStale,
    Code.HALTED: Halted,
}
_FAMILIES: tuple[type[EnclaveRefused], ...] = (
    CallerRefused,
    OwnerDocumentRefused,
    EnclaveRefused,
    VenueFault,
    PlatformFault,
)


def refusal(code: Code, request: str, *, authenticated: bool = False) -> EnclaveRefused:
    """Returns the error for a refusal with `code`; never call it with `OK`."""
    if code is Code.DENIED:
        return Denied(request, authenticated=authenticated)
    leaf = _LEAVES.get(code, _FAMILIES[code // 100 - 1])
    return leaf(code, request, authenticated=authenticated)


# --- The fast channel ----------------------------------------------------------------------------


class ChannelClosed(EnclaveClientError):
    """The channel was closed, by us or after an error; open another one."""


class ChannelTimeout(ChannelClosed):
    """No answer in time. Whether the request was decided is unknown; the channel is closed, since
    a late answer would be taken for the next one's."""

    exit_status: ClassVar[int] = 5


class ChannelBroken(ChannelClosed):
    """The other side sent something that is not the next frame: replayed, forged, or garbage."""

    exit_status: ClassVar[int] = 3
