"""The owners' side: three keys, one manifest, and two signatures on everything that matters."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from strongroom_wire.manifest import Egress, Key, Manifest, VerifiedManifest, Witness
from strongroom_wire.owners import Owners, Statement
from strongroom_wire.statements import ORDER_DOMAIN, PERMIT_DOMAIN, OwnerOrder, Permit

from strongroom_host.demo.accounts import Recorded
from strongroom_host.demo.folders import OWNERS, Folders
from strongroom_host.demo.processes import Market
from strongroom_host.enclave_client.address import EnclaveAddress
from strongroom_host.enclave_client.bootstrap import BootstrapClient, fetch_evidence
from strongroom_host.enclave_client.client import EnclaveClient
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.log.notes import VerifierKey
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.manifest_draft import (
    finished,
    new_policy,
    owner_set,
    parse_client,
    parse_market,
    parse_window,
)
from strongroom_host.owner.signed import SignedFile
from strongroom_host.owner.statements import check_for_boot
from strongroom_host.trust.record import EvidencePolicy

__all__ = [
    "KEY",
    "LIMITS",
    "VENUE",
    "Limits",
    "OwnersDesk",
    "draft_manifest",
    "make_owners",
    "sign_manifest",
]

KEY: Final = "main"
VENUE: Final = "clob.testnet"
_OWNER_CALLS: Final = "owner,cancel,query,health"
_BOT_CALLS: Final = "order,template,cancel,heartbeat,query,health,log"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the owners allow, in pUSD; prices per share."""

    order: Decimal = Decimal(25)
    hour: Decimal = Decimal(250)
    budget: Decimal = Decimal(200)
    budget_orders: int = 400
    low: Decimal = Decimal("0.40")
    high: Decimal = Decimal("0.80")


LIMITS: Final = Limits()


def make_owners(folders: Folders) -> dict[str, OwnerFolder]:
    """Returns the owners, each with a folder of their own and one unlock share in common.

    Without passphrases: these keys live for seconds. `strongroom owner init` asks for one.
    """
    first = OwnerFolder.create(folders.owner(OWNERS[0]), OWNERS[0], None)
    rest = [
        OwnerFolder.create(folders.owner(name), name, None, share=first.share())
        for name in OWNERS[1:]
    ]
    return dict(zip(OWNERS, (first, *rest), strict=True))


def draft_manifest(
    owners: dict[str, OwnerFolder],
    bot_card: Path,
    market: Market,
    venue_ca: Path,
    witness: VerifierKey,
    recorded: Recorded,
) -> Manifest:
    """Returns the manifest: a key made inside, one market, narrow limits, one venue, one witness;
    and the accounts whose track record is kept.

    Venue and exchanges are development ones: their roots are their own, which only a manifest in
    development mode may name.
    """
    keys = tuple(folder.public_key.hex() for folder in owners.values())
    policy = new_policy(
        (parse_market(f"{market.tokens[0]}:v2:buy,sell:{LIMITS.low}-{LIMITS.high}"),),
        order_notional=str(LIMITS.order),
        windows=(parse_window(f"3600={LIMITS.hour}"),),
        order_types="GTC,FOK,FAK",
        orders_per_minute=600,
    )
    cards = [f"{folder.client_path / 'card.json'}={_OWNER_CALLS}" for folder in owners.values()]
    root = x509.load_pem_x509_certificate(venue_ca.read_bytes()).public_bytes(Encoding.DER)
    manifest = Manifest(
        format="strongroom-manifest/1",
        version=1,
        mode="development",
        account="demo",
        genesis=owner_set(keys, 2),
        owner_changes=(),
        clients=tuple(parse_client(card) for card in (*cards, f"{bot_card}={_BOT_CALLS}")),
        keys=(Key(KEY, "generate", "eoa", "", 80002, VENUE, False, policy),),
        egress=(Egress(VENUE, 443, (), (root,)), *recorded.egress),
        accounts=recorded.accounts,
        witnesses=(Witness(witness.name, witness.key.hex()),),
        witness_quorum=1,
    )
    return finished(manifest)


class OwnersDesk:
    """Two of the owners, each checking and signing on their own, and one control connection.

    `policy` is what they take for evidence of the right enclave.
    """

    def __init__(
        self,
        owners: dict[str, OwnerFolder],
        manifest: VerifiedManifest,
        policy: EvidencePolicy,
        address: EnclaveAddress,
    ) -> None:
        self._owners, self._manifest, self.policy = owners, manifest, policy
        self._address = address

    def evidence(self) -> VerifiedEvidence:
        """Returns evidence verified just now, under a nonce of its own."""
        with BootstrapClient(self._address.bootstrap) as client:
            return fetch_evidence(client, self.policy)

    def agree(self, document: Permit | OwnerOrder) -> Statement:
        """Returns the document signed by two owners.

        The second signs only what names the boot whose evidence he verified himself.

        Raises:
            EvidenceRefused, WrongBootDocument: it is not the enclave that is meant.
        """
        first, second = list(self._owners.values())[:2]
        file = SignedFile.unsigned(document.serialise())
        file = file.signed_by(key_of(first), self._manifest.owners)
        parse = _PARSERS[file.kind.value]
        check_for_boot(parse(file.statement.payload), self.evidence(), self._manifest)
        file = file.signed_by(key_of(second), self._manifest.owners)
        return file.require_quorum(self._manifest.owners)

    def control(self, evidence: VerifiedEvidence, name: str = OWNERS[0]) -> EnclaveClient:
        """Returns a control connection under one owner's client identity."""
        return EnclaveClient(evidence, self._owners[name].client(), self._address.control)

    def key(self, name: str) -> Ed25519PrivateKey:
        """Returns one owner's signing key."""
        return key_of(self._owners[name])


_PARSERS: Final[dict[bytes, Callable[[bytes], Permit | OwnerOrder]]] = {
    PERMIT_DOMAIN: Permit.parse,
    ORDER_DOMAIN: OwnerOrder.parse,
}


def key_of(folder: OwnerFolder) -> Ed25519PrivateKey:
    """Returns the key of an owner without a passphrase."""
    return folder.key(lambda: b"")


def sign_manifest(
    manifest: Manifest, owners: dict[str, OwnerFolder], names: tuple[str, ...], path: Path
) -> SignedFile:
    """Returns the manifest with the signatures of `names`; the file passes from one to the next."""
    allowed: Owners = manifest.owners()
    SignedFile.unsigned(manifest.serialise()).save(path)
    for name in names:
        SignedFile.load(path).signed_by(key_of(owners[name]), allowed).save(path)
    return SignedFile.load(path)
