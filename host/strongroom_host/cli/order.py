"""`strongroom order`: one order or cancel by hand, as a bot's machine would do it.

Evidence is verified, the enclave signs or refuses, the order's hash is journalled before the first
byte leaves, and the request goes to the venue once.
"""

import secrets
import time
from pathlib import Path
from typing import Annotated

import typer
from strongroom_wire.frames import Intent, Kind, OrderIntent
from strongroom_wire.manifest import micro
from strongroom_wire.pages import Entry

from strongroom_host.cli.output import print_json, say
from strongroom_host.cli.session import (
    DEFAULT_ENCLAVE,
    EnclaveOption,
    JsonOption,
)
from strongroom_host.cli.trading import ClientFolder, OwnQueries, parse_hash, venue_of
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.errors import BadInput, HostError
from strongroom_host.owner.manifest_draft import parse_money
from strongroom_host.owner.statements import key_index
from strongroom_host.store import Journal, JournalEntry, OrderState, place, reconcile
from strongroom_host.venue import SignedRequest, VenueResponse

__all__ = ["app"]

app = typer.Typer(help="Place and cancel single orders as a client.", no_args_is_help=True)

ClientOption = Annotated[
    Path,
    typer.Option(
        "--client",
        envvar="STRONGROOM_CLIENT",
        metavar="DIR",
        help="The client's folder: identity, trust.json, manifest.signed.json.",
    ),
]
KeyOption = Annotated[str, typer.Option("--key", help="The trading key's name.")]
_IN_FOLDER = "Default: the one in the client's folder."
ManifestFile = Annotated[Path | None, typer.Option("--manifest", metavar="FILE", help=_IN_FOLDER)]
TrustFile = Annotated[Path | None, typer.Option("--trust", metavar="FILE", help=_IN_FOLDER)]
DialOption = Annotated[
    str | None,
    typer.Option(
        "--venue-address", metavar="HOST:PORT", help="Connect here instead of to the venue's name."
    ),
]
KeeperOption = Annotated[
    Path | None,
    typer.Option(
        "--keeper",
        metavar="SOCKET",
        help="Of `strongroom log keep` (default: keeper.sock in the client's folder, if there).",
    ),
]
DEFAULT_CLIENT = Path("~/.strongroom/client")

_TICKS = ("0.1", "0.01", "0.005", "0.0025", "0.001", "0.0001")
_TYPES = ("GTC", "GTD", "FOK", "FAK")
_SIDES = ("buy", "sell")
_MARKET, _POST_ONLY = 1, 2
_SETTLE = "run `strongroom order reconcile`; never place the order again before that"
_REMEDIES = {
    OrderState.REJECTED: "correct what the venue names; the budget stays used",
    OrderState.UNSENT: "nothing left this machine; once the venue can be reached, place it again",
    OrderState.UNKNOWN: _SETTLE,
    OrderState.SENT: _SETTLE,
}


class OrderNotAccepted(HostError):
    """The enclave signed it, but the venue did not (certainly) take it."""


@app.command("place")
def place_command(
    token: Annotated[str, typer.Option(help="Outcome token id, decimal.")],
    side: Annotated[str, typer.Option(help="buy or sell.")],
    price: Annotated[str, typer.Option(help="pUSD per share.")],
    size: Annotated[str, typer.Option(help="Shares; pUSD for a market buy.")],
    order_type: Annotated[str, typer.Option("--type", help="GTC, GTD, FOK or FAK.")] = "GTC",
    tick: Annotated[str, typer.Option(help="The market's tick.")] = "0.01",
    market_order: Annotated[
        bool, typer.Option("--market-order", help="Take what rests, up to --price.")
    ] = False,
    post_only: Annotated[bool, typer.Option("--post-only", help="Rest, or be refused.")] = False,
    expires_in: Annotated[int, typer.Option(min=0, help="Seconds, for GTD.")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the signed request, send nothing.")
    ] = False,
    key: KeyOption = "main",
    client: ClientOption = DEFAULT_CLIENT,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    manifest: ManifestFile = None,
    trust: TrustFile = None,
    venue_address: DialOption = None,
    keeper: KeeperOption = None,
    json: JsonOption = False,
) -> None:
    """Have one order signed under the policy, stored in the log, and only then posted."""
    if (order_type == "GTD") is not bool(expires_in):
        raise BadInput(
            f"{order_type} with --expires-in {expires_in}",
            expected="seconds for GTD, and for no other type",
            remedy="give both --type GTD and --expires-in SECONDS, or neither",
        )
    now = time.time()
    order = OrderIntent(
        token=_token(token),
        side=_index(side, _SIDES, "a side"),
        order_type=_index(order_type, _TYPES, "an order type"),
        tick=_index(tick, _TICKS, "a tick"),
        flags=_MARKET * market_order + _POST_ONLY * post_only,
        price=micro(parse_money(price, "price")),
        size=micro(parse_money(size, "size")),
        salt=secrets.randbits(53),
        timestamp=int(now * 1000),
        expiration=int(now) + expires_in if expires_in else 0,
    )
    folder = ClientFolder(client.expanduser())
    with folder.trader(parse_enclave_address(enclave), manifest, trust) as trader:
        index = key_index(trader.manifest, key)
        intent = Intent(Kind.ORDERS, index, int(now), int(now * 1000) + 5_000, (order,))
        reply = trader.ask(intent, f"{side} {size} at {price}")
        if dry_run:
            say(reply.request.decode("utf-8", "replace"))
            return
        logged = Entry(reply.leaf, reply.opening)
        signed = SignedRequest(reply.order_hashes, reply.request, reply.decision, logged)
        venue = venue_of(trader.manifest, trader.key(key), venue_address)
        with (
            venue,
            Journal(folder.journal(trader.evidence)) as journal,
            folder.keeper_client(keeper) as log,
        ):
            entries = place(journal, venue, signed, log)
    _show(entries, as_json=json)
    if any(entry.state in _REMEDIES for entry in entries):
        raise OrderNotAccepted(
            f"the order is {entries[0].state.value}: {entries[0].detail}",
            remedy=_REMEDIES[entries[0].state],
        )


