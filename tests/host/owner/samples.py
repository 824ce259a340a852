"""A manifest with everything in it, and owners who sign it."""

from dataclasses import dataclass
from decimal import Decimal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strongroom_host.owner.signed import SignedFile
from strongroom_wire.manifest import (
    Client,
    Egress,
    Key,
    Manifest,
    Market,
    OwnerSet,
    Policy,
    VerifiedManifest,
    Window,
    Witness,
    verify_manifest,
)

__all__ = ["OwnerKeys", "sample_manifest", "verified"]


@dataclass(frozen=True)
class OwnerKeys:
    """Owners' private keys, `quorum` of which must sign."""

    keys: tuple[Ed25519PrivateKey, ...]
    quorum: int

    @classmethod
    def new(cls, count: int, quorum: int) -> "OwnerKeys":
        return cls(tuple(Ed25519PrivateKey.generate() for _ in range(count)), quorum)

    @property
    def public(self) -> tuple[str, ...]:
        return tuple(key.public_key().public_bytes_raw().hex() for key in self.keys)

    @property
    def spec(self) -> OwnerSet:
        return OwnerSet(self.public, self.quorum)


def sample_manifest(owners: OwnerKeys) -> Manifest:
    """Returns a manifest with two keys, two clients, two venues, windows and markets."""
    policy = Policy(
        markets=(
            Market("111", "v2", ("buy", "sell"), Decimal("0.2"), Decimal("0.8")),
            Market("222", "v2-neg-risk", ("buy",), Decimal("0.1"), Decimal("0.5")),
        ),
        order_types=("GTD", "FOK"),
        order_notional=Decimal(25),
        windows=(Window(3600, Decimal(100)), Window(86400, Decimal(400))),
        orders_per_minute=60,
        max_lifetime=3600,
        max_skew=30,
        builder="00" * 32,
        metadata="00" * 32,
    )
    session = Key(
        "main", "session", "deposit", "0x" + "33" * 20, 137, "clob.polymarket.com", True, policy
    )
    other = Key("other", "generate", "eoa", "", 137, "clob.polymarket.com", False, policy)
    return Manifest(
        format="strongroom-manifest/1",
        version=1,
        mode="production",
        account="fund",
        genesis=owners.spec,
        owner_changes=(),
        clients=(
            Client("owner", b"cert-a", "aa" * 32, ("owner", "cancel")),
            Client("bot", b"cert-b", "bb" * 32, ("order", "cancel", "query")),
        ),
        keys=(session, other),
        egress=(
            Egress("clob.polymarket.com", 443, ("cc" * 32,), ()),
            Egress("spare.example", 443, (), ()),
        ),
        accounts=(),
        witnesses=(Witness("w/a", "da" * 32), Witness("w/b", "db" * 32)),
        witness_quorum=1,
    )


def verified(owners: OwnerKeys, manifest: Manifest, **changes: object) -> VerifiedManifest:
    """Returns the manifest, changed and signed by all of `owners`."""
    changed = msgspec.structs.replace(manifest, **changes)
    file = SignedFile.unsigned(changed.serialise())
    for key in owners.keys:
        file = file.signed_by(key, changed.owners())
    return verify_manifest(file.statement)
