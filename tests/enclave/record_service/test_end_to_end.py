"""Credentials in, signed hours out: real processes, a real database, local exchanges over TLS."""

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest
from strongroom_enclave.record.events import Event
from strongroom_enclave.record.returns import HOUR_MS, Basis
from strongroom_host.enclave_client.errors import EnclaveRefused
from strongroom_host.log.returns import prove_hour
from strongroom_host.log.stored import StoredLog
from strongroom_host.record_store.connecting import Connection
from strongroom_host.venues.defaults import Login
from strongroom_wire.errors import Code
from strongroom_wire.leaves import Kind, Leaf
from strongroom_wire.manifest import Account, Tier
from strongroom_wire.record import PublishedHour

from tests.enclave.record.oracle import History
from tests.enclave.record_service.site import Exchanges, Site, exchanges, waited
from tests.host.record_store.conftest import database, postgres
from tests.host.record_store.databases import Database

__all__ = ["database", "postgres"]

SINCE = time.time_ns() // 10**6 // HOUR_MS * HOUR_MS - 6 * 24 * HOUR_MS
EXACT = Tier(hours=1, grid=None)
ADA = Account("ada", "ada-lovelace", "binance", "test", "USDT", SINCE, EXACT)
EVE = Account("eve", "eve", "bybit", "test", "USDT", SINCE, Tier())


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    with exchanges(tmp_path_factory.mktemp("venues"), "binance", "bybit") as running:
        yield running


@pytest.fixture(scope="module")
def synced(
    tmp_path_factory: pytest.TempPathFactory, postgres: object, venues: Exchanges
) -> Iterator[Site]:
    """Both accounts connected and synchronised once."""
    with Site(tmp_path_factory.mktemp("site"), postgres.fresh(), venues, (ADA, EVE)) as site:  # type: ignore[attr-defined]
        site.boot(1)
        site.permit()
        site.connect("ada")
        site.connect("eve")
        with site.database.as_enclave() as open_:
            assert waited(lambda: _done(site) >= {"ada", "eve"} and bool(rows(open_, "eve")))
        yield site


def _done(site: Site) -> set[str]:
    return {event.account for event in site.heard if event.stage.value == "done"}


def rows(connection: Connection, account: str) -> list[tuple[bytes, bytes, int, int]]:
    """Encoded hour, opening of the receipt's leaf, position, leaf index."""
    return connection.execute(
        "SELECT encoded, receipt, position, leaf_index FROM hourly_returns WHERE account = %s"
        " ORDER BY start_ms",
        [account],
    ).fetchall()


def test_the_hours_are_those_of_what_really_happened(synced: Site) -> None:
    events: list[Event] = synced.venues.events("binance")
    marks = synced.venues.marks("binance", "USDT")
    oracle = History(events, synced.venues.markets(), marks)
    with synced.database.as_enclave() as open_:
        found = [PublishedHour.parse(row[0]) for row in rows(open_, "ada")]
    assert len(found) > 80
    compared = 0
    for hour in found:
        truth = oracle.hour(hour.start_ms, Basis(marks))
        assert hour.exact is not None
        assert (hour.flags, hour.exact[7]) == (truth.flags, truth.trades)
        shown = (hour.value, hour.closing, *hour.exact[:7])
        total = truth.value, truth.closing, truth.opening, truth.flows, truth.pnl
        meant = (*total, truth.realised, truth.unrealised, truth.fees, truth.funding)
        for said, true in zip(shown, meant, strict=True):
            assert (None if said is None else Decimal(said)) == true
        compared += hour.value is not None
    assert compared > 50


def test_each_hour_is_proved_by_itself(synced: Site) -> None:
    stored = StoredLog(synced.folder / "log")
    with synced.database.as_enclave() as open_:
        for account in ("ada", "eve"):
            kept = rows(open_, account)
            receipts = {row[3] for row in kept}
            for index in receipts:
                mine = [row for row in kept if row[3] == index]
                encoded = [row[0] for row in mine]
                leaf = Leaf.parse(stored.leaf(index))
                for row, opening, position, _ in mine:
                    path = _path(encoded, position)
                    proved = prove_hour(row, position, path, leaf, opening)
                    assert proved.receipt.account == account
                    assert (proved.receipt.environment, proved.receipt.accounts) == ("test", 2)
                    assert proved.receipt.mode == "development"
                    assert proved.receipt.completeness == "since-opening"


