"""kill -9 of enclave, keeper and clients at random: nothing that was acted upon is ever missing.

One log lives through 50 rounds or, in `make soak`, ten logs through 100 each, and through as many
boots as were killed. After each round, and before a boot goes on with the log, every answer that a
client acted upon is in it; no (epoch, index) names two leaves in what clients were handed or what
is stored; and in the end the whole log verifies against what the enclaves signed.
"""

import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from strongroom_host.cli.enclave import _first_use
from strongroom_host.contract.roles import role_keys
from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_host.log.boots import Boots
from strongroom_host.log.notes import VerifierKey, open_checkpoint
from strongroom_host.log.openings import Openings
from strongroom_host.log.pull import continued_by
from strongroom_host.log.stored import StoredLog
from strongroom_host.log.verify import Expected, KnownHead, verify
from strongroom_host.owner.signed import DocumentKind, SignedFile
from strongroom_wire import manifest
from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.leaves import Kind, Leaf
from strongroom_wire.statements import Budget

from tests.conftest import SOAK, Progress
from tests.hostile.driver import Boot, Bot, Desk, Enclave
from tests.hostile.keeping import run_client, run_keeper
from tests.hostile.test_log import attested
from tests.hostile.venue import Venue

LOGS, ROUNDS = (10, 100) if SOAK else (1, 50)
pytestmark = pytest.mark.timeout(1800 if SOAK else 300)

KEEPER, ENCLAVE, CLIENTS = "keeper", "enclave", ("bot", "second")
VICTIMS = [
    *[("bot",)] * 3, ("second",), ("bot", "second"), *[(KEEPER,)] * 4, (KEEPER, "bot"),
    *[(ENCLAVE,)] * 3, (ENCLAVE, KEEPER), (ENCLAVE, KEEPER, "bot", "second"),
]  # fmt: skip
POLICY = {"windows": (manifest.Window(3600, Decimal(10**6)),), "orders_per_minute": 60_000}

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.hostile.keeping"])


