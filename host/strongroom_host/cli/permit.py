"""`strongroom permit`: let one verified boot sign, within absolute budgets, until a time."""

import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from strongroom_wire.bundle import Role
from strongroom_wire.encoding import u32
from strongroom_wire.owners import Statement
from strongroom_wire.statements import Permit

from strongroom_host.cli.output import say, table
from strongroom_host.cli.permit_log import (
    AbandonOption,
    LogChoice,
    LogOption,
    RecordAbandonOption,
    RecordLogOption,
    UnsignedOption,
    check_draft,
    history_to_continue,
    log_choices,
    remember_begun,
    remember_permit,
)
from strongroom_host.cli.session import (
    DEFAULT_ENCLAVE,
    DEFAULT_OWNER,
    EnclaveOption,
    ManifestOption,
    OutOption,
    OwnerOption,
    OwnerSession,
    PassphraseOption,
    TrustOption,
    open_session,
)
from strongroom_host.enclave_client.errors import ReceiptInvalid
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_host.log.records import given_up_by
from strongroom_host.owner.errors import DocumentInvalid
from strongroom_host.owner.signed import DocumentKind, SignedFile
from strongroom_host.owner.statements import (
    MAX_PERMIT_SECONDS,
    RecordHistory,
    check_for_boot,
    draft_permit,
    parse_budget,
)

__all__ = ["app"]

app = typer.Typer(invoke_without_command=True)
FileArgument = Annotated[Path, typer.Argument(metavar="FILE")]


@app.callback()
def permit(
    context: typer.Context,
    budget: Annotated[
        list[str],
        typer.Option(metavar="KEY=PUSD[:ORDERS]", help="Total since boot; one for each key."),
    ] = [],  # noqa: B006  typer takes no other default for a list
    hours: Annotated[float, typer.Option(help="How long it holds.")] = 24.0,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Or until when, ISO 8601 with zone.")
    ] = None,
    no_share: Annotated[
        bool, typer.Option("--no-share", help="Send no unlock share; sealed state stays closed.")
    ] = False,
    out: OutOption = None,
    log: LogOption = None,
    abandon: AbandonOption = None,
    record_log: RecordLogOption = None,
    record_abandon: RecordAbandonOption = None,
    unsigned_leaves: UnsignedOption = False,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Verify the enclave, then let this boot sign within budgets (totals since boot)."""
    if context.invoked_subcommand:
        return
    now = time.time()
    now_ms, not_after = int(now * 1000), _not_after(now, hours, until)
    session = open_session(owner, enclave, manifest, trust, passphrase_file)
    document = session.manifest.manifest
    if not budget and not document.accounts:
        raise DocumentInvalid(
            "a permit without budgets permits nothing",
            expected="--budget KEY=PUSD[:ORDERS] for each key that may trade",
            remedy="for instance `strongroom permit --budget main=500:200`",
        )
    choices = log_choices(
        document, LogChoice(log, abandon, unsigned_leaves), record_log, record_abandon
    )
    budgets = tuple(parse_budget(text, document) for text in budget)
    evidence = session.evidence()
    history, *records = [
        history_to_continue(session, evidence, choice, now_ms) for choice in choices
    ]
    draft = draft_permit(
        evidence,
        budgets,
        serial=session.folder.next_serial(int(now)),
        not_after=not_after,
        share=None if no_share else session.folder.share(),
        log=history.log,
        not_before=max(each.not_before for each in (history, *records)),
        abandons=history.abandons,
        record=next((RecordHistory(r.log, r.abandons, r.root) for r in records), None),
    )
    _show(draft, choices)
    for choice in choices:
        remember_permit(session, evidence, draft, choice, now_ms)
    file = session.sign(SignedFile.unsigned(draft.serialise()))
    statement = session.collect(file, out, "permit")
    if statement is not None:
        _submit(session, evidence, statement, draft)


@app.command("sign")
def sign(
    file: FileArgument,
    log: LogOption = None,
    abandon: AbandonOption = None,
    record_log: RecordLogOption = None,
    record_abandon: RecordAbandonOption = None,
    unsigned_leaves: UnsignedOption = False,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Add this owner's signature to a permit, after verifying that it is for this very boot and
    continues the history that this owner knows."""
    session = open_session(owner, enclave, manifest, trust, passphrase_file)
    signed, draft = _load(file)
    evidence, now_ms = session.evidence(), int(time.time() * 1000)
    check_for_boot(draft, evidence, session.manifest)
    choices = log_choices(
        session.manifest.manifest,
        LogChoice(log, abandon, unsigned_leaves),
        record_log,
        record_abandon,
    )
    _show(draft, choices)
    for choice in choices:
        check_draft(session, evidence, draft, choice, now_ms)
    for choice in choices:
        remember_permit(session, evidence, draft, choice, now_ms)
    session.collect(session.sign(signed), file, "permit")


