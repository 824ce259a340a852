"""What an owner knows of his log, against a host that restores, forks and edits it: `permit`,
`permit sign`, `log watch` and `log reconcile`, with two real boots of one account.
"""

import json
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace
from strongroom_host.log.files import LogFiles
from strongroom_host.log.folder import FolderLog
from strongroom_host.log.tree import LogReader
from strongroom_host.owner.signed import SignedFile
from strongroom_host.store.journal import Journal
from strongroom_host.testnet.errors import KeyRefused
from strongroom_host.testnet.server import TestnetServer
from strongroom_wire.bundle import EMPTY_LOG, LogHead, Role
from strongroom_wire.leaves import Kind, Leaf, commitment
from strongroom_wire.statements import Permit

from tests.host.cli.world import VENUE, Command, HostProcess, Machine, token, venue_in
from tests.host.testnet.traders import Trader, encode

pytestmark = pytest.mark.slow
OTHER = "0x" + "22" * 32
SECRET = "0x" + "11" * 32
"""The trading key, as its owner brought it in: and as somebody else might know it."""


class Outsider(Trader):
    """Whoever has a key can have its API credentials from the venue, too."""

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except KeyRefused:
            self.api = self.venue.auth.derive(self.address, 0)


@dataclass
class Scene:
    """Two owners, either of whom suffices; a bot; a boot that has traded, and one that follows."""

    folder: Path
    venue: TestnetServer
    one: Machine
    two: Machine
    bot: Machine
    first: HostProcess
    second: HostProcess

    @property
    def log(self) -> Path:
        """The log in owner one's folder."""
        return self.one.folder / "owner" / "log"

    @property
    def size(self) -> int:
        return FolderLog(self.log).size

    def place(self, price: str, size: str) -> Command:
        return self.bot.run(
            "order", "place", "--token", token(), "--side", "buy", "--price", price, "--size",
            size, "--venue-address", f"127.0.0.1:{self.venue.port}",
        )  # fmt: skip

    def trade(self, secret: str, side: str, price: float, size: float) -> None:
        """Somebody with that key, and an API key of his own, places an order past the enclave."""
        trader = Outsider(self.venue.clob, secret)
        body = encode(trader.body(int(token()), side, price, size))
        headers = trader.l2("POST", "/order", body)
        with httpx.Client(verify=ssl.create_default_context(cafile=self.venue.ca_path)) as client:
            answer = client.post(
                f"https://127.0.0.1:{self.venue.port}/order",
                content=body,
                headers={"Host": VENUE, **headers},
                extensions={"sni_hostname": VENUE},
            )
        assert answer.status_code == 200, answer.text

    def reconcile(self, *more: object, expect: int = 0) -> Command:
        address = f"127.0.0.1:{self.venue.port}"
        return self.bot.run("log", "reconcile", "--venue-address", address, *more, expect=expect)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("w")
    one, two, bot = (Machine(folder / name) for name in ("one", "two", "bot"))
    (folder / "clone").mkdir()
    (folder / "clone" / "state").symlink_to(folder / "state")
    with venue_in(folder / "venue") as venue, HostProcess(folder, venue) as first:
        for machine in (one, two, bot):
            machine.host = first
        for machine in (one, two):
            machine.run("owner", "init", "--no-passphrase", "--name", machine.folder.name)
            machine.run("enclave", "trust", "--development")
        bot.run("owner", "client", "bot", "--out", bot.folder / "client")
        bot.give("client/card.json", one, "bot.json")
        two.give("owner/client/card.json", one, "two.json")
        keys = [m.run("owner", "show", "--json").json["owner_key"] for m in (one, two)]
        one.run(
            "manifest", "new", "--account", "fund", "--mode", "development", "--out",
            one.folder / "m.json", "--owner-key", keys[0], "--owner-key", keys[1], "--quorum", 1,
            "--client", f"{one.folder}/two.json=owner,cancel",
            "--client", f"{one.folder}/bot.json=order,cancel,query,log",
            "--key", "main", "--source", "import", "--wallet", "eoa", "--chain", 80002,
            "--venue", f"{VENUE}:{venue.port}", "--development-root", venue.ca_path,
            "--market", f"{token()}:v2:buy,sell:0.05-0.90", "--order-notional", 25,
            "--window", "3600=100",
        )  # fmt: skip
        one.run("manifest", "sign", one.folder / "m.json")
        for machine in (one, two):
            if machine is not one:
                one.give("m.signed.json", machine)
            machine.run("manifest", "pin", machine.folder / "m.signed.json")
        one.give("owner/trust.json", bot, "client/trust.json")
        one.give("m.signed.json", bot, "client/manifest.signed.json")
        one.run("enclave", "load", one.folder / "m.signed.json")
        secret = one.folder / "main.key"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        one.run("provision", "import", "main", "--from", secret)
        done = one.run("permit", "--budget", "main=60")
        assert "begins an empty" in done.out
        one.run("provision", "enroll", "main")
        with HostProcess(folder / "clone", venue) as second:
            made = Scene(folder, venue, one, two, bot, first, second)
            assert "accepted" in made.place("0.65", "10").out
            assert "accepted" in made.place("0.60", "10").out
            bot.run("log", "pull", "--log", made.log)
            shutil.copytree(made.log, folder / "old")
            assert "accepted" in made.place("0.65", "5").out
            bot.run("log", "pull", "--log", made.log)
            one.host = two.host = second
            one.run("enclave", "load", one.folder / "m.signed.json")
            yield made


