"""Run the local venues until SIGTERM, SIGINT or end of stdin.

Prints what there is when it is ready: text at a terminal, one line of JSON into a pipe.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from strongroom_host.errors import HostError
from strongroom_host.private_files import write_private
from strongroom_host.venues.app import ADMIN_HEADER, ADMIN_HOST
from strongroom_host.venues.defaults import (
    VENUES,
    default_market,
    default_venues,
    make_account,
    plan_for,
)
from strongroom_host.venues.server import VenuesServer
from strongroom_host.venues.world import VenueClock, World

__all__ = ["main"]

_DAY_MS = 86_400_000


def _stop_at_end_of_stdin(done: threading.Event) -> None:
    sys.stdin.read()
    done.set()


def _readable(ready: dict[str, Any]) -> str:
    """Returns the ready message for a person; secrets are on lines of their own, to be copied."""
    lines = [
        f"The local venues run on {ready['host']}:{ready['port']}. Ctrl-C stops them.",
        f"  CA           {ready['ca']}",
        f"  operator     https://{ADMIN_HOST}, header {ADMIN_HEADER}:",
        f"    {ready['admin_token']}",
    ]
    for venue, login in ready["logins"].items():
        lines += [f"  {venue}"]
        for part in ("key", "secret", "passphrase"):
            if login[part]:
                lines += [f"    {part}", *(f"      {line}" for line in login[part].splitlines())]
    lines += ["  names that have to lead here"]
    lines += [f"    {name}" for name in ready["names"]]
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m strongroom_host.venues", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="folder for the CA and the key")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--seed", default="strongroom", help="market and histories follow from it")
    parser.add_argument("--days", type=int, default=25, help="how long the accounts traded")
    parser.add_argument("--orders", type=int, default=200, help="how many orders each placed")
    parser.add_argument(
        "--flows", type=int, default=24, help="how often money came, went or moved, in each"
    )
    parser.add_argument("--venue", action="append", choices=VENUES, help="default: all of them")
    parser.add_argument(
        "--write-keys",
        action="store_true",
        help="leave each account's key as VENUE.key in that folder, for `record connect --from`",
    )
    parser.add_argument("--no-limits", action="store_true", help="count no calls")
    parser.add_argument(
        "--with-stdin", action="store_true", help="also stop when stdin closes (no orphan)"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Serve and say when ready; 0 after a clean stop, 2 for unusable input, 5 for a busy port."""
    options = _parser().parse_args(arguments)
    done = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda _number, _frame: done.set())
    clock = VenueClock()
    now = clock()
    try:
        market = default_market(options.seed, now)
        accounts, logins = [], {}
        for venue in options.venue or VENUES:
            start = now - options.days * _DAY_MS
            plan = plan_for(venue, market, start, now, orders=options.orders)
            plan = replace(plan, flows=options.flows)
            account, logins[venue] = make_account(venue, market, plan, options.seed)
            accounts.append(account)
        world = World(market, accounts)
        venues = default_venues(world, limits=not options.no_limits)
        server = VenuesServer(world, venues, options.dir, clock=clock, port=options.port).start()
    except (HostError, OSError) as error:
        detail = error.actual if isinstance(error, HostError) and error.actual else ""
        sys.stderr.write(f"venues: {error}{': ' if detail else ''}{detail}\n")
        return error.exit_status if isinstance(error, HostError) else 2
    ready: dict[str, Any] = {
        "ready": True,
        "host": server.host,
        "port": server.port,
        "ca": str(server.ca_path),
        "admin_token": server.admin_token,
        "names": list(server.mapping),
        "logins": {
            venue: {"key": login.key, "secret": login.secret, "passphrase": login.passphrase}
            for venue, login in logins.items()
        },
    }
    if options.write_keys:
        for venue, login in ready["logins"].items():
            data = json.dumps(login).encode()
            write_private(options.dir / f"{venue}.key", data, replace=True)
    sys.stdout.write(_readable(ready) if sys.stdout.isatty() else json.dumps(ready) + "\n")
    sys.stdout.flush()
    if options.with_stdin:
        threading.Thread(target=_stop_at_end_of_stdin, args=(done,), daemon=True).start()
    done.wait()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
