"""Each step of the demo as the command that does it alone, in order, with who types it where.

Printed by `--keep`; a test runs every one of them as it is printed.
"""

import shlex
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from strongroom_host.cli.session import DEFAULT_ENCLAVE
from strongroom_host.contract.record_venues import RECORD_HOSTS
from strongroom_host.demo.folders import OWNERS
from strongroom_host.demo.owners import KEY, LIMITS, VENUE

__all__ = ["ByHand", "Step"]

_FIRST, _SECOND, _THIRD = OWNERS
_BOT_CALLS = "order,template,cancel,heartbeat,query,health,log"
_OWNER_CALLS = "owner,cancel,query,health"
_ACCOUNT, _EXCHANGE, _DAYS = "alpha", "binance", 6
_DENIED = 4
"""What a denial exits with."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command, who types it, and what it is for.

    Attributes:
        stays: It runs until it is stopped, in a terminal of its own.
        status: Its exit status.
    """

    who: str
    what: str
    command: tuple[str, ...]
    stays: bool = False
    status: int = 0

    @property
    def line(self) -> str:
        """The command as one types it."""
        return shlex.join(self.command)


@dataclass(frozen=True, slots=True)
class ByHand:
    """What the commands need to know. Paths are relative to the folder in which they are typed.

    Attributes:
        owner_keys: Public keys of the three owners, in hex.
        token: The outcome token that may be traded.
        venue: Where the venue listens.
        exchange: Where the local exchange listens, whose account has a track record.
        enclave: Where the host will be reached.
        run: The host's run directory.
        record: The folder of the record's store and log.
        hour: A full hour in which that account traded, `YYYY-MM-DDTHH` in UTC.
    """

    owner_keys: tuple[str, ...]
    token: str
    venue: str = "127.0.0.1:8443"
    exchange: str = "127.0.0.1:8444"
    enclave: str = DEFAULT_ENCLAVE
    run: str = "/tmp/strongroom-by-hand"  # noqa: S108  checked by the runner before use
    record: str = "/tmp/strongroom-by-hand-record"  # noqa: S108  private to who makes it
    hour: str = field(default_factory=lambda: _hour_before(time.time()))

    @staticmethod
    def identities() -> tuple[Step, ...]:
        """Returns what makes the parties; `--keep` leaves them made."""
        owner = "owners/{}".format
        first = Step(
            _FIRST,
            "an owner: signing key, unlock share, client identity",
            _strongroom(f"owner init --owner {owner(_FIRST)} --name {_FIRST} --no-passphrase"),
        )
        share = f"--no-passphrase --share-from {owner(_FIRST)}/unlock-share"
        others = tuple(
            Step(
                name,
                "another owner, with the same unlock share",
                _strongroom(f"owner init --owner {owner(name)} --name {name} {share}"),
            )
            for name in (_SECOND, _THIRD)
        )
        bot = Step("bot", "its client identity", _strongroom("owner client bot --out bot"))
        return (first, *others, bot)

    def servers(self) -> tuple[Step, ...]:
        """Returns what runs in the background: venue, exchange and host."""
        port = self.venue.rpartition(":")[2]
        testnet = "python -m strongroom_host.testnet --dir venue"
        listed = f"--venue {_EXCHANGE} --days {_DAYS} --orders 60 --flows 8 --write-keys"
        exchange = f"python -m strongroom_host.venues --dir exchange {listed}"
        run = f"host run --run {self.run} --state host/state --listen {self.enclave}"
        ways = " ".join(f"--map {name}={self.exchange}" for name in RECORD_HOSTS[_EXCHANGE])
        return (
            Step(
                "venue",
                "a test venue that funds every new account",
                tuple(shlex.split(f"{testnet} --port {port} --faucet 1000")),
                stays=True,
            ),
            Step(
                "exchange",
                "a local exchange with an account that traded for days; its key is a file",
                tuple(shlex.split(f"{exchange} --port {self.exchange.rpartition(':')[2]}")),
                stays=True,
            ),
            Step(
                "host",
                "an enclave, its ways out to venue, exchange and store, and three ports to it",
                _strongroom(f"{run} --map {VENUE}={self.venue} {ways} --record {self.record}"),
                stays=True,
            ),
        )

    def steps(self) -> tuple[Step, ...]:
        """Returns everything after that, from evidence to the kill switch and the log."""
        parts = (
            *(self._agree, self._provision, self._trade, self._keep_record),
            *(self._show_record, self._stop, self._check_log),
        )
        return tuple(step for part in parts for step in part())

    def _agree(self) -> tuple[Step, ...]:
        draft, signed = "owners/manifest-2.json", "owners/manifest-2.signed.json"
        keys = " ".join(f"--owner-key {key}" for key in self.owner_keys)
        cards = " ".join(
            f"--client owners/{name}/client/card.json={_OWNER_CALLS}" for name in (_SECOND, _THIRD)
        )
        bounds = f"{LIMITS.low}-{LIMITS.high}"
        new = (
            f"manifest new --owner owners/{_FIRST} {keys} --quorum 2 --mode development"
            f" --account demo --out {draft} {cards} --client bot/card.json={_BOT_CALLS}"
            f" --key {KEY} --source generate --wallet eoa --chain 80002 --venue {VENUE}"
            f" --development-root venue/ca.pem --market {self.token}:v2:buy,sell:{bounds}"
            f" --order-notional {LIMITS.order} --window 3600={LIMITS.hour}"
        )
        account = (
            f"manifest add-account {draft} --name {_ACCOUNT} --venue {_EXCHANGE} --currency USDT"
            " --environment test --hours 1 --grid exact --development-root exchange/ca.pem"
        )
        trust = f"enclave trust --development --root-certificate {self.run}/nsm-root.der"
        return (
            self._owner(_FIRST, "what counts as the right enclave", trust),
            self._owner(_SECOND, "the same, for the other owner", trust),
            self._owner(_FIRST, "evidence of a boot without keys", "enclave evidence --booted"),
            Step(_FIRST, "a manifest", _strongroom(new)),
            Step(_FIRST, "an account whose track record is kept", _strongroom(account)),
            Step(_FIRST, "what a careful owner notices", _strongroom(f"manifest lint {draft}")),
            Step(
                _SECOND, "what it means, in plain English", _strongroom(f"manifest explain {draft}")
            ),
            self._local(_FIRST, "one signature", f"manifest sign {draft}"),
            self._local(_SECOND, "the other; two are enough", f"manifest sign {signed}"),
            self._local(_FIRST, "from now on this one is meant", f"manifest pin {signed}"),
            self._owner(_FIRST, "load and verify it", f"enclave load {signed}"),
            self._owner(_SECOND, "evidence, now with keys", "enclave evidence"),
        )

    def _provision(self) -> tuple[Step, ...]:
        permit = f"permit --budget {KEY}={LIMITS.budget}:{LIMITS.budget_orders} --hours 1"
        return (
            *self._signed("make the key inside", f"provision generate {KEY}", "generate.json"),
            *self._signed("let this boot sign", permit, "permit.json"),
            *self._signed("API credentials", f"provision enroll {KEY}", "enroll.json"),
        )

    def _signed(
        self, what: str, command: str, file: str, group: str = ""
    ) -> tuple[Step, Step, Step]:
        path, group = f"owners/{file}", group or command.split()[0]
        return (
            self._owner(_FIRST, f"{what}: draft and sign", f"{command} --out {path}"),
            self._owner(_SECOND, f"{what}: verify and sign", f"{group} sign {path}"),
            self._owner(_FIRST, f"{what}: submit", f"{group} submit {path}"),
        )

    def _trade(self) -> tuple[Step, ...]:
        files = tuple(f"owners/{_FIRST}/{name}" for name in ("trust.json", "manifest.signed.json"))
        return (
            Step(_FIRST, "tell the bot what to trust", ("cp", *files, "bot/")),
            self._order("an order that fills at once", "20", "0.61", "FAK"),
            self._order("one that rests on the book", "10", "0.50", "GTC"),
            self._order("one over the limit: denied", "100", "0.61", "FAK", status=_DENIED),
        )

    def _keep_record(self) -> tuple[Step, ...]:
        meant = "--manifest bot/manifest.signed.json --trust bot/trust.json"
        serve = f"record serve {self._kept} {meant} --enclave unix:{self.run}"
        key = f"record connect {_ACCOUNT} --from exchange/{_EXCHANGE}.key"
        connect, sign, submit = self._signed("a read-only key", key, "connect.json", "provision")
        return (
            Step("host", "a database", _strongroom(f"db init --folder {self.record}/db")),
            Step("host", "the record's store, its log, calls", _strongroom(serve), stays=True),
            *(connect, sign, submit),
            Step(
                "host",
                "read what the exchange tells, compute the hours",
                _strongroom(f"record sync {_ACCOUNT} --wait {self._kept}"),
            ),
            Step(
                "host",
                "how each account stands",
                _strongroom(f"record status --db {self.record}/db"),
            ),
        )

    def _show_record(self) -> tuple[Step, ...]:
        meant = "--trust bot/trust.json --manifest bot/manifest.signed.json"
        proof, file, page = (f"{_ACCOUNT}.{kind}" for kind in ("return-proof", "csv", "html"))
        returns = f"record returns {_ACCOUNT} {self._kept}"
        return (
            Step("reader", "hourly returns, and nothing else", _strongroom(returns)),
            Step("reader", "the same as a file", _strongroom(f"{returns} --csv {file}")),
            Step(
                "reader",
                "what they add up to",
                _strongroom(f"record metrics {file} --convention 365"),
            ),
            Step(
                "reader",
                "a page to look at, without scripts",
                _strongroom(f"record chart {file} --out {page}"),
            ),
            Step(
                "reader",
                "one return as a file that proves itself",
                _strongroom(f"record prove {_ACCOUNT} {self.hour} --out {proof} {self._kept}"),
            ),
            Step(
                "anybody",
                "check that return offline",
                _strongroom(f"record verify {proof} {meant}"),
            ),
            Step(
                "auditor",
                "check the record's whole log",
                _strongroom(f"log verify --role record --log {self.record}/log {meant}"),
            ),
        )

    @property
    def _kept(self) -> str:
        return f"--record {self.record} --db {self.record}/db"

    def _stop(self) -> tuple[Step, ...]:
        return (
            self._owner(
                _SECOND,
                "one owner stops signing and cancels what rests",
                f"panic --venue-address {self.venue}",
            ),
            self._order("after that: denied", "5", "0.61", "FAK", status=_DENIED),
        )

    def _check_log(self) -> tuple[Step, ...]:
        meant = "--trust bot/trust.json --manifest bot/manifest.signed.json"
        proof, boot = "leaf-0.tlog-proof", "boot.evidence"
        prove = f"log prove inclusion 0 --log bot/log --out {proof} --evidence-out {boot}"
        return (
            Step(
                "bot",
                "bring the log up to date (`log keep` does so all the time)",
                _strongroom(f"log pull --log bot/log --client bot{self._at}"),
            ),
            Step(
                "auditor",
                "check all of it, offline",
                _strongroom(f"log verify --log bot/log {meant} --journal bot/journal"),
            ),
            Step("auditor", "prove the first leaf, the boot's permit", _strongroom(prove)),
            Step(
                "anybody",
                "check that proof, without the log",
                _strongroom(f"log prove check {proof} --evidence {boot} {meant}"),
            ),
        )

    def _order(self, what: str, size: str, price: str, kind: str, *, status: int = 0) -> Step:
        order = f"--side buy --price {price} --size {size} --type {kind}"
        command = (
            f"order place --client bot --token {self.token} {order}"
            f" --venue-address {self.venue}{self._at}"
        )
        return Step("bot", what, _strongroom(command), status=status)

    def _owner(self, name: str, what: str, command: str) -> Step:
        """Returns a command of an owner that talks to the enclave."""
        return Step(name, what, _strongroom(f"{command} --owner owners/{name}{self._at}"))

    @property
    def _at(self) -> str:
        return "" if self.enclave == DEFAULT_ENCLAVE else f" --enclave {self.enclave}"

    def _local(self, name: str, what: str, command: str) -> Step:
        return Step(name, what, _strongroom(f"{command} --owner owners/{name}"))


def _hour_before(now: float) -> str:
    """Returns a full hour well within the days that the account traded."""
    at = datetime.fromtimestamp(now, UTC) - timedelta(days=_DAYS / 2)
    return at.strftime("%Y-%m-%dT%H")


def _strongroom(arguments: str) -> tuple[str, ...]:
    return ("strongroom", *shlex.split(arguments))
