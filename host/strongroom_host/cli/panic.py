"""`strongroom panic`: stop all that can be stopped, each step whether or not another fails."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.text import Text
from strongroom_attest.errors import AttestationError
from strongroom_wire.errors import WireError
from strongroom_wire.frames import Kind

from strongroom_host.cli.output import say, table
from strongroom_host.cli.session import (
    DEFAULT_ENCLAVE,
    DEFAULT_OWNER,
    EnclaveOption,
    ManifestOption,
    OwnerOption,
    OwnerSession,
    PassphraseOption,
    TrustOption,
    ask_passphrase,
    open_session,
)
from strongroom_host.cli.trading import open_trader, venue_of
from strongroom_host.errors import HostError
from strongroom_host.owner.chain_keys import revoke_session_calldata
from strongroom_host.owner.statements import draft_kill

__all__ = ["panic"]


class PanicIncomplete(HostError):
    """At least one step did not work; somebody has to do it another way, now."""


def panic(
    venue_address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Connect here instead of to the venue's name."),
    ] = None,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    owner: OwnerOption = DEFAULT_OWNER,
    manifest: ManifestOption = None,
    trust: TrustOption = None,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Kill switch, cancel all orders, and what to send to revoke session keys."""
    session = open_session(owner, enclave, manifest, trust, passphrase_file, any_version=True)
    steps: list[tuple[str, Callable[[], str]]] = [("kill switch", lambda: _kill(session))]
    for key in session.manifest.manifest.keys:
        steps.append((f"cancel all of {key.name}", _canceller(session, key.name, venue_address)))
    rows: list[tuple[str, str | Text, str]] = []
    failed = 0
    for name, step in steps:
        try:
            rows.append((name, Text("done", "green"), step()))
        except (HostError, WireError, AttestationError, OSError) as error:
            failed += 1
            rows.append((name, Text("FAILED", "bold red"), str(error)))
    table("Panic", ("step", "", "outcome"), rows)
    _revocations(session)
    if failed:
        raise PanicIncomplete(
            f"{failed} of {len(steps)} steps failed",
            remedy="stop the host, which stops the enclave; cancel at the venue's own site; revoke"
            " session keys on chain",
        )


def _kill(session: OwnerSession) -> str:
    key = session.folder.key(lambda: ask_passphrase(session.passphrase_file))
    evidence = session.evidence()
    with session.control(evidence) as client:
        client.submit_order(draft_kill(evidence, key), "kill switch")
    return f"boot {evidence.bundle.boot_id.hex()[:16]} signs nothing but cancels any more"


def _canceller(session: OwnerSession, key: str, venue_address: str | None) -> Callable[[], str]:
    def cancel() -> str:
        manifest = session.manifest.manifest
        identity = session.folder.client()
        with open_trader(identity, session.address, session.policy, manifest) as trader:
            reply = trader.ask(trader.intent(Kind.CANCEL_ALL, key), "cancel all")
            with venue_of(manifest, trader.key(key), venue_address) as venue:
                response = venue.exchange(reply.request)
        if response.status != 200:
            raise HostError(f"the venue answered with status {response.status}")
        return response.body.decode("utf-8", "replace")[:200]

    return cancel


def _revocations(session: OwnerSession) -> None:
    addresses = session.folder.addresses()
    for key in session.manifest.manifest.keys:
        if key.source != "session":
            continue
        if key.name not in addresses:
            say(f"session key {key.name}: its address is not known in this folder")
            continue
        signer = bytes.fromhex(addresses[key.name][2:])
        say(f"revoke session key {key.name} ({addresses[key.name]}): the wallet's owner sends")
        say(f"  to   {key.funder}")
        say(f"  data 0x{revoke_session_calldata(signer).hex()}")
