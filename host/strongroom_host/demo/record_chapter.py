"""The track record: read-only keys go in sealed, hourly returns come out, and nothing else does."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Final

from msgspec.structs import replace
from strongroom_wire.record import Credentials

from strongroom_host.demo.accounts import COARSE, EXACT, EXCHANGES, USER
from strongroom_host.demo.owner_chapter import Configured
from strongroom_host.demo.processes import Child
from strongroom_host.demo.recording import Heard, RecorderReady, heard
from strongroom_host.demo.returns_shown import show_plot, show_rows, write_charts
from strongroom_host.demo.stage import Stage
from strongroom_host.demo.story import Story, expect_refusal, require
from strongroom_host.enclave_client.errors import EnclaveRefused
from strongroom_host.gateway.keys import Access, Scope
from strongroom_host.gateway.reading import Reader, Span
from strongroom_host.metrics.series import HOUR_MS, Series
from strongroom_host.owner.statements import draft_connect
from strongroom_host.record_store.logins import Logins
from strongroom_host.record_store.roles import GATEWAY
from strongroom_host.runners.console import quoted, tail

__all__ = ["EVER", "READER", "connect_chapter", "reading", "returns_chapter"]

READER: Final = Access("demo", frozenset(Scope), frozenset({USER}))
"""What a reader may ask for to whom this user shows his returns."""
EVER: Final = Span(0, 1 << 53)
_PATIENCE_S: Final = 90.0
_PAUSE_S: Final = 0.05
_SHOWN_HOURS: Final = 24
_DAY_HOURS: Final = 24
_DONE: Final = "done"
_FAILED: Final = ("failed, to be tried again", "given up")
_WORDS: Final = {
    "fetching": "the exchange is being read",
    "publishing": "hours are computed and published",
    _DONE: "read from its first event to its last, and equal to what the exchange holds",
}
"""Stages that are worth a line."""
_LATE_MS: Final = 2 * HOUR_MS


def connect_chapter(stage: Stage, configured: Configured) -> None:
    """Seals two read-only keys to the attested record process; synchronising begins by itself.

    Raises:
        EnclaveRefused: it does not take them.
        DemoFailed: it took a key for another account than it was sealed for.
    """
    story, desk, evidence = stage.story, configured.desk, configured.evidence
    sealed = {name: draft_connect(evidence, _credentials(stage, name)) for name in EXCHANGES}
    with desk.control(evidence) as client:
        swapped = desk.agree(replace(sealed[EXACT], key=COARSE))
        refusal = expect_refusal(
            EnclaveRefused,
            "a key that was sealed for another account",
            lambda: client.submit_order(swapped, "connecting the wrong account"),
        )
        for name, exchange in EXCHANGES.items():
            client.submit_order(desk.agree(sealed[name]), f"connecting {name}")
            story.note(f"{name}: an account at {exchange}, shown {_tier(stage, name)}")
    story.proved(
        "accounts_connected",
        f"{len(sealed)} read-only keys were sealed to the attested record, a process that holds no"
        " trading key; two owners ordered each, and it began to read at once",
    )
    story.proved(
        "credentials_swapped_refused",
        f"refused, a key sealed for {EXACT} in the place of {COARSE}'s: {refusal.code.name}",
    )


def returns_chapter(stage: Stage, recording: Child[RecorderReady]) -> None:
    """Waits until both accounts are synchronised, then shows what readers are shown.

    Raises:
        DemoFailed: an account was not synchronised, or something else was disclosed than its tier
            lets out.
    """
    story = stage.story
    _await_synchronised(story, recording)
    with reading(stage) as reader:
        found = {name: reader.series(READER, name, EVER) for name in EXCHANGES}
    _check_exact(story, stage, found[EXACT])
    show_plot(story, found[EXACT])
    show_rows(story, found[EXACT], _SHOWN_HOURS)
    _check_coarse(story, found[COARSE])
    show_rows(story, found[COARSE], _DAY_HOURS)
    for name, series in found.items():
        title = f"{name} at {EXCHANGES[name]}"
        paths = write_charts(stage.folders.reports, name, title, series)
        page, picture = (path.relative_to(stage.folders.root) for path in paths)
        story.note(f"{title}: {page} has its metrics, {picture} a picture (--keep DIR keeps them)")


@contextmanager
def reading(stage: Stage) -> Iterator[Reader]:
    """Yields a reader with the gateway's login.

    Raises:
        PrivilegesTooWide: that login can do more than read what was disclosed.
    """
    login = Logins(stage.folders.database).dsn(GATEWAY)
    reader = Reader(lambda _login: login)
    try:
        reader.check()
        yield reader
    finally:
        reader.close()


def _credentials(stage: Stage, name: str) -> Credentials:
    exchange = EXCHANGES[name]
    login = stage.exchanges.logins[exchange]
    return Credentials(name, exchange, login.key, login.secret, login.passphrase)


def _tier(stage: Stage, name: str) -> str:
    (tier,) = (account.tier for account in stage.recorded.accounts if account.name == name)
    every = "every hour" if tier.hours == 1 else f"every {tier.hours} hours"
    return f"{every}, exactly" if tier.grid is None else f"{every}, rounded to {tier.grid}"


def _await_synchronised(story: Story, recording: Child[RecorderReady]) -> None:
    """Tells how far each account is, until both are done."""
    until, told = time.monotonic() + _PATIENCE_S, dict[str, str]()
    while set(told.values()) != {_DONE} or told.keys() != EXCHANGES.keys():
        for line in _news(recording, told):
            require(
                line.stage not in _FAILED,
                f"{line.account} could not be synchronised",
                actual=line.means,
            )
            told[line.account] = line.stage
            if line.stage in _WORDS:
                story.note(f"{line.account}: {_WORDS[line.stage]}")
        require(
            recording.process.poll() is None and time.monotonic() < until,
            "the accounts are not synchronised",
            expected="done, both",
            actual=f"{told}; {quoted(recording.log.name, tail(recording.log))}",
        )
        time.sleep(_PAUSE_S)


def _news(recording: Child[RecorderReady], told: dict[str, str]) -> Iterable[Heard]:
    newest = {line.account: line for line in heard(recording.log) if line.event == "sync"}
    return [line for line in newest.values() if told.get(line.account) != line.stage]


def _check_exact(story: Story, stage: Stage, series: Series) -> None:
    (account,) = (each for each in stage.recorded.accounts if each.name == EXACT)
    lengths = {period.hours for period in series.periods}
    require(lengths == {1}, "other periods than hours", expected={1}, actual=lengths)
    late = time.time_ns() // 1_000_000 - series.end_ms
    whole = series.start_ms - account.since_ms in (0, HOUR_MS) and late < _LATE_MS
    require(whole, "hours are missing", expected=account.since_ms, actual=series.start_ms)
    known = _known(series)
    require(known > 0, "no hour has a return")
    story.facts["hours_published"] = series.hours
    story.proved(
        "hours_published",
        f"{EXACT}: {series.hours} hours, {known} of them with a return, computed inside from every"
        " trade, fee, deposit and funding payment; each is signed, and a leaf of a log commits to"
        " it",
    )


def _check_coarse(story: Story, series: Series) -> None:
    lengths = {period.hours for period in series.periods[1:]}
    require(lengths == {_DAY_HOURS}, "other periods than days", expected=24, actual=lengths)
    odd = [each.value for each in series.periods if each.value != _rounded(each.value)]
    require(not odd, "returns are not rounded", actual=odd)
    story.facts["days_published"] = len(series.periods)
    story.proved(
        "days_published",
        f"{COARSE}: {len(series.periods)} days to a basis point, which is all that its owners let"
        " out; nobody was shown an hour of it, nor a number that would tell one",
    )


def _rounded(value: Decimal | None) -> Decimal | None:
    return None if value is None else round(value, 4)


def _known(series: Series) -> int:
    return sum(period.value is not None for period in series.periods)
