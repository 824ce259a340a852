"""`strongroom gateway`: as a person runs it, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from strongroom_host.cli.app import app
from strongroom_host.private_files import write_private
from typer.testing import CliRunner, Result

from tests.host.record_store.databases import Database

COMMAND = [sys.executable, "-P", "-m", "strongroom_host.cli.main", "gateway"]


def told(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["gateway", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "gateway"


def logins(database: Database, tmp_path: Path, **dsns: str) -> Path:
    for name, dsn in ({"gateway": database.gateway} | dsns).items():
        write_private(tmp_path / "db" / f"{name}.dsn", dsn.encode())
    return tmp_path / "db"


@contextmanager
def served(*arguments: object) -> Iterator[dict[str, str]]:
    process = subprocess.Popen(
        [*COMMAND, "run", "--json", "--listen-http", "127.0.0.1:0", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"STRONGROOM_PURE": "1"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield json.loads(line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_from_a_key_to_an_answer_to_its_end(filled: Database, tmp_path: Path, folder: Path) -> None:
    made = told("key", "create", "press", "--scope", "returns", "--user", "ada", "--folder", folder,
                "--json")  # fmt: skip
    assert made.exit_code == 0, made.stderr
    key = json.loads(made.stdout)
    db = logins(filled, tmp_path)
    with served("--folder", folder, "--db", db, "--listen-metrics", "127.0.0.1:0") as ready:
        shown = {"Authorization": f"Bearer {key['key']}"}
        with httpx.Client(base_url=ready["url"], headers=shown, timeout=20) as client:
            found = client.get("v1/accounts").json()["accounts"]
            assert [row["user"] for row in found] == ["ada"]
            assert "strongroom_gateway_requests_total" in httpx.get(ready["metrics"]).text
            listed = told("key", "list", "--folder", folder, "--json")
            (row,) = json.loads(listed.stdout)
            assert (row["id"], row["state"]) == (key["id"], "active")
            assert row["used_ms"]
            assert key["key"].split("_", 2)[2] not in listed.stdout
            assert told("key", "revoke", key["id"], "--folder", folder).exit_code == 0
            assert client.get("v1/accounts").status_code == 401
    assert "revoked" in told("key", "list", "--folder", folder).stdout


def test_a_key_is_shown_once_and_whom_it_sees_has_to_be_said(folder: Path) -> None:
    base = ("key", "create", "x", "--scope", "returns", "--folder", folder)
    assert told(*base).exit_code == 2
    assert told(*base, "--everybody", "--user", "ada").exit_code == 2
    made = told(*base, "--everybody")
    assert made.stdout.startswith("srk_")
    assert "only time" in made.stderr
    assert made.stdout.strip() not in told("key", "list", "--folder", folder).stdout


def test_a_key_for_a_reader_that_is_not_there_is_not_made(
    database: Database, tmp_path: Path, folder: Path
) -> None:
    """It would look like any other, and open nothing."""
    db = logins(database, tmp_path)
    base = ("key", "create", "x", "--scope", "returns", "--user", "ada", "--folder", folder)
    refused = told(*base, "--login", "press", "--db", db)
    assert refused.exit_code == 2
    assert "no reader 'press'" in refused.stderr
    assert "strongroom db reader press --user" in refused.stderr
    assert json.loads(told("key", "list", "--folder", folder, "--json").stdout) == []
    for name in ("reader_press", "reader_audit"):
        write_private(db / f"{name}.dsn", database.gateway.encode())
    refused = told(*base, "--login", "pres", "--db", db)
    assert "audit, press" in refused.stderr
    for name in ("../reader_press", "*", "gateway"):
        assert told(*base, "--login", name, "--db", db).exit_code == 2
    made = told(*base, "--login", "press", "--db", db)
    assert made.exit_code == 0, made.stderr
    [kept] = json.loads(told("key", "list", "--folder", folder, "--json").stdout)
    assert kept["login"] == "press"


def test_it_does_not_start_with_a_login_that_can_do_more(
    filled: Database, tmp_path: Path, folder: Path
) -> None:
    db = logins(filled, tmp_path, gateway=filled.enclave)
    ended = told("run", "--folder", folder, "--db", db, "--listen-http", "127.0.0.1:0")
    assert ended.exit_code == 3
    assert "the database login" in ended.stderr


def test_it_does_not_listen_where_keys_would_be_in_the_clear(folder: Path, tmp_path: Path) -> None:
    ended = told("run", "--folder", folder, "--db", tmp_path, "--listen-http", "0.0.0.0:0")
    assert ended.exit_code == 2
    assert "in the clear" in ended.stderr