@dataclass
class Owner:
    """A copy of an owner's folder, so that what he remembers in one test stays in it."""

    machine: Machine
    folder: Path

    def permit(self, log: Path | None, *more: object, expect: int = 0) -> Command:
        named = () if log is None else ("--log", log)
        return self.machine.run(
            "permit", "--budget", "main=60", "--owner", self.folder, *named, *more, "--out",
            self.file, expect=expect,
        )  # fmt: skip

    def sign(self, file: Path, *more: object, expect: int = 0) -> Command:
        copy = shutil.copy(file, self.folder / "theirs.json")
        return self.machine.run(
            "permit", "sign", copy, "--owner", self.folder, *more, expect=expect
        )

    @property
    def file(self) -> Path:
        return self.folder / "permit.json"

    @property
    def drafted(self) -> Permit:
        return Permit.parse(SignedFile.load(self.file).statement.payload)


@pytest.fixture
def one(scene: Scene, tmp_path: Path) -> Owner:
    return Owner(scene.one, shutil.copytree(scene.one.folder / "owner", tmp_path / "one"))


@pytest.fixture
def two(scene: Scene, tmp_path: Path) -> Owner:
    return Owner(scene.two, shutil.copytree(scene.two.folder / "owner", tmp_path / "two"))


def old(scene: Scene, tmp_path: Path) -> Path:
    """A copy of the log as it was before the last order."""
    return shutil.copytree(scene.folder / "old", tmp_path / "old")


def leaves(folder: Path) -> list[bytes]:
    log = FolderLog(folder)
    return list(LogReader(log, LogHead(log.size, bytes(32))).entries())


# --- permit ------------------------------------------------------------------------------------


def test_the_whole_history_is_continued_and_dated(scene: Scene, one: Owner) -> None:
    done = one.permit(None)
    assert "remembers no head" not in done.out
    permit, stored = one.drafted, leaves(scene.log)
    assert permit.continues(Role.SIGNER).head.size == len(stored) == scene.size
    assert permit.not_before == max(Leaf.parse(leaf).time_ms for leaf in stored) > 0
    assert permit.abandons == EMPTY_LOG


def test_a_log_is_continued_while_it_is_written(scene: Scene, one: Owner) -> None:
    with LogFiles(one.folder / "log"):
        one.permit(None)
    assert one.drafted.continues(Role.SIGNER).head.size == scene.size


def test_an_old_copy_is_refused(scene: Scene, one: Owner, tmp_path: Path) -> None:
    done = one.permit(old(scene, tmp_path), expect=3)
    assert "lacks the newest" in done.err
    assert "pulled on" in done.err
    assert "--abandon" in done.err
    assert not one.file.exists()


def test_no_copy_at_all_is_refused(scene: Scene, one: Owner) -> None:
    shutil.rmtree(one.folder / "log")
    assert f"lacks the newest {scene.size} leaves" in one.permit(None, expect=3).err


