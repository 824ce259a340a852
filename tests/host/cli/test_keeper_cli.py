"""`strongroom log keep` beside a real enclave: an order goes out once its leaf is stored.

Uses the world of `test_lifecycle_cli`: two owners, a bot, a venue, an enclave that is permitted.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from strongroom_host.contract.openings import record_in
from strongroom_host.log.boots import Boots
from strongroom_host.log.files import LogFiles
from strongroom_host.log.openings import Openings
from strongroom_host.log.stored import StoredLog, head_of
from strongroom_host.log.tiles import CHECKPOINT
from strongroom_host.log.tree import LogReader
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.heads import How
from strongroom_wire.bundle import Bundle, Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.leaves import Decision, Kind, Leaf

from tests.host.cli.test_lifecycle_cli import World, trading, venue, with_secret, world

__all__ = ["trading", "venue", "world"]  # fixtures
pytestmark = pytest.mark.slow


class KeeperProcess:
    """`strongroom log keep` in a process of its own."""

    def __init__(self, world: World, *more: object, log: Path | None = None) -> None:
        assert world.bot.host
        self.log = log or world.folder / "kept"
        self.socket = world.bot.folder / "client" / "keeper.sock"
        command = [sys.executable, "-m", "strongroom_host.cli.main", "log", "keep", "--json"]
        command += ["--log", str(self.log), "--client", str(world.bot.folder / "client")]
        command += ["--enclave", world.bot.host.address, "--every", "0.1", *map(str, more)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.ready: Any = json.loads(line)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        with self.process:
            return self.process.wait(30)


@contextmanager
def keeping(world: World, *more: object, log: Path | None = None) -> Iterator[KeeperProcess]:
    keeper = KeeperProcess(world, *more, log=log)
    try:
        yield keeper
    finally:
        if keeper.process.poll() is None:
            assert keeper.stop() == 0


class Web:
    """The log as the keeper serves it."""

    def __init__(self, address: str) -> None:
        self.address = address

    def read(self, path: str) -> bytes | None:
        answer = httpx.get(f"http://{self.address}/{path}")
        return answer.content if answer.status_code == 200 else None


def last_leaf(log: Path) -> tuple[int, Leaf]:
    stored = StoredLog(log)
    return stored.size - 1, Leaf.parse(stored.leaf(stored.size - 1))


def test_without_a_keeper_that_is_said_once(trading: World) -> None:
    said = trading.place("0.55", "5")
    assert "accepted" in said
    assert said.count("nobody keeps the log") == 1


def test_an_order_goes_out_once_its_leaf_is_stored(trading: World) -> None:
    with keeping(trading, "--listen-http", "127.0.0.1:0") as keeper:
        said = trading.place("0.55", "5")
        assert "accepted" in said
        assert "nobody keeps" not in said
        index, leaf = last_leaf(keeper.log)
        assert leaf.kind is Kind.SIGNED
        with Openings(keeper.log) as openings:
            opening = openings.get(index)
        assert opening is not None
        decision = Decision.parse(record_in(leaf, opening))
        assert decision.reply.order_hashes[0].hex() in said.replace("\n", "")
        until_published(keeper, index + 1)
        web = Web(keeper.ready["http"])
        note = web.read(CHECKPOINT)
        assert note is not None
        reader = LogReader(web, head_of(note))
        assert reader.entry(index) == leaf.serialise()
        assert web.read("openings.db") is web.read("lock") is None
        boots = (web.read("boots/index") or b"").decode().split()
        assert boots == [leaf.epoch.hex()]
        # The owner's tool reads the same folder meanwhile.
        one, two = trading.one, trading.two
        one.run("permit", "--budget", "main=60", *with_secret(trading), "--log", keeper.log,
                "--out", one.folder / "again.signed.json")  # fmt: skip
        one.give("again.signed.json", two)
        busy = trading.bot.run("log", "pull", "--log", keeper.log, expect=5)
        assert "being written by another process" in busy.err


def until_published(keeper: KeeperProcess, size: int) -> None:
    for _ in range(400):
        if StoredLog(keeper.log).published >= size:
            return
        subprocess.run(["sleep", "0.02"], check=True)
    pytest.fail("never published")


def test_a_killed_keeper_holds_up_orders_and_no_cancel(trading: World) -> None:
    keeper = KeeperProcess(trading)
    assert keeper.stop(signal.SIGKILL) == -9
    said = trading.place("0.55", "5", expect=5)
    assert "no answer from the keeper" in said
    assert "strongroom log keep" in said
    cancelled = trading.bot.run(
        "order", "cancel", "--all", "--venue-address", f"127.0.0.1:{trading.venue.port}"
    )
    assert "canceled" in cancelled.out
    with keeping(trading):
        assert "accepted" in trading.place("0.55", "5")
    assert "no answer from the keeper" in trading.place("0.55", "5", expect=5)
    elsewhere = trading.place("0.55", "5", "--keeper", trading.folder / "no.sock", expect=5)
    assert "no.sock" in elsewhere


def test_what_a_keeper_missed_is_recovered_from_the_journal(trading: World) -> None:
    """The orders above that nobody kept are in the bot's journal, and follow the stored leaves."""
    log = trading.folder / "kept"
    before = StoredLog(log).size
    journal = trading.bot.folder / "client" / "journal"
    done = trading.bot.run("log", "recover", "--log", log, "--from", journal)
    assert StoredLog(log).size == before + 2, "the two orders that nobody kept"
    assert f"{before + 2} leaves in" in done.out
    with keeping(trading):
        assert "accepted" in trading.place("0.55", "5")
    assert last_leaf(log)[1].kind is Kind.SIGNED
    missing = trading.bot.run("log", "recover", "--log", log, "--from", log / "none", expect=2)
    assert "no journal" in missing.err
    nolog = trading.folder / "nolog"
    trading.bot.run("log", "recover", "--log", nolog, "--from", journal, expect=2)
    assert not nolog.exists()


