"""`strongroom record returns`: what was disclosed of an account, as rows and a plot."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from strongroom_host.charts.curve import curve_of
from strongroom_host.charts.terminal import COLUMNS, listed, plot
from strongroom_host.cli.log_meant import OwnerFolderOption
from strongroom_host.cli.output import print_json, say, table, warn
from strongroom_host.cli.record_memory import remember_record
from strongroom_host.cli.record_options import (
    DEFAULT_DB,
    DEFAULT_RECORD,
    AccountArgument,
    DbOption,
    RecordOption,
)
from strongroom_host.cli.session import DEFAULT_OWNER, JsonOption
from strongroom_host.errors import BadInput
from strongroom_host.gateway.answers import COMPLETENESS, return_row
from strongroom_host.gateway.keys import Access
from strongroom_host.gateway.reading import MAX_PERIODS, Reader, Span
from strongroom_host.metrics.files import to_csv
from strongroom_host.private_files import write_atomic
from strongroom_host.record_store.logins import Logins
from strongroom_host.record_store.roles import GATEWAY
from strongroom_host.record_store.serving import served

__all__ = ["returns"]

_EVERYBODY = Access("", frozenset(), None, "")
_ALL = Span(0, 1 << 62)


def returns(
    account: AccountArgument,
    rows: Annotated[int, typer.Option(min=0, help="List so many periods, the newest.")] = 24,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="FILE", help="Write them for `record metrics`, `chart`, `leakage`."
        ),
    ] = None,
    db: DbOption = DEFAULT_DB,
    record: RecordOption = DEFAULT_RECORD,
    owner: OwnerFolderOption = DEFAULT_OWNER,
    as_json: JsonOption = False,
) -> None:
    """Show what was disclosed of an account, after its tier: nothing else can be read here.

    The gateway's own login is used. Nothing is verified: see `record prove` and `record verify`.
    """
    if csv is not None and as_json:
        raise BadInput("it is written in one form at a time", expected="--csv FILE, or --json")
    remember_record(owner, str(record.expanduser() / "log"))
    logins = Logins(db.expanduser())
    with served(db.expanduser()):
        reader = Reader(lambda _login: logins.dsn(GATEWAY))
        try:
            if as_json:
                found = reader.returns(_EVERYBODY, account, _ALL, MAX_PERIODS)
                print_json({"returns": [return_row(row).model_dump(mode="json") for row in found]})
                return
            series = reader.series(_EVERYBODY, account, _ALL)
            [one] = reader.returns(_EVERYBODY, account, _ALL, 1)
        finally:
            reader.close()
    if csv is not None:
        write_atomic(csv, to_csv(series).encode())
        say(f"written: {csv}")
        return
    say(f"{account}: {one.venue}, {one.environment}, in {one.currency}")
    console = Console(highlight=False)
    console.print(plot(curve_of(series), width=min(console.width, 160), height=12))
    if rows:
        table("Returns as disclosed", COLUMNS, listed(series, rows))
    if one.environment != "live":
        warn(f"no real money: this is a {one.environment} account")
    say(COMPLETENESS.means, wrap=True)
    for sentence in COMPLETENESS.does_not_mean:
        say(f"- Not: {sentence[0].lower()}{sentence[1:]}", wrap=True)
