"""The checklist of the track record's promises: each row an automated check as soon as it is built.

Data, not code: a row says which files show that it has been built, and which findings of the audit
decide about it. A row that is built and has no findings named here *fails*: who builds it writes
its check, or the audit says so.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_host.audit.findings import Finding, Result, failed, inapplicable, passed, warned

__all__ = ["ROWS", "Row", "check_rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One promise.

    Attributes:
        id: Of the mission's table.
        promise: In a sentence.
        component: What has to be built for it, for people.
        built: Patterns of files in the source; one match means that it is built.
        findings: Ids of the findings that must all pass.
    """

    id: str
    promise: str
    component: str
    built: tuple[str, ...]
    findings: tuple[str, ...] = ()


# The process, not its parts: a ledger that nobody runs keeps no promise yet.
_RECORD: Final = ("enclave/strongroom_enclave/record/__main__.py",)

ROWS: Final = (
    Row("S2-1", "Exchange credentials are sealed to the enclave, and a dump reveals nothing",
        "the record process", _RECORD, ("tests.sealed",)),
    Row("S2-2", "Connectors fetch full histories; TLS ends in the enclave",
        "the record process", _RECORD, ("tests.histories",)),
    Row("S2-3", "Doing any sync again changes nothing, loses nothing, doubles nothing",
        "the record process", _RECORD, ("tests.repeated",)),
    Row("S2-4", "Returns are exact, and flows are no profit",
        "the record process", _RECORD, ("tests.exact",)),
    Row("S2-5", "Hourly returns and balance snapshots are all that the gateway's role can read",
        "the gateway", ("host/strongroom_host/gateway/**/*.py",),
        ("gateway.grants", "gateway.logins")),
    Row("S2-6", "Four calls over mTLS, the enclave's key bound to its attestation",
        "the record process", _RECORD, ("tests.calls",)),
    Row("S2-7", "The gateway serves aggregates under API keys and limits",
        "the gateway", ("host/strongroom_host/gateway/**/*.py",), ("gateway.doors",)),
    Row("S2-8", "SEV-SNP reports verify against pinned roots and are bound to keys and nonce",
        "the SEV-SNP verifier", ("attestation/strongroom_attest/snp/**/*.py",)),
    Row("S2-9", "One command rebuilds and compares; the trusted code is counted; no placeholders",
        "the image", ("eif/strongroom_eif/recipe/assemble.py",),
        ("rebuild.identical", "rebuild.papers", "tcb.lines", "tcb.contracts", "pins.wheels",
         "pins.genuine", "image.format", "image.source", "sbom.complete", "record.names")),
    Row("S2-10", "The published figures are beaten by one benchmark command",
        "the record process", _RECORD, ("bench.calls", "bench.connectors", "bench.record")),
)  # fmt: skip


def check_rows(
    source: Path, findings: Iterable[Finding], rows: Iterable[Row] = ROWS
) -> list[Finding]:
    """Returns one finding per row, from what the audit found before."""
    results = {finding.id: finding.result for finding in findings}
    return [_check(row, source, results) for row in rows]


def _check(row: Row, source: Path, results: dict[str, Result]) -> Finding:
    check = f"row.{row.id}"
    title = f"{row.id} {row.promise}"
    if not any(next(source.glob(pattern), None) for pattern in row.built):
        return inapplicable(check, title, f"not applicable yet: {row.component} is not built")
    if not row.findings:
        return failed(
            check,
            title,
            f"{row.component} is built, and nothing here checks this promise",
            remedy="write the check, and name its findings in audit/track_record.py",
        )
    # A finding that is missing was not made: as bad as one that failed.
    ended = {name: results.get(name, Result.FAIL) for name in row.findings}
    evidence = {name: result.value for name, result in ended.items()}
    worst = [name for name, result in ended.items() if result is Result.FAIL]
    if worst:
        return failed(check, title, f"because of {', '.join(worst)}", evidence, remedy="see there")
    open_ones = [name for name, result in ended.items() if result is not Result.PASS]
    if open_ones:
        return warned(check, title, f"open: {', '.join(open_ones)}", evidence, remedy="see there")
    return passed(check, title, f"{len(ended)} checks hold", evidence)
