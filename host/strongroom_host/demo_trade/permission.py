"""The owners, in short: one market, narrow limits, a key made inside, a permit for this boot."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from strongroom_wire.manifest import Egress, Key, Manifest, VerifiedManifest
from strongroom_wire.statements import Action

from strongroom_host.demo.evidence_chapter import development_trust
from strongroom_host.demo.folders import OWNERS, Folders
from strongroom_host.demo.owners import KEY, VENUE, OwnersDesk, make_owners, sign_manifest
from strongroom_host.demo.processes import HostReady, Market, VenueReady
from strongroom_host.demo.venue_admin import VenueAdmin
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.enclave_client.bootstrap import BootstrapClient, load_manifest
from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_host.owner.chain_keys import checksum_address
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.manifest_draft import (
    finished,
    new_policy,
    owner_set,
    parse_client,
    parse_market,
    parse_window,
)
from strongroom_host.owner.signed import read_manifest
from strongroom_host.owner.statements import (
    draft_enrolment,
    draft_order,
    draft_permit,
    parse_budget,
)
from strongroom_host.private_files import write_atomic
from strongroom_host.testnet.contracts import is_protocol_v2_position
from strongroom_host.trust.record import EvidencePolicy

__all__ = ["BAND", "Allowance", "for_a_minute", "permit_trading"]

_FUNDS: Final = "100000"
BAND: Final = "0.43-0.70"
"""Prices that may be signed for: the market leaves them now and then."""
_PERMIT_MS: Final = 3_600_000
_BOT: Final = "order,template,cancel,heartbeat,query,health,log"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the owners allow: pUSD an order and a minute, a price band, pUSD and orders in all."""

    minute: Decimal
    order: str = "40"
    band: str = BAND
    budget: str = "2000:2000"


def for_a_minute(seconds: float) -> Decimal:
    """Returns the pUSD that may be signed for in a minute, if there are so many seconds to trade:
    so few that an eager strategy meets the limit, and not at once."""
    return Decimal(round(min(960.0, max(100.0, 16 * seconds))))


def permit_trading(
    folders: Folders,
    venue: VenueReady,
    host: HostReady,
    market: Market,
    allowed: Allowance,
) -> str:
    """Has three owners allow one bot to trade one market; returns the trading key's address.

    The bot's folder then has its identity, the trust file and the signed manifest.

    Raises:
        HostError: a step was refused.
    """
    owners = make_owners(folders)
    card = ClientIdentity.generate("bot").save(folders.bot)
    draft = _draft(owners, card, market, venue.ca, allowed)
    write_atomic(folders.manifest, draft.serialise())
    sign_manifest(draft, owners, OWNERS[:2], folders.signed_manifest)
    manifest, statement = read_manifest(folders.signed_manifest)
    trust = development_trust(host.root).pinned_to(manifest)
    policy = EvidencePolicy.pinned(trust)
    address = parse_enclave_address(host.address)
    with BootstrapClient(address.bootstrap) as client:
        load_manifest(client, statement, policy)
    trust.save(folders.bot / "trust.json")
    write_atomic(folders.bot / "manifest.signed.json", folders.signed_manifest.read_bytes())
    desk = OwnersDesk(owners, manifest, policy, address)
    return _make_key(desk, owners[OWNERS[0]], manifest, venue, allowed)


def _draft(
    owners: dict[str, OwnerFolder], card: Path, market: Market, venue_ca: Path, allowed: Allowance
) -> Manifest:
    keys = tuple(folder.public_key.hex() for folder in owners.values())
    token = market.tokens[0]
    exchange = "v3" if is_protocol_v2_position(int(token)) else "v2"
    policy = new_policy(
        (parse_market(f"{token}:{exchange}:buy,sell:{allowed.band}"),),
        order_notional=allowed.order,
        windows=(parse_window(f"60={allowed.minute}"),),
        order_types="GTC,FOK,FAK",
        orders_per_minute=1200,
    )
    cards = [f"{folder.client_path / 'card.json'}=owner,cancel,query" for folder in owners.values()]
    root = x509.load_pem_x509_certificate(venue_ca.read_bytes()).public_bytes(Encoding.DER)
    return finished(
        Manifest(
            format="strongroom-manifest/1",
            version=1,
            mode="development",
            account="demo",
            genesis=owner_set(keys, 2),
            owner_changes=(),
            clients=tuple(parse_client(text) for text in (*cards, f"{card}={_BOT}")),
            keys=(Key(KEY, "generate", "eoa", "", 80002, VENUE, False, policy),),
            egress=(Egress(VENUE, 443, (), (root,)),),
            accounts=(),
            witnesses=(),
            witness_quorum=0,
        )
    )


def _make_key(
    desk: OwnersDesk,
    first: OwnerFolder,
    manifest: VerifiedManifest,
    venue: VenueReady,
    allowed: Allowance,
) -> str:
    evidence = desk.evidence()
    with desk.control(evidence) as client:
        answer = client.submit_order(
            desk.agree(draft_order(evidence, Action.GENERATE, KEY)), "generating the key"
        )
        address = checksum_address(answer)
        admin = VenueAdmin(venue)
        try:
            admin.fund(address, _FUNDS)
        finally:
            admin.close()
        now_ms = time.time_ns() // 1_000_000
        permit = draft_permit(
            evidence,
            (parse_budget(f"{KEY}={allowed.budget}", manifest.manifest),),
            serial=first.next_serial(now_ms // 1000),
            not_after=now_ms + _PERMIT_MS,
            share=first.share(),
        )
        client.submit_permit(desk.agree(permit))
        enrol = draft_enrolment(evidence, KEY, derive=False, nonce=0)
        client.submit_order(desk.agree(enrol), "creating API credentials")
    return address
