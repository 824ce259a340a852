"""The gateway's own database: what is kept of a key, and who can read it."""

import sqlite3
from pathlib import Path

import pytest
from strongroom_host.gateway.errors import (
    ExpiryInvalid,
    KeyRefused,
    KeyStoreUnusable,
    KeyUnknown,
    NotLimited,
)
from strongroom_host.gateway.keys import KeyStore, Scope
from strongroom_host.private_files import FileExposed

NOW = 1_790_000_000_000


def create(store: KeyStore, **changed: object) -> tuple[str, str]:
    given: dict[str, object] = {"users": ("ada",), "now_ms": NOW, "days": 30} | changed
    text, kept = store.create("press", [Scope.RETURNS], **given)  # type: ignore[arg-type]
    return text, kept.id


def test_nothing_kept_opens_anything(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "g")
    text, key_id = create(store)
    secret = text.split("_", 2)[2]
    store.close()
    for path in (tmp_path / "g").iterdir():
        data = path.read_bytes()
        assert secret.encode() not in data
        assert text.encode() not in data
        assert path.stat().st_mode & 0o077 == 0, path
    assert (tmp_path / "g").stat().st_mode & 0o077 == 0
    # What is kept depends on the other file: a copy of the database alone is worth nothing.
    (tmp_path / "g" / "pepper.key").write_bytes(b"x" * 32)
    other = KeyStore(tmp_path / "g")
    with pytest.raises(KeyRefused):
        other.open(text, NOW)
    assert other.listed()[0].id == key_id
    other.close()


def test_keys_outlive_the_process_and_another_one_sees_them_at_once(tmp_path: Path) -> None:
    serving, command = KeyStore(tmp_path / "g"), KeyStore(tmp_path / "g")
    text, key_id = create(command)
    assert serving.open(text, NOW).id == key_id
    command.revoke(key_id, NOW + 1)
    with pytest.raises(KeyRefused):
        serving.open(text, NOW + 2)
    with pytest.raises(KeyRefused):
        serving.still(key_id, NOW + 2)
    # Revoking again changes nothing.
    command.revoke(key_id, NOW + 9)
    assert serving.listed()[0].revoked_ms == NOW + 1


def test_what_is_kept_of_one_key_does_not_open_another(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "g")
    (narrow, narrow_id), (_, wide_id) = create(store), create(store)
    with sqlite3.connect(tmp_path / "g" / "keys.sqlite") as database:
        database.execute(
            "UPDATE keys SET digest = (SELECT digest FROM keys WHERE id = ?) WHERE id = ?",
            (narrow_id, wide_id),
        )
    database.close()
    assert store.open(narrow, NOW).id == narrow_id
    with pytest.raises(KeyRefused):
        store.open(narrow.replace(narrow_id, wide_id), NOW)


def test_keys_differ(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "g")
    assert len({create(store)[0] for _ in range(50)}) == 50


@pytest.mark.parametrize("days", [0, -1, 367])
def test_a_key_lives_a_year_at_most(tmp_path: Path, days: int) -> None:
    with pytest.raises(ExpiryInvalid):
        create(KeyStore(tmp_path / "g"), days=days)


def test_a_key_for_nothing_or_nobody_is_not_made(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "g")
    with pytest.raises(NotLimited):
        create(store, users=())
    with pytest.raises(NotLimited):
        store.create("press", [], None, now_ms=NOW, days=1)
    assert store.listed() == []


def test_only_a_key_that_is_there_can_be_revoked(tmp_path: Path) -> None:
    with pytest.raises(KeyUnknown):
        KeyStore(tmp_path / "g").revoke("0" * 16, NOW)


@pytest.mark.parametrize("name", ["keys.sqlite", "pepper.key"])
def test_files_that_others_can_read_are_refused(tmp_path: Path, name: str) -> None:
    KeyStore(tmp_path / "g").close()
    (tmp_path / "g" / name).chmod(0o640)
    with pytest.raises(FileExposed):
        KeyStore(tmp_path / "g")


def test_what_another_version_wrote_is_refused(tmp_path: Path) -> None:
    KeyStore(tmp_path / "g").close()
    with sqlite3.connect(tmp_path / "g" / "keys.sqlite") as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    with pytest.raises(KeyStoreUnusable):
        KeyStore(tmp_path / "g")


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    KeyStore(tmp_path / "g").close()
    for path in (tmp_path / "g").glob("keys.sqlite*"):
        path.unlink()
    path = tmp_path / "g" / "keys.sqlite"
    path.touch(0o600)
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(KeyStoreUnusable):
        KeyStore(tmp_path / "g")


def test_each_purpose_has_a_secret_of_its_own(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "g")
    purposes = ("api key", "tokens", "cursors")
    assert len({store.secret(each) for each in purposes}) == len(purposes)
