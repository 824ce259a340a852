"""Another boot, after the first was stopped for good: it goes on with both logs, and no others."""

import time
from pathlib import Path
from typing import Final

from strongroom_wire.leaves import Kind, Leaf

from strongroom_host.demo.folders import OWNERS
from strongroom_host.demo.log_chapter import await_head, check_verified, examined, whose
from strongroom_host.demo.owner_chapter import Configured
from strongroom_host.demo.owners import KEY, LIMITS, OwnersDesk
from strongroom_host.demo.processes import Child, HostReady, KeeperReady
from strongroom_host.demo.recording import RecorderReady
from strongroom_host.demo.return_chapter import check_logged, record_log
from strongroom_host.demo.stage import Stage
from strongroom_host.demo.story import require
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.enclave_client.bootstrap import BootstrapClient, load_manifest
from strongroom_host.log.pull import continued_by
from strongroom_host.log.stored import StoredLog
from strongroom_host.owner.signed import read_manifest
from strongroom_host.owner.statements import RecordHistory, draft_permit, parse_budget

__all__ = ["follow_boot", "next_boot_chapter"]

_PERMIT_MS: Final = 3_600_000


def follow_boot(link: Path, run: Path) -> None:
    """Points the link that the log's keeper follows at the sockets of a boot."""
    new = link.with_suffix(".new")
    new.symlink_to(run)
    new.replace(link)


def next_boot_chapter(
    stage: Stage,
    configured: Configured,
    ready: HostReady,
    keeping: Child[KeeperReady],
    recording: Child[RecorderReady],
) -> None:
    """Permits a second boot to continue both stored logs; who keeps them goes on by itself.

    Raises:
        EvidenceRefused: it is another enclave than the first.
        DemoFailed: the log was not gone on with, or does not verify as a whole.
    """
    story, folders = stage.story, stage.folders
    address = parse_enclave_address(ready.address)
    policy, log = configured.desk.policy, StoredLog(folders.log)
    records = StoredLog(folders.record_log)
    with BootstrapClient(address.bootstrap) as client:
        evidence = load_manifest(client, read_manifest(folders.signed_manifest)[1], policy)
    desk = OwnersDesk(configured.owners, configured.manifest, policy, address)
    first, now = configured.owners[OWNERS[0]], time.time_ns() // 1_000_000
    budget = f"{KEY}={LIMITS.budget}:{LIMITS.budget_orders}"
    permit = draft_permit(
        evidence,
        (parse_budget(budget, configured.manifest.manifest),),
        serial=first.next_serial(now // 1000),
        not_after=now + _PERMIT_MS,
        share=first.share(),
        log=continued_by(log, evidence.bundle.boot_id),
        not_before=max(Leaf.parse(each.leaf(each.size - 1)).time_ms for each in (log, records)),
        record=_history(records, evidence.bundle.boot_id),
    )
    with desk.control(evidence) as control:
        control.submit_permit(desk.agree(permit))
    await_head(keeping, folders.log, log.size + 1)
    found = examined(folders.log, whose(stage, configured))
    check_verified(found, log.size + 1)
    starts = [boot.start for boot in found.boots]
    require(starts == [0, log.size], "the log is not of two boots", actual=starts)
    story.proved(
        "log_continued",
        f"boot {evidence.bundle.boot_id.hex()[:12]}… was permitted to go on after leaf"
        f" {log.size - 1}, and did: kept by the same keeper, cosigned by the same witness, and all"
        " of it verifies over both boots, kill switch included",
    )
    await_head(recording, folders.record_log, records.size + 1)
    found = record_log(stage, configured)
    check_logged(found)
    starts = [boot.start for boot in found.boots]
    require(starts == [0, records.size], "the record's log is not of two boots", actual=starts)
    story.proved(
        "record_continued",
        "its record took back every account's sealed state, all of which the permit names by one"
        " digest: an older copy of the database is refused; and its own log goes on",
    )


def _history(log: StoredLog, boot_id: bytes) -> RecordHistory:
    """Returns what the permit says of the record: its log, and the root of all accounts' states."""
    leaves = (Leaf.parse(entry) for entry in log.reader().entries())
    roots = [leaf.public for leaf in leaves if leaf.kind in (Kind.SYNC, Kind.RETURNS)]
    return RecordHistory(continued_by(log, boot_id), root=roots[-1])