def _path(rows: list[bytes], index: int) -> list[bytes]:
    """RFC 6962's audit path, as it is defined there."""
    if len(rows) == 1:
        return []
    split = 1 << ((len(rows) - 1).bit_length() - 1)
    left, right = rows[:split], rows[split:]
    if index < split:
        return [*_path(left, index), _tree(right)]
    return [*_path(right, index - split), _tree(left)]


def _tree(rows: list[bytes]) -> bytes:
    if len(rows) == 1:
        return sha256(b"\0" + rows[0]).digest()
    split = 1 << ((len(rows) - 1).bit_length() - 1)
    return sha256(b"\1" + _tree(rows[:split]) + _tree(rows[split:])).digest()


def test_a_coarse_tier_leaves_coarse_rows_only(synced: Site) -> None:
    with synced.database.as_enclave() as open_:
        found = [PublishedHour.parse(row[0]) for row in rows(open_, "eve")]
    assert 2 <= len(found) <= 7
    assert all(hour.exact is None for hour in found)
    assert all((hour.start_ms + hour.hours * HOUR_MS) % (24 * HOUR_MS) == 0 for hour in found)
    assert all(hour.value is None or hour.value.endswith("0" * 8) for hour in found)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_memory_that_a_venue_could_fill_has_an_end(synced: Site) -> None:
    """If it does, the record goes, and nobody who holds a trading key."""
    assert synced.runner is not None
    limits, first = dict[str, str](), dict[str, int]()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if os.getpgid(int(process.name)) == synced.runner.pid:
                worker = b"strongroom_local.worker" in words
                name = words[words.index(b"strongroom_local.worker") + 1].decode() if worker else ""
                [found] = re.findall(r"Max data size +(\S+)", (process / "limits").read_text())
                limits[name] = found
                first[name] = int((process / "oom_score_adj").read_text())
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert limits["record"] == str(min(1 << 30, machine // 2))
    assert first["record"] == 1000
    assert {limits[name] for name in limits if name != "record"} == {"unlimited"}
    assert max(first[name] for name in first if name != "record") < 1000


def test_what_is_there_is_known_again_by_the_next_boot(synced: Site) -> None:
    """Killed outright, another boot goes on with the stored log."""
    synced.heard.clear()
    assert synced.runner is not None
    assert synced.runner.pid is not None
    os.killpg(synced.runner.pid, signal.SIGKILL)
    synced.boot(2)
    synced.permit()
    with synced.database.as_enclave() as open_:
        before = rows(open_, "ada")
    synced.connect("ada")  # with new keys; what was kept under the old ones stays readable
    assert waited(lambda: "ada" in _done(synced))
    with synced.database.as_enclave() as open_:
        after = rows(open_, "ada")
    assert after[: len(before)] == before
    stored = StoredLog(synced.folder / "log")
    kinds = [Leaf.parse(stored.leaf(index)).kind for index in range(stored.size)]
    assert kinds[0] is Kind.BOOT
    assert kinds.count(Kind.BOOT) == 2
    assert not synced.warned


def test_an_old_database_is_not_believed(synced: Site) -> None:
    """The newest states are gone: no account is worked on, and none can be connected."""
    with synced.database.as_admin() as admin:
        admin.execute("ALTER TABLE account_states DISABLE TRIGGER ALL")
        admin.execute("DELETE FROM account_states WHERE account = 'ada'")
    synced.boot(3)
    synced.permit()
    synced.heard.clear()
    with pytest.raises(EnclaveRefused) as caught:
        synced.connect("eve")
    assert caught.value.code is Code.SEALED_STATE_REFUSED
    time.sleep(2)
    assert not synced.heard


def test_bad_orders_are_refused_with_their_code(
    tmp_path: Path, database: Database, venues: Exchanges
) -> None:
    with Site(tmp_path, database, venues, (ADA, EVE)) as site:
        site.boot(1)
        for share, code in ((False, Code.SEALED_STATE_REFUSED), (True, Code.OK)):
            site.permit(share=share, serial=1 + share)
            if code is Code.OK:
                break
            with pytest.raises(EnclaveRefused) as caught:
                site.connect("ada")
            assert caught.value.code is code
        for account, venue, expected in (
            ("ada", "bybit", Code.KEY_CONFLICT),
            ("nobody", "binance", Code.UNKNOWN_KEY),
        ):
            with pytest.raises(EnclaveRefused) as caught:
                site.connect(account, venue=venue)
            assert caught.value.code is expected
        assert not site.heard
        # A key that the venue does not know: the connection is made, and the job says why not.
        site.connect("ada", Login("unknown", "secret", ""))
        assert waited(lambda: any(event.failure for event in site.heard))
        with database.as_enclave() as open_:
            assert not rows(open_, "ada")
