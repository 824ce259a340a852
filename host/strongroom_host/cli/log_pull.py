"""`strongroom log pull`: bring the stored log up to a running enclave's, once."""

from contextlib import ExitStack

from strongroom_wire.bundle import Bundle

from strongroom_host.cli.log_memory import memory_beside, remember_pulled
from strongroom_host.cli.log_options import (
    DEFAULT_CLIENT,
    DEFAULT_LOG,
    ClientOption,
    LogOption,
    ManifestFile,
    TrustFile,
)
from strongroom_host.cli.log_source import EnclaveLog
from strongroom_host.cli.output import say
from strongroom_host.cli.session import DEFAULT_ENCLAVE, EnclaveOption
from strongroom_host.cli.trading import ClientFolder
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.log.boots import Boots
from strongroom_host.log.errors import LogDamaged
from strongroom_host.log.files import LogFiles
from strongroom_host.log.openings import Openings
from strongroom_host.log.pull import pull
from strongroom_host.log.report.words import quantity
from strongroom_host.log.verify import AttestedBoot, Expected, KnownHead, Report, verify

__all__ = ["conclude", "pull_command"]


def pull_command(
    log: LogOption = DEFAULT_LOG,
    client: ClientOption = DEFAULT_CLIENT,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    manifest: ManifestFile = None,
    trust: TrustFile = None,
) -> None:
    """Verify the enclave, store what its log has new (leaves, openings, evidence), and check it.

    While `strongroom log keep` runs on this log, there is nothing to pull.
    """
    folder, place = log.expanduser(), ClientFolder(client.expanduser())
    enclave_log = EnclaveLog(place, parse_enclave_address(enclave), manifest, trust)
    with ExitStack() as stack:
        source = stack.enter_context(enclave_log.source())
        files = stack.enter_context(LogFiles(folder))
        openings = stack.enter_context(Openings(folder, write=True))
        before, bundle = files.size, Bundle.parse(source.boot.bundle)
        head = pull(files, source.ask, source.key, openings).head
        Boots(folder).add(source.boot)
        if memory := memory_beside(log):
            remember_pulled(memory, source.key.name, files.reader(), head, bundle.boot_id)
        boots = {bundle.boot_id: AttestedBoot(bundle.manifest_digest, bundle.keys_digest)}
        known = KnownHead(head, f"boot {bundle.boot_id.hex()[:16]}")
        report = verify(files.reader().entries(), Expected([known], boots=boots))
    say(f"{quantity(head.size - before, 'new leaf', 'new leaves')}; {head.size} in {log}")
    say(f"key of this boot: {source.key}")
    conclude(report)
    say(f"next: strongroom log verify --log {log}, for the evidence, the witnesses and the records")


def conclude(report: Report) -> None:
    """Says what was found in the leaves; fails unless all is well. Whether witnesses vouch for
    them, and what the evidence of other boots proves, was not looked at here."""
    for finding in report.findings:
        say(str(finding))
    if not report.ok:
        raise LogDamaged(
            "the log is not in order",
            expected="leaves that lead to a signed head",
            actual=f"{quantity(len(report.findings), 'finding')},"
            f" {report.proven} of {report.head.size} proven",
            remedy="keep this copy as it is, and compare it with another one",
        )
    counts = ", ".join(f"{count} {kind.name}" for kind, count in sorted(report.kinds.items()))
    leaves = quantity(report.head.size, "leaf", "leaves")
    say(f"in order: {leaves} of {quantity(len(report.epochs), 'boot')} ({counts})")
