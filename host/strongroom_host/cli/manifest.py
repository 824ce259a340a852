"""`strongroom manifest`: write, check, read, compare and sign what an enclave may do."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from strongroom_wire.manifest import Manifest, VerifiedManifest

from strongroom_host.cli.manifest_account import add_account
from strongroom_host.cli.manifest_new import add_key, new
from strongroom_host.cli.manifest_report import (
    print_changes,
    print_explanation,
    print_findings,
)
from strongroom_host.cli.output import print_json, say
from strongroom_host.cli.session import (
    DEFAULT_OWNER,
    JsonOption,
    OwnerOption,
    PassphraseOption,
    TrustOption,
    ask_passphrase,
)
from strongroom_host.errors import HostError
from strongroom_host.owner.errors import DocumentInvalid
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.handover import draft_handover, sign_handover
from strongroom_host.owner.manifest_diff import diff
from strongroom_host.owner.manifest_draft import (
    finished,
    next_version,
    owner_set,
    parse_owner,
    read_draft,
    rotated,
)
from strongroom_host.owner.manifest_lint import Severity, lint
from strongroom_host.owner.signed import DocumentKind, SignedFile, read_manifest
from strongroom_host.private_files import read_file, write_atomic
from strongroom_host.trust.record import Trust

__all__ = ["app"]

app = typer.Typer(help="Write, check, compare and sign manifests.", no_args_is_help=True)
app.command("new")(new)
app.command("add-key")(add_key)
app.command("add-account")(add_account)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE")]


class LintFailed(HostError):
    """The enclave would refuse the manifest."""

    exit_status = 2


@app.command("lint")
def lint_command(
    file: FileArgument,
    fix: Annotated[
        bool, typer.Option("--fix", help="Rewrite the file in the canonical form.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Say what the enclave would refuse, and what a careful owner would not sign."""
    manifest, data = _read(file)
    if fix and data != manifest.serialise():
        write_atomic(file, manifest.serialise())
        say(f"{file}: rewritten in the canonical form")
        data = manifest.serialise()
    found = lint(manifest, data)
    if json:
        print_json([{**msgspec.to_builtins(f), "severity": f.severity.value} for f in found])
    else:
        print_findings(found)
    errors = sum(finding.severity is Severity.ERROR for finding in found)
    if errors:
        raise LintFailed(
            f"{file}: the enclave would refuse this manifest ({errors} errors)",
            remedy="correct what the findings name",
        )


@app.command("explain")
def explain(file: FileArgument, json: JsonOption = False) -> None:
    """Say in plain English who may do what, and what the worst case costs."""
    manifest, _ = _read(file)
    print_explanation(manifest, as_json=json)


@app.command("diff")
def diff_command(
    before: Annotated[Path, typer.Argument(metavar="OLD")],
    after: Annotated[Path, typer.Argument(metavar="NEW")],
    json: JsonOption = False,
) -> None:
    """Say what a new manifest makes possible, and what it takes away."""
    changes = diff(_read(before)[0], _read(after)[0])
    if json:
        print_json([{**msgspec.to_builtins(c), "effect": c.effect.value} for c in changes])
    else:
        print_changes(changes)


@app.command("sign")
def sign(
    file: FileArgument,
    owner: OwnerOption = DEFAULT_OWNER,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: FILE with .signed.json.")
    ] = None,
    passphrase_file: PassphraseOption = None,
    trust: TrustOption = None,
) -> None:
    """Add this owner's signature; the file may be a manifest, or one that others signed."""
    folder = OwnerFolder(owner.expanduser())
    signed, target = _signable(file, out)
    manifest = Manifest.parse(signed.statement.payload)
    owners = manifest.owners()
    signed = signed.signed_by(folder.key(lambda: ask_passphrase(passphrase_file)), owners)
    count, quorum = signed.progress(owners)
    signed.save(target)
    say(f"{target}: {count} of {quorum} needed owners have signed")
    if count < quorum:
        say(f"next: another owner runs `strongroom manifest sign {target}`")
        return
    verified, _ = read_manifest(target)
    signed.save(folder.manifest_path)
    say(f"manifest {verified.digest.hex()}")
    path = trust or folder.trust_path
    if path.exists():
        _pin(path, verified)


