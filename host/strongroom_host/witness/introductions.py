"""Which key may sign a log's heads: proved by what the log's owners signed.

A log here gets a new signing key in every boot. The owners, having verified the boot's evidence,
sign a permit that names the boot's keys by digest; the bundle is what that digest is of. So
manifest (who are the owners), permit (which keys) and bundle (the keys themselves) make one chain
from the owner root that the witness's operator chose to follow. No evidence is looked at here:
whether the image is genuine is for the owners, and for verifiers, to judge.
"""

from __future__ import annotations

from dataclasses import dataclass

from strongroom_wire.bundle import Bundle
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.errors import BadSignature, QuorumMissing, WireError
from strongroom_wire.manifest import verify_manifest
from strongroom_wire.owners import Statement
from strongroom_wire.statements import PERMIT_DOMAIN, Permit

from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.submissions import Introduction
from strongroom_host.witness.errors import IntroductionRefused, OwnersOutdated, RequestMalformed
from strongroom_host.witness.memory import LOG_ROLES, FollowedOwners

__all__ = ["IntroducedBoot", "verify_introduction"]


@dataclass(frozen=True, slots=True)
class IntroducedBoot:
    """A boot that the owners of an account let sign, with the keys of its logs."""

    owners: FollowedOwners
    boot_id: bytes
    keys: tuple[VerifierKey, ...]

    def succeed(self, known: FollowedOwners) -> bytes:
        """The owner sets to be known from now on, after proving that these are no former owners.

        Raises:
            OwnersOutdated: their manifest lacks a hand-over that was seen before, or has another.
        """
        if not self.owners.heirs.startswith(known.heirs):
            raise OwnersOutdated(
                "the owners who signed are not, or no longer, those of this log",
                expected=f"a manifest with {len(known.heirs) // 32 - 1} hand-overs, those seen",
                actual=f"{len(self.owners.heirs) // 32 - 1} hand-overs",
            )
        return self.owners.heirs


def verify_introduction(introduction: Introduction) -> IntroducedBoot:
    """Proves that the owners named in a manifest let a boot with these keys sign.

    Whether anybody follows these owners, or others have taken over since, is for the caller.

    Raises:
        RequestMalformed: a part does not have its documented layout.
        IntroductionRefused: too few owners signed, or the parts do not belong together.
    """
    try:
        verified = verify_manifest(Statement.parse(introduction.manifest))
        bundle = Bundle.parse(introduction.bundle)
        statement = Statement.parse(introduction.permit)
        permit = Permit.parse(verified.owners.verify(PERMIT_DOMAIN, statement))
    except (BadSignature, QuorumMissing) as error:
        raise IntroductionRefused(f"the owners did not sign this: {error}") from error
    except WireError as error:
        raise RequestMalformed(f"no introduction of a boot: {error}") from error
    manifest = verified.manifest
    root = manifest.owner_root
    for what, expected, *named in (
        ("manifest", verified.digest, bundle.manifest_digest, permit.manifest_digest),
        ("owner root", root, bundle.owner_root, permit.owner_root),
        ("keys", bundle.keys_digest, permit.keys_digest),
    ):
        if any(each != expected for each in named):
            raise IntroductionRefused(
                f"manifest, permit and bundle are not of one boot: {what}",
                expected=expected.hex(),
                actual=", ".join(each.hex() for each in named),
            )
    sets = (manifest.genesis, *(change.owners for change in manifest.owner_changes))
    heirs = b"".join(owners.owners.root for owners in sets)
    keys = tuple(
        VerifierKey(log_origin(root, manifest.account, each.role), each.receipt)
        for each in bundle.roles
        if each.role in LOG_ROLES
    )
    return IntroducedBoot(FollowedOwners(root, manifest.account, heirs), bundle.boot_id, keys)