def test_what_is_given_up_is_in_the_permit_and_no_longer_remembered(
    scene: Scene, one: Owner, tmp_path: Path
) -> None:
    copy = old(scene, tmp_path)
    assert one.permit(copy, "--abandon", " ", expect=2).err
    done = one.permit(copy, "--abandon", "the disk burnt")
    assert "GIVES UP" in done.out
    permit = one.drafted
    assert permit.abandons.size == scene.size
    assert permit.continues(Role.SIGNER).head.size == len(leaves(copy))
    again = one.permit(copy)
    assert "The reason was: the disk burnt" in again.out
    assert one.drafted.abandons == permit.abandons, "the first permit may have reached nobody"
    assert one.permit(None).out, "the lost copy was found"
    assert one.drafted.abandons == EMPTY_LOG
    assert "nothing to abandon" in one.permit(None, "--abandon", "again", expect=3).err


def test_an_edited_leaf_is_refused(scene: Scene, one: Owner, tmp_path: Path) -> None:
    stored = leaves(scene.log)
    at = next(n for n, leaf in enumerate(stored) if Leaf.parse(leaf).kind is Kind.SIGNED)
    leaf = Leaf.parse(stored[at])
    stored[at] = Leaf(
        leaf.kind, leaf.epoch, leaf.index, leaf.time_ms, commitment(b"other"), leaf.public
    ).serialise()
    with LogFiles(tmp_path / "edited") as files:
        files.append(0, stored)
    shutil.copytree(scene.log / "boots", tmp_path / "edited" / "boots")
    shutil.copy(scene.log / "checkpoint", tmp_path / "edited" / "checkpoint")
    assert "does not lead to a head that is known" in one.permit(tmp_path / "edited", expect=3).err


def test_leaves_that_no_head_has_need_a_word(scene: Scene, one: Owner, tmp_path: Path) -> None:
    copy, stored = old(scene, tmp_path), leaves(scene.log)
    (one.folder / "heads").unlink()
    with LogFiles(copy) as files:
        files.append(files.size, stored[files.size :])
    done = one.permit(copy, expect=3)
    assert "nothing vouches for the newest" in done.err
    one.permit(copy, "--unsigned-leaves")
    assert one.drafted.continues(Role.SIGNER).head.size == scene.size


def test_a_signed_checkpoint_vouches_where_nothing_is_remembered(scene: Scene, one: Owner) -> None:
    (one.folder / "heads").unlink()
    assert "remembers no head" in one.permit(None).out
    assert one.drafted.continues(Role.SIGNER).head.size == scene.size
    (one.folder / "heads").unlink()
    shutil.rmtree(one.folder / "log" / "boots")
    refused = one.permit(None, expect=3)
    assert "counts for nothing" in refused.err
    assert "nothing vouches" in refused.err


def test_a_memory_that_cannot_be_read_permits_nothing(scene: Scene, one: Owner) -> None:
    with (one.folder / "heads").open("a") as file:
        file.write("noise\n")
    assert "cannot read" in one.permit(None, expect=3).err


def test_a_further_permit_of_the_running_boot_is_not_held_up(scene: Scene, one: Owner) -> None:
    """Its newest leaves are not stored yet, and it names the history before them all the same."""
    first = Machine(scene.folder / "first", scene.first)
    again = Owner(first, one.folder)
    shutil.rmtree(one.folder / "log")
    shutil.copytree(scene.folder / "old", one.folder / "log")
    again.permit(None)
    assert again.drafted.continues(Role.SIGNER).head == EMPTY_LOG


# --- permit sign -------------------------------------------------------------------------------


def test_a_second_owner_without_copy_or_memory_is_told_so(
    scene: Scene, one: Owner, two: Owner
) -> None:
    one.permit(None)
    done = two.sign(one.file)
    assert "neither a copy nor a memory" in done.err
    # From now on he has one.
    assert "lacks the newest" in two.sign(one.file, expect=3).err
    assert two.sign(one.file, "--log", scene.log).out


