"""Users, their wrapped data keys, and the accounts they connected."""

from psycopg.rows import class_row

from strongroom_host.record_store.connecting import Connection, statement, transaction
from strongroom_host.record_store.errors import AccountUnknown, RowsConflict
from strongroom_host.record_store.rows import DataEncryptionKey, ExchangeConnection, User

__all__ = [
    "account_of",
    "add_key",
    "add_user",
    "connect_account",
    "keys_of",
    "retire_key",
]


def add_user(connection: Connection, user: str) -> None:
    """Makes a user known; one that is known already is no error.

    Raises:
        DatabaseRefused: the name is not of letters, digits and `._@-`, or over 64 long.
    """
    with transaction(connection):
        connection.execute(statement(f"{User.INSERT} ON CONFLICT DO NOTHING"), {"id": user})


def add_key(connection: Connection, user: str, key: bytes, wrapped: bytes) -> None:
    """Stores a data key (its name of 16 bytes, and its wrapping); the same again is no error.

    Raises:
        RowsConflict: another key has this name.
    """
    with transaction(connection):
        values = {"id": key, "user_id": user, "wrapped": wrapped, "retired_at": None}
        text = f"{DataEncryptionKey.INSERT} ON CONFLICT DO NOTHING"
        if connection.execute(statement(text), values).rowcount:
            return
        for old in keys_of(connection, user):
            if (old.id, old.wrapped) == (key, wrapped):
                return
        raise RowsConflict("another data key has this name", actual=key.hex())


def retire_key(connection: Connection, key: bytes) -> None:
    """Notes that nothing new is encrypted with a key."""
    with transaction(connection):
        connection.execute(
            "UPDATE data_encryption_keys SET retired_at = coalesce(retired_at, now())"
            " WHERE id = %s",
            [key],
        )


def keys_of(connection: Connection, user: str) -> list[DataEncryptionKey]:
    """Returns a user's keys, oldest first, retired ones too."""
    text = statement(f"{DataEncryptionKey.SELECT} WHERE user_id = %s ORDER BY created_at, id")
    with (
        transaction(connection),
        connection.cursor(row_factory=class_row(DataEncryptionKey)) as cursor,
    ):
        return cursor.execute(text, [user]).fetchall()


def connect_account(connection: Connection, row: ExchangeConnection) -> None:
    """Stores an account; the same again is no error.

    Raises:
        RowsConflict: there is another account of this name.
    """
    with transaction(connection):
        values = {name: getattr(row, name) for name in ExchangeConnection.GIVEN}
        text = f"{ExchangeConnection.INSERT} ON CONFLICT DO NOTHING"
        if connection.execute(statement(text), values).rowcount:
            return
        old = account_of(connection, row.account)
        if any(getattr(old, name) != value for name, value in values.items()):
            raise RowsConflict(f"another account is named {row.account} already")


def account_of(connection: Connection, account: str) -> ExchangeConnection:
    """Returns an account.

    Raises:
        AccountUnknown: no such account was connected.
    """
    text = statement(f"{ExchangeConnection.SELECT} WHERE account = %s")
    with (
        transaction(connection),
        connection.cursor(row_factory=class_row(ExchangeConnection)) as cursor,
    ):
        found = cursor.execute(text, [account]).fetchone()
    if found is None:
        raise AccountUnknown(f"no account {account} was ever connected")
    return found