class Account:
    """The owners, their log, and the machines of keeper and clients."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.desk = Desk(bots=tuple(map(Bot, CLIENTS)), policy_changes=POLICY)
        self.enclave_path, self.keeper_path = folder / "now", folder / "bot" / "keeper.sock"
        self.running: dict[str, Any] = {}
        self.ears: dict[str, Connection] = {}
        self.boots: list[Boot] = []
        self.running_boot = ExitStack()
        self.seen: dict[tuple[bytes, int], bytes] = {}
        self.acted: dict[int, tuple[bytes, bytes]] = {}
        self.failures: list[str] = []
        for bot in self.desk.bots:
            self._settle(bot)

    def _settle(self, bot: Bot) -> None:
        """Gives a client its folder, as its owner would."""
        key = bot.tls.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        der = bot.certificate.public_bytes(Encoding.DER)
        ClientIdentity(bot.name, der, key, bot.frame).save(self.folder / bot.name)
        statement = self.desk.signed
        SignedFile(DocumentKind.MANIFEST, statement).save(
            self.folder / bot.name / "manifest.signed.json"
        )

    # --- starting and killing -----------------------------------------------------------------

    def boot(self) -> None:
        """Starts an enclave that goes on with the stored log, where everybody will find it."""
        enclave = self.running_boot.enter_context(Enclave(self.folder / "state"))
        boot = enclave.configure(self.desk)
        self.running_boot.callback(Venue(enclave.run / "egress.sock", self.desk.venue).close)
        if not self.boots:
            trust = _first_use(f"unix:{enclave.run}", None)
            for bot in self.desk.bots:
                trust.save(self.folder / bot.name / "trust.json")
        self.log.mkdir(exist_ok=True)
        tree = continued_by(StoredLog(self.log), boot.bundle.boot_id)
        budgets = (Budget("main", 10**12, 10**6),)
        boot.make_ready(signer_log=tree.serialise(), budgets=budgets)
        self.boots.append(boot)
        with suppress(FileNotFoundError):
            self.enclave_path.unlink()
        self.enclave_path.symlink_to(enclave.run)

    def start(self, name: str) -> None:
        at = f"unix:{self.enclave_path}"
        if name == ENCLAVE:
            self.boot()
            return
        if name == KEEPER:
            errors = self.folder / "errors"
            process = _processes.Process(
                target=run_keeper, args=(self.log, self.folder / "bot", at, errors), daemon=True
            )
        else:
            ear, mouth = _processes.Pipe(duplex=False)
            process = _processes.Process(
                target=run_client,
                args=(self.folder / name, at, self.keeper_path, mouth),
                daemon=True,
            )
            self.ears[name] = ear
        process.start()
        if name != KEEPER:
            mouth.close()
        self.running[name] = process

    def kill(self, name: str) -> None:
        if name == ENCLAVE:
            self.boots[-1].enclave.process.kill()
            self.boots[-1].enclave.process.wait(20)
            self.running_boot.close()
            return
        process = self.running.pop(name)
        process.kill()
        process.join(20)
        assert process.exitcode == -9, (name, process.exitcode, self.errors())
        if name != KEEPER:
            self.listen(name)
            self.ears.pop(name).close()

    def end(self) -> None:
        """Ends keeper and clients, whatever they are doing."""
        for process in self.running.values():
            process.kill()
            process.join(20)
        for ear in self.ears.values():
            ear.close()

    def errors(self) -> str:
        path = self.folder / "errors"
        return path.read_text() if path.exists() else ""

    # --- what was seen ------------------------------------------------------------------------

    def listen(self, name: str) -> int:
        """Takes in what a client has said so far; how often it has acted."""
        acted = 0
        with suppress(EOFError, OSError):
            while self.ears[name].poll():
                what, value = self.ears[name].recv()
                if what == "failed":
                    self.failures.append(value)
                    continue
                entry, opening = value
                leaf = Leaf.parse(entry)
                assert self.seen.setdefault((leaf.epoch, leaf.index), entry) == entry
                if what == "acted":
                    acted += 1
                    known = self.acted.setdefault(leaf.index, (entry, opening))
                    assert known == (entry, opening), "two answers acted upon for one index"
        return acted

    def until_acted(self, times: int) -> None:
        """Waits until every client has acted so often."""
        for name in self.ears:
            self.listen(name)
        left = dict.fromkeys(self.ears, times)
        until = time.monotonic() + 60
        while left:
            for name in list(left):
                left[name] -= self.listen(name)
                if left[name] <= 0:
                    del left[name]
            keeper = self.running[KEEPER]
            assert keeper.is_alive(), self.errors()
            assert time.monotonic() < until, (left, self.failures[-5:], self.errors())
            time.sleep(0.005)

    def check(self) -> None:
        """Everything that was ever acted upon is stored, in its place."""
        stored = list(StoredLog(self.log).reader().entries())
        for index, (entry, _) in self.acted.items():
            assert index < len(stored), f"leaf {index} was acted upon and is not stored"
            assert stored[index] == entry


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    account = Account(tmp_path)
    with account.running_boot:
        yield account
        account.end()


@pytest.mark.parametrize("log", range(LOGS))
def test_whatever_dies_nothing_acted_upon_is_missing(
    log: int, account: Account, progress: Progress
) -> None:
    luck = random.Random(20261121 + log)  # noqa: S311  repeatable, no secret
    for name in (ENCLAVE, KEEPER, *CLIENTS):
        account.start(name)
    for done in range(ROUNDS):
        progress(done, ROUNDS)
        account.until_acted(2)
        time.sleep(luck.random() ** 2 * 0.1)
        victims = luck.choice(VICTIMS)
        for victim in luck.sample(victims, len(victims)):
            account.kill(victim)
        account.check()
        for victim in victims:
            account.start(victim)
    account.until_acted(2)
    _check_whole(account)
    progress(ROUNDS, ROUNDS)


def _check_whole(account: Account) -> None:
    """The log verifies from end to end, against each boot, and holds what clients were handed."""
    time.sleep(0.5)  # two periods in which the keeper publishes
    account.kill(KEEPER)
    account.check()
    stored = StoredLog(account.log)
    entries = list(stored.reader().entries())
    places = [(leaf.epoch, leaf.index) for leaf in map(Leaf.parse, entries)]
    assert len(set(places)) == len(places) == stored.size
    for place, entry in zip(places, entries, strict=True):
        assert account.seen.get(place, entry) == entry, "a place names two leaves"
    last = account.boots[-1].bundle
    origin = log_origin(last.owner_root, account.desk.manifest.account, Role.SIGNER)
    key = VerifierKey(origin, role_keys(last, Role.SIGNER).receipt)
    assert stored.signed is not None
    head = open_checkpoint(stored.signed, origin, [key]).head
    openings = {index: opening for index, (_, opening) in account.acted.items()}
    leaves = {index: entry for index, (entry, _) in account.acted.items()}
    expected = Expected(
        [KnownHead(head, "the last boot")],
        leaves=leaves,
        openings=openings,
        boots=attested(*account.boots),
    )
    report = verify(entries, expected)
    assert report.ok, report.findings
    assert report.unattested == ()
    assert ROUNDS // 10 < len(report.epochs) <= len(account.boots)
    assert report.opened.keys() == openings.keys()
    assert len(account.acted) > 4 * ROUNDS
    with Openings(account.log) as kept:
        assert openings.items() <= dict(kept.items()).items()
        assert next(Leaf.parse(entries[index]).kind for index, _ in kept.items()) is Kind.BOOT
    assert {boot.boot_id for boot in Boots(account.log)} >= {last.boot_id}
