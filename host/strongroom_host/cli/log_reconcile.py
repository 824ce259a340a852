"""`strongroom log reconcile`: is every order at the venue one that the log says was signed?"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from strongroom_wire.bundle import LogHead, Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.frames import Kind

from strongroom_host.cli.log_options import (
    DEFAULT_CLIENT,
    DEFAULT_LOG,
    ClientOption,
    LogOption,
    ManifestFile,
    TrustFile,
)
from strongroom_host.cli.output import print_json, say, table, warn
from strongroom_host.cli.session import DEFAULT_ENCLAVE, EnclaveOption, JsonOption
from strongroom_host.cli.trading import ClientFolder, Trader, venue_of
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.errors import HostError
from strongroom_host.log.examination import Examination, Meant
from strongroom_host.log.examine import examine
from strongroom_host.log.fills import Explained, Reconciled, reconcile_fills
from strongroom_host.log.folder import FolderLog
from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.openings import Openings
from strongroom_host.log.report.words import quantity
from strongroom_host.log.signed_orders import LoggedOrders, logged_orders
from strongroom_host.log.tree import LogReader
from strongroom_host.store.journalled import journalled
from strongroom_host.venue.connection import VenueConnection, VenueResponse
from strongroom_host.venue.trades import Fill, own_fills, own_open_orders

__all__ = ["OrdersUnexplained", "reconcile"]

_SHOWN = 50


class OrdersUnexplained(HostError):
    """The venue has orders that the log does not say were signed."""

    exit_status = 3


def reconcile(
    key: Annotated[str, typer.Option("--key", help="The trading key's name.")] = "main",
    log: LogOption = DEFAULT_LOG,
    client: ClientOption = DEFAULT_CLIENT,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    manifest: ManifestFile = None,
    trust: TrustFile = None,
    venue_address: Annotated[
        str | None,
        typer.Option("--venue-address", metavar="HOST:PORT", help="Connect here instead."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Hold all own fills and open orders at the venue against the log; an unknown one is an alarm.

    The enclave signs the queries, so a running boot is needed, and a client that may query. Exit
    status 3: one is not explained, or the log is not in order.
    """
    folder, place = log.expanduser(), ClientFolder(client.expanduser())
    with place.trader(parse_enclave_address(enclave), manifest, trust) as trader:
        with venue_of(trader.manifest, trader.key(key), venue_address) as venue:
            fills = own_fills(_asking(trader, venue, key, Kind.QUERY_TRADES))
            open_orders = own_open_orders(_asking(trader, venue, key, Kind.QUERY_OPEN))
        # Only now the log: what is filled was logged before, so it is not missed for being new.
        examination, logged = _logged(folder, trader)
    found = reconcile_fills(
        fills, open_orders, logged, journalled(sorted(place.journals.glob("*.db"))), key
    )
    if json:
        print_json(_json(found, logged, examination))
    else:
        _show(found, logged)
    _conclude(found, logged, examination)


def _asking(
    trader: Trader, venue: VenueConnection, key: str, kind: Kind
) -> Callable[[bytes], VenueResponse]:
    def ask(cursor: bytes) -> VenueResponse:
        return venue.exchange(trader.ask(trader.intent(kind, key, cursor), "own query").request)

    return ask


def _logged(folder: Path, trader: Trader) -> tuple[Examination, LoggedOrders]:
    """The log as it is now: what is wrong with it, and the orders in it."""
    evidence = trader.evidence
    bundle = evidence.bundle
    origin = log_origin(bundle.owner_root, trader.manifest.account, Role.SIGNER)
    running = VerifierKey(origin, evidence.keys(Role.SIGNER).receipt)
    meant = Meant(evidence.policy.trust, bundle.owner_root, (running,), origin)
    source = FolderLog(folder)
    examination = examine(source, meant)
    # Its root is the examination's to judge, which counts the leaves that are proven.
    reader = LogReader(source, LogHead(source.size, bytes(32)))
    with Openings(folder) as openings:
        return examination, logged_orders(reader.entries(), openings.get, examination.report.proven)


