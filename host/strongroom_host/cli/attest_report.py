"""How `strongroom attest` shows documents and verdicts: text for people, JSON for programs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from strongroom_attest import AttestationError, Findings
from strongroom_attest.errors import NoAlternative, PolicyMismatch
from strongroom_attest.nitro import AttestationDocument, Certificate

__all__ = [
    "Verdict",
    "chain_json",
    "document_json",
    "error_json",
    "findings_json",
    "pcr_meaning",
    "print_chain",
    "print_document",
    "print_findings",
    "safe",
]

_MEANING = {
    0: "image: kernel, command line, all ramdisks",
    1: "kernel, command line, first ramdisk",
    2: "application: ramdisks after the first",
    3: "IAM role of the parent instance",
    4: "parent instance id",
    8: "certificate that signed the image",
}
_NO_SECOND_RAMDISK = bytes.fromhex(
    "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c"
    "10edb30948c90ba67310f7b964fc500a"
)
"""PCR2 of an image with one ramdisk: SHA-384 of 48 zeros and the SHA-384 of nothing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether signatures and chain of a shown document hold at its own time, in a sentence."""

    genuine: bool
    text: str
    chain: tuple[Certificate, ...] = ()


def pcr_meaning(index: int, value: bytes, module_id: str) -> str:
    """Returns what a PCR measures, and what its value gives away."""
    meaning = _MEANING.get(index, "the application's own" if index >= 16 else "reserved")
    if not any(value):
        return f"{meaning}; zero" + (": debug mode" if index <= 2 else ": not set")
    if index == 2 and value == _NO_SECOND_RAMDISK:
        return f"{meaning}; none in this image"
    if index == 4:
        instance = module_id.split("-enc")[0]
        known = hashlib.sha384(bytes(48) + instance.encode()).digest() == value
        return f"{meaning}; {'is ' if known else 'is not '}{instance}"
    return meaning


def document_json(document: AttestationDocument) -> dict[str, object]:
    """Returns all fields of a document but its certificates, bytes in hex."""
    return {
        "module_id": document.module_id,
        "timestamp": document.timestamp.isoformat(),
        "digest": document.digest,
        "debug": document.is_debug,
        "pcrs": {str(index): value.hex() for index, value in sorted(document.pcrs.items())},
        "public_key": _hex(document.public_key),
        "user_data": _hex(document.user_data),
        "nonce": _hex(document.nonce),
        "notes": list(document.notes),
    }


def chain_json(chain: Sequence[Certificate]) -> list[dict[str, str]]:
    """Returns the chain, root first."""
    return [
        {
            "where": certificate.label,
            "subject": certificate.subject,
            "not_before": certificate.not_before.isoformat(),
            "not_after": certificate.not_after.isoformat(),
            "sha256": certificate.sha256.hex(),
        }
        for certificate in chain
    ]


def findings_json(findings: Findings) -> dict[str, object]:
    """Returns what a policy compared and what it did not."""
    return {
        "mode": findings.mode.value,
        "compared": list(findings.compared),
        "unchecked": [{"field": skip.field, "reason": skip.reason} for skip in findings.skipped],
    }


def error_json(error: AttestationError) -> dict[str, object]:
    """Returns a refusal: stable `code`, text, and the values that disagreed."""
    report: dict[str, object] = {"code": error.code, "message": str(error)}
    if isinstance(error, PolicyMismatch):
        report["field"] = error.field
    if isinstance(error, NoAlternative):
        report["causes"] = [error_json(cause) for cause in error.causes]
    for name, value in (("expected", error.expected), ("actual", error.actual)):
        if value is not None:
            report[name] = _plain(value)
    return report


def print_document(console: Console, document: AttestationDocument, verdict: Verdict) -> None:
    """Prints a document for a person, the verdict on its signatures first."""
    colour = "green" if verdict.genuine else "red"
    word = "GENUINE" if verdict.genuine else "NOT VERIFIED"
    console.print(f"[bold {colour}]{word}[/]: {escape(verdict.text)}")
    console.print(f"\nmodule     {escape(safe(document.module_id))}")
    console.print(f"time       {document.timestamp.isoformat()} (the platform's clock)")
    if document.is_debug:
        console.print("[bold red]DEBUG[/]      PCR0..2 are zero: the host can read this enclave")
    for name in ("public_key", "user_data", "nonce"):
        console.print(f"{name:<10} {_described(getattr(document, name))}")
    for note in document.notes:
        console.print(f"note       {escape(note)}")
    print_measurements(console, document)
    if verdict.chain:
        print_chain(console, verdict.chain)


def print_measurements(console: Console, document: AttestationDocument) -> None:
    """Prints each PCR in full, for copying; those that are zero without consequence on one line."""
    console.print("\n[bold]measurements[/] (SHA-384)")
    unset = []
    for index, value in sorted(document.pcrs.items()):
        if not any(value) and index > 2 and index != 8:
            unset.append(index)
            continue
        meaning = pcr_meaning(index, value, document.module_id)
        console.print(f"PCR{index:<5} {escape(safe(meaning))}")
        if any(value):
            console.print(f"         {value.hex()}")
    if unset:
        console.print(f"zero     PCR {', '.join(map(str, unset))}")


def print_chain(console: Console, chain: Sequence[Certificate]) -> None:
    """Prints the certificates, root first."""
    console.print("\n[bold]chain[/]")
    for certificate in chain:
        life = f"{_minute(certificate.not_before)} to {_minute(certificate.not_after)}"
        console.print(f"{certificate.label:<12} {life}  {escape(safe(certificate.subject))}")


def print_findings(console: Console, findings: Findings) -> None:
    """Prints what was compared, and, just as visibly, what was not."""
    console.print(f"mode       {findings.mode.value}")
    console.print(f"compared   {', '.join(findings.compared)}")
    fields: dict[str, list[str]] = {}
    for skip in findings.skipped:
        fields.setdefault(skip.reason, []).append(skip.field)
    for reason, names in fields.items():
        console.print(f"[yellow]not compared[/] {', '.join(names)}: {escape(safe(reason))}")


def safe(text: str) -> str:
    """Returns text that a peer may have chosen, unable to steer a terminal."""
    return text if text.isprintable() else ascii(text)


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _described(value: bytes | None) -> str:
    if value is None:
        return "none (null)"
    if not value:
        return "empty (0 bytes)"
    text = value.hex()
    return f"{len(value)} bytes: {text if len(text) <= 128 else text[:128] + '...'}"


def _plain(value: object) -> object:
    match value:
        case bytes():
            return value.hex()
        case datetime():
            return value.isoformat()
        case bool() | int() | str():
            return value
        case frozenset() | tuple():
            return sorted(str(_plain(item)) for item in value)
    return str(value)


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%MZ")
