"""The server and its databases, as for the record store; and a host that keeps a log in one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom_host.log import keeper as keeper_module
from strongroom_host.record_serving.kept_log import KeptLog

from tests.host.record_serving.keeping import Host
from tests.host.record_store.conftest import database, postgres
from tests.host.record_store.databases import Database

__all__ = ["database", "host", "log", "postgres"]


@pytest.fixture
def host(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(keeper_module, "_PAUSE_S", 0.0)
    with database.as_enclave() as connection:
        yield Host(tmp_path / "log", connection)


@pytest.fixture
def log(host: Host) -> Iterator[KeptLog]:
    with host.start() as log:
        yield log
