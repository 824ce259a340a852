"""`strongroom record sync`, `status`, `revive`: what is asked of the queue, and how it stands."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from strongroom_host.cli.output import print_json, say, table, warn
from strongroom_host.cli.record_options import (
    DEFAULT_DB,
    DEFAULT_RECORD,
    AccountArgument,
    DbOption,
    RecordOption,
)
from strongroom_host.cli.session import JsonOption
from strongroom_host.errors import EnvironmentFault, HostError
from strongroom_host.record_serving.following import followed
from strongroom_host.record_serving.progress import Follower
from strongroom_host.record_serving.waiting import next_attempt, why_it_waits
from strongroom_host.record_store.asking import Standing, standings
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.desk import Stage
from strongroom_host.record_store.errors import AccountUnknown
from strongroom_host.record_store.failures import remedy, shown
from strongroom_host.record_store.logins import Logins
from strongroom_host.record_store.queue import JobQueue
from strongroom_host.record_store.roles import ENCLAVE
from strongroom_host.record_store.rows import JobKind
from strongroom_host.record_store.serving import served

__all__ = ["NotSynchronised", "StillRunning", "revive", "status", "sync"]

_NEVER: Final = "never"
_SILENCE_S: Final = 5.0
_LONGEST_SILENCE_S: Final = 60.0
"""After how long without a stage it is said what is waited for: then twice as long, up to this."""


class NotSynchronised(HostError):
    """A synchronisation failed; `status` says whether it is tried again."""


class StillRunning(EnvironmentFault):
    """A synchronisation was not over in time; it goes on."""


def sync(
    account: AccountArgument,
    full: Annotated[
        bool, typer.Option("--full", help="Ask the venue for everything again, from the start.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show each stage until it is over; exit 1 if it failed.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, max=86_400, help="How long to wait, in seconds.")
    ] = 3600,
    record: RecordOption = DEFAULT_RECORD,
    db: DbOption = DEFAULT_DB,
    as_json: JsonOption = False,
) -> None:
    """Have an account synchronised as the next thing. A full one doubles nothing."""
    kind = JobKind.FULL if full else JobKind.INCREMENTAL
    dsn = Logins(db.expanduser()).dsn(ENCLAVE)
    if not wait:
        with served(db.expanduser()):
            job = Follower(dsn).ask(account, kind)
        _tell({"account": account, "job": job}, f"{account} is queued", as_json=as_json)
        return
    last, folder = None, record.expanduser()
    with served(db.expanduser()):
        silence = _Silence()
        for event in followed(folder, dsn, account, kind, timeout):
            if event is None:
                if silence.lasts():
                    waits = why_it_waits(folder, dsn, account)
                    stage = last.stage.value if last else "asked for"
                    facts: dict[str, object] = {"account": account, "stage": stage, "waits": waits}
                    _tell(facts, f"{account}: still {stage}: {waits}", as_json=as_json)
                continue
            last, silence = event, _Silence()
            failure = {"failure": last.failure} if last.failure else {}
            why = f": {shown(last.failure)}" if last.failure else ""
            facts = {"account": account, "stage": last.stage.value, **failure}
            _tell(facts, f"{account}: {last.stage.value}{why}", as_json=as_json)
            if last.stage is Stage.RETRYING:
                break
        if last is None or not (last.stage.ended or last.stage is Stage.RETRYING):
            raise StillRunning(
                f"{account} was not synchronised within {timeout:g} s",
                actual=why_it_waits(folder, dsn, account),
                remedy="it goes on by itself; `strongroom record status` says how it stands",
            )
        if last.stage is not Stage.DONE:
            with connect(dsn, "strongroom record") as open_:
                [standing] = standings(open_, account)
            raise NotSynchronised(
                f"{account} was not synchronised: {shown(last.failure)}",
                actual=next_attempt(standing),
                remedy=remedy(last.failure),
            )


def status(db: DbOption = DEFAULT_DB, as_json: JsonOption = False) -> None:
    """Show how each account stands: its newest job, the last success, what was given up."""
    with (
        served(db.expanduser()),
        connect(Logins(db.expanduser()).dsn(ENCLAVE), "strongroom record") as open_,
    ):
        found = standings(open_)
    if as_json:
        print_json([_plain(each) for each in found])
        return
    columns = ("account", "user", "venue", "environment", "last synchronised", "now", "next")
    table("accounts", columns, map(_row, found))
    for each in found:
        if each.failure:
            why, do = shown(each.failure), remedy(each.failure)
            warn(f"{each.account} failed {each.failures} times: {why}; do: {do}")
        if each.paused:
            warn(f"{each.account} is given up until `strongroom record revive {each.account}`")
    if not found:
        say("no account was ever connected: `strongroom record connect`")


def revive(account: AccountArgument, db: DbOption = DEFAULT_DB) -> None:
    """Try an account again that was given up. New credentials (`record connect`) do so, too."""
    with (
        served(db.expanduser()),
        connect(Logins(db.expanduser()).dsn(ENCLAVE), "strongroom record") as open_,
    ):
        if not standings(open_, account):
            raise AccountUnknown(f"no account {account} was ever connected")
        JobQueue(open_, "revive").revive(account)
    say(f"{account} is queued again")


class _Silence:
    """How long no stage came: it is worth a word now and then."""

    def __init__(self) -> None:
        self._pause = _SILENCE_S
        self._due = time.monotonic() + self._pause

    def lasts(self) -> bool:
        """Whether it is time to say what is waited for."""
        if (now := time.monotonic()) < self._due:
            return False
        self._pause = min(self._pause * 2, _LONGEST_SILENCE_S)
        self._due = now + self._pause
        return True


def _tell(facts: Mapping[str, object], sentence: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts))  # a line each, as they come
    else:
        say(sentence)


def _row(each: Standing) -> tuple[str, ...]:
    now = "paused" if each.paused else (each.state or "").lower()
    if each.state == "LEASED":
        now = "silent" if each.silent else "running"
    when = each.run_after if each.state == "QUEUED" else each.due_at
    last = _time(each.last_succeeded_at)
    return each.account, each.user_id, each.venue, each.environment, last, now, _time(when)


def _plain(each: Standing) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in each.__slots__:
        value = getattr(each, name)
        found[name] = value.isoformat() if isinstance(value, datetime) else value
    for name in ("failure", "job_failure"):
        number = getattr(each, name)
        found[f"{name}_means"] = shown(number) if number else None
    return found


def _time(at: datetime | None) -> str:
    return _NEVER if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
