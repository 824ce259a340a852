"""A track record's life, by the commands that people type: wrong keys, a venue that is down, a key
that is replaced, a boot that ends. What readers are shown stays one series, and nothing is doubled.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.record_store.connecting import connect
from strongroom_host.record_store.logins import Logins
from strongroom_host.record_store.roles import ENCLAVE
from strongroom_host.venues.binance import BinanceSpot
from strongroom_host.venues.defaults import Login
from strongroom_host.venues.faults import Fault, FaultKind

from tests.enclave.record_service.site import Exchanges, exchanges
from tests.host.cli.test_record_cli import Host, Service, World, manifest_of
from tests.host.record_store.databases import scratch_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ACCOUNT = "ada"
POWERS: dict[str, bool] = {}
"""What the venue says a key may do besides reading."""


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    truthful = BinanceSpot._restrictions

    def restrictions(self: BinanceSpot, call: Any) -> object:
        told = truthful(self, call)
        assert isinstance(told, dict)
        return {**told, **POWERS}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BinanceSpot, "_restrictions", restrictions)
        with exchanges(tmp_path_factory.mktemp("venues"), "binance", days=3) as running:
            yield running


class Life(World):
    """The world of one record; its host can be started anew, which is another boot."""

    def __init__(self, folder: Path, database: Path, venues: Exchanges, stack: ExitStack) -> None:
        super().__init__(folder, database)
        self.venues, self._stack = venues, stack
        self.run("db", "init", "--folder", database)
        self.record.mkdir(mode=0o700)
        self.owner_folder = folder / "owner"

    def found(self) -> None:
        """Makes owner and manifest, boots, and serves the record."""
        self.boot()
        self.run("owner", "init", "--no-passphrase", "--name", "ada")
        self.run("enclave", "trust", "--development")
        draft = manifest_of(OwnerFolder(self.owner_folder), self.venues)
        (self.folder / "m.json").write_bytes(draft)
        self.run("manifest", "sign", self.folder / "m.json")
        self.run("manifest", "pin", self.folder / "m.signed.json")
        self.run("enclave", "load", self.folder / "m.signed.json")
        self._stack.enter_context(
            Service(
                *("record", "serve", "--db", self.database, "--record", self.record),
                *("--manifest", self.owner_folder / "manifest.signed.json"),
                *("--trust", self.owner_folder / "trust.json"),
                *("--enclave", f"unix:{self.folder / 'run'}", "--with-stdin"),
                env={},
            )
        )
        self.run("permit")

    def boot(self) -> None:
        """Starts an enclave, in the place of the one that runs."""
        self.stop()
        store = self.record / "store.sock"
        maps = [f"{name}={at}:{port}" for name, (at, port) in self.venues.server.mapping.items()]
        self.host = Host(self.folder, [*maps, f"store.strongroom:1=unix:{store}"])

    def stop(self) -> None:
        """Ends the enclave that runs."""
        if self.host is not None:
            self.host.__exit__()
            self.host = None

    def connect(self, login: Login, **changes: str) -> None:
        key = {"key": login.key, "secret": login.secret, "passphrase": login.passphrase}
        done = self.run(
            "record", "connect", ACCOUNT, "--from", "-", stdin=json.dumps({**key, **changes})
        )
        assert f"account {ACCOUNT} is connected" in done.out

    def sync(self, *options: str, expect: int | None = 0) -> str:
        """Has it synchronised, and returns what was said."""
        done = self.run(
            *("record", "sync", ACCOUNT, "--wait", "--timeout", 120, *options), expect=expect
        )
        return done.out + done.err

    def status(self) -> dict[str, Any]:
        [found] = self.run("record", "status", "--json").json
        assert isinstance(found, dict)
        return found

    def rows(self) -> list[dict[str, Any]]:
        found = self.run("record", "returns", ACCOUNT, "--json").json["returns"]
        assert isinstance(found, list)
        return found

    def count(self, table: str) -> int:
        """Counts rows of all accounts, which is one."""
        with connect(Logins(self.database).dsn(ENCLAVE), "test") as open_:
            found = open_.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert found is not None
        return int(found[0])

    def kept(self) -> tuple[int, int]:
        return self.count("trades"), self.count("cash_flows")


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, venues: Exchanges) -> Iterator[Life]:
    with scratch_folder() as database, ExitStack() as stack:
        made = Life(tmp_path_factory.mktemp("w"), database, venues, stack)
        stack.callback(made.stop)
        made.found()
        yield made


def happened(venues: Exchanges) -> tuple[int, int]:
    """How many trades and flows there really were."""
    history = venues.server.world.named("binance", "main").history
    return len(history.fills), len(history.flows)


def test_a_record_from_its_first_key_to_its_second_boot(life: Life, venues: Exchanges) -> None:
    login = venues.logins["binance"]

    life.connect(login, secret="0" * 64)
    said = life.sync(expect=1)
    assert "the venue does not take the key" in said
    assert life.status()["paused"], "a wrong key is not tried for ever: venues lock accounts"
    assert life.kept() == (0, 0)

    POWERS["enableSpotAndMarginTrading"] = True
    life.connect(login)
    said = life.sync(expect=1)
    assert "may do more than read" in said
    assert life.kept() == (0, 0)
    POWERS.clear()

    life.connect(login)
    assert "ada: done" in life.sync()
    assert life.kept() == happened(venues)
    first = life.rows()
    assert len(first) > 60
    assert not life.status()["paused"]

    venues.server.faults.arm(Fault(FaultKind.STATUS, "/api/v3/account", count=1000, status=503))
    life.sync(expect=1)
    assert life.status()["failure"]
    assert life.rows() == first, "nothing is made up for a venue that is down"
    venues.server.faults.clear()
    keys = life.count("data_encryption_keys")
    life.connect(login)
    assert life.count("data_encryption_keys") == keys + 1, "a second connect is a new data key"
    said = life.sync(expect=None)
    if "ada: done" not in said:  # a run that began while the venue was down had not ended yet
        said = life.sync()
    assert "ada: done" in said

    log = ("--record-log", life.record / "log")
    life.boot()
    life.run("enclave", "load", life.folder / "m.signed.json")
    refused = life.run("permit", expect=3).err
    assert "lacks the newest" in refused, "the owner's folder remembers what `connect` showed"
    assert "--record-log DIR" in refused
    life.run("permit", *log)
    assert "ada: done" in life.sync()
    assert "ada: done" in life.sync("--full")
    assert life.kept() == happened(venues), "lost, or doubled"
    assert life.rows()[: len(first)] == first

    proof = life.folder / "old.return-proof"
    life.run("record", "prove", ACCOUNT, first[9]["start_ms"], "--out", proof)
    known = [life.owner_folder / name for name in ("trust.json", "manifest.signed.json")]
    told = life.run(
        "record", "verify", proof, "--trust", known[0], "--manifest", known[1], "--json"
    ).json
    assert told["return"]["value"] == first[9]["value"], "from a boot that has ended"
    life.run(
        *("log", "verify", "--role", "record", "--log", life.record / "log"),
        *("--trust", known[0], "--manifest", known[1]),
    )
