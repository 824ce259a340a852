"""`strongroom attest`: look at an attestation document, or verify it against a policy.

Exit status: 0 accepted (or shown), 1 refused, 2 the command line or a file is at fault.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from strongroom_attest import (
    AllOf,
    AttestationError,
    Exactly,
    FreshnessWindow,
    Mode,
    Unchecked,
    VerifiedArchived,
    VerifiedLive,
)
from strongroom_attest.nitro import (
    AuthenticatedDocument,
    NitroPolicy,
    NitroPolicyTree,
    UnsignedDocument,
    authenticate_archived,
    parse_untrusted,
    verify_archived,
    verify_live,
    verify_live_unsigned,
)

from strongroom_host.cli.attest_input import (
    read_challenge,
    read_document,
    read_nonce,
    read_policy,
    read_roots,
    read_time,
)
from strongroom_host.cli.attest_report import (
    Verdict,
    chain_json,
    document_json,
    error_json,
    findings_json,
    print_chain,
    print_document,
    print_findings,
    safe,
)
from strongroom_host.errors import BadInput

__all__ = ["app"]

REFUSED = 1
ARCHIVED = "document"

Verified = (
    VerifiedLive[AuthenticatedDocument]
    | VerifiedLive[UnsignedDocument]
    | VerifiedArchived[AuthenticatedDocument]
)

app = typer.Typer(
    name="attest",
    help="Look at AWS Nitro attestation documents and verify them, offline.",
    no_args_is_help=True,
)

FileArgument = Annotated[
    str,
    typer.Argument(metavar="FILE", help="The document: raw, hex or base64; - reads stdin."),
]
RootOption = Annotated[
    list[str] | None,
    typer.Option(
        "--root",
        help="Trust this root instead of AWS's: SHA-256 in hex, or a certificate file. Repeatable.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command()
def show(file: FileArgument, root: RootOption = None, as_json: JsonOption = False) -> None:
    """Show what a document says, whether it is genuine, and what that does not tell."""
    with _faults(as_json):
        data = read_document(file)
        roots = read_roots(root or [])
        document = parse_untrusted(data)
        try:
            authenticated = authenticate_archived(data, roots)
        except AttestationError as error:
            verdict = Verdict(genuine=False, text=str(error))
        else:
            verdict = Verdict(
                genuine=True,
                text="signatures and chain hold at the document's own time, "
                f"under root {authenticated.root_sha256.hex()[:16]}...",
                chain=authenticated.chain,
            )
        unchecked = (
            "whether it is the enclave you mean: compare with a policy (strongroom attest verify)",
            "whether it is fresh: only a nonce that you sent yourself shows that",
            "whose keys public_key and user_data stand for: the application defines that",
        )
        if as_json:
            _print_json(
                {
                    "genuine_at_its_own_time": verdict.genuine,
                    "verdict": verdict.text,
                    "document": document_json(document),
                    "chain": chain_json(verdict.chain),
                    "not_checked": list(unchecked),
                }
            )
            return
        console = _console()
        print_document(console, document, verdict)
        console.print("\nNot checked here:")
        for line in unchecked:
            console.print(f"  - {line}")


@app.command()
def verify(
    file: FileArgument,
    policy: Annotated[Path, typer.Option(help="What the document must say: a JSON policy.")],
    nonce: Annotated[
        str | None,
        typer.Option(help="The nonce you sent, in hex. Required unless --at is document."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help='The time of verification in ISO 8601 (default: now), or "document" to judge an '
            "archived document at its own signed time.",
        ),
    ] = None,
    root: RootOption = None,
    max_age: Annotated[
        float, typer.Option(min=0, max=86_400, help="Oldest timestamp accepted, in seconds.")
    ] = 300,
    max_future_skew: Annotated[
        float, typer.Option(min=0, max=86_400, help="How far ahead it may be, in seconds.")
    ] = 30,
    unsigned: Annotated[
        bool,
        typer.Option(
            "--unsigned",
            help="The document comes from QEMU and nobody signed it. Needs a development policy "
            "with allow_unsigned.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Verify a document against a policy; exit 0 if accepted, 1 if refused."""
    with _faults(as_json):
        requirement = read_policy(policy)
        data = read_document(file)
        roots = read_roots(root or [])
        verified: Verified
        if at == ARCHIVED:
            if unsigned:
                raise BadInput(
                    "--unsigned and --at document exclude each other",
                    remedy="Nothing vouches for the time of an unsigned document.",
                )
            verified = verify_archived(data, _with_nonce(requirement, nonce), roots)
        elif nonce is None:
            raise BadInput(
                "--nonce is missing: without it a document may be years old",
                remedy="Give the nonce you sent, or --at document for an archived one.",
            )
        else:
            now = datetime.now(UTC) if at is None else read_time(at)
            window = FreshnessWindow(
                max_age=timedelta(seconds=max_age),
                max_future_skew=timedelta(seconds=max_future_skew),
            )
            challenge = read_challenge(nonce)
            verified = (
                verify_live_unsigned(data, requirement, now, challenge, window=window)
                if unsigned
                else verify_live(data, requirement, roots, now, challenge, window=window)
            )
        _report(verified, as_json)