def test_a_second_owner_refuses_what_lacks_what_he_knows(
    scene: Scene, one: Owner, two: Owner, tmp_path: Path
) -> None:
    copy = old(scene, tmp_path)
    (one.folder / "heads").unlink()
    one.permit(copy)
    refused = two.sign(one.file, "--log", scene.log, expect=3)
    assert "continues another history than your copy" in refused.err
    # With the old copy as well, he still remembers.
    two.sign(one.file, "--log", copy)
    one.permit(None)
    two.sign(one.file, "--log", scene.log)
    (one.folder / "heads").unlink()
    one.permit(copy)
    assert "lacks the newest" in two.sign(one.file, "--log", copy, expect=3).err
    differs = two.sign(one.file, "--log", copy, "--abandon", "agreed", expect=3)
    assert "does not say that it gives up" in differs.err


def test_a_second_owner_refuses_a_time_that_the_log_does_not_show(
    scene: Scene, one: Owner, two: Owner, tmp_path: Path
) -> None:
    one.permit(None)
    named = ("--log", scene.log)
    for not_before in (0, one.drafted.not_before - 1, int(time.time() * 1000) + 600_000):
        spoilt = replace(one.drafted, not_before=not_before)
        SignedFile.unsigned(spoilt.serialise()).save(tmp_path / "spoilt.json")
        assert "names a time as passed" in two.sign(tmp_path / "spoilt.json", *named, expect=3).err
    assert "names a time as passed" in two.sign(tmp_path / "spoilt.json", expect=3).err
    two.sign(one.file, *named)


def test_a_second_owner_may_agree_to_give_up(
    scene: Scene, one: Owner, two: Owner, tmp_path: Path
) -> None:
    copy = old(scene, tmp_path)
    one.permit(None)
    two.sign(one.file, "--log", scene.log)
    one.permit(copy, "--abandon", "lost")
    assert "lacks the newest" in two.sign(one.file, "--log", copy, expect=3).err
    two.sign(one.file, "--log", copy, "--abandon", "lost")
    two.sign(one.file, "--log", copy)


# --- reconcile ---------------------------------------------------------------------------------


def test_every_order_at_the_venue_is_one_that_the_log_signed(scene: Scene) -> None:
    done = scene.reconcile("--log", scene.log, "--json").json
    assert [len(done["fills"]), len(done["open"])] == [2, 1]
    # Somebody takes the order that rests, after he bought what he sells.
    scene.trade(OTHER, "BUY", 0.65, 50)
    scene.trade(OTHER, "SELL", 0.60, 10)
    done = scene.reconcile("--log", scene.log, "--json").json
    assert [fill["taker"] for fill in done["fills"]] == [False, True, True]
    assert {fill["log"] for fill in done["fills"]} == {"SIGNED"}
    assert done["open"] == done["untraced"] == done["unopened_leaves"] == done["findings"] == []
    assert "proves signed" in scene.reconcile("--log", scene.log).out


def test_a_fill_whose_leaf_the_log_lost_is_an_alarm(scene: Scene, tmp_path: Path) -> None:
    done = scene.reconcile("--log", old(scene, tmp_path), expect=3)
    assert "lost from the log" in done.out
    assert "log recover --from" in done.err


def test_leaves_that_cannot_be_opened_explain_nothing(scene: Scene, tmp_path: Path) -> None:
    copy = shutil.copytree(scene.log, tmp_path / "log")
    for path in copy.glob("openings.db*"):
        path.unlink()
    client = shutil.copytree(scene.bot.folder / "client", tmp_path / "client")
    shutil.rmtree(client / "journal")
    done = scene.reconcile("--log", copy, "--client", client, expect=3)
    assert "perhaps in a leaf that cannot be opened" in done.out
    assert "could not be opened" in done.err


def test_a_signed_order_that_was_never_sent_is_listed(scene: Scene, tmp_path: Path) -> None:
    client = shutil.copytree(scene.bot.folder / "client", tmp_path / "client")
    shutil.rmtree(client / "journal")
    scene.bot.run(
        "order", "place", "--token", token(), "--side", "buy", "--price", "0.10", "--size", "10",
        "--client", client, "--dry-run",
    )  # fmt: skip
    log = shutil.copytree(scene.log, tmp_path / "log")
    scene.bot.run("log", "pull", "--log", log)
    done = scene.reconcile("--log", log, "--client", client)
    assert "Signed, and no trace" in done.out


def test_a_journal_is_read_beside_its_writer(scene: Scene) -> None:
    path = next((scene.bot.folder / "client" / "journal").glob("*.db"))
    with Journal(path):
        assert scene.reconcile("--log", scene.log).out


