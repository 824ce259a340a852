"""`strongroom provision`: bring trading keys to life in a verified enclave, and credentials."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from strongroom_wire.owners import Statement
from strongroom_wire.statements import Action, OwnerOrder

from strongroom_host.cli.output import print_json, say, warn
from strongroom_host.cli.record_memory import remember_attested
from strongroom_host.cli.session import (
    DEFAULT_ENCLAVE,
    DEFAULT_OWNER,
    EnclaveOption,
    JsonOption,
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
from strongroom_host.errors import HostError
from strongroom_host.owner.chain_keys import (
    SESSION_KEY_SECONDS,
    address_of,
    authorise_session_calldata,
    checksum_address,
    parse_private_key,
)
from strongroom_host.owner.errors import DocumentInvalid
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.signed import DocumentKind, SignedFile
from strongroom_host.owner.statements import (
    check_for_boot,
    draft_enrolment,
    draft_import,
    draft_order,
    key_index,
)
from strongroom_host.private_files import FileExposed, read_file, read_private

__all__ = ["app", "carry_out", "submit_order_file"]

app = typer.Typer(help="Make or import trading keys, and enrol them.", no_args_is_help=True)
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Its name in the manifest.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE")]


@app.command("generate")
def generate(
    key: KeyArgument,
    out: OutOption = None,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Have the enclave make the key; nobody else ever sees it."""
    session = open_session(owner, enclave, manifest, trust, passphrase_file)
    key_index(session.manifest.manifest, key)
    carry_out(session, lambda proved: draft_order(proved, Action.GENERATE, key), out)


