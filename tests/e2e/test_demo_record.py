"""Each check of the demo's track record is given something of which it is not true, and fails."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from strongroom_host.demo import secrecy_chapter
from strongroom_host.demo.accounts import EXCHANGES
from strongroom_host.demo.exchange_truth import Truth, telling
from strongroom_host.demo.record_chapter import _check_coarse, _check_exact
from strongroom_host.demo.return_chapter import check_logged
from strongroom_host.demo.secrecy_chapter import secrecy_chapter as check_secrecy
from strongroom_host.demo.stage import Stage
from strongroom_host.demo.story import DemoFailed, Story
from strongroom_host.log.examination import Examination
from strongroom_host.metrics.series import HOUR_MS, Flag, Period, Series
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.embedded import EmbeddedServer
from strongroom_host.record_store.logins import Logins
from strongroom_host.record_store.roles import ENCLAVE, GATEWAY
from strongroom_wire.leaves import Kind
from strongroom_wire.manifest import Account, Tier

from tests.e2e.commands import run
from tests.host.record_store.databases import scratch_folder
from tests.hostile.driver import now_ms

SINCE = now_ms() // HOUR_MS * HOUR_MS - 48 * HOUR_MS


def series(hours: int = 1, count: int = 48, value: str = "0.0001", start: int = SINCE) -> Series:
    return Series.of(
        Period(start + at * hours * HOUR_MS, hours, Decimal(value), Flag(0), Decimal(1))
        for at in range(count)
    )


def stage_of(**parts: object) -> Stage:
    accounts = tuple(
        Account(name, "ada", EXCHANGES[name], "test", "USDT", SINCE, Tier()) for name in EXCHANGES
    )
    found = {"recorded": SimpleNamespace(accounts=accounts), "story": Story(None), **parts}
    return cast(Stage, SimpleNamespace(**found))


def test_hours_that_are_whole_pass() -> None:
    story = Story(None)
    _check_exact(story, stage_of(), series())
    assert story.facts["hours_published"] == 48


@pytest.mark.parametrize(
    ("shown", "what"),
    [
        (series(2, 24), "other periods than hours"),
        (series(start=SINCE + 2 * HOUR_MS), "hours are missing"),
        (series(count=40), "hours are missing"),
    ],
)
def test_hours_that_are_not_do_not(shown: Series, what: str) -> None:
    with pytest.raises(DemoFailed, match=what):
        _check_exact(Story(None), stage_of(), shown)


def test_days_have_to_be_days_and_rounded() -> None:
    _check_coarse(Story(None), series(24, 6, "0.0123"))
    with pytest.raises(DemoFailed, match="other periods than days"):
        _check_coarse(Story(None), series(1, 6))
    with pytest.raises(DemoFailed, match="not rounded"):
        _check_coarse(Story(None), series(24, 6, "0.012345"))


def examination(**changes: object) -> Examination:
    report = SimpleNamespace(records=7, kinds={Kind.RETURNS: 2})
    good = {
        "ok": True,
        "findings": (),
        "end": 7,
        "report": report,
        "witnessed": SimpleNamespace(size=7),
    }
    return cast(Examination, SimpleNamespace(**{**good, **changes}))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"ok": False, "findings": ("edited",)}, "does not verify"),
        ({"witnessed": SimpleNamespace(size=6)}, "opened and cosigned"),
        ({"report": SimpleNamespace(records=6, kinds={Kind.RETURNS: 2})}, "opened and cosigned"),
        ({"report": SimpleNamespace(records=7, kinds={Kind.RETURNS: 1})}, "returns are not logged"),
    ],
)
def test_a_record_s_log_that_lacks_something_does_not_pass(
    changes: dict[str, object], what: str
) -> None:
    check_logged(examination())
    with pytest.raises(DemoFailed, match=what):
        check_logged(examination(**changes))


@pytest.fixture(scope="module")
def database() -> Iterator[Path]:
    """The demo's own database, without the demo: made by the command, and running."""
    with scratch_folder() as folder:
        done = run("db", "init", "--folder", str(folder / "db"))
        assert done.returncode == 0, done.stderr
        with EmbeddedServer(folder / "db").running():
            yield folder / "db"


@pytest.fixture
def shown(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the chapter about secrecy takes; two trades are kept, and readers see something."""
    truth = Truth(1, 1, frozenset({"1234567.25"}))
    monkeypatch.setattr(secrecy_chapter, "truth_of", lambda *_: truth)
    monkeypatch.setattr(secrecy_chapter, "_count", lambda _open, _table: 2)
    for name in ("host", "record", "recorder.log", "console.log"):
        (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).write_bytes(b"quiet")
    folders = SimpleNamespace(
        database=database,
        host=tmp_path / "host",
        record_log=tmp_path / "record",
        console=tmp_path / "console.log",
    )
    login = SimpleNamespace(key="keykeykey", secret="secretsecret")
    exchanges = SimpleNamespace(logins=dict.fromkeys(EXCHANGES.values(), login))
    return {
        "stage": stage_of(folders=folders, exchanges=exchanges),
        "recording": SimpleNamespace(log=tmp_path / "recorder.log"),
        "folder": tmp_path,
    }


def test_what_is_secret_passes(shown: dict[str, Any]) -> None:
    check_secrecy(shown["stage"], shown["recording"])


def test_a_gateway_that_reads_trades_is_noticed(
    shown: dict[str, Any], database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins = Logins(database)
    monkeypatch.setattr(
        Logins, "dsn", lambda _self, role: logins_of(logins, ENCLAVE if role == GATEWAY else role)
    )
    with pytest.raises(DemoFailed, match="reading trades as the gateway: accepted"):
        check_secrecy(shown["stage"], shown["recording"])


def logins_of(logins: Logins, role: str) -> str:
    return logins.path(role).read_text()


@pytest.mark.parametrize("other", ["1234567.251", "31234567.25", "1234567,25"])
def test_another_number_is_not_taken_for_it(other: str, shown: dict[str, Any]) -> None:
    (shown["folder"] / "host/some.log").write_text(f"... {other} ...")
    check_secrecy(shown["stage"], shown["recording"])


@pytest.mark.parametrize(
    "planted", ["1234567.25", "1234567.2500", "313233343536372e3235", "MTIzNDU2Ny4yNQ=="]
)
@pytest.mark.parametrize("where", ["host/some.log", "recorder.log", "console.log", "record/leaf"])
def test_a_trade_in_a_file_is_noticed(planted: str, where: str, shown: dict[str, Any]) -> None:
    (shown["folder"] / where).write_text(f"... {planted} ...")
    with pytest.raises(DemoFailed, match="can be read that must not"):
        check_secrecy(shown["stage"], shown["recording"])


def test_a_credential_in_the_database_is_noticed(shown: dict[str, Any], database: Path) -> None:
    with connect(Logins(database).dsn(ENCLAVE), "test") as open_, open_.transaction():
        open_.execute("INSERT INTO users (id) VALUES ('secretsecret')")
    with pytest.raises(DemoFailed, match="can be read that must not"):
        check_secrecy(shown["stage"], shown["recording"])


def test_a_trade_that_is_not_kept_is_noticed(
    shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrecy_chapter, "_count", lambda _open, _table: 1)
    with pytest.raises(DemoFailed, match="not every trade is kept"):
        check_secrecy(shown["stage"], shown["recording"])


def test_only_telling_texts_are_looked_for() -> None:
    assert telling("0.01234567")
    assert not telling("0.00123456")
    assert not telling("0.01000000")
    assert not telling("100")
