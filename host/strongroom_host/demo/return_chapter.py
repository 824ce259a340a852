"""One return, proved from a file alone: evidence, signature, inclusion, receipt, row."""

from pathlib import Path
from typing import Final

import msgspec
from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.leaves import Kind
from strongroom_wire.record import PublishedHour

from strongroom_host.charts.scales import moment
from strongroom_host.demo.accounts import EXACT, EXCHANGES
from strongroom_host.demo.log_chapter import examined
from strongroom_host.demo.owner_chapter import Configured
from strongroom_host.demo.record_chapter import EVER, READER, reading
from strongroom_host.demo.stage import Stage
from strongroom_host.demo.story import Story, expect_refusal, require
from strongroom_host.log.errors import NotIncluded
from strongroom_host.log.examination import Examination, Meant
from strongroom_host.log.folder import FolderLog
from strongroom_host.log.return_proof import (
    MAX_RETURN_PROOF,
    ProvedReturn,
    ReturnProof,
    prove_return,
    return_proof,
)
from strongroom_host.private_files import read_file, write_atomic
from strongroom_host.record_serving.fetching import FetchedRow
from strongroom_host.record_store.logins import Logins
from strongroom_host.record_store.roles import GATEWAY

__all__ = ["check_logged", "record_log", "return_chapter"]

_BETTER: Final = "0.100000000000"


def return_chapter(stage: Stage, configured: Configured) -> None:
    """Hands one return over as a file, verifies it, and shows that a changed one is refused.

    Raises:
        DemoFailed: it does not verify, or a changed one does.
        LogError: as `strongroom record verify` says it.
    """
    story = stage.story
    found = record_log(stage, configured)
    check_logged(found)
    kinds = ", ".join(f"{n} {kind.name}" for kind, n in sorted(found.report.kinds.items()))
    story.facts["record_log_kinds"] = kinds
    story.proved(
        "record_log_verified",
        f"the record's own log verifies offline, cosigned to its end, leaf by leaf ({kinds}): what"
        " was read of an account and what was published of it are two chains of receipts without a"
        " gap",
    )
    file = _handed_over(stage)
    proved = _verified(file, configured)
    _tell(story, file, proved)
    better = _altered(file)
    expect_refusal(NotIncluded, "a better return", lambda: _verified(better, configured))
    story.proved("changed_return_refused", "refused, the same file with a return of +10 % in it")


def record_log(stage: Stage, configured: Configured) -> Examination:
    """Returns what `strongroom log verify --role record` finds."""
    document = configured.manifest.manifest
    origin = log_origin(document.owner_root, document.account, Role.RECORD)
    trust = configured.desk.policy.trust
    meant = Meant(trust, document.owner_root, origin=origin, role=Role.RECORD)
    return examined(stage.folders.record_log, meant)


def check_logged(found: Examination) -> None:
    """Proves that the record's log is whole, opened, cosigned, and has returns of every account.

    Raises:
        DemoFailed: it is not.
    """
    problems = "; ".join(map(str, found.findings))
    require(found.ok, "the record's log does not verify", expected="no finding", actual=problems)
    sizes = {"opened": found.report.records, "cosigned": found.witnessed.size}
    short = {name: count for name, count in sizes.items() if count != found.end}
    require(not short, "not every leaf is opened and cosigned", expected=found.end, actual=short)
    returns = found.report.kinds.get(Kind.RETURNS, 0)
    require(returns >= len(EXCHANGES), "returns are not logged", actual=returns)


def _handed_over(stage: Stage) -> Path:
    """Returns a file that proves the newest exact hour with a return, as `record prove` does."""
    with reading(stage) as reader:
        known = [each for each in reader.series(READER, EXACT, EVER).periods if each.value]
    require(bool(known), "no hour has a return")
    login = Logins(stage.folders.database).dsn(GATEWAY)
    row = FetchedRow.of(login, EXACT, known[-1].start_ms)
    source = FolderLog(stage.folders.record_log)
    made = return_proof(source, row.leaf_index, row.encoded, row.position, row.path, row.opening)
    file = stage.folders.reports / f"{EXACT}.return-proof"
    write_atomic(file, made.serialise())
    return file


def _verified(file: Path, configured: Configured) -> ProvedReturn:
    """Returns what a file proves, as `record verify` does: it and the trust file are all it reads.

    Raises:
        LogError: it proves nothing; the class says why.
    """
    proof = ReturnProof.parse(read_file(file, limit=MAX_RETURN_PROOF))
    owner_root = configured.manifest.manifest.owner_root
    return prove_return(proof, configured.desk.policy.trust, owner_root)


def _tell(story: Story, file: Path, proved: ProvedReturn) -> None:
    hour, receipt, boot = proved.found.hour, proved.found.receipt, proved.writer
    story.facts["return_proved"] = hour.value
    story.proved(
        "return_proved_offline",
        f"one return, {hour.value} in the hour from {moment(hour.start_ms)}, proved by a file of"
        f" {file.stat().st_size} bytes and nothing else: evidence (image"
        f" {boot.evidence.image.name}, boot {boot.boot_id.hex()[:12]}…) → that boot's record signed"
        f" the log's head → leaf {proved.leaf.index} is in it → it commits to receipt"
        f" {receipt.number} of {receipt.account} → the row is one of its {receipt.count}",
    )
    story.note(
        f"the receipt says as well: a {receipt.environment} account, {receipt.mode} mode,"
        f" {receipt.completeness}, and that {receipt.accounts} accounts were ever connected: none"
        " can be dropped in silence"
    )


def _altered(file: Path) -> Path:
    """Returns a file that says the same of a better hour."""
    proof = ReturnProof.parse(file.read_bytes())
    hour = msgspec.structs.replace(PublishedHour.parse(proof.row), value=_BETTER)
    better = file.with_suffix(".better")
    write_atomic(better, msgspec.structs.replace(proof, row=hour.serialise()).serialise())
    return better
