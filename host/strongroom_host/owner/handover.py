"""Changing owners: the ones before sign the new set, and the owner root stays what it was.

A hand-over is drafted into the next manifest version, signed there by a quorum of the owners
before it, and the finished manifest is then signed by the new owners like any other.
"""

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strongroom_wire.encoding import pack
from strongroom_wire.errors import WireError
from strongroom_wire.manifest import (
    OWNER_CHANGE_DOMAIN,
    Manifest,
    OwnerChange,
    OwnerSet,
    owner_change_message,
)
from strongroom_wire.owners import Owners

from strongroom_host.owner.errors import DocumentInvalid, NotAnOwner
from strongroom_host.owner.manifest_draft import next_version

__all__ = ["before_last", "draft_handover", "sign_handover"]


def draft_handover(manifest: Manifest, owners: OwnerSet) -> Manifest:
    """Returns the next version with an unsigned hand-over to `owners` at its end.

    Raises:
        DocumentInvalid: the same owners again, an impossible quorum, or an unfinished hand-over.
    """
    try:
        current = manifest.owners()
        proposed = owners.owners
    except WireError as error:
        raise DocumentInvalid(
            f"cannot hand over: {error}",
            remedy="finish the hand-over before (`strongroom manifest sign-change`), and give"
            " distinct owners with a quorum they can reach",
        ) from error
    if proposed == current:
        raise DocumentInvalid(
            "these are the owners already", remedy="name the new set in full, with its quorum"
        )
    change = OwnerChange(owners, ())
    return next_version(
        msgspec.structs.replace(manifest, owner_changes=(*manifest.owner_changes, change))
    )


def before_last(manifest: Manifest) -> Owners:
    """Returns the owners who must sign the last hand-over.

    Raises:
        DocumentInvalid: there is no hand-over, or an earlier one is not valid.
    """
    if not manifest.owner_changes:
        raise DocumentInvalid(
            "this manifest holds no hand-over",
            remedy="draft one with `strongroom manifest change-owners`",
        )
    earlier = msgspec.structs.replace(manifest, owner_changes=manifest.owner_changes[:-1])
    try:
        return earlier.owners()
    except WireError as error:
        raise DocumentInvalid(f"an earlier hand-over is not valid: {error}") from error


def sign_handover(manifest: Manifest, key: Ed25519PrivateKey) -> tuple[Manifest, int, int]:
    """Returns the manifest with this owner's consent to the last hand-over, and how many of how
    many needed have consented.

    Raises:
        NotAnOwner: the key is not one of the owners before the hand-over.
        DocumentInvalid: see `before_last`.
    """
    owners = before_last(manifest)
    public = key.public_key().public_bytes_raw()
    if public not in owners.keys:
        raise NotAnOwner(
            "this key is not among the owners who hand over",
            expected=" or ".join(k.hex() for k in owners.keys),
            actual=public.hex(),
            remedy="only the owners before the change sign it; new owners sign the manifest",
        )
    index = len(manifest.owner_changes) - 1
    last = manifest.owner_changes[index]
    message = owner_change_message(manifest, index)
    signature = key.sign(pack(OWNER_CHANGE_DOMAIN, message))
    others = tuple(pair for pair in last.signatures if pair[0] != public.hex())
    signed = msgspec.structs.replace(last, signatures=(*others, (public.hex(), signature.hex())))
    changes = (*manifest.owner_changes[:index], signed)
    result = msgspec.structs.replace(manifest, owner_changes=changes)
    return result, len(signed.signatures), owners.quorum