def test_what_a_stolen_key_signed_is_an_alarm(scene: Scene) -> None:
    """From here on, every reconciliation of this account says so."""
    scene.trade(SECRET, "BUY", 0.10, 10)
    done = scene.reconcile("--log", scene.log, expect=3)
    assert "never signed" in done.out
    assert "panic" in done.err
    scene.trade(SECRET, "BUY", 0.65, 5)
    done = scene.reconcile("--log", scene.log, "--json", expect=3).json
    assert [each["log"] for each in done["open"]] == ["NEVER"]
    assert [fill["log"] for fill in done["fills"]] == ["NEVER", "SIGNED", "SIGNED", "SIGNED"]


# --- watch -------------------------------------------------------------------------------------


def watch(scene: Scene, *more: object, expect: int | None = 0) -> Command:
    owner = scene.one.folder / "owner"
    return scene.one.run("log", "watch", "--owner", owner, "--once", *more, expect=expect)


def test_one_log_at_two_places_is_well(scene: Scene, tmp_path: Path) -> None:
    state = ("--state", tmp_path / "state")
    assert "first head" in watch(scene, scene.log, *state).out
    assert "no alarm" in watch(scene, scene.log, scene.folder / "old", *state).out
    done = watch(scene, scene.log, scene.folder / "old", *state, "--grace", 0, expect=3)
    assert "STUCK" in done.err
    assert "--state" in watch(scene, scene.log).err


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL under which `strongroom log serve` shows a log."""
    command = [sys.executable, "-m", "strongroom_host.cli.main", "log", "serve", "--json"]
    command += ["--log", str(folder), "--listen-http", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield str(json.loads(process.stdout.readline())["url"])
        process.terminate()


def test_a_log_is_watched_over_http_and_the_boots_key_learned_there(
    scene: Scene, tmp_path: Path
) -> None:
    place, state = tmp_path / "log", ("--state", tmp_path / "state", "--cache", tmp_path / "cache")
    shutil.copytree(scene.folder / "old", place)
    with served(place) as url:
        assert "first head" in watch(scene, url, *state).out
        shutil.rmtree(place)
        shutil.copytree(scene.log, place)
        assert "grown" in watch(scene, url, *state).out
        shutil.rmtree(place / "boots")
        done = watch(scene, url, *state, expect=3)
        assert "no evidence of its boot" in done.err
    assert "UNREACHABLE" in watch(scene, url, *state, "--grace", 0, expect=3).err


def test_what_the_monitor_saw_the_owner_remembers(scene: Scene, one: Owner, tmp_path: Path) -> None:
    copy = old(scene, tmp_path)
    (one.folder / "heads").unlink()
    for _ in range(2):
        scene.one.run("log", "watch", "--owner", one.folder, "--once", scene.log)
    lines = (one.folder / "heads").read_text().splitlines()
    assert [json.loads(line)["head"]["size"] for line in lines] == [scene.size]
    assert "lacks the newest" in one.permit(copy, expect=3).err


def test_a_monitor_looks_until_it_is_stopped(scene: Scene, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "strongroom_host.cli.main", "log", "watch", "--json"]
    command += ["--owner", str(scene.one.folder / "owner"), "--every", "0.1", str(scene.log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["kind"] == "first head"
        process.terminate()
        assert process.wait(60) == 0


def test_an_old_copy_put_in_its_place_is_told(scene: Scene, tmp_path: Path) -> None:
    place, state = tmp_path / "log", ("--state", tmp_path / "state", "--json")
    shutil.copytree(scene.log, place)
    watch(scene, place, *state)
    shutil.rmtree(place)
    shutil.copytree(scene.folder / "old", place)
    done = watch(scene, place, *state, expect=3)
    assert [json.loads(line)["kind"] for line in done.out.splitlines()] == ["shorter"]
    # What the owner remembers is enough, without any state.
    hidden = watch(scene, place, "--grace", 0, expect=3)
    assert "STUCK" in hidden.err


def test_two_boots_that_go_on_with_one_log_are_a_fork(scene: Scene, tmp_path: Path) -> None:
    """The second is permitted on an old copy, while the first goes on: each has its own readers."""
    owner, copy = tmp_path / "owner", old(scene, tmp_path)
    shutil.copytree(scene.one.folder / "owner", owner)
    scene.one.run(
        "permit", "--budget", "main=60", "--owner", owner, "--log", copy, "--abandon", "test"
    )
    bot = Machine(scene.bot.folder, scene.second)
    pulled = bot.run("log", "pull", "--log", copy)
    assert "in order" in pulled.out
    with pytest.raises(AssertionError, match="another history"):
        bot.run("log", "pull", "--log", scene.log)
    called = tmp_path / "called"
    command = f"{sys.executable} -c \"open('{called}','ab').write(open(0,'rb').read())\""
    state = ("--state", tmp_path / "state", "--on-alarm", command)
    done = watch(scene, scene.log, copy, *state, expect=3)
    assert "FORKED" in done.err
    alarm = json.loads(called.read_bytes())
    assert (alarm["kind"], len(alarm["notes"])) == ("forked", 2)
    assert all(note.startswith("strongroom.log/signer/") for note in alarm["notes"])
    again = watch(scene, scene.log, *state, expect=3)
    assert "still on: " in again.err
    assert "FORKED" in again.err, "whoever looks sees why the status is 3"
    assert len(called.read_bytes().splitlines()) == 1, "but somebody is called once"
    assert watch(scene, scene.log, *state, "--acknowledge").out


def test_a_monitor_that_is_killed_while_it_calls_calls_again(scene: Scene, tmp_path: Path) -> None:
    """The first call kills the monitor before it can note that somebody was called."""
    place, state, called = tmp_path / "log", tmp_path / "state", tmp_path / "called"
    shutil.copytree(scene.log, place)
    watch(scene, place, "--state", state)
    shutil.rmtree(place)
    shutil.copytree(scene.folder / "old", place)
    script = tmp_path / "call.py"
    script.write_text(
        "import os, sys, signal, pathlib\n"
        f"called = pathlib.Path({str(called)!r})\n"
        "first = not called.exists()\n"
        "called.open('ab').write(sys.stdin.buffer.read() + b'\\n')\n"
        "if first: os.kill(os.getppid(), signal.SIGKILL)\n"
    )
    command: list[str | Path] = [
        sys.executable, "-m", "strongroom_host.cli.main", "log", "watch", place, "--owner",
        scene.one.folder / "owner", "--once", "--state", state, "--on-alarm",
        f"{sys.executable} {script}",
    ]  # fmt: skip

    def look() -> int:
        return subprocess.run(command, check=False, timeout=120).returncode

    assert look() == -9
    shutil.rmtree(place)
    shutil.copytree(scene.log, place)
    assert [look(), look()] == [3, 0], "told although it is over; over once it is told"
    kinds = [json.loads(line)["kind"] for line in called.read_text().splitlines()]
    assert kinds == ["shorter", "shorter"]


def test_the_running_boot_says_what_is_hidden(scene: Scene) -> None:
    enclave = ("--enclave", scene.first.address)
    scene.place("0.10", "10")
    until = time.monotonic() + 60
    while watch(scene, scene.log, *enclave, "--grace", 0, expect=None).status == 0:
        assert time.monotonic() < until, "evidence commits to new leaves before long"
    done = watch(scene, scene.log, *enclave, "--grace", 0, expect=3)
    assert "STUCK" in done.err
    scene.bot.run("log", "pull", "--log", scene.log)
    watch(scene, scene.log, *enclave, "--grace", 0)


def test_whose_log_it_is_has_to_be_said(scene: Scene) -> None:
    run = scene.one.run
    assert "which log is meant" in run("log", "watch", scene.log, "--once", expect=2).err
    trust = ("--trust", scene.one.folder / "owner" / "trust.json")
    assert "only together" in run("log", "watch", scene.log, "--once", *trust, expect=2).err
    key = next(
        line.split(": ")[1]
        for line in scene.bot.run("log", "pull", "--log", scene.log).out.splitlines()
        if "key of" in line
    )
    assert run("log", "watch", scene.log, "--once", "--key", key).out
    other = run("log", "watch", scene.log, "--once", "--key", key, "--enclave", "a:1", expect=2)
    assert "which enclave" in other.err