def _show(found: Reconciled, logged: LoggedOrders) -> None:
    signed = sum(how is Explained.SIGNED for _, how in found.fills)
    fills = quantity(len(found.fills), "own fill")
    say(f"{fills} at the venue, {signed} of orders that the log proves signed")
    resting = quantity(len(found.resting), "open order")
    say(f"{resting}; {quantity(len(logged.orders), 'signed order')} in the log")
    others = [_row(fill, how) for fill, how in found.fills if how is not Explained.SIGNED]
    others += [
        (f"0x{order_hash.hex()}", "", "open", "", how.value)
        for order_hash, how in found.resting
        if how is not Explained.SIGNED
    ]
    if others:
        columns = ("order", "trade", "when", "size", "log")
        table("At the venue, and not proved by the log", columns, others[:_SHOWN])
    if found.untraced:
        rows = [
            (f"0x{each.order_hash.hex()}", str(each.logged.leaf), _time(each.logged.time_ms))
            for each in found.untraced[:_SHOWN]
        ]
        table("Signed, and no trace at the venue or here", ("order", "leaf", "when"), rows)
        say(
            "never sent, refused, or cancelled by another client; `strongroom order reconcile` asks"
        )
    if len(others) > _SHOWN or len(found.untraced) > _SHOWN:
        say(f"only {_SHOWN} of each are shown; --json has all")


def _row(fill: Fill, how: Explained) -> tuple[str, ...]:
    side = "taker" if fill.taker else "maker"
    when = _time(fill.matched_s * 1000)
    size = f"{fill.size} at {fill.price}, {side}"
    return f"0x{fill.order_hash.hex()}", fill.trade_id, when, size, how.value


def _conclude(found: Reconciled, logged: LoggedOrders, examination: Examination) -> None:
    if logged.unopened or logged.wrong:
        count = len(logged.unopened) + len(logged.wrong)
        warn(f"{count} leaves could not be opened: which orders they signed is not known here")
    if found.alarms:
        kinds = set(found.alarms)
        raise OrdersUnexplained(
            f"{len(found.alarms)} orders at the venue are none that the log says were signed",
            expected="each order in an opened leaf that a signed head has",
            actual=", ".join(sorted(how.value for how in kinds)),
            remedy=_remedy(kinds),
        )
    for finding in examination.findings:
        say(str(finding))
    if not examination.ok:
        raise OrdersUnexplained(
            "the log is not in order, so what it explains proves little",
            expected="leaves that lead to a signed head",
            actual=f"{len(examination.findings)} findings",
            remedy="`strongroom log verify` says more; then reconcile again",
        )


def _remedy(kinds: set[Explained]) -> str:
    if kinds == {Explained.LOST}:
        return "put the leaves back from the journal: `strongroom log recover --from JOURNAL`"
    return (
        "bring the log up to date (`strongroom log pull`) and reconcile again. If it stays: stop"
        " the key (`strongroom panic`), revoke it at the venue and move the funds; somebody may"
        " sign with it elsewhere"
    )


def _json(found: Reconciled, logged: LoggedOrders, examination: Examination) -> dict[str, object]:
    return {
        "fills": [
            {
                "order": "0x" + fill.order_hash.hex(),
                "trade": fill.trade_id,
                "taker": fill.taker,
                "matched_s": fill.matched_s,
                "market": fill.market,
                "size": fill.size,
                "price": fill.price,
                "log": how.name,
                "alarm": how.alarm,
                "leaf": logged.orders[fill.order_hash].leaf
                if fill.order_hash in logged.orders
                else None,
            }
            for fill, how in found.fills
        ],
        "open": [
            {"order": "0x" + order_hash.hex(), "log": how.name, "alarm": how.alarm}
            for order_hash, how in found.resting
        ],
        "untraced": [
            {"order": "0x" + each.order_hash.hex(), "leaf": each.logged.leaf}
            for each in found.untraced
        ],
        "unopened_leaves": [*logged.unopened, *logged.wrong],
        "findings": [str(finding) for finding in examination.findings],
        "proven": examination.report.proven,
    }


def _time(ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}" if ms else "no time"
    except (OverflowError, ValueError, OSError):
        return str(ms)
