"""What the owner's commands share: folder, passphrase, verified evidence, signing, submitting."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from strongroom_wire.manifest import VerifiedManifest
from strongroom_wire.owners import Statement

from strongroom_host.cli.output import say, warn
from strongroom_host.enclave_client.address import EnclaveAddress, parse_enclave_address
from strongroom_host.enclave_client.bootstrap import BootstrapClient, fetch_evidence
from strongroom_host.enclave_client.client import EnclaveClient
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.owner.errors import KeyLocked, QuorumIncomplete
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.signed import SignedFile, read_manifest
from strongroom_host.private_files import read_private
from strongroom_host.trust.record import EvidencePolicy, Trust

__all__ = [
    "EnclaveOption",
    "JsonOption",
    "ManifestOption",
    "OutOption",
    "OwnerOption",
    "OwnerSession",
    "PassphraseOption",
    "TrustOption",
    "ask_passphrase",
    "open_session",
]

OwnerOption = Annotated[
    Path,
    typer.Option("--owner", envvar="STRONGROOM_OWNER", metavar="DIR", help="The owner's folder."),
]
EnclaveOption = Annotated[
    str,
    typer.Option(
        "--enclave",
        envvar="STRONGROOM_ENCLAVE",
        metavar="ADDRESS",
        help="HOST:PORT or unix:DIR, as `strongroom host run` printed it.",
    ),
]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        envvar="STRONGROOM_PASSPHRASE_FILE",
        metavar="FILE",
        help="Read the owner key's passphrase from here instead of asking.",
    ),
]
ManifestOption = Annotated[
    Path | None,
    typer.Option(
        "--manifest",
        metavar="FILE",
        help="The signed manifest in force (default: manifest.signed.json in the owner's folder).",
    ),
]
TrustOption = Annotated[
    Path | None,
    typer.Option(
        "--trust", metavar="FILE", help="Trust file (default: trust.json in the owner's folder)."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="FILE", help="Write a signed file for the other owners, submit nothing."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

DEFAULT_OWNER = Path("~/.strongroom/owner")
DEFAULT_ENCLAVE = "127.0.0.1:7700"


@dataclass(frozen=True, slots=True)
class OwnerSession:
    """One owner's folder, the enclave's address, and the manifest that is meant."""

    folder: OwnerFolder
    address: EnclaveAddress
    policy: EvidencePolicy
    manifest: VerifiedManifest
    passphrase_file: Path | None

    def evidence(self) -> VerifiedEvidence:
        """Returns fresh verified evidence; see `fetch_evidence`."""
        with BootstrapClient(self.address.bootstrap) as client:
            return fetch_evidence(client, self.policy)

    def control(self, evidence: VerifiedEvidence) -> EnclaveClient:
        """Returns a control connection under the owner's own client identity."""
        return EnclaveClient(evidence, self.folder.client(), self.address.control)

    def sign(self, file: SignedFile) -> SignedFile:
        """Returns the file with this owner's signature; asks for the passphrase if need be."""
        key = self.folder.key(lambda: ask_passphrase(self.passphrase_file))
        return file.signed_by(key, self.manifest.owners)

    def collect(self, file: SignedFile, out: Path | None, command: str) -> Statement | None:
        """Returns the statement when it can be submitted now; else saves it and says what next.

        Args:
            file: The document with the signatures so far.
            out: Where to put it; with None it must be complete.
            command: Under which the next owner signs or submits.

        Raises:
            QuorumIncomplete: signatures are missing and `out` is None.
        """
        owners = self.manifest.owners
        signed, quorum = file.progress(owners)
        if out is None and signed < quorum:
            raise QuorumIncomplete(
                "this needs the signatures of more owners",
                expected=f"{quorum} of {len(owners.keys)}",
                actual=signed,
                remedy="write it to a file with --out FILE, and pass that on to the next owner",
            )
        if out is None:
            return file.require_quorum(owners)
        file.save(out)
        say(f"{out}: {signed} of {quorum} needed owners have signed")
        verb = "sign" if signed < quorum else "submit"
        say(f"next: strongroom {command} {verb} {out}")
        return None


def open_session(
    owner: Path,
    enclave: str,
    manifest: Path | None = None,
    trust: Path | None = None,
    passphrase_file: Path | None = None,
    *,
    any_version: bool = False,
) -> OwnerSession:
    """Returns the session after reading trust file and manifest and proving that they agree.

    With `any_version` only the owners must agree, not the manifest's digest: in an emergency the
    enclave may still run the one before, which `--manifest` then names.

    Raises:
        BadInput: a file or the address is unusable.
        TrustConflict: trust file and manifest name different owners or manifests.
    """
    folder = OwnerFolder(owner.expanduser())
    address = parse_enclave_address(enclave)
    verified, _ = read_manifest(manifest or folder.manifest_path)
    record = Trust.load(trust or folder.trust_path)
    if record.caution:
        warn(record.caution)
    if any_version:
        record = msgspec.structs.replace(record, manifest_digest=None)
    policy = EvidencePolicy.for_manifest(record, verified)
    return OwnerSession(folder, address, policy, verified, passphrase_file)


def ask_passphrase(file: Path | None, *, new: bool = False) -> bytes:
    """Returns the passphrase from a file (0600, its first line) or from the terminal.

    Raises:
        KeyLocked: no file is named and there is no terminal to ask at.
        FileExposed: other users may read the file.
    """
    if file is not None:
        return read_private(file.expanduser()).split(b"\n", 1)[0].rstrip(b"\r")
    if not (sys.stdin.isatty() or os.environ.get("STRONGROOM_ASK")):
        raise KeyLocked(
            "the owner key needs a passphrase, and there is no terminal to ask at",
            remedy="name a file that holds it with --passphrase-file",
        )
    text: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True)
    return text.encode()
