"""A report of what a real enclave logged: two boots, a model's decisions, the kill switch tried.

What the report says is held against what was asked for here, step by step. With
STRONGROOM_SAMPLE=DIR the report is left there, to be looked at.
"""

from __future__ import annotations

import csv
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from strongroom_host.cli.app import app
from strongroom_host.cli.enclave import _first_use
from strongroom_host.contract.roles import role_keys
from strongroom_host.log.boots import Boots, StoredBoot
from strongroom_host.log.files import LogFiles
from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.openings import Openings
from strongroom_host.log.pull import pull
from strongroom_host.owner.signed import DocumentKind, SignedFile
from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.encoding import u64
from strongroom_wire.errors import Code, Rule
from strongroom_wire.frames import Intent, Kind, Reply
from strongroom_wire.statements import Action, Budget
from typer.testing import CliRunner

from tests.host.log.report.test_page import Read
from tests.hostile.driver import Boot, Channel, Desk, Enclave, now_ms
from tests.hostile.venue import Venue

MODEL = sha256(b"the model's file").digest()


@dataclass
class Account:
    """The log's folder with what belongs beside it, and what was asked for."""

    folder: Path
    desk: Desk = field(default_factory=Desk)
    hashes: list[bytes] = field(default_factory=list)

    def start(self, stack: ExitStack, **permit: object) -> Boot:
        """A boot that goes on with the stored log."""
        enclave = stack.enter_context(Enclave(self.folder / "state"))
        boot = enclave.configure(self.desk)
        stack.callback(Venue(enclave.run / "egress.sock", self.desk.venue).close)
        if not (self.folder / "trust.json").exists():
            _first_use(f"unix:{enclave.run}", None).save(self.folder / "trust.json")
            manifest = SignedFile(DocumentKind.MANIFEST, self.desk.signed)
            manifest.save(self.folder / "manifest.signed.json")
        with LogFiles(self.folder / "log") as files:
            tree = files.reader().frontier()
        return boot.make_ready(signer_log=tree.serialise(), **permit)

    def keep(self, boot: Boot) -> None:
        """Stores what the boot logged, with openings and evidence."""
        channel, nonce = boot.channel(), secrets.token_bytes(32)
        origin = log_origin(boot.bundle.owner_root, self.desk.manifest.account, Role.SIGNER)
        key = VerifierKey(origin, role_keys(boot.bundle, Role.SIGNER).receipt)

        def ask(start: int) -> bytes:
            return channel.ask(Intent(Kind.READ_LOG, 0, 0, 0, (), u64(start))).request

        log = self.folder / "log"
        with LogFiles(log) as files, Openings(log, write=True) as openings:
            pull(files, ask, key, openings)
        found = boot.enclave.evidence(nonce)
        statement = self.desk.signed.serialise()
        Boots(log).add(StoredBoot(found.document, found.bundle, statement, now_ms(), nonce))

    def decide(self, channel: Channel, inputs: bytes) -> bytes:
        """The model decides; returns what its orders name as their reason."""
        digest = sha256(inputs).digest()
        argument = MODEL + digest + sha256(b"output of " + inputs).digest()
        reply = channel.ask(Intent(Kind.MODEL, 0, 0, now_ms() + 60_000, (), argument))
        assert reply.code is Code.OK
        return MODEL + digest

    def buy(self, channel: Channel, dollars: int, context: bytes = b"") -> Reply:
        """Asks for an order in a model's name."""
        intent = msgspec.structs.replace(channel.boot.buying(dollars), argument=context)
        reply = channel.ask(intent)
        self.hashes += reply.order_hashes
        return reply


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Two boots of an account, over and stored."""
    made = Account(tmp_path_factory.mktemp("account"))
    with ExitStack() as stack:
        boot = made.start(stack)
        channel = boot.channel()
        context = made.decide(channel, b"prices at ten")
        assert made.buy(channel, 5, context).code is Code.OK
        assert made.buy(channel, 600, context).rule is Rule.WINDOW_NOTIONAL
        made.decide(channel, b"prices at eleven: do nothing")
        assert made.buy(channel, 2).code is Code.OK
        assert channel.cancel_all().code is Code.OK
        assert boot.order(Action.KILL, signers=1)[0] is Code.OK
        assert made.buy(channel, 1, context).rule is Rule.KILL_SWITCH
        assert channel.cancel_all().code is Code.OK
        made.keep(boot)
    with ExitStack() as stack:
        boot = made.start(stack, budgets=(Budget("main", 10**7, 2),))
        channel = boot.channel()
        context = made.decide(channel, b"prices at noon")
        assert made.buy(channel, 4, context).code is Code.OK
        assert made.buy(channel, 7, context).rule is Rule.BUDGET_NOTIONAL
        made.keep(boot)
    yield made
    shutil.rmtree(made.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def report(account: Account) -> Path:
    """The report of it, made by the command."""
    owner = account.desk.owners.spec.keys
    names = {
        "format": "strongroom-people/1",
        "owners": [{"key": owner[0], "name": "Ada Holder", "role": "head of trading"}],
        "clients": [{"client": "bot", "name": "Bo Operator", "role": "runs the strategy"}],
        "models": [{"digest": MODEL.hex(), "name": "momentum 3.1", "role": "places quotes"}],
    }
    people, out = account.folder / "people.json", account.folder / "report"
    people.write_bytes(msgspec.json.encode(names))
    arguments = ["log", "report", "--log", str(account.folder / "log"), "--out", str(out)]
    arguments += ["--people", str(people), "--owner", str(account.folder)]
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None, result.output
    if sample := os.environ.get("STRONGROOM_SAMPLE"):
        shutil.copytree(out, sample, dirs_exist_ok=True)
    return out


def rows(report: Path, name: str) -> list[dict[str, str]]:
    with (report / f"{name}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_decision_is_in_it_as_it_was_made(report: Path, account: Account) -> None:
    found = [
        (row["outcome"], row["rule"], row["counted_pusd"], row["model_name"])
        for row in rows(report, "decisions")
    ]
    name = "momentum 3.1 (places quotes)"
    assert found == [
        ("model decision handed in", "", "", name),
        ("orders signed", "", "5", name),
        ("denied by a rule", "WINDOW_NOTIONAL", "0", name),
        ("model decision handed in", "", "", name),
        ("orders signed", "", "2", ""),
        ("cancel signed", "", "0", ""),
        ("denied by a rule", "KILL_SWITCH", "0", name),
        ("cancel signed", "", "0", ""),
        ("model decision handed in", "", "", name),
        ("orders signed", "", "4", name),
        ("denied by a rule", "BUDGET_NOTIONAL", "0", name),
    ]
    named = [row["order_hashes"] for row in rows(report, "decisions") if row["order_hashes"]]
    assert named == [f"0x{each.hex()}" for each in account.hashes]


def test_what_was_decided_rests_on_what_was_handed_in(report: Path) -> None:
    decisions = rows(report, "decisions")
    handed = {row["leaf"]: row for row in decisions if row["model_output"]}
    for row in decisions:
        if row["model"]:
            source = handed[row["model_decision_leaf"]]
            assert (row["model"], row["inputs"]) == (source["model"], source["inputs"])
    output = sha256(b"output of prices at noon").hexdigest()
    assert [row["model_output"] for row in handed.values()][-1] == f"sha256:{output}"


def test_counters_budgets_and_the_stop(report: Path, account: Account) -> None:
    assert [
        (row["counted_pusd"], row["counted_orders"], row["budget_pusd"], row["adds_up"])
        for row in rows(report, "usage")
    ] == [("7", "2", "1000", "yes"), ("4", "1", "10", "yes")]
    (stop,) = rows(report, "stops")
    key = account.desk.owners.spec.keys[0]
    assert (stop["key"], stop["denied_since"]) == ("all keys", "1")
    assert stop["thrown_by"] == f"Ada Holder (head of trading) 0x{key}"
    assert [row["quorum_reached"] for row in rows(report, "permits")] == ["yes"] * 4


def test_only_one_thing_is_not_known(report: Path) -> None:
    (gap,) = rows(report, "gaps")
    assert (gap["what"], gap["count"]) == (
        "Orders were asked for without saying which model and inputs led to them", "1",
    )  # fmt: skip


def test_the_page_says_it_too(report: Path) -> None:
    page = Read((report / "report.html").read_text()).text
    for words in (
        "The log verifies.",
        "Of 2 boots, 2 have evidence that was verified",
        "3 model decisions handed in",
        "3 orders signed, 11 pUSD counted",
        "3 requests denied or refused",
        "the kill switch was last thrown; 1 request denied after it",
        "momentum 3.1",
        "Bo Operator",
        "No witness vouches",
    ):
        assert words in page, words