@app.command("cancel")
def cancel(
    order_hash: Annotated[list[str] | None, typer.Argument(metavar="[HASH]...")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All open orders.")] = False,
    market: Annotated[
        str | None, typer.Option(metavar="CONDITION:TOKEN", help="All of one market.")
    ] = None,
    key: KeyOption = "main",
    client: ClientOption = DEFAULT_CLIENT,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    manifest: ManifestFile = None,
    trust: TrustFile = None,
    venue_address: DialOption = None,
) -> None:
    """Cancel orders by hash, of one market, or all; works after the kill switch too."""
    kind, argument = _cancellation(order_hash or [], everything, market)
    folder = ClientFolder(client.expanduser())
    with folder.trader(parse_enclave_address(enclave), manifest, trust) as trader:
        reply = trader.ask(trader.intent(kind, key, argument), "cancel")
        with venue_of(trader.manifest, trader.key(key), venue_address) as venue:
            response = venue.exchange(reply.request)
    _answered(response)


@app.command("reconcile")
def reconcile_command(
    key: KeyOption = "main",
    client: ClientOption = DEFAULT_CLIENT,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    manifest: ManifestFile = None,
    trust: TrustFile = None,
    venue_address: DialOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the venue about every order whose outcome is unknown."""
    folder = ClientFolder(client.expanduser())
    entries: list[JournalEntry] = []
    with folder.trader(parse_enclave_address(enclave), manifest, trust) as trader:
        queries = OwnQueries(trader, key)
        with venue_of(trader.manifest, trader.key(key), venue_address) as venue:
            for path in sorted(folder.journals.glob("*.db")):
                with Journal(path) as journal:
                    for entry in journal.unresolved():
                        reconcile(journal, venue, entry.order_hash, queries)
                        entries.append(journal.get(entry.order_hash))
    _show(tuple(entries), as_json=json)


@app.command("list")
def list_command(client: ClientOption = DEFAULT_CLIENT, json: JsonOption = False) -> None:
    """Show journalled orders whose outcome is not settled."""
    entries: list[JournalEntry] = []
    for path in sorted(ClientFolder(client.expanduser()).journals.glob("*.db")):
        with Journal(path) as journal:
            entries += journal.unresolved()
    _show(tuple(entries), as_json=json)


def _cancellation(hashes: list[str], everything: bool, market: str | None) -> tuple[Kind, bytes]:
    if bool(hashes) + everything + (market is not None) != 1:
        raise BadInput("say what to cancel", expected="one of: HASH..., --all, --market")
    if everything:
        return Kind.CANCEL_ALL, b""
    if market is not None:
        condition, colon, token = market.partition(":")
        if not colon:
            raise BadInput(f"{market!r} is not a market", expected="CONDITION:TOKEN")
        return Kind.CANCEL_MARKET, parse_hash(condition) + _token(token).to_bytes(32, "big")
    return Kind.CANCEL, b"".join(parse_hash(text) for text in hashes)


def _token(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 78 or int(text) >= 1 << 256:
        raise BadInput(f"{text!r} is not a token id", expected="a decimal number below 2**256")
    return int(text)


def _index(text: str, names: tuple[str, ...], what: str) -> int:
    if text not in names:
        raise BadInput(f"{text!r} is not {what}", expected=", ".join(names))
    return names.index(text)


def _answered(response: VenueResponse) -> None:
    body = response.body.decode("utf-8", "replace")[:2000]
    if response.status != 200:
        raise HostError(
            f"the venue answered with status {response.status}",
            actual=body,
            remedy="look at the venue for what is still open",
        )
    say(body)


def _show(entries: tuple[JournalEntry, ...], *, as_json: bool) -> None:
    rows = [(f"0x{e.order_hash.hex()}", e.state.value, e.detail) for e in entries]
    if as_json:
        print_json([dict(zip(("order", "state", "detail"), row, strict=True)) for row in rows])
    elif rows:
        for row in rows:  # no table: a hash that is folded cannot be copied
            say("  ".join(row))
    else:
        say("no order is open to question")
