"""`strongroom seal`: carry keys across a restart, sealed to the owners and the platform."""

from pathlib import Path
from typing import Annotated

import typer
from strongroom_wire.statements import Action

from strongroom_host.cli.output import say
from strongroom_host.cli.provision import carry_out, submit_order_file
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
from strongroom_host.enclave_client.errors import ReceiptInvalid
from strongroom_host.owner.errors import DocumentInvalid
from strongroom_host.owner.statements import draft_export, draft_order
from strongroom_host.private_files import read_file, write_private

__all__ = ["app"]

app = typer.Typer(
    help="Export and restore sealed keys.\n\nOnly keys that the manifest lets be kept (per_boot"
    " false) are in there; it opens under a permit with the same unlock share.",
    no_args_is_help=True,
)
StateArgument = Annotated[Path, typer.Argument(metavar="STATE", help="The sealed blob.")]


@app.command("export")
def export(
    state: StateArgument,
    out: OutOption = None,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Write the sealed keys to a file."""
    if state.exists():
        raise DocumentInvalid(f"{state} exists already", remedy="choose another name")
    session = open_session(owner, enclave, manifest, trust, passphrase_file)
    _save(state, carry_out(session, draft_export, out))


@app.command("restore")
def restore(
    state: StateArgument,
    out: OutOption = None,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Bring sealed keys back into a new boot, after its permit."""
    blob = read_file(state, limit=1 << 19)
    session = open_session(owner, enclave, manifest, trust, passphrase_file)
    _report(carry_out(session, lambda proved: draft_order(proved, Action.RESTORE, body=blob), out))


@app.command("submit")
def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A signed export or restore.")],
    state: Annotated[
        Path | None, typer.Option(metavar="STATE", help="Where an export goes.")
    ] = None,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
) -> None:
    """Submit an export or restore that enough owners have signed (`provision sign`)."""
    order, answer = submit_order_file(open_session(owner, enclave, manifest, trust), file)
    if order.action is Action.EXPORT:
        _save(state or Path("strongroom.sealed"), answer)
    else:
        _report(answer)


def _save(state: Path, answer: bytes | None) -> None:
    if answer is not None:
        write_private(state, answer)
        say(f"{state}: {len(answer)} bytes, sealed")


def _report(answer: bytes | None) -> None:
    if answer is None:
        return
    if len(answer) != 4:
        raise ReceiptInvalid("the answer is no count", expected=4, actual=len(answer))
    say(f"{int.from_bytes(answer, 'big')} keys restored; enrol them with --derive")