@app.command("pin")
def pin(file: FileArgument, owner: OwnerOption = DEFAULT_OWNER, trust: TrustOption = None) -> None:
    """Write a signed manifest's digest into the trust file: from now on this one is meant."""
    folder = OwnerFolder(owner.expanduser())
    verified, statement = read_manifest(file)
    _pin(trust or folder.trust_path, verified)
    SignedFile(DocumentKind.MANIFEST, statement).save(folder.manifest_path)


@app.command("next")
def next_command(
    file: FileArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE")],
    rotate: Annotated[
        list[str],
        typer.Option(metavar="OLD=NEW", help="Replace a key by a fresh one, same policy."),
    ] = [],  # noqa: B006  typer takes no other default for a list
) -> None:
    """Draft the next version, with keys rotated if asked: edit it, then lint, diff and sign."""
    before, _ = _read(file)
    draft = next_version(before)
    for pair in rotate:
        old, equals, new_name = pair.partition("=")
        if not equals:
            raise DocumentInvalid(f"{pair!r} is not a rotation", expected="OLD=NEW")
        draft = msgspec.structs.replace(rotated(draft, old, new_name), version=draft.version)
    write_atomic(out, finished(draft).serialise())
    print_changes(diff(before, draft))
    say(f"{out}: version {draft.version}; boot with it, then provision the new keys")


@app.command("change-owners")
def change_owners(
    file: FileArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE")],
    new_owner: Annotated[
        list[str], typer.Option("--new-owner", metavar="HEX", help="Each owner of the new set.")
    ],
    quorum: Annotated[int, typer.Option(help="How many of the new owners must sign.")],
) -> None:
    """Draft a hand-over to other owners; the ones before sign it with `sign-change`."""
    manifest, _ = _read(file)
    owners = owner_set(tuple(parse_owner(key) for key in new_owner), quorum)
    draft = draft_handover(manifest, owners)
    write_atomic(out, draft.serialise())
    print_changes(diff(manifest, draft))
    say(f"next: owners until now run `strongroom manifest sign-change {out}`")


@app.command("sign-change")
def sign_change(
    file: FileArgument,
    owner: OwnerOption = DEFAULT_OWNER,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Consent to a hand-over, as one of the owners before it."""
    manifest, _ = read_draft(file)
    folder = OwnerFolder(owner.expanduser())
    key = folder.key(lambda: ask_passphrase(passphrase_file))
    signed, count, quorum = sign_handover(manifest, key)
    write_atomic(file, signed.serialise())
    say(f"{file}: {count} of {quorum} needed owners have consented")
    if count >= quorum:
        say(f"next: the new owners run `strongroom manifest sign {file}`")


def _read(path: Path) -> tuple[Manifest, bytes]:
    """Returns the manifest in a plain or signed file, and its bytes."""
    if path.name.endswith(".signed.json"):
        file = SignedFile.load(path)
        if file.kind is not DocumentKind.MANIFEST:
            raise DocumentInvalid(f"{path} is signed, but is no manifest", actual=file.kind.name)
        return Manifest.parse(file.statement.payload), file.statement.payload
    return read_draft(path)


def _signable(file: Path, out: Path | None) -> tuple[SignedFile, Path]:
    """Returns what to sign and where to: a signed file grows in place, a draft gets a new one."""
    if file.name.endswith(".signed.json"):
        signed = SignedFile.load(file)
        if signed.kind is not DocumentKind.MANIFEST:
            raise DocumentInvalid(
                f"{file} is no manifest",
                actual=signed.kind.name.lower(),
                remedy="permits and orders: `strongroom permit sign`, `strongroom provision sign`",
            )
        return signed, out or file
    return SignedFile.unsigned(read_file(file)), out or file.with_suffix(".signed.json")


def _pin(path: Path, verified: VerifiedManifest) -> None:
    record = Trust.load(path).pinned_to(verified)
    record.save(path)
    say(f"{path}: now means version {verified.manifest.version} of {verified.manifest.account}")
