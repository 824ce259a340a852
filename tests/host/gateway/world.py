"""A gateway on a port of its own, its keys, its clock, and a database with planted secrets."""

import ssl
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path

import httpx
from strongroom_host.gateway.app import Gateway, Limits
from strongroom_host.gateway.keys import ApiKey, KeyStore, Scope
from strongroom_host.gateway.limits import Rate
from strongroom_host.gateway.reading import Reader
from strongroom_host.gateway.serving import Server as HttpServer
from strongroom_host.gateway.serving import tls
from strongroom_host.record_store.rows import BalanceSnapshot, HourlyReturn, Trade
from strongroom_host.record_store.store import RecordStore, SealedRow
from strongroom_host.testnet.certificates import ServerCertificate
from strongroom_host.witness.server import listen

from tests.host.record_store.content import HOUR_MS, KEYS, period, snapshot, two_accounts
from tests.host.record_store.databases import Database, Server

__all__ = ["HOURS", "MARK", "START", "Clock", "World", "filled_database", "running"]

MARK = b"PLANTED-TRADE-7f3a91"
"""In a trade, and in a state: must be in no answer."""
HOURS = 60
START = 500_000
"""The first hour, since the epoch."""
ALL = tuple(Scope)
WIDE = Limits(Rate(10_000, 1000), Rate(10_000, 1000))


@dataclass
class Clock:
    now_ms: int = 1_790_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class World:
    url: str
    keys: KeyStore
    gateway: Gateway
    clock: Clock
    client: httpx.Client
    monitoring: str
    reader: Reader

    def key(
        self,
        scopes: Iterable[Scope] = ALL,
        users: Iterable[str] | None = None,
        *,
        days: int = 30,
        login: str = "",
    ) -> tuple[str, ApiKey]:
        return self.keys.create(
            "test", scopes, users, now_ms=self.clock.now_ms, days=days, login=login
        )

    def get(self, path: str, key: str = "", **headers: str) -> httpx.Response:
        shown = {"Authorization": f"Bearer {key}"} if key else {}
        return self.client.get(path, headers=shown | headers)


def value_of(hour: int) -> str:
    return f"0.{hour % 7:03d}00000000{hour % 10}"


def filled_database(server: Server) -> Database:
    """Two accounts with 60 hours each, one hour flagged and one missing; planted trades."""
    database = server.fresh()
    with database.as_enclave() as connection:
        two_accounts(connection)
        for account, user in (("ada-spot", "ada"), ("bob-perp", "bob")):
            connection.execute(
                Trade.INSERT,
                {
                    "account": account,
                    "sequence": 0,
                    "row_id": MARK.ljust(32, b"-"),
                    "key_id": KEYS[user],
                    "nonce": bytes(12),
                    "ciphertext": MARK * 3,
                },
            )
            for hour in range(HOURS):
                row = replace(
                    period(account, user, START + hour, value_of(hour)),
                    encoded=f"{account} row {hour}".encode(),
                    receipt=f"{account} receipt {hour // 5}".encode(),
                    position=hour % 5,
                    leaf_index=100 + hour // 5,
                )
                if hour == 7:
                    row = replace(row, value=None, flags=8)
                if hour == 20:
                    continue
                connection.execute(HourlyReturn.INSERT, asdict(row))
                connection.execute(
                    BalanceSnapshot.INSERT,
                    asdict(
                        replace(
                            snapshot(account, user, START + hour),
                            equity=Decimal(f"{1234567890123456789012 + hour}.000000000000000001"),
                        )
                    ),
                )
        state = SealedRow(bytes(32), KEYS["ada"], bytes(12), MARK.ljust(48, b"-"))
        RecordStore(connection).put_state("ada-spot", bytes(32), state)
    return database


@contextmanager
def running(
    database: Database,
    folder: Path,
    *,
    limits: Limits = WIDE,
    origins: tuple[str, ...] = (),
    log: object = None,
    logins: dict[str, str] | None = None,
    proxies: tuple[str, ...] = (),
    certificate: ServerCertificate | None = None,
) -> Iterator[World]:
    clock = Clock()
    dsns = {"": database.gateway} | (logins or {})
    with ExitStack() as stack:
        reader = Reader(dsns.__getitem__)
        stack.callback(reader.close)
        keys = KeyStore(folder)
        stack.callback(keys.close)
        gateway = Gateway(keys, reader, clock, limits, log=log, origins=origins)  # type: ignore[arg-type]
        context = None if certificate is None else tls(certificate.chain, certificate.key)
        urls = []
        for app, scheme in ((gateway.app, "http" if context is None else "https"),
                            (gateway.monitoring, "http")):  # fmt: skip
            listener = stack.enter_context(listen("127.0.0.1", 0))
            inside = context if scheme == "https" else None
            stack.enter_context(HttpServer(app, listener, context=inside, proxies=proxies))
            urls.append("{}://{}:{}".format(scheme, *listener.getsockname()[:2]))
        trusted = True if certificate is None else ssl.create_default_context(
            cafile=str(certificate.ca))  # fmt: skip
        client = stack.enter_context(httpx.Client(base_url=urls[0], timeout=20, verify=trusted))
        yield World(urls[0], keys, gateway, clock, client, urls[1], reader)


def hour_ms(hour: int) -> int:
    return (START + hour) * HOUR_MS