@app.command("session")
def session_key(
    key: KeyArgument,
    days: Annotated[
        float,
        typer.Option(help="How long the wallet should authorise it.", show_default="almost 180"),
    ] = SESSION_KEY_SECONDS / 86_400,
    out: OutOption = None,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make a session key, and print what the wallet's owner has to send to authorise it."""
    session = open_session(owner, enclave, manifest, trust, passphrase_file)
    spec = session.manifest.manifest.keys[key_index(session.manifest.manifest, key)]
    if spec.source != "session":
        raise DocumentInvalid(
            f"key {key} is no session key",
            expected="source session",
            actual=spec.source,
            remedy="use `strongroom provision generate` or `import`",
        )
    answer = carry_out(session, lambda proved: draft_order(proved, Action.GENERATE, key), out)
    if answer is None:
        return
    valid_until = int(time.time() + days * 86_400)
    say(f"authorise it: the wallet's owner sends, until {days:g} days from now,")
    say(f"  to   {spec.funder}")
    say(f"  data 0x{authorise_session_calldata(answer, valid_until).hex()}")
    say("the venue also wants to register it (scope CLOB) with a Builder API key")


@app.command("import")
def import_key(
    key: KeyArgument,
    source: Annotated[
        str, typer.Option("--from", metavar="FILE", help="File with the key in hex; - is stdin.")
    ],
    out: OutOption = None,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Bring in an existing key, sealed to the attested signer."""
    session = open_session(owner, enclave, manifest, trust, passphrase_file)
    key_index(session.manifest.manifest, key)
    secret = _read_secret(source)
    expected = address_of(secret)
    say(f"importing the key of {checksum_address(expected)}")
    answer = carry_out(session, lambda proved: draft_import(proved, key, secret), out)
    if answer is not None and answer != expected:
        raise ReceiptInvalid(
            "the enclave answered with another address than this key's",
            expected=checksum_address(expected),
            actual=checksum_address(answer),
            remedy="do not trade with it; restart the enclave and import again",
        )


@app.command("enroll")
def enroll(
    key: KeyArgument,
    derive: Annotated[
        bool, typer.Option("--derive", help="Fetch the credential of an earlier enrolment.")
    ] = False,
    nonce: Annotated[int, typer.Option(min=0, max=2**53, help="ClobAuth nonce.")] = 0,
    out: OutOption = None,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Get API credentials from the venue; the secret stays inside the enclave."""
    session = open_session(owner, enclave, manifest, trust, passphrase_file)
    key_index(session.manifest.manifest, key)
    carry_out(session, lambda p: draft_enrolment(p, key, derive=derive, nonce=nonce), out)


@app.command("list")
def list_command(owner: OwnerOption = DEFAULT_OWNER, json: JsonOption = False) -> None:
    """Show the addresses of keys provisioned from this folder."""
    known = OwnerFolder(owner.expanduser()).addresses()
    if json:
        print_json(known)
        return
    for name, address in known.items():
        say(f"{name:<32} {address}")
    if not known:
        say("none yet")


@app.command("sign")
def sign(
    file: FileArgument,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Add this owner's signature to an order, after verifying that it is for this very boot."""
    session = open_session(owner, enclave, manifest, trust, passphrase_file)
    signed, order = _load(file)
    check_for_boot(order, session.evidence(), session.manifest)
    say(f"order: {describe(order)}")
    session.collect(session.sign(signed), file, "provision")


@app.command("submit")
def submit(
    file: FileArgument,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
) -> None:
    """Submit an order that enough owners have signed."""
    action = _load(file)[1].action
    if action in (Action.EXPORT, Action.RESTORE):
        raise DocumentInvalid(
            f"{file} is about sealed state", remedy=f"run `strongroom seal submit {file}`"
        )
    submit_order_file(open_session(owner, enclave, manifest, trust), file)


def submit_order_file(session: OwnerSession, file: Path) -> tuple[OwnerOrder, bytes]:
    """Submits a signed order and returns it with the enclave's answer."""
    signed, order = _load(file)
    statement = signed.require_quorum(session.manifest.owners)
    evidence = session.evidence()
    check_for_boot(order, evidence, session.manifest)
    return order, _submit(session, evidence, statement, order)


def carry_out(
    session: OwnerSession, draft: Callable[[VerifiedEvidence], OwnerOrder], out: Path | None
) -> bytes | None:
    """Verifies, drafts, signs and submits one order; returns the answer, or None if it was only
    written to `out` for more signatures."""
    evidence = session.evidence()
    order = draft(evidence)
    file = session.sign(SignedFile.unsigned(order.serialise()))
    statement = session.collect(file, out, "provision")
    return None if statement is None else _submit(session, evidence, statement, order)


def describe(order: OwnerOrder) -> str:
    """Returns an order in words."""
    words = {
        Action.KILL: "stop signing for good",
        Action.GENERATE: f"make key {order.key}",
        Action.IMPORT: f"take in a sealed key as {order.key}",
        Action.ENROLL_CREATE: f"create API credentials for {order.key}",
        Action.ENROLL_DERIVE: f"derive API credentials for {order.key}",
        Action.EXPORT: "export the sealed state",
        Action.RESTORE: "restore sealed state",
        Action.CONNECT: f"connect account {order.key}",
    }
    return f"{words[order.action]}, in boot {order.boot_id.hex()[:16]}"


def _submit(
    session: OwnerSession, evidence: VerifiedEvidence, statement: Statement, order: OwnerOrder
) -> bytes:
    with session.control(evidence) as client:
        answer = client.submit_order(statement, describe(order))
    if order.action in (Action.GENERATE, Action.IMPORT):
        if len(answer) != 20:
            raise ReceiptInvalid("the answer is no address", expected=20, actual=len(answer))
        address = checksum_address(answer)
        session.folder.note_address(order.key, address)
        say(f"key {order.key}: {address}")
    elif order.action in (Action.ENROLL_CREATE, Action.ENROLL_DERIVE):
        say(f"key {order.key} is enrolled; API key id {answer.decode('ascii', 'replace')}")
    elif order.action is Action.CONNECT:
        say(f"account {order.key} is connected")
        try:
            remember_attested(session, session.evidence())
        except HostError as error:  # it is connected all the same
            warn(
                f"how far the record's log is was not remembered: {error.what} (do: look at the"
                f" record once, `strongroom record returns {order.key}`)"
            )
    return answer


def _load(path: Path) -> tuple[SignedFile, OwnerOrder]:
    signed = SignedFile.load(path)
    if signed.kind is not DocumentKind.ORDER:
        raise DocumentInvalid(
            f"{path} is no owner order", expected="order", actual=signed.kind.name.lower()
        )
    return signed, OwnerOrder.parse(signed.statement.payload)


def _read_secret(source: str) -> bytes:
    """Reads a private key from a file or stdin; never from the command line, which others see."""
    if source == "-":
        return parse_private_key(sys.stdin.buffer.read(1024))
    path = Path(source).expanduser()
    try:
        text = read_private(path, limit=1024)
    except FileExposed as error:
        warn(f"{error.what} ({error.actual})")
        text = read_file(path, limit=1024)
    return parse_private_key(text)
