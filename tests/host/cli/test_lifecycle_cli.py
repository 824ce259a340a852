"""The whole life of an enclave through the command line: two owners and a bot, each with a folder
of its own, over TCP, against a real enclave on the local platform and a venue that checks.

Tests come in the order of that life; each needs nothing but the fixtures.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom_host.testnet.server import TestnetServer

from tests.host.cli.world import VENUE, HostProcess, Machine, token, venue_in

pytestmark = pytest.mark.slow


class World:
    """Two owners (both must sign), a bot, a venue; hosts come and go."""

    def __init__(self, folder: Path, venue: TestnetServer) -> None:
        self.folder, self.venue = folder, venue
        self.one, self.two = Machine(folder / "one"), Machine(folder / "two")
        self.bot = Machine(folder / "bot")
        self.secret = self.one.folder / "passphrase"

    @property
    def machines(self) -> tuple[Machine, ...]:
        return self.one, self.two, self.bot

    def attach(self, host: HostProcess) -> None:
        for machine in self.machines:
            machine.host = host

    def both(self, first: str, *arguments: object, then: str) -> None:
        """Owner one drafts and signs, owner two countersigns and submits."""
        self.one.run(first, *arguments, "--out", self.one.folder / "x.signed.json")
        self.one.give("x.signed.json", self.two)
        self.two.run(then, "sign", self.two.folder / "x.signed.json")
        self.two.run(then, "submit", self.two.folder / "x.signed.json")

    def place(self, price: str, size: str, *more: object, expect: int = 0) -> str:
        done = self.bot.run(
            "order", "place", "--token", token(), "--side", "buy", "--price", price, "--size",
            size, "--venue-address", f"127.0.0.1:{self.venue.port}", *more, expect=expect,
        )  # fmt: skip
        return done.out + done.err


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestnetServer]:
    with venue_in(tmp_path_factory.mktemp("venue")) as running:
        yield running


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, venue: TestnetServer) -> Iterator[World]:
    """Owners and bot with an agreed manifest, and an enclave that has loaded it."""
    folder = tmp_path_factory.mktemp("w")
    made = World(folder, venue)
    one, two, bot = made.machines
    with HostProcess(folder, venue) as host:
        made.attach(host)
        secret = made.secret
        secret.write_text("a long passphrase\n")
        secret.chmod(0o600)
        one.run("owner", "init", "--passphrase-file", secret, "--name", "one")
        assert "no passphrase" in two.run("owner", "init", "--no-passphrase", "--name", "two").err
        bot.run("owner", "client", "bot", "--out", bot.folder / "client")
        for machine in (one, two):
            warned = machine.run("enclave", "trust", "--development")
            assert "trust on first use" in warned.err
        bot.give("client/card.json", one, "bot.json")
        two.give("owner/client/card.json", one, "two.json")
        keys = [m.run("owner", "show", "--json").json["owner_key"] for m in (one, two)]
        one.run(
            "manifest", "new", "--account", "fund", "--mode", "development", "--out",
            one.folder / "m.json", "--owner-key", keys[0], "--owner-key", keys[1], "--quorum", 2,
            "--client", f"{one.folder}/two.json=owner,cancel",
            "--client", f"{one.folder}/bot.json=order,cancel,query,log",
            "--key", "main", "--source", "generate", "--wallet", "eoa", "--keep", "--chain", 80002,
            "--venue", f"{VENUE}:{venue.port}", "--development-root", venue.ca_path,
            "--market", f"{token()}:v2:buy,sell:0.05-0.90", "--order-notional", 25,
            "--window", "3600=100",
        )  # fmt: skip
        one.run("manifest", "add-key", one.folder / "m.json", "--key", "spare", "--source",
                "import", "--wallet", "eoa", "--chain", 80002, "--venue", f"{VENUE}:{venue.port}",
                "--market", f"{token()}:v2:buy:0.05-0.90", "--order-notional", 5)  # fmt: skip
        one.run("manifest", "sign", one.folder / "m.json", "--passphrase-file", secret)
        refused = one.run("enclave", "load", one.folder / "m.signed.json", expect=2)
        assert "too few owners" in refused.err
        one.give("m.signed.json", two)
        two.run("manifest", "sign", two.folder / "m.signed.json")
        two.give("m.signed.json", one)
        one.run("manifest", "pin", one.folder / "m.signed.json")
        one.give("owner/trust.json", bot, "client/trust.json")
        one.give("m.signed.json", bot, "client/manifest.signed.json")
        assert "--booted" not in two.run("enclave", "evidence", "--booted").out
        two.run("enclave", "load", two.folder / "m.signed.json")
        yield made


def with_secret(world: World) -> tuple[object, ...]:
    return ("--passphrase-file", world.secret)


@pytest.fixture(scope="module")
def trading(world: World) -> World:
    """The same, provisioned and permitted."""
    both = with_secret(world)
    world.both("provision", "generate", "main", *both, then="provision")
    key = world.one.folder / "spare.key"
    key.write_text("0x" + "11" * 32)
    key.chmod(0o600)
    world.both("provision", "import", "spare", "--from", key, *both, then="provision")
    world.both("permit", "--budget", "main=60:10", "--budget", "spare=5", *both, then="permit")
    world.both("provision", "enroll", "main", *both, then="provision")
    return world


def test_evidence_names_manifest_and_boot(world: World) -> None:
    facts = world.two.run("enclave", "evidence", "--json").json
    assert facts["mode"] == "development"
    assert len(facts["manifest"]) == 64
    assert "16" not in facts["not compared"]
    saved = world.two.folder / "archive"
    world.two.run("enclave", "evidence", "--save", saved)
    shown = world.two.run("attest", "show", saved / "document.cose")
    assert facts["PCR0"] in shown.out.replace("\n", "")


def test_a_second_manifest_is_refused(world: World) -> None:
    again = world.two.run("enclave", "load", world.two.folder / "m.signed.json", expect=3)
    assert "has a manifest already" in again.err


def test_a_bot_cannot_issue_permits(world: World) -> None:
    """Its identity lacks the call `owner`, whatever documents it carries."""
    two, bot = world.two, world.bot
    folder = two.folder / "thief"
    for name in ("owner-key.pem", "owner.json", "unlock-share", "trust.json",
                 "manifest.signed.json"):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((two.folder / "owner" / name).read_bytes())
        (folder / name).chmod(0o600)
    (folder / "client").mkdir()
    for path in (bot.folder / "client").iterdir():
        if path.is_file():
            (folder / "client" / path.name).write_bytes(path.read_bytes())
            (folder / "client" / path.name).chmod(0o600)
    done = two.run("panic", "--owner", folder, expect=1)
    assert "CALL_NOT_PERMITTED" in done.out


def test_before_the_permit_nothing_is_signed(world: World) -> None:
    assert "NO_CREDENTIAL" in world.place("0.55", "10", expect=4)


def test_an_order_is_signed_posted_and_filled(trading: World) -> None:
    assert "accepted" in trading.place("0.55", "10")
    listed = trading.one.run("provision", "list", "--json").json
    other = trading.two.run("provision", "list", "--json").json
    assert set(listed) | set(other) == {"main", "spare"}


def test_the_imported_keys_address_is_its_own(trading: World) -> None:
    addresses = trading.two.run("provision", "list", "--json").json
    assert addresses["spare"] == "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


def test_an_order_over_the_limit_is_denied_with_its_rule(trading: World) -> None:
    output = trading.place("0.55", "100", expect=4)
    assert "ORDER_NOTIONAL" in output
    assert "25.000000 pUSD" in output
    assert "55.000000 pUSD" in output


def test_an_order_outside_the_band_is_denied(trading: World) -> None:
    assert "PRICE_BAND" in trading.place("0.95", "10", expect=4)


def test_a_dry_run_prints_the_request_and_sends_nothing(trading: World) -> None:
    shown = trading.place("0.10", "10", "--dry-run")
    assert shown.splitlines()[0].startswith("POST /order HTTP/1.1") or "POST /order" in shown
    assert trading.bot.run("order", "list", "--json").json == []


def test_an_unreachable_venue_is_settled_by_saying_so(trading: World) -> None:
    done = trading.bot.run(
        "order", "place", "--token", token(), "--side", "buy", "--price", "0.10", "--size", "10",
        "--venue-address", "127.0.0.1:9", expect=1,
    )  # fmt: skip
    assert "nothing left this machine" in done.err


def test_open_orders_are_cancelled(trading: World) -> None:
    assert "accepted" in trading.place("0.10", "10")
    done = trading.bot.run(
        "order", "cancel", "--all", "--venue-address", f"127.0.0.1:{trading.venue.port}"
    )
    assert "canceled" in done.out
    assert "0x" in done.out


def test_reconciling_settles_nothing_when_nothing_is_open(trading: World) -> None:
    done = trading.bot.run(
        "order", "reconcile", "--venue-address", f"127.0.0.1:{trading.venue.port}", "--json"
    )
    assert done.json == []


def test_the_log_is_pulled_shown_and_verified_offline(trading: World) -> None:
    trading.place("0.55", "10")
    trading.place("0.95", "10", expect=4)
    log = trading.folder / "log"
    missing = trading.bot.run("log", "show", "--log", log, expect=2)
    assert "no log" in missing.err
    done = trading.bot.run("log", "pull", "--log", log)
    assert "in order" in done.out
    assert "of 1 boot (" in done.out
    assert f"next: strongroom log verify --log {log}" in done.out
    assert "0 new leaves" in trading.bot.run("log", "pull", "--log", log).out
    listed = trading.bot.run("log", "show", "--log", log).out.splitlines()
    kinds = [line.split()[3] for line in listed]
    assert kinds[0] == "BOOT"
    assert {"KEY", "SIGNED", "DENIED"} <= {*kinds}
    key = next(line for line in done.out.splitlines() if "key of" in line).split(": ")[1]
    assert "in order" in trading.bot.run("log", "verify", "--key", key, "--log", log).out
    other = key[:-4] + ("AAA=" if not key.endswith("AAA=") else "BBB=")
    assert trading.bot.run("log", "verify", "--key", other, "--log", log, expect=2).err
    checked = trading.bot.run("log", "verify", "--log", log, "--json").json
    [boot] = checked["boots"]
    assert (checked["ok"], checked["proven"], checked["opened"]) == (True, *[len(listed)] * 2)
    assert (boot["proved"], boot["permits"][0]["verified"], boot["key"]) == (True, True, key)
    proof, evidence = trading.folder / "leaf.tlog-proof", trading.folder / "boot.json"
    signed = next(int(line.split()[0]) for line in listed if "SIGNED" in line)
    trading.bot.run("log", "prove", "inclusion", signed, "--log", log, "--out", proof,
                    "--evidence-out", evidence)  # fmt: skip
    told = trading.two.run("log", "prove", "check", proof, "--evidence", evidence, "--trust",
                           trading.bot.folder / "client" / "trust.json").out  # fmt: skip
    assert f"leaf {signed} is in the log" in told
    assert "key             main" in trading.bot.run("log", "open", signed, "--log", log).out
    refused = trading.two.run(
        "log", "pull", "--client", trading.two.folder / "owner" / "client", "--log", log,
        "--manifest", trading.two.folder / "m.signed.json",
        "--trust", trading.two.folder / "owner" / "trust.json", expect=4,
    )  # fmt: skip
    assert "CALL_NOT_PERMITTED" in refused.err


def test_a_new_boot_refuses_what_the_old_one_was_given(trading: World) -> None:
    """Restart: old permit refused, the sealed key restored, trading goes on within a new permit."""
    one, two = trading.one, trading.two
    one.run("permit", "--budget", "main=60", *with_secret(trading), "--out",
            one.folder / "old.signed.json")  # fmt: skip
    one.run("seal", "export", one.folder / "none.sealed", *with_secret(trading), "--out",
            one.folder / "export.signed.json")  # fmt: skip
    one.give("export.signed.json", two)
    two.run("provision", "sign", two.folder / "export.signed.json")
    wrong = two.run("provision", "submit", two.folder / "export.signed.json", expect=2)
    assert "seal submit" in wrong.err
    two.run("seal", "submit", two.folder / "export.signed.json", "--state",
                    two.folder / "state.sealed")  # fmt: skip
    assert (two.folder / "state.sealed").stat().st_mode & 0o777 == 0o600
    address = one.run("provision", "list", "--json").json | (
        two.run("provision", "list", "--json").json
    )
    folder = trading.folder
    # The old enclave keeps running: the new boot is a clone in another run directory, with the
    # state directory of the first, as after a restart.
    (folder / "clone").mkdir()
    (folder / "clone" / "state").symlink_to(folder / "state")
    old = one.host
    assert old
    with HostProcess(folder / "clone", trading.venue) as clone:
        trading.attach(clone)
        unconfigured = two.run("enclave", "evidence", expect=3)
        assert "no manifest yet" in unconfigured.err
        two.run("enclave", "load", two.folder / "m.signed.json")
        one.give("old.signed.json", two)
        refused = two.run("permit", "sign", two.folder / "old.signed.json", expect=3)
        assert "not for the enclave that is there" in refused.err
        log = ("--log", folder / "log")
        trading.both("permit", "--budget", "main=60", *with_secret(trading), *log, then="permit")
        # Owner two drafted no permit of his own: the share in force is owner one's, as at export.
        one.run("permit", "--budget", "main=61", *with_secret(trading), *log, expect=2)
        two_state = two.folder / "state.sealed"
        one.folder.joinpath("state.sealed").write_bytes(two_state.read_bytes())
        one.run("seal", "restore", one.folder / "state.sealed", *with_secret(trading), "--out",
                one.folder / "restore.signed.json")  # fmt: skip
        one.give("restore.signed.json", two)
        two.run("provision", "sign", two.folder / "restore.signed.json")
        done = two.run("seal", "submit", two.folder / "restore.signed.json")
        assert "1 keys restored" in done.out
        trading.both("provision", "enroll", "main", "--derive", *with_secret(trading),
                     then="provision")  # fmt: skip
        assert "accepted" in trading.place("0.55", "10")
        trading.both("provision", "generate", "main", *with_secret(trading), then="provision")
        assert two.run("provision", "list", "--json").json["main"] == address["main"]
        assert "of 2 boots" in trading.bot.run("log", "pull", *log).out
    trading.attach(old)


def test_panic_stops_signing_and_cancels(trading: World) -> None:
    done = trading.one.run(
        "panic", "--venue-address", f"127.0.0.1:{trading.venue.port}", *with_secret(trading),
        expect=1,
    )  # fmt: skip
    # `spare` has no credentials, so its cancel fails and is said to; everything else is done.
    assert done.out.count("done") == 2
    assert done.out.count("FAILED") == 1
    assert "KILL_SWITCH" in trading.place("0.10", "10", expect=4)
    cancelled = trading.bot.run(
        "order", "cancel", "--all", "--venue-address", f"127.0.0.1:{trading.venue.port}"
    )
    assert "canceled" in cancelled.out