def test_two_keepers_and_wrong_options_are_explained(trading: World) -> None:
    with keeping(trading):
        busy = trading.bot.run("log", "keep", "--log", trading.folder / "kept", expect=5)
        assert "being written by another process" in busy.err
    bot = trading.bot
    unknown = bot.run(
        "log", "keep", "--log", bot.folder / "x", "--witness", "w=http://x/", expect=2
    )
    assert "names no witness 'w'" in unknown.err
    assert "names no witness" in bot.run("log", "keep", "--witness", "w", expect=2).err
    assert (
        "is not an address"
        in bot.run(
            "log", "keep", "--log", bot.folder / "x", "--listen-http", "nowhere", expect=2
        ).err
    )
    assert not (bot.folder / "x" / "checkpoint").exists()


def test_the_owner_remembers_what_was_kept_in_his_folder(trading: World) -> None:
    owner = OwnerFolder(trading.one.folder / "owner")
    with keeping(trading, log=owner.root / "log") as keeper:
        until_published(keeper, 1)
        [boot] = list(Boots(keeper.log))
        origin = log_origin(Bundle.parse(boot.bundle).owner_root, "fund", Role.SIGNER)
        pulled = {known.head for known in owner.heads.known(origin) if known.how is How.PULLED}
        stored = StoredLog(keeper.log)
        assert stored.reader(max(head.size for head in pulled)).head in pulled


def test_a_log_that_is_another_stops_the_keeper_with_status_3(trading: World) -> None:
    log = trading.folder / "kept"
    log.rename(trading.folder / "aside")
    with LogFiles(log) as files:
        files.append(0, [StoredLog(trading.folder / "aside").leaf(0)[:-1] + b"x"])
    keeper = KeeperProcess(trading)
    with keeper.process:
        assert keeper.process.wait(30) == 3
        assert keeper.process.stderr
        said = keeper.process.stderr.read()
    assert "not kept any more" in said
    assert trading.place("0.55", "5", expect=5)


def test_the_log_is_served_without_a_keeper(trading: World) -> None:
    log = trading.folder / "aside"
    command = [sys.executable, "-m", "strongroom_host.cli.main", "log", "serve", "--json"]
    command += ["--log", str(log), "--listen-http", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = json.loads(process.stdout.readline())["url"]
        assert httpx.get(url + CHECKPOINT).content == StoredLog(log).read(CHECKPOINT)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert "is no log" in trading.bot.run("log", "serve", "--log", log / "x", expect=2).err