@app.command("submit")
def submit(
    file: FileArgument,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
) -> None:
    """Submit a permit that enough owners have signed."""
    session = open_session(owner, enclave, manifest, trust)
    signed, draft = _load(file)
    statement = signed.require_quorum(session.manifest.owners)
    evidence = session.evidence()
    check_for_boot(draft, evidence, session.manifest)
    _submit(session, evidence, statement, draft)


def _submit(
    session: OwnerSession, evidence: VerifiedEvidence, statement: Statement, draft: Permit
) -> None:
    with session.control(evidence) as client:
        answer = client.submit_permit(statement)
    if answer != u32(draft.serial):
        raise ReceiptInvalid(
            "the enclave's receipt is for another permit",
            expected=draft.serial,
            actual=answer.hex(),
        )
    remember_begun(session, evidence.bundle.boot_id, draft)
    say(
        f"accepted: permit {draft.serial} is in force for boot {evidence.bundle.boot_id.hex()[:16]}"
    )


def _load(path: Path) -> tuple[SignedFile, Permit]:
    signed = SignedFile.load(path)
    if signed.kind is not DocumentKind.PERMIT:
        raise DocumentInvalid(
            f"{path} is no permit", expected="permit", actual=signed.kind.name.lower()
        )
    return signed, Permit.parse(signed.statement.payload)


def _not_after(now: float, hours: float, until: str | None) -> int:
    """Returns the expiry in ms since the epoch."""
    if until is None:
        end = now + hours * 3_600
    else:
        try:
            moment = datetime.fromisoformat(until)
        except ValueError as error:
            raise DocumentInvalid(
                f"{until!r} is not a time", expected="for instance 2027-01-31T18:00+00:00"
            ) from error
        if moment.tzinfo is None:
            raise DocumentInvalid(f"{until!r} has no time zone", remedy="add one, such as +00:00")
        end = moment.timestamp()
    if not now < end <= now + MAX_PERMIT_SECONDS:
        raise DocumentInvalid(
            "the permit would end in the past, or too far in the future",
            expected=f"at most {MAX_PERMIT_SECONDS // 86_400} days from now",
            actual=f"{(end - now) / 3_600:.1f} hours from now",
        )
    return int(end * 1000)


def _show(draft: Permit, choices: tuple[LogChoice, ...]) -> None:
    end = datetime.fromtimestamp(draft.not_after / 1000, UTC)
    rows = [(b.key, f"{Decimal(b.notional) / 10**6} pUSD", str(b.orders)) for b in draft.budgets]
    say(f"permit {draft.serial}, until {end:%Y-%m-%d %H:%M} UTC")
    for role in (choice.role for choice in choices):
        of = " of the record" if role is Role.RECORD else ""
        head, gone = draft.continues(role).head, given_up_by(draft, role)
        say(f"continues a log{of} of {head.size} leaves, {head.root.hex()[:16]}")
        if gone.size:
            known = f"a known history{of} of {gone.size} leaves, {gone.root.hex()[:16]}"
            say(f"GIVES UP {known}, for that one")
    say(f"keys digest {draft.keys_digest.hex()}: for this boot alone")
    if rows:
        table("Budgets", ("key", "total since boot", "orders"), rows)
