"""Rows to fill a database with: two users with an account each."""

from decimal import Decimal

from strongroom_host.record_store.connecting import Connection
from strongroom_host.record_store.rows import (
    BalanceSnapshot,
    DataEncryptionKey,
    ExchangeConnection,
    HourlyReturn,
    User,
)

__all__ = ["KEYS", "add_account", "period", "snapshot", "two_accounts"]

HOUR_MS = 3_600_000
KEYS = {"ada": b"A" * 16, "bob": b"B" * 16}


def add_account(connection: Connection, account: str, user: str, key: bytes) -> None:
    connection.execute(f"{User.INSERT} ON CONFLICT DO NOTHING", {"id": user})
    connection.execute(
        f"{DataEncryptionKey.INSERT} ON CONFLICT DO NOTHING",
        {"id": key, "user_id": user, "wrapped": bytes(64), "retired_at": None},
    )
    connection.execute(
        ExchangeConnection.INSERT,
        {
            "account": account,
            "user_id": user,
            "venue": "binance",
            "environment": "test",
        },
    )


def two_accounts(connection: Connection) -> None:
    """Accounts `ada-spot` of ada and `bob-perp` of bob."""
    add_account(connection, "ada-spot", "ada", KEYS["ada"])
    add_account(connection, "bob-perp", "bob", KEYS["bob"])


def period(account: str, user: str, hour: int, value: str = "0.001000000000") -> HourlyReturn:
    return HourlyReturn(
        account=account,
        start_ms=hour * HOUR_MS,
        user_id=user,
        hours=1,
        venue="binance",
        environment="test",
        currency="USDT",
        value=Decimal(value),
        closing=Decimal("1000.000000000000000001"),
        opening=None,
        flows=None,
        pnl=None,
        realised=None,
        unrealised=None,
        fees=None,
        funding=None,
        trades=None,
        mark_age_ms=None,
        flags=0,
        encoded=b"row",
        receipt=b"receipt",
        position=0,
        leaf_index=hour,
    )


def snapshot(account: str, user: str, hour: int) -> BalanceSnapshot:
    return BalanceSnapshot(
        account=account,
        at_ms=(hour + 1) * HOUR_MS,
        user_id=user,
        currency="USDT",
        equity=Decimal("1000.000000000000000001"),
        leaf_index=hour,
    )
