"""`strongroom owner`: an owner's key and folder, and identities for the machines that call."""

import re
from pathlib import Path
from typing import Annotated

import typer

from strongroom_host.cli.output import print_json, say, warn
from strongroom_host.cli.session import (
    DEFAULT_OWNER,
    JsonOption,
    OwnerOption,
    PassphraseOption,
    ask_passphrase,
)
from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_host.errors import BadInput
from strongroom_host.owner.errors import KeyMissing
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.private_files import read_private

__all__ = ["app"]

app = typer.Typer(help="The owner's key and folder, and client identities.", no_args_is_help=True)


@app.command("init")
def init(
    owner: OwnerOption = DEFAULT_OWNER,
    name: Annotated[str, typer.Option(help="What manifests call this owner's client.")] = "owner",
    passphrase_file: PassphraseOption = None,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Leave the key in clear on this disk.")
    ] = False,
    share_from: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The unlock share that the other owners use."),
    ] = None,
) -> None:
    """Make an owner: signing key, unlock share, client identity."""
    passphrase = None if no_passphrase else ask_passphrase(passphrase_file, new=True)
    share = _read_share(share_from.expanduser()) if share_from else None
    folder = OwnerFolder.create(owner.expanduser(), name, passphrase, share=share)
    if passphrase is None:
        warn("the owner key has no passphrase: whoever reads this disk is the owner")
    say(f"owner key   {folder.public_key.hex()}")
    say(f"folder      {folder.root}")
    say(f"client card {folder.client_path / 'card.json'}")
    say("Keep a copy of the folder offline: a lost key or share cannot be made again.")


@app.command("show")
def show(owner: OwnerOption = DEFAULT_OWNER, json: JsonOption = False) -> None:
    """Show the public key, and what the folder holds."""
    folder = OwnerFolder(owner.expanduser())
    facts = {
        "owner_key": folder.public_key.hex(),
        "encrypted": folder.encrypted(),
        "unlock_share": folder.share_path.exists(),
        "client": folder.client_path.is_dir(),
        "trust_file": folder.trust_path.exists(),
        "manifest": folder.manifest_path.exists(),
        "addresses": folder.addresses(),
    }
    if json:
        print_json(facts)
        return
    for label, value in facts.items():
        shown = ("yes" if value else "no") if isinstance(value, bool) else value
        if isinstance(shown, dict):
            shown = ", ".join(f"{key} {address}" for key, address in shown.items())
        say(f"{label.replace('_', ' '):<13} {shown or '-'}")


@app.command("client")
def client(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and hyphens.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder for it.")],
) -> None:
    """Make an identity for a machine that calls (run this on that machine)."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
        raise BadInput(
            f"{name!r} cannot be a client's name",
            expected="1 to 32 lower-case letters, digits and hyphens, not a hyphen first",
        )
    card = ClientIdentity.generate(name).save(out.expanduser())
    say(f"identity in {out}; keep it on this machine")
    say(f"give the owner {card}, for `strongroom manifest new --client {card}=order,cancel`")


def _read_share(path: Path) -> bytes:
    try:
        return bytes.fromhex(read_private(path).decode("ascii").strip())
    except (ValueError, UnicodeDecodeError) as error:
        raise KeyMissing(
            f"{path} is not an unlock share",
            expected="64 hex digits",
            remedy="take the file `unlock-share` of another owner's folder",
        ) from error
