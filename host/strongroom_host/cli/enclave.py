"""`strongroom enclave`: what is there, whether it is the right one, and giving it its manifest."""

import hashlib
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from strongroom_attest.errors import AttestationError, SignatureInvalid
from strongroom_attest.freshness import Challenge
from strongroom_attest.nitro.policy import NitroEvidence
from strongroom_attest.nitro.verify import (
    AuthenticatedDocument,
    authenticate_unsigned,
    parse_untrusted,
)
from strongroom_wire.bundle import Bundle

from strongroom_host.cli.boot import boot
from strongroom_host.cli.output import print_json, say, table, warn
from strongroom_host.cli.session import (
    DEFAULT_ENCLAVE,
    DEFAULT_OWNER,
    EnclaveOption,
    JsonOption,
    ManifestOption,
    OwnerOption,
    TrustOption,
)
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.enclave_client.bootstrap import (
    NONCE_SIZE,
    BootstrapClient,
    Phase,
    fetch_booted,
    fetch_evidence,
    load_manifest,
)
from strongroom_host.enclave_client.errors import BootNotConfigured, BundleRefused, DocumentRefused
from strongroom_host.enclave_client.evidence import (
    BootedEvidence,
    VerifiedEvidence,
    verify_document,
)
from strongroom_host.log.report.words import quantity
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.signed import read_manifest
from strongroom_host.private_files import read_file, write_atomic
from strongroom_host.trust.record import (
    EvidencePolicy,
    Image,
    Trust,
    TrustConflict,
    TrustInvalid,
)
from strongroom_host.trust.release import load_release, production_trust

__all__ = ["app"]

app = typer.Typer(
    help="Boot an image, verify an enclave, and load its manifest.", no_args_is_help=True
)
app.command("boot")(boot)


@app.command("status")
def status(enclave: EnclaveOption = DEFAULT_ENCLAVE, json: JsonOption = False) -> None:
    """Ask for the phase. Unverified: `evidence` proves."""
    with BootstrapClient(parse_enclave_address(enclave).bootstrap) as client:
        phase = client.status()
    if json:
        print_json({"phase": phase.name.lower(), "verified": False})
        return
    say(f"{phase.name.lower()}: {_PHASES[phase]} (its own word; `enclave evidence` verifies)")


_PHASES = {
    Phase.UNKNOWN: "a phase that this version does not know",
    Phase.BOOTED: "waits for a manifest; has no keys",
    Phase.CONFIGURED: "has its manifest and keys; waits for a start permit",
    Phase.READY: "may sign within its permit",
    Phase.HALTED: "over after a failure; restart it",
}


