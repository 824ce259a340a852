"""A track record through the command line: connected, synchronised, shown, proved, against a real
enclave, a real database and a local exchange."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from strongroom_host.log.stored import StoredLog
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.heads import How
from strongroom_host.owner.manifest_draft import owner_set, parse_client
from strongroom_wire.manifest import Account, Egress, Manifest, Tier

from tests.enclave.record_service.site import Exchanges, exchanges
from tests.host.cli.world import Command, HostProcess, Machine
from tests.host.record_store.databases import scratch_folder

pytestmark = pytest.mark.slow

HOUR_MS = 3_600_000
SINCE = time.time_ns() // 10**6 // HOUR_MS * HOUR_MS - 6 * 24 * HOUR_MS
ADA = Account("ada", "ada", "binance", "test", "USDT", SINCE, Tier(1, 0, None))


class Service:
    """`strongroom` in a process of its own, until its stdin closes."""

    def __init__(self, *arguments: object, env: dict[str, str]) -> None:
        command = [sys.executable, "-m", "strongroom_host.cli.main", *map(str, arguments)]
        command += ["--json"]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | env,
        )
        assert self.process.stdout
        self.ready = json.loads(self.process.stdout.readline())

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        with self.process as process:
            assert process.stdin
            process.stdin.close()
            assert process.wait(30) == 0


class World(Machine):
    """The owner's and the operator's machine in one."""

    def __init__(self, folder: Path, database: Path) -> None:
        super().__init__(folder)
        self.database, self.record = database, folder / "record"

    def run(self, *arguments: object, stdin: str | None = None, expect: int | None = 0) -> Command:
        os.environ["STRONGROOM_DB"] = str(self.database)
        os.environ["STRONGROOM_RECORD"] = str(self.record)
        try:
            return super().run(*arguments, stdin=stdin, expect=expect)
        finally:
            del os.environ["STRONGROOM_DB"], os.environ["STRONGROOM_RECORD"]


class Host(HostProcess):
    """The host, which leads the record to its store and to a local exchange."""

    def __init__(self, folder: Path, maps: list[str]) -> None:
        command = [sys.executable, "-m", "strongroom_host.cli.main", "host", "run"]
        command += ["--run", str(folder / "run"), "--state", str(folder / "state")]
        command += ["--listen", "127.0.0.1:0", "--with-stdin", "--json"]
        for each in maps:
            command += ["--map", each]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self.address = str(json.loads(self._process.stdout.readline())["address"])


def manifest_of(owner: OwnerFolder, venues: Exchanges) -> bytes:
    client = parse_client(f"{owner.client_path / 'card.json'}=owner,cancel,query,health,log")
    names = sorted(name.removesuffix(":443") for name in venues.server.mapping)
    hosts = [name for name in names if name.endswith("binance.com")]
    return Manifest(
        format="strongroom-manifest/1",
        version=1,
        mode="development",
        account="fund",
        genesis=owner_set((owner.public_key.hex(),), 1),
        owner_changes=(),
        clients=(client,),
        keys=(),
        egress=tuple(Egress(name, 443, (), (venues.root,)) for name in hosts),
        accounts=(ADA,),
        witnesses=(),
        witness_quorum=0,
    ).serialise()


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    with exchanges(tmp_path_factory.mktemp("venues"), "binance") as running:
        yield running


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, venues: Exchanges) -> Iterator[World]:
    """An owner with a permitted boot, and everything that its record needs beside it."""
    folder = tmp_path_factory.mktemp("w")
    with scratch_folder() as database:
        made = World(folder, database)
        made.run("db", "init", "--folder", database)
        made.record.mkdir(mode=0o700)
        maps = [f"{name}={host}:{port}" for name, (host, port) in venues.server.mapping.items()]
        maps.append(f"store.strongroom:1=unix:{made.record / 'store.sock'}")
        with Host(folder, maps) as host:
            made.host = host
            made.run("owner", "init", "--no-passphrase", "--name", "ada")
            made.run("enclave", "trust", "--development")
            (folder / "m.json").write_bytes(manifest_of(OwnerFolder(folder / "owner"), venues))
            made.run("manifest", "sign", folder / "m.json")
            made.run("manifest", "pin", folder / "m.signed.json")
            made.run("enclave", "load", folder / "m.signed.json")
            owner = folder / "owner"
            with Service(
                *("record", "serve", "--db", database, "--record", made.record),
                *("--manifest", owner / "manifest.signed.json", "--trust", owner / "trust.json"),
                *("--listen-metrics", "127.0.0.1:0", "--listen-http", "127.0.0.1:0"),
                "--with-stdin",
                env={"STRONGROOM_ENCLAVE": host.address},
            ) as service:
                made.ready = service.ready  # type: ignore[attr-defined]
                made.run("permit", "--record-log", made.record / "log")
                yield made


@pytest.fixture(scope="module")
def synced(world: World, venues: Exchanges) -> World:
    login = venues.logins["binance"]
    key = {"key": login.key, "secret": login.secret, "passphrase": login.passphrase}
    done = world.run("record", "connect", "ada", "--from", "-", stdin=json.dumps(key))
    assert "account ada is connected" in done.out
    assert login.secret not in done.out + done.err
    shown = world.run("record", "sync", "ada", "--wait", "--timeout", 120)
    assert "ada: done" in shown.out
    return world


def test_an_account_that_the_manifest_lacks_is_not_connected(world: World) -> None:
    refused = world.run("record", "connect", "eve", "--from", "-", stdin="{}", expect=2)
    assert "has no account 'eve'" in refused.err


def test_a_file_that_is_no_key_is_not_shown(world: World) -> None:
    refused = world.run("record", "connect", "ada", "--from", "-", stdin="SECRET", expect=2)
    assert "SECRET" not in refused.out + refused.err


def test_what_is_synchronised_is_shown(synced: World) -> None:
    status = synced.run("record", "status", "--json").json
    assert [(each["account"], each["state"], each["failure"]) for each in status] == [
        ("ada", "DONE", None)
    ]
    rows = synced.run("record", "returns", "ada", "--json").json["returns"]
    assert len(rows) > 24
    shown = synced.run("record", "returns", "ada", "--rows", 5).out
    assert "Returns as disclosed" in shown
    assert "there is no other account" in shown
    file = synced.folder / "ada.csv"
    synced.run("record", "returns", "ada", "--csv", file)
    assert len(file.read_text().splitlines()) == len(rows) + 1
    assert "TWR" in synced.run("record", "metrics", file, "--convention", "8760").out


def test_its_owner_remembers_how_far_its_log_was(synced: World) -> None:
    """What `connect`, `returns` and `verify` showed him: his next permit asks for it."""
    owner = OwnerFolder(synced.folder / "owner")
    [log] = {json.loads(line)["log"] for line in (owner.root / "heads").read_text().splitlines()}
    assert log == synced.ready["origin"]  # type: ignore[attr-defined]
    connected = max(each.head.size for each in owner.heads.known(log))
    assert connected >= 2
    synced.run("record", "returns", "ada", "--json")
    stored = StoredLog(synced.record / "log")
    [*_, newest] = owner.heads.known(log)
    assert newest.head == stored.head
    assert newest.how is How.SHOWN


def test_its_log_is_shown_to_whoever_keeps_a_copy(synced: World) -> None:
    owner, url = synced.folder / "owner", synced.ready["log_url"]  # type: ignore[attr-defined]
    copy = ("--role", "record", "--log", owner / "record-log")
    known = ("--trust", owner / "trust.json", "--manifest", owner / "manifest.signed.json")
    assert "new leaves and the evidence of 1 boot;" in synced.run("log", "mirror", url, *copy).out
    assert "in order" in synced.run("log", "verify", *copy, *known).out
    assert not (owner / "record-log" / "openings.db").exists()
    assert httpx.get(f"{url}/openings.db").status_code == 404
    assert "is in force" in synced.run("permit").out, "with the copy in its place"


def test_one_return_is_proved_offline(synced: World) -> None:
    rows = synced.run("record", "returns", "ada", "--json").json["returns"]
    owner, proof = synced.folder / "owner", synced.folder / "a.return-proof"
    synced.run("record", "prove", "ada", rows[7]["start_ms"], "--out", proof)
    known = "--trust", owner / "trust.json", "--manifest", owner / "manifest.signed.json"
    told = synced.run("record", "verify", proof, *known, "--json").json
    assert told["return"]["value"] == rows[7]["value"]
    assert told["receipt"]["environment"] == "test"
    log = synced.record / "log"
    synced.run("log", "verify", "--log", log, "--role", "record", *known)


def test_over_rest_it_proves_itself_as_well(synced: World) -> None:
    folder = synced.folder / "gateway"
    made = synced.run(
        *("gateway", "key", "create", "press", "--scope", "returns", "--scope", "evidence"),
        *("--user", "ada", "--folder", folder, "--json"),
    ).json
    key = synced.folder / "api.key"
    key.write_text(made["key"])
    key.chmod(0o600)
    environment = {"STRONGROOM_DB": str(synced.database)}
    arguments = ["gateway", "run", "--folder", folder, "--log", synced.record / "log"]
    arguments += ["--listen-http", "127.0.0.1:0"]
    command = [sys.executable, "-m", "strongroom_host.cli.main", *map(str, arguments), "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        assert process.stdout
        url = json.loads(process.stdout.readline())["url"].rstrip("/")
        try:
            answer = httpx.get(
                f"{url}/v1/accounts/ada/returns?limit=5",
                headers={"Authorization": f"Bearer {made['key']}"},
            ).json()
            proof, owner = synced.folder / "b.return-proof", synced.folder / "owner"
            start = answer["returns"][3]["start_ms"]
            whole = httpx.get(
                f"{url}/v1/accounts/ada/returns/{start}/proof",
                headers={"Authorization": f"Bearer {made['key']}"},
            )
            synced.run(
                *("record", "prove", "ada", start, "--gateway", url, "--api-key-file", key),
                *("--out", proof),
            )
        finally:
            process.terminate()
            assert process.wait(20) == 0
    known = "--trust", owner / "trust.json", "--manifest", owner / "manifest.signed.json"
    for content in (proof.read_bytes(), whole.content):
        proof.write_bytes(content)
        told = synced.run("record", "verify", proof, *known, "--json").json
        assert told["return"]["value"] == answer["returns"][3]["value"]


def test_the_operator_s_counters_have_no_amounts(synced: World) -> None:
    text = httpx.get(synced.ready["metrics"]).text  # type: ignore[attr-defined]
    assert "strongroom_record_healthy 1" in text
    assert 'strongroom_record_jobs_total{stage="done"}' in text
