"""A record process as the host sees it: the port's real protocol, real receipts, a real log."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from strongroom_wire.leaves import Kind
from strongroom_wire.merkle import Frontier, leaf_hash
from strongroom_wire.record import UNCHAINED, PublishedHour, ReturnsReceipt, SyncReceipt

from tests.host.record_serving.pages import Pushing
from tests.host.record_store.speaking import Record

__all__ = ["FIRST_HOUR", "HOUR_MS", "FakeRecord", "hour"]

HOUR_MS = 3_600_000
FIRST_HOUR = 500_000
KEY = b"K" * 16


def hour(number: int, value: str | None = "0.010000000000", *, exact: bool = True) -> PublishedHour:
    """Return a row of the hour with this number since the first."""
    money = "1000.000000000000000001"
    small = "10.000000000000000003"
    details = (money, None, small, small, small, "1.000000000000000000", None, 3, 0)
    return PublishedHour(
        (FIRST_HOUR + number) * HOUR_MS,
        1,
        value,
        money,
        0 if value else 1,
        details if exact and value else None,
        sha256(b"salt %d" % number).hexdigest()[:32],
    )


class FakeRecord:
    """Accounts `ada` of user `user`, and others on demand; receipts are chained by account."""

    def __init__(self, where: tuple[str, int], pushing: Pushing | None = None) -> None:
        self.where = where
        self.pushing = pushing or Pushing()
        self.syncs: dict[str, bytes] = {}
        self.published: dict[str, bytes] = {}
        self.numbers: dict[str, tuple[int, int]] = {}
        self.ends: dict[str, int] = {}
        self.states = 0

    @contextmanager
    def connection(self) -> Iterator[Record]:
        family = socket.AF_INET if self.where[1] else socket.AF_UNIX
        with socket.socket(family) as sock:
            sock.settimeout(30)
            sock.connect(self.where if self.where[1] else self.where[0])
            with sock.makefile("rwb") as stream:
                yield Record(stream)

    def boot(self, port: Record) -> None:
        self.pushing.boot()
        port.done(b"log", self.pushing.page())

    def connect(self, port: Record, account: str, user: str = "user") -> None:
        """Do what an owner's CONNECT makes a record do."""
        port.done(b"connect", account.encode(), user.encode(), b"binance", b"test")
        port.done(b"put-key", user.encode(), KEY, bytes(60))
        self.ends[account] = FIRST_HOUR
        self._leaf(port, Kind.SYNC, account, self._sync(account, 0))

    def sync(self, port: Record, account: str, rows: list[PublishedHour]) -> None:
        """Do what a record does for a job, all but the venue."""
        port.done(b"keys", b"user")
        port.done(b"get", b"trades", account.encode(), bytes(8))
        count = len(rows)
        self._leaf(port, Kind.SYNC, account, self._sync(account, count))
        encoded = [row.serialise() for row in rows]
        receipt = self._returns(account, encoded, count)
        port.done(b"publish", account.encode(), bytes.fromhex(receipt.root), *encoded)
        self._leaf(port, Kind.RETURNS, account, receipt.serialise())
        self.published[account] = receipt.serialise()

    def _leaf(self, port: Record, kind: Kind, account: str, record: bytes) -> None:
        self.states += 1
        root = sha256(b"root %d" % self.states).digest()
        sealed = KEY + self.states.to_bytes(12) + bytes(80)
        port.done(b"put-state", account.encode(), root, sealed)
        self.pushing.leaf(kind, root, record)
        port.done(b"log", self.pushing.page())

    def _sync(self, account: str, hours: int) -> bytes:
        before = self.syncs.get(account)
        number, of_returns = self.numbers.get(account, (0, 0))
        self.numbers[account] = number + 1, of_returns
        tip = (number, "0" * 64)
        end = (self.ends[account] + hours) * HOUR_MS
        made = SyncReceipt(
            account=account,
            venue="binance",
            environment="test",
            number=number,
            previous=sha256(before).hexdigest() if before else UNCHAINED,
            trades=tip,
            flows=tip,
            since_ms=FIRST_HOUR * HOUR_MS,
            until_ms=end,
            gaps=0,
            balanced_ms=0,
        )
        self.syncs[account] = made.serialise()
        return self.syncs[account]

    def _returns(self, account: str, rows: list[bytes], hours: int) -> ReturnsReceipt:
        tree = Frontier()
        for row in rows:
            tree.append(leaf_hash(row))
        before = self.published.get(account)
        syncs, number = self.numbers[account]
        self.numbers[account] = syncs, number + 1
        first, self.ends[account] = self.ends[account], self.ends[account] + hours
        return ReturnsReceipt(
            account=account,
            venue="binance",
            environment="test",
            number=number,
            previous=sha256(before).hexdigest() if before else UNCHAINED,
            sync=sha256(self.syncs[account]).hexdigest(),
            mode="development",
            currency="USDT",
            tier="exact",
            completeness="unbroken",
            accounts=len(self.ends),
            first_ms=first * HOUR_MS,
            end_ms=(first + hours) * HOUR_MS,
            count=len(rows),
            root=tree.head.root.hex(),
        )