@app.command("evidence")
def evidence(
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    trust: TrustOption = None,
    manifest: ManifestOption = None,
    booted: Annotated[
        bool, typer.Option("--booted", help="Expect an enclave without a manifest.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="DIR", help="Keep document and bundle, for the archive."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fetch evidence under a fresh nonce and verify all of it."""
    if booted and save is not None:
        raise typer.BadParameter("an enclave without a manifest has nothing to archive yet: --save")
    record = Trust.load(trust or OwnerFolder(owner.expanduser()).trust_path)
    found: VerifiedEvidence | BootedEvidence
    with BootstrapClient(parse_enclave_address(enclave).bootstrap) as client:
        if booted:
            found = fetch_booted(client, record)
        else:
            found = _configured(client, _policy(record, manifest))
    if save is not None and isinstance(found, VerifiedEvidence):
        write_atomic(save / "document.cose", found.document)
        write_atomic(save / "bundle.bin", found.bundle.serialise())
    facts = _facts(found)
    if json:
        print_json(facts)
        return
    title = "Verified evidence" if found.signed else "Verified evidence, signed by nobody"
    table(title, ("what", "value"), facts.items())
    if record.caution:
        warn(record.caution)


@app.command("load")
def load(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST.signed.json")],
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    trust: TrustOption = None,
) -> None:
    """Give a freshly booted enclave its signed manifest, and verify that it took exactly that."""
    verified, statement = read_manifest(manifest)
    record = Trust.load(trust or OwnerFolder(owner.expanduser()).trust_path)
    policy = EvidencePolicy.for_manifest(record, verified)
    with BootstrapClient(parse_enclave_address(enclave).bootstrap) as client:
        proved = load_manifest(client, statement, policy)
    say(f"configured with version {verified.manifest.version} of {verified.manifest.account}")
    say(f"manifest    {proved.manifest_digest.hex()}, measured in PCR16")
    say(f"boot        {proved.bundle.boot_id.hex()}")
    say(f"keys digest {proved.bundle.keys_digest.hex()}")


@app.command("trust")
def trust_command(
    owner: OwnerOption = DEFAULT_OWNER,
    release: Annotated[
        Path | None,
        typer.Option("--release", metavar="FILE", help="The signed release of the image."),
    ] = None,
    release_keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Pinned release keys (default: this source tree's)."),
    ] = None,
    unsigned_release: Annotated[
        bool,
        typer.Option("--unsigned-release", help="Take a bare record: of an image you built."),
    ] = False,
    development: Annotated[
        bool,
        typer.Option(
            "--development", help="Record whatever answers now. Local platform and QEMU only."
        ),
    ] = False,
    unsigned: Annotated[
        bool,
        typer.Option(
            "--unsigned",
            help="With --release: for its image in QEMU, whose evidence nobody signs. Development"
            " only.",
        ),
    ] = False,
    root_certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The root that `strongroom host run` named, if you have it."
        ),
    ] = None,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Default: trust.json in the owner's folder."),
    ] = None,
    manifest: ManifestOption = None,
) -> None:
    """Write the trust file: which roots and which image count as the right enclave."""
    if (release is None) is not development or (release is None and unsigned_release):
        raise TrustInvalid(
            "say where the expected measurements come from",
            expected="either --release FILE (production) or --development",
            remedy="for the local platform or QEMU use --development",
        )
    if unsigned and release is None:
        raise TrustInvalid(
            "--unsigned needs measurements to compare the evidence with",
            expected="--release FILE --unsigned",
            remedy="add --release FILE; --development sees by itself whether evidence is signed",
        )
    if release is not None:
        now = datetime.now(UTC)
        found = load_release(release, now, keys=release_keys, unsigned=unsigned_release)
        record = production_trust(found)
        if unsigned:
            record = Trust.emulator(*record.images)
    else:
        record = _first_use(enclave, root_certificate)
    if manifest is not None:
        record = record.pinned_to(read_manifest(manifest)[0])
    path = out or OwnerFolder(owner.expanduser()).trust_path
    _check_not_weakened(path, record)
    if manifest is None and path.exists():
        record = record.owned_like(Trust.load(path))
    record.save(path)
    say(f"{path}: {record.mode}, image {record.images[0].name}")
    say(f"root  {record.roots[0] if record.roots else 'none'}")
    say(f"PCR0  {record.images[0].pcr0}")
    if record.manifest_digest:
        say(f"means manifest {record.manifest_digest}")
    if record.past_images:
        many = quantity(len(record.past_images), "earlier image")
        say(f"{many} (past_images): for the log of boots that are over, and nothing that runs")
    if record.unsigned:
        warn(f"{record.caution}. For an emulator of your own, and for development only")
    if unsigned_release:
        warn("nobody vouches for these measurements but whoever wrote the record")
    if development:
        warn(
            "trust on first use: these values came from the very enclave that they will be compared"
            " with. For development only; a production trust file needs a release record"
        )


def _check_not_weakened(path: Path, record: Trust) -> None:
    """Refuses to let what accepts anything less take the place of a production trust file."""
    if record.mode == "development" and path.exists() and Trust.load(path).mode == "production":
        raise TrustConflict(
            f"{path} is a production trust file; this would make it a development one",
            expected="production",
            actual="development",
            remedy="write the new one elsewhere with --out, or move the old one away yourself",
        )


