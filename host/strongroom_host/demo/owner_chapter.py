"""The owners decide: manifest, quorum, key, permit, credentials. Nothing secret leaves anybody."""

import re
import time
from dataclasses import dataclass

from strongroom_wire.errors import Code
from strongroom_wire.manifest import VerifiedManifest
from strongroom_wire.statements import Action

from strongroom_host.cli.explain import CODES
from strongroom_host.demo.folders import OWNERS
from strongroom_host.demo.owners import KEY, LIMITS, OwnersDesk, draft_manifest, make_owners
from strongroom_host.demo.owners import sign_manifest as sign
from strongroom_host.demo.stage import Stage
from strongroom_host.demo.story import Story, expect_refusal, require
from strongroom_host.demo.venue_admin import VenueAdmin
from strongroom_host.enclave_client.bootstrap import BootstrapClient, load_manifest
from strongroom_host.enclave_client.client import EnclaveClient
from strongroom_host.enclave_client.errors import VenueFault, WrongPhase
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_host.owner.chain_keys import checksum_address
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.manifest_explain import explain_key, explain_owners
from strongroom_host.owner.manifest_lint import Severity, lint
from strongroom_host.owner.signed import read_manifest
from strongroom_host.owner.statements import (
    draft_enrolment,
    draft_order,
    draft_permit,
    parse_budget,
)
from strongroom_host.private_files import write_atomic
from strongroom_host.trust.record import EvidencePolicy

__all__ = ["Configured", "key_chapter", "manifest_chapter"]

_PERMIT_MS = 3_600_000
_KEY_ID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Configured:
    """A boot under the owners' manifest, as they verified it."""

    desk: OwnersDesk
    owners: dict[str, OwnerFolder]
    manifest: VerifiedManifest
    evidence: VerifiedEvidence


def manifest_chapter(stage: Stage) -> Configured:
    """Makes owners and identities, agrees on a manifest, loads it, and verifies again.

    Raises:
        EvidenceRefused: the enclave does not prove to run this manifest for these owners.
        DemoFailed: it took the manifest with too few signatures.
    """
    story, folders = stage.story, stage.folders
    owners = make_owners(folders)
    card = ClientIdentity.generate("bot").save(folders.bot)
    draft = draft_manifest(
        owners, card, stage.market, stage.venue.ca, stage.witness, stage.recorded
    )
    write_atomic(folders.manifest, draft.serialise())
    findings = lint(draft, folders.manifest.read_bytes())
    errors = [finding.text for finding in findings if finding.severity is Severity.ERROR]
    require(not errors, "the manifest has errors", expected="none", actual=errors)
    summary = explain_key(draft.keys[0])
    story.note(explain_owners(draft)[0])
    story.note(f"{KEY}: {summary.may[0]}; {summary.per_order} an order, {summary.per_window[0]}")
    story.note(f"lint: {len(findings)} remarks and no error, such as: {findings[0].text}")

    one = sign(draft, owners, OWNERS[:1], folders.signed_manifest).statement
    with BootstrapClient(stage.over_tcp.bootstrap) as client:
        receipt = client.load_manifest(one)
        require(
            receipt.code == Code.QUORUM_MISSING,
            "one signature of two was enough",
            expected=Code.QUORUM_MISSING.name,
            actual=receipt.code,
        )
        story.proved("quorum_enforced", f"refused with one signature: {_words(Code(receipt.code))}")
        sign(draft, owners, OWNERS[:2], folders.signed_manifest)
        manifest, statement = read_manifest(folders.signed_manifest)
        trust = stage.trust.pinned_to(manifest)
        policy = EvidencePolicy.pinned(trust)
        evidence = load_manifest(client, statement, policy)
    for path in (*(folder.trust_path for folder in owners.values()), folders.bot / "trust.json"):
        trust.save(path)
    signed = folders.signed_manifest.read_bytes()
    for root in (*(folder.root for folder in owners.values()), folders.bot):
        write_atomic(root / "manifest.signed.json", signed)
    story.facts["manifest_digest"] = evidence.manifest_digest.hex()
    story.facts["owner_root"] = evidence.bundle.owner_root.hex()
    digest, owners_root = evidence.manifest_digest.hex(), evidence.bundle.owner_root.hex()
    story.proved(
        "manifest_measured",
        f"loaded with two: PCR16 holds manifest {digest[:12]}…, and the keys obey owner root"
        f" {owners_root[:12]}…",
    )
    desk = OwnersDesk(owners, manifest, policy, stage.over_tcp)
    return Configured(desk, owners, manifest, evidence)


def key_chapter(stage: Stage, configured: Configured, admin: VenueAdmin) -> str:
    """Makes the trading key and its API credentials inside, under a permit; returns its address.

    Raises:
        DemoFailed: the enclave acted without a permit, or an answer is not what it should be.
        EnclaveRefused: it did not act under one.
    """
    story, desk, evidence = stage.story, configured.desk, configured.evidence
    with desk.control(evidence) as client:
        generate = desk.agree(draft_order(evidence, Action.GENERATE, KEY))
        answer = client.submit_order(generate, "generating the key")
        require(len(answer) == 20, "no address came back", expected=20, actual=len(answer))
        address = checksum_address(answer)
        for folder in configured.owners.values():
            folder.note_address(KEY, address)
        story.facts["address"] = address
        story.proved(
            "key_generated",
            f"trading key made inside: {address}; two owners ordered it, the attested signer"
            " receipted it",
        )
        admin.fund(address, "1000")
        story.note("the testnet gives that address 1000 pUSD, as a transfer on chain would")
        _permit(story, configured, client)
        _enrol(story, configured, client)
    return address


def _permit(story: Story, configured: Configured, client: EnclaveClient) -> None:
    desk, evidence = configured.desk, configured.evidence
    enrol = desk.agree(draft_enrolment(evidence, KEY, derive=False, nonce=0))
    refusal = expect_refusal(
        WrongPhase,
        "credentials before a permit",
        lambda: client.submit_order(enrol, "credentials without a permit"),
    )
    budget = parse_budget(
        f"{KEY}={LIMITS.budget}:{LIMITS.budget_orders}", configured.manifest.manifest
    )
    first = configured.owners[OWNERS[0]]
    now = time.time_ns() // 1_000_000
    permit = draft_permit(
        evidence,
        (budget,),
        serial=first.next_serial(now // 1000),
        not_after=now + _PERMIT_MS,
        share=first.share(),
    )
    client.submit_permit(desk.agree(permit))
    story.proved(
        "permit_needed",
        f"start permit for this very boot: {LIMITS.budget} pUSD, {LIMITS.budget_orders} orders, one"
        f" hour; without it, {refusal.code.name}",
    )


def _enrol(story: Story, configured: Configured, client: EnclaveClient) -> None:
    desk, evidence = configured.desk, configured.evidence
    order = desk.agree(draft_enrolment(evidence, KEY, derive=False, nonce=0))
    try:
        answer = client.submit_order(order, "creating API credentials")
    except VenueFault as error:
        error.remedy = "look at the host's and the venue's logs (--keep DIR keeps them)"
        raise
    require(_KEY_ID.fullmatch(answer) is not None, "the answer is no API key id", actual=answer)
    story.facts["api_key"] = answer.decode("ascii")
    story.proved(
        "credentials_created_inside",
        f"API key {answer.decode('ascii')} created over TLS that ends inside; of the venue's answer"
        " only that id came out",
    )


def _words(code: Code) -> str:
    return f"{code.name}, {CODES[code].wrong}"
