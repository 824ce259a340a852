"""`strongroom record connect`: hand an account's read-only key to the attested record."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from strongroom_wire.errors import Code

from strongroom_host.cli.output import say, warn
from strongroom_host.cli.provision import carry_out
from strongroom_host.cli.record_options import AccountArgument
from strongroom_host.cli.session import (
    DEFAULT_ENCLAVE,
    DEFAULT_OWNER,
    EnclaveOption,
    ManifestOption,
    OutOption,
    OwnerOption,
    PassphraseOption,
    TrustOption,
    open_session,
)
from strongroom_host.enclave_client.errors import EnclaveRefused
from strongroom_host.errors import BadInput, HostError
from strongroom_host.owner.credentials import VenueKey, account_named, credentials_for
from strongroom_host.owner.statements import draft_connect
from strongroom_host.private_files import FileExposed, read_file, read_private

__all__ = ["ConnectRefused", "connect"]

_LIMIT: Final = 16_384
_MEANS: Final = {
    Code.SEALED_STATE_REFUSED: (
        "the record cannot keep it: nothing to wrap data keys with, no store, or a store that does"
        " not give back what it was given",
        "give the permit an unlock share, on a platform that can seal; the operator looks at"
        " `strongroom record serve`, which store.strongroom:1 has to lead to, and at what it says",
    ),
    Code.KEY_CONFLICT: (
        "the key was sealed for another account or venue",
        "connect the account that the manifest means",
    ),
    Code.WRONG_PHASE: (
        "this boot has no permit yet",
        "issue it first: `strongroom permit`",
    ),
    Code.HALTED: (
        "the record of this boot has ended; trading goes on",
        "the operator looks at the console, and restarts the enclave",
    ),
}


class ConnectRefused(HostError):
    """The enclave did not take an account's key."""

    exit_status = 4


def connect(
    account: AccountArgument,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help='JSON with the key: {"key", "secret", "passphrase"}; - is stdin. Asked for'
            " otherwise.",
        ),
    ] = None,
    out: OutOption = None,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Seal an account's read-only key to the record that evidence proves, and have it kept.

    Make a key at the venue that can read and do nothing else: the first synchronisation refuses one
    that can trade or withdraw, where the venue says so (Binance, Bybit, Coinbase). Once more with
    another key replaces it, and renews what encrypts the account.
    """
    session = open_session(owner, enclave, manifest, trust, passphrase_file)
    spec = account_named(session.manifest.manifest, account)
    say(f"{account}: {spec.venue}, {spec.environment}, of {spec.user}, kept in {spec.currency}")
    credentials = credentials_for(spec, _asked() if source is None else _read(source))
    try:
        answer = carry_out(session, lambda proved: draft_connect(proved, credentials), out)
    except EnclaveRefused as error:
        if error.code not in _MEANS:
            raise
        what, remedy = _MEANS[error.code]
        raise ConnectRefused(
            f"{account} was not connected: {what}", actual=error.code.name, remedy=remedy
        ) from error
    if answer is not None:
        say("the log has a leaf of it, and the key is in the record's sealed state alone")
        say(f"next: strongroom record sync {account} --wait")


def _asked() -> VenueKey:
    if not sys.stdin.isatty():
        raise BadInput(
            "there is no terminal to ask for the key at", remedy="give it with --from FILE or -"
        )
    ask = [
        ("API key (or token)", False),
        ("secret (empty if the venue has none)", True),
        ("passphrase (empty if the venue has none)", True),
    ]
    answers = [
        typer.prompt(text, hide_input=True, default="" if optional else None,
                     show_default=False, err=True)
        for text, optional in ask
    ]  # fmt: skip
    return VenueKey(*answers)


def _read(source: str) -> VenueKey:
    """Reads a key from a file or stdin; never from the command line, which others see."""
    if source == "-":
        return VenueKey.parse(sys.stdin.buffer.read(_LIMIT))
    path = Path(source).expanduser()
    try:
        data = read_private(path, limit=_LIMIT)
    except FileExposed as error:
        warn(f"{error.what} ({error.actual})")
        data = read_file(path, limit=_LIMIT)
    return VenueKey.parse(data)