def _policy(record: Trust, manifest: Path | None) -> EvidencePolicy:
    if manifest is None:
        return EvidencePolicy.pinned(record)
    return EvidencePolicy.for_manifest(record, read_manifest(manifest)[0])


def _configured(client: BootstrapClient, policy: EvidencePolicy) -> VerifiedEvidence:
    try:
        return fetch_evidence(client, policy)
    except BootNotConfigured:
        # All that came before was accepted, so what that does not prove has to be said here too.
        if policy.trust.caution:
            warn(policy.trust.caution)
        raise


def _facts(found: VerifiedEvidence | BootedEvidence) -> dict[str, str]:
    live, bundle = found.attestation, found.bundle
    document = live.evidence.document
    facts = {
        "image": found.image.name,
        "PCR0": document.pcrs[0].hex(),
        "module": document.module_id,
        "made at": document.timestamp.isoformat(),
        "signed by": _signer(live.evidence),
        "mode": live.findings.mode.value,
        "boot": bundle.boot_id.hex(),
    }
    if isinstance(found, VerifiedEvidence):
        facts["manifest"] = bundle.manifest_digest.hex()
        facts["owner root"] = bundle.owner_root.hex()
        facts["keys digest"] = bundle.keys_digest.hex()
        for entry in bundle.roles:
            facts[f"{entry.role.name.lower()} receipt key"] = entry.receipt.hex()
        facts["TLS certificate"] = hashlib.sha256(bundle.certificate).hexdigest()
    facts["not compared"] = _not_compared(found)
    return facts


def _signer(evidence: NitroEvidence) -> str:
    if isinstance(evidence, AuthenticatedDocument):
        return f"root {evidence.root_sha256.hex()}"
    return "NOBODY: an emulator's document, development only"


_UNNAMED = "not named by the policy"
_OURS = frozenset(f"pcrs[{index}]" for index in range(16, 32))
"""Compared by `verify_evidence` itself, after the document's policy."""


def _not_compared(found: VerifiedEvidence | BootedEvidence) -> str:
    skipped = found.attestation.findings.skipped
    parts = [f"{skip.field} ({skip.reason})" for skip in skipped if skip.reason != _UNNAMED]
    unnamed = [skip.field for skip in skipped if skip.reason == _UNNAMED]
    numbers = [field.strip("pcrs[]") for field in unnamed if field not in _OURS]
    return "; ".join([*parts, f"PCR {', '.join(numbers)}"] if numbers else parts)


def _first_use(enclave: str, root_certificate: Path | None) -> Trust:
    """Returns what answers now, after checking at least that it is consistent with itself."""
    challenge = Challenge(secrets.token_bytes(NONCE_SIZE))
    with BootstrapClient(parse_enclave_address(enclave).bootstrap) as client:
        untrusted = client.evidence(challenge.nonce)
    try:
        document = parse_untrusted(untrusted.document)
        unsigned = root_certificate is None and _is_unsigned(untrusted.document)
        der = read_file(root_certificate) if root_certificate else document.cabundle[0]
        names = ("pcr0", "pcr1", "pcr2")
        values = {name: document.pcrs[index].hex() for index, name in enumerate(names)}
        image = msgspec.convert({"name": f"seen {datetime.now(UTC):%F}", **values}, Image)
        root = hashlib.sha256(der).hexdigest()
        record = Trust.emulator(image) if unsigned else Trust.development(root, image)
        commitment = Bundle.parse(untrusted.bundle).commitment
        verify_document(untrusted.document, record, commitment, datetime.now(UTC), challenge)
    except AttestationError as error:
        raise DocumentRefused(
            f"what answers does not even agree with itself ({error.code}): {error}",
            remedy="do not use it; if --root-certificate was given, check that file",
        ) from error
    except (KeyError, msgspec.ValidationError) as error:
        raise BundleRefused(f"the document lacks PCR0 to PCR2: {error}") from error
    return record


def _is_unsigned(document: bytes) -> bool:
    try:
        authenticate_unsigned(document)
    except SignatureInvalid:
        return False
    return True
