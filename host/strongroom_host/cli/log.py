"""`strongroom log`: keep a copy of the signer's log, and check it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.encoding import u64
from strongroom_wire.frames import Intent, Kind
from strongroom_wire.leaves import Leaf

from strongroom_host.cli.log_memory import memory_beside, remember_pulled
from strongroom_host.cli.log_watch import watch
from strongroom_host.cli.output import say, warn
from strongroom_host.cli.session import DEFAULT_ENCLAVE, EnclaveOption
from strongroom_host.cli.trading import ClientFolder, Trader
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.errors import BadInput
from strongroom_host.log.boots import Boots, StoredBoot
from strongroom_host.log.errors import LogDamaged
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import VerifierKey, open_checkpoint
from strongroom_host.log.pull import pull
from strongroom_host.log.tiles import CHECKPOINT
from strongroom_host.log.verify import AttestedBoot, Expected, KnownHead, Report, verify
from strongroom_host.owner.signed import read_manifest

__all__ = ["app"]

app = typer.Typer(help="Keep and check the enclave's log.", no_args_is_help=True)

LogOption = Annotated[Path, typer.Option("--log", metavar="DIR", help="Where the log is kept.")]
ClientOption = Annotated[
    Path,
    typer.Option(
        "--client", envvar="STRONGROOM_CLIENT", metavar="DIR", help="A client that may call `log`."
    ),
]
_IN_FOLDER = "Default: the one in the client's folder."
app.command("watch")(watch)
ManifestFile = Annotated[Path | None, typer.Option("--manifest", metavar="FILE", help=_IN_FOLDER)]
TrustFile = Annotated[Path | None, typer.Option("--trust", metavar="FILE", help=_IN_FOLDER)]
DEFAULT_LOG = Path("~/.strongroom/owner/log")


@app.command("pull")
def pull_command(
    log: LogOption = DEFAULT_LOG,
    client: ClientOption = Path("~/.strongroom/client"),
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    manifest: ManifestFile = None,
    trust: TrustFile = None,
) -> None:
    """Verify the enclave, store the leaves that are new, and check the whole log."""
    folder = ClientFolder(client.expanduser())
    with (
        folder.trader(parse_enclave_address(enclave), manifest, trust) as trader,
        LogFiles(log.expanduser()) as files,
    ):
        bundle, before = trader.evidence.bundle, files.size
        origin = log_origin(bundle.owner_root, trader.manifest.account, Role.SIGNER)
        key = VerifierKey(origin, trader.evidence.keys(Role.SIGNER).receipt)
        head = pull(files, _reading(trader), key).head
        if memory := memory_beside(log):
            remember_pulled(memory, origin, files.reader(), head, bundle.boot_id)
        boots = {bundle.boot_id: AttestedBoot(bundle.manifest_digest, bundle.keys_digest)}
        known = KnownHead(head, f"boot {bundle.boot_id.hex()[:16]}")
        report = verify(files.reader().entries(), Expected([known], boots=boots))
        _, statement = read_manifest(manifest or folder.root / "manifest.signed.json")
        evidence = trader.evidence.document, bundle.serialise(), statement.serialise()
        Boots(log.expanduser()).add(StoredBoot(*evidence, int(time.time() * 1000)))
    say(f"{head.size - before} new leaves; {head.size} in {log}")
    say(f"key of this boot: {key}")
    _conclude(report)


@app.command("show")
def show(
    log: LogOption = DEFAULT_LOG,
    start: Annotated[int, typer.Option(min=0, help="From this leaf on.")] = 0,
) -> None:
    """List the stored leaves: index, time, kind, boot."""
    with _stored(log) as files:
        for entry in files.reader().entries(start):
            leaf = Leaf.parse(entry)
            time = datetime.fromtimestamp(leaf.time_ms / 1000, UTC).isoformat(" ", "milliseconds")
            when = time if leaf.time_ms else "no time"
            say(f"{leaf.index:>8}  {when:<29}  {leaf.kind.name:<7}  {leaf.epoch.hex()[:16]}")


@app.command("verify")
def verify_command(
    key: Annotated[
        str, typer.Option(metavar="VKEY", help="The newest boot's key, as `log pull` printed it.")
    ],
    log: LogOption = DEFAULT_LOG,
) -> None:
    """Check the whole stored log offline against its newest signed head."""
    vkey = VerifierKey.parse(key)
    with _stored(log) as files:
        note = files.read(CHECKPOINT)
        if note is None:
            raise BadInput(f"{log} has no signed head", remedy="run `strongroom log pull` first")
        head = open_checkpoint(note, vkey.name, [vkey]).head
        hashes = files.reader().hashes
        expected = Expected([KnownHead(head, "the stored checkpoint")])
        report = verify(
            files.reader().entries(), expected, stored_hash=lambda index: hashes(0, index)
        )
    _conclude(report)


def _stored(log: Path) -> LogFiles:
    folder = log.expanduser()
    if not folder.is_dir():
        raise BadInput(
            f"{log} is no log", remedy="run `strongroom log pull`, or name it with --log"
        )
    return LogFiles(folder)


def _reading(trader: Trader) -> Callable[[int], bytes]:
    def ask(start: int) -> bytes:
        return trader.ask(Intent(Kind.READ_LOG, 0, 0, 0, (), u64(start)), "reading the log").request

    return ask


def _conclude(report: Report) -> None:
    """Says what was found and what is not excluded; fails unless all is well."""
    for finding in report.findings:
        say(str(finding))
    for sentence in report.not_excluded():
        warn(sentence)
    if not report.ok:
        raise LogDamaged(
            "the log is not in order",
            expected="leaves that lead to a signed head",
            actual=f"{len(report.findings)} findings, {report.proven} of {report.head.size} proven",
            remedy="keep this copy as it is, and compare it with another one",
        )
    counts = ", ".join(f"{count} {kind.name}" for kind, count in sorted(report.kinds.items()))
    say(f"in order: {report.head.size} leaves of {len(report.epochs)} boots ({counts})")