def _with_nonce(requirement: NitroPolicyTree, nonce: str | None) -> NitroPolicyTree:
    """Adds the nonce an auditor knows to what an archived document must say."""
    if nonce is None:
        return requirement
    elsewhere = Unchecked("compared by the policy")
    known = NitroPolicy(
        pcrs=dict.fromkeys((0, 1, 2), elsewhere),
        public_key=elsewhere,
        user_data=elsewhere,
        nonce=Exactly(read_nonce(nonce)),
        # Not laxer than the policy: AllOf enforces every member, so the policy's own mode holds.
        mode=Mode.DEVELOPMENT,
    )
    return AllOf((requirement, known))


def _report(verified: Verified, as_json: bool) -> None:
    evidence = verified.evidence
    live = isinstance(verified, VerifiedLive)
    when = verified.verified_at if isinstance(verified, VerifiedLive) else verified.as_of
    chain = evidence.chain if isinstance(evidence, AuthenticatedDocument) else ()
    if as_json:
        _print_json(
            {
                "accepted": True,
                "kind": "live" if live else "archived",
                "at": when.isoformat(),
                "signed": isinstance(evidence, AuthenticatedDocument),
                "findings": findings_json(verified.findings),
                "document": document_json(evidence.document),
                "chain": chain_json(chain),
            }
        )
        return
    console = _console()
    meaning = (
        "it answers this nonce, now"
        if live
        else "as of its own signed time; says nothing about now"
    )
    console.print(
        f"[bold green]ACCEPTED[/] {'live' if live else 'archived'} at {when.isoformat()}: {meaning}"
    )
    if not chain:
        console.print("[bold red]UNSIGNED[/] nobody vouches for any of this")
    console.print(f"module     {escape(safe(evidence.document.module_id))}")
    print_findings(console, verified.findings)
    for note in evidence.document.notes:
        console.print(f"note       {escape(note)}")
    if chain:
        print_chain(console, chain)


@contextmanager
def _faults(as_json: bool) -> Iterator[None]:
    """Turns errors into one message and an exit status."""
    try:
        yield
    except AttestationError as error:
        if as_json:
            _print_json({"accepted": False, **error_json(error)})
        else:
            _complain("REFUSED", f"{error} [{error.code}]")
        raise typer.Exit(REFUSED) from error
    except BadInput as error:
        if as_json:
            _print_json({"accepted": False, "code": "usage", "message": error.what})
        _complain("error:", f"{error.what}. {error.remedy}".rstrip())
        raise typer.Exit(error.exit_status) from error


def _complain(word: str, text: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"[bold red]{word}[/] {escape(text)}"
    )


def _console() -> Console:
    # Values are there to be copied: whole, on one line, whatever the terminal's width.
    return Console(soft_wrap=True, highlight=False)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))
