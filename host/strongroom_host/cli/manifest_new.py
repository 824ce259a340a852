"""`strongroom manifest new` and `add-key`: from options to a canonical document."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from strongroom_wire.manifest import Egress, Key, Manifest, Policy

from strongroom_host.cli.output import say
from strongroom_host.cli.session import DEFAULT_OWNER, OwnerOption
from strongroom_host.owner.errors import DocumentInvalid
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.manifest_draft import (
    finished,
    new_policy,
    owner_set,
    parse_client,
    parse_market,
    parse_owner,
    parse_window,
    parse_witness,
    read_draft,
    with_key,
    with_nonce_pool,
)
from strongroom_host.private_files import read_file, write_atomic

__all__ = ["DevelopmentRoots", "add_key", "certificate", "new"]

FORMAT = "strongroom-manifest/1"

KeyName = Annotated[str, typer.Option("--key", help="Name of the trading key.")]
Source = Annotated[str, typer.Option(help="generate, import or session.")]
Wallet = Annotated[str, typer.Option(help="eoa, proxy, safe or deposit.")]
Funder = Annotated[str, typer.Option(metavar="ADDRESS", help="The wallet; none for an EOA.")]
Chain = Annotated[int, typer.Option(help="137 Polygon, 80002 Amoy.")]
VenueName = Annotated[str, typer.Option("--venue", metavar="HOST[:PORT]")]
Keep = Annotated[bool, typer.Option("--keep", help="Let the key be sealed across boots.")]
_CHOICES = "change that option; `strongroom manifest new --help` lists what there is"
_MARKET = "EXCHANGE: v2, v2-neg-risk or v3. SIDES: buy, sell or buy,sell. Repeatable."
Markets = Annotated[
    list[str], typer.Option("--market", metavar="TOKEN:EXCHANGE:SIDES:MIN-MAX", help=_MARKET)
]
Notional = Annotated[str, typer.Option("--order-notional", metavar="PUSD", help="Most per order.")]
Windows = Annotated[list[str], typer.Option("--window", metavar="SECONDS=PUSD", help="Repeatable.")]
OrderTypes = Annotated[str, typer.Option(help="Of GTC, GTD, FOK, FAK.")]
Rate = Annotated[int, typer.Option("--orders-per-minute")]
Lifetime = Annotated[int, typer.Option("--max-lifetime", help="Seconds a GTD order may rest.")]
Skew = Annotated[int, typer.Option("--max-skew", help="Seconds.")]
Pin = Annotated[str, typer.Option(metavar="HEX", help="32 bytes in every order (default: zeros).")]
NoncePools = Annotated[
    list[str],
    typer.Option(
        "--nonce-pool",
        metavar="KEY=N",
        help="Make N nonces ahead for a key of one boot: faster, less safe (see lint). Repeatable.",
    ),
]
DevelopmentRoots = Annotated[
    list[Path],
    typer.Option("--development-root", metavar="FILE", help="Venue's CA (PEM or DER), test only."),
]


def new(
    account: Annotated[str, typer.Option(help="Name of the account.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE")] = Path("manifest.json"),
    owner: OwnerOption = DEFAULT_OWNER,
    owner_key: Annotated[
        list[str],
        typer.Option("--owner-key", metavar="HEX", help="Owners (default: this folder's)."),
    ] = [],  # noqa: B006  typer takes no other default for a list
    quorum: Annotated[int, typer.Option(help="How many owners must sign.")] = 1,
    mode: Annotated[str, typer.Option(help="production or development.")] = "production",
    client: Annotated[
        list[str],
        typer.Option(metavar="CARD.json[=CALL,CALL]", help="Machines that may call; repeatable."),
    ] = [],  # noqa: B006
    template: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take keys, accounts, egress and witnesses from here."),
    ] = None,
    witness: Annotated[
        list[str],
        typer.Option(metavar="VKEY", help="Who cosigns the log (type cosignature/v1); repeatable."),
    ] = [],  # noqa: B006
    witness_quorum: Annotated[
        int | None,
        typer.Option(metavar="N", help="How many must, for a head to count (default: a majority)."),
    ] = None,
    key: KeyName = "main",
    no_key: Annotated[
        bool, typer.Option("--no-key", help="Name no trading key: for accounts (`add-account`).")
    ] = False,
    source: Source = "session",
    wallet: Wallet = "deposit",
    funder: Funder = "",
    chain: Chain = 137,
    venue: VenueName = "clob.polymarket.com",
    keep: Keep = False,
    market: Markets = [],  # noqa: B006
    order_notional: Notional = "",
    window: Windows = [],  # noqa: B006
    order_types: OrderTypes = "GTC,GTD,FOK,FAK",
    orders_per_minute: Rate = 60,
    max_lifetime: Lifetime = 86_400,
    max_skew: Skew = 30,
    builder: Pin = "",
    metadata: Pin = "",
    development_root: DevelopmentRoots = [],  # noqa: B006
    nonce_pool: NoncePools = [],  # noqa: B006  as typer wants lists
) -> None:
    """Write a manifest with one key (more: `add-key`), without any, or from a template."""
    folder = OwnerFolder(owner.expanduser())
    keys = tuple(parse_owner(text) for text in owner_key) or (folder.public_key.hex(),)
    clients = [parse_client(text) for text in client]
    if folder.client_path.is_dir():
        # The owner's own machine must be able to bring permits, and to cancel in an emergency.
        card = folder.client_path / "card.json"
        clients.insert(0, parse_client(f"{card}=owner,cancel,query,health"))
    before = read_draft(template)[0] if template else None
    witnesses = tuple(parse_witness(text) for text in witness)
    needed = len(witnesses) // 2 + 1 if witnesses else 0
    if before and not witness:
        witnesses, needed = before.witnesses, before.witness_quorum
    fields: dict[str, object] = {
        "format": FORMAT,
        "version": 1,
        "mode": mode,
        "account": account,
        "genesis": owner_set(keys, quorum),
        "owner_changes": (),
        "clients": tuple(clients),
        "keys": before.keys if before else (),
        "egress": before.egress if before else (),
        "accounts": before.accounts if before else (),
        "witnesses": witnesses,
        "witness_quorum": needed if witness_quorum is None else witness_quorum,
    }
    try:
        manifest = msgspec.convert(fields, Manifest)
    except msgspec.ValidationError as error:
        raise DocumentInvalid(f"manifest: {error}", remedy=_CHOICES) from error
    if market or (before is None and not no_key):
        policy = _policy(
            market, order_notional, window, order_types, orders_per_minute, max_lifetime, max_skew,
            builder, metadata,
        )  # fmt: skip
        venue_host, egress = _venue(venue, development_root)
        made = _key(key, source, wallet, funder, chain, venue_host, keep, policy)
        manifest = with_key(manifest, made, egress)
    for text in nonce_pool:
        manifest = with_nonce_pool(manifest, text)
    _write(out, manifest)


def add_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A manifest; changed in place.")],
    key: KeyName,
    source: Source = "session",
    wallet: Wallet = "deposit",
    funder: Funder = "",
    chain: Chain = 137,
    venue: VenueName = "clob.polymarket.com",
    keep: Keep = False,
    market: Markets = [],  # noqa: B006
    order_notional: Notional = "",
    window: Windows = [],  # noqa: B006
    order_types: OrderTypes = "GTC,GTD,FOK,FAK",
    orders_per_minute: Rate = 60,
    max_lifetime: Lifetime = 86_400,
    max_skew: Skew = 30,
    builder: Pin = "",
    metadata: Pin = "",
    development_root: DevelopmentRoots = [],  # noqa: B006
    nonce_pool: NoncePools = [],  # noqa: B006  as typer wants lists
) -> None:
    """Add a trading key to a draft."""
    policy = _policy(
        market, order_notional, window, order_types, orders_per_minute, max_lifetime, max_skew,
        builder, metadata,
    )  # fmt: skip
    venue_host, egress = _venue(venue, development_root)
    made = _key(key, source, wallet, funder, chain, venue_host, keep, policy)
    manifest = with_key(read_draft(file)[0], made, egress)
    for text in nonce_pool:
        manifest = with_nonce_pool(manifest, text)
    _write(file, manifest)


def _policy(
    market: list[str],
    order_notional: str,
    window: list[str],
    order_types: str,
    orders_per_minute: int,
    max_lifetime: int,
    max_skew: int,
    builder: str,
    metadata: str,
) -> Policy:
    if not market or not order_notional:
        raise DocumentInvalid(
            "a key needs markets and a limit per order",
            expected="--market TOKEN:EXCHANGE:SIDES:MIN-MAX and --order-notional PUSD",
            remedy="for instance --market 1234:v2:buy,sell:0.05-0.95 --order-notional 25",
        )
    return new_policy(
        tuple(parse_market(text) for text in market),
        order_notional=order_notional,
        windows=tuple(parse_window(text) for text in window),
        order_types=order_types,
        orders_per_minute=orders_per_minute,
        max_lifetime=max_lifetime,
        max_skew=max_skew,
        builder=builder,
        metadata=metadata,
    )


def _key(
    name: str,
    source: str,
    wallet: str,
    funder: str,
    chain: int,
    venue: str,
    keep: bool,
    policy: Policy,
) -> Key:
    fields = {
        "name": name,
        "source": source,
        "wallet": wallet,
        "funder": funder.lower(),
        "chain_id": chain,
        "venue": venue,
        "per_boot": not keep,
        "policy": policy,
    }
    try:
        return msgspec.convert(fields, Key)
    except msgspec.ValidationError as error:
        raise DocumentInvalid(f"key {name}: {error}", remedy=_CHOICES) from error


def _venue(text: str, roots: list[Path]) -> tuple[str, Egress]:
    host, colon, port = text.partition(":")
    number = int(port) if port.isascii() and port.isdigit() else 443
    if colon and not port.isdigit():
        raise DocumentInvalid(f"{text!r} is not a venue", expected="HOST or HOST:PORT")
    ders = tuple(certificate(path) for path in roots)
    try:
        fields = {"host": host, "port": number, "roots": (), "development_roots": ders}
        return host, msgspec.convert(fields, Egress)
    except msgspec.ValidationError as error:
        raise DocumentInvalid(f"venue {text}: {error}", remedy="change --venue") from error


def certificate(path: Path) -> bytes:
    """Returns the DER of a certificate's file.

    Raises:
        BadInput: it cannot be read.
        DocumentInvalid: it is none.
    """
    data = read_file(path)
    try:
        if b"-----BEGIN" in data:
            parsed = x509.load_pem_x509_certificate(data)
        else:
            parsed = x509.load_der_x509_certificate(data)
    except (ValueError, x509.InvalidVersion) as error:
        raise DocumentInvalid(
            f"{path} is not a certificate: {error}", expected="X.509, PEM or DER"
        ) from error
    return parsed.public_bytes(Encoding.DER)


def _write(path: Path, manifest: Manifest) -> None:
    write_atomic(path, finished(manifest).serialise())
    names = ", ".join(key.name for key in manifest.keys) or "none"
    say(f"{path}: version {manifest.version} of {manifest.account}, keys: {names}")
    say(f"next: strongroom manifest lint, explain and sign, each with {path}")
