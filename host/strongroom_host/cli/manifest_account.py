"""`strongroom manifest add-account`: an account whose track record the enclave keeps."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from strongroom_wire.manifest import Egress

from strongroom_host.cli.manifest_new import DevelopmentRoots, certificate
from strongroom_host.cli.output import say
from strongroom_host.contract.record_venues import RECORD_HOSTS, hosts_of
from strongroom_host.owner.errors import DocumentInvalid
from strongroom_host.owner.manifest_draft import (
    finished,
    new_account,
    new_tier,
    parse_money,
    read_draft,
    with_account,
)
from strongroom_host.owner.manifest_explain import explain_account
from strongroom_host.private_files import write_atomic

__all__ = ["add_account"]

_EXACT: Final = "exact"
_HOUR_MS: Final = 3_600_000


def add_account(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A manifest; changed in place.")],
    name: Annotated[str, typer.Option("--name", help="Name of the account.")],
    venue: Annotated[str, typer.Option(help=f"One of {', '.join(RECORD_HOSTS)}.")],
    currency: Annotated[str, typer.Option(help="What its record is kept in, e.g. USDT or EUR.")],
    user: Annotated[
        str | None, typer.Option(help="Whose it is (default: the manifest's account).")
    ] = None,
    environment: Annotated[str, typer.Option(help="live, paper or test.")] = "live",
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Where the record begins, ISO 8601 with zone, at a full hour."
        ),
    ] = None,
    hours: Annotated[int, typer.Option(help="Length of the spans that readers see.")] = 24,
    least_trades: Annotated[int, typer.Option(help="Trades that a span has at least.")] = 0,
    grid: Annotated[
        str, typer.Option(metavar="RETURN|exact", help="What returns are rounded to.")
    ] = "0.0001",
    embargo: Annotated[
        bool, typer.Option("--embargo", help="Wait until what was opened in a span is closed.")
    ] = False,
    longest: Annotated[
        int, typer.Option(metavar="HOURS", help="With --embargo: at most so long (0: any).")
    ] = 0,
    development_root: DevelopmentRoots = [],  # noqa: B006  as typer wants lists
) -> None:
    """Add an account whose track record is kept to a draft, and what readers see of it."""
    if venue not in RECORD_HOSTS:
        raise DocumentInvalid(
            f"no account at {venue!r} is read by an image of this release",
            expected=", ".join(RECORD_HOSTS),
            actual=venue,
            remedy="name one of these",
        )
    manifest = read_draft(file)[0]
    rounded = None if grid == _EXACT else parse_money(grid, "grid")
    tier = new_tier(hours, least_trades, rounded, embargo=embargo, longest=longest)
    account = new_account(
        name=name,
        user=manifest.account if user is None else user,
        venue=venue,
        environment=environment,
        currency=currency,
        since_ms=_since(since),
        tier=tier,
    )
    roots = tuple(map(certificate, development_root))
    led = (Egress(host, 443, (), roots) for host in hosts_of([account]) if roots)
    made = finished(with_account(manifest, account, *led))
    write_atomic(file, made.serialise())
    say(f"{file}: account {name}, {explain_account(account)}", wrap=True)


def _since(text: str | None) -> int:
    """Returns the start of the record in ms since the epoch, 0 where none is named."""
    if text is None:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise DocumentInvalid(
            f"{text!r} is not a time", expected="for instance 2026-01-01T00:00+00:00"
        ) from error
    if moment.tzinfo is None:
        raise DocumentInvalid(f"{text!r} has no time zone", remedy="add one, such as +00:00")
    ms = round(moment.astimezone(UTC).timestamp() * 1000)
    if ms % _HOUR_MS:
        raise DocumentInvalid(
            f"{text!r} is not at a full hour", remedy="hours are the record's unit"
        )
    return ms
