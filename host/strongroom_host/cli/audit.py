"""`strongroom audit`: from source to image to measurements to what runs, in one command.

Exit status: 0 no check failed, 1 one did, 2 an input is at fault, 5 this machine lacks something.
"""

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from strongroom_eif.recipe.store import default_cache

from strongroom_host.audit.advisories import PackageIndex
from strongroom_host.audit.audit import Outcome, Request
from strongroom_host.audit.audit import audit as run_audit
from strongroom_host.audit.rebuild import ProcessBuilder
from strongroom_host.cli.attest_input import read_document, read_roots
from strongroom_host.cli.audit_report import print_report
from strongroom_host.cli.output import print_json, say
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.enclave_client.bootstrap import BootstrapClient
from strongroom_host.enclave_client.evidence import UntrustedEvidence
from strongroom_host.errors import BadInput
from strongroom_host.private_files import write_atomic
from strongroom_host.trust.release_keys import CHECKOUT

__all__ = ["audit"]


def audit(
    source: Annotated[
        Path, typer.Option(metavar="DIR", help="The checkout to audit (default: this one).")
    ] = CHECKOUT,
    inputs: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="Look here for inputs before the network is asked; repeatable."
        ),
    ] = None,
    release: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compare with this release (default: this version's)."),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Pinned release keys (default: this source tree's)."),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compare with this image too, naming what differs."),
    ] = None,
    document: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A kept attestation document: raw, hex or base64."),
    ] = None,
    enclave: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A running enclave, asked under a fresh nonce."),
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Development: trust this root instead of AWS's; hex or a certificate."),
    ] = None,
    unsigned: Annotated[
        bool,
        typer.Option("--unsigned", help="Development: what runs is QEMU, which signs nothing."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For the reports (default: build/audit)."),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For the builds, emptied first (default: OUT/work)."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the network.")] = False,
    no_rebuild: Annotated[
        bool, typer.Option("--no-rebuild", help="Only look at --image; proves much less.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Rebuild the image twice, compare, count, look up, and report every finding."""
    if unsigned and root:
        raise BadInput("--unsigned and --root exclude each other", remedy="QEMU has no root at all")
    if no_rebuild and image is None:
        raise BadInput("--no-rebuild looks at a given image only", remedy="name it with --image")
    target = out or source / "build" / "audit"
    place = work or target / "work"
    request = Request(
        source=source.absolute(),
        work=place.absolute(),
        release=release,
        keys=keys,
        image=image,
        rebuild=not no_rebuild,
        document=None if document is None else read_document(document),
        fetch=None if enclave is None else _Fetcher(enclave),
        roots=read_roots(root) if root else None,
        unsigned=unsigned,
        index=None if offline else PackageIndex(),
    )
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(),
        transient=True, disable=as_json or not sys.stderr.isatty(),
    ) as progress:  # fmt: skip
        task = progress.add_task("looking at the source")

        def told(line: str) -> None:
            progress.update(task, description=escape(line))
            if progress.disable and not as_json:
                say(f"{datetime.now(UTC):%H:%M:%S} {line}")

        builder = ProcessBuilder(default_cache(), tuple(inputs or ()), offline, told)
        outcome = run_audit(request, builder, told)
    _save(outcome, target, request)
    if as_json:
        print_json(outcome.report.to_json())
    else:
        say("")
        print_report(outcome.report)
        say(f"report {target / 'report.json'}")
    if outcome.report.exit_status:
        raise typer.Exit(outcome.report.exit_status)


class _Fetcher:
    """Asks the enclave at an address; connects when it is called, once."""

    def __init__(self, address: str) -> None:
        self._address = parse_enclave_address(address)

    def __call__(self, nonce: bytes) -> UntrustedEvidence:
        with BootstrapClient(self._address.bootstrap) as client:
            return client.evidence(nonce)


def _save(outcome: Outcome, target: Path, request: Request) -> None:
    """Writes the reports and, of a whole audit, the image and its papers; then clears up."""
    write_atomic(target / "report.json", _json(outcome.report.to_json()))
    path = target / "provenance.json"
    if outcome.provenance is None:
        path.unlink(missing_ok=True)  # an earlier audit's must not stand beside this report
    else:
        write_atomic(path, _json(outcome.provenance))
    if outcome.product is None or not request.rebuild:
        return
    for file in (outcome.product.image, outcome.product.record, outcome.product.sbom):
        shutil.copyfile(file, target / file.name)
    # Gigabytes that only matter where the two builds differ.
    if outcome.identical:
        shutil.rmtree(request.work, ignore_errors=True)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"
