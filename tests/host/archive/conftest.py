"""Places to archive to: each test that takes `place` runs on a directory and on S3."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from strongroom_host.archive.folder import FolderStore, clear_immutable
from strongroom_host.archive.store import Store

from tests.host.archive import orders
from tests.host.archive.server import ABSENT, CREDENTIALS, PYTHON, client_of, new_bucket, served


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of a test is the server's."""
    monkeypatch.setattr(orders, "NOW", int(time.time() * 1000))


Reopen = Callable[[], Store]


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of an S3 server that enforces Object Lock; skips where there is none."""
    if not PYTHON.exists():
        pytest.skip(ABSENT)
    with served() as address:
        yield address


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials for that server, and no others."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a directory's archive is; what became immutable in it is released afterwards."""
    archive = tmp_path / "archive"
    yield archive
    for path in archive.rglob("*"):
        if path.is_file():
            clear_immutable(path)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest) -> Reopen:
    """Opens one place anew each time it is called, as another run of the program would."""
    if request.param == "folder":
        path: Path = request.getfixturevalue("folder")
        return lambda: FolderStore(path)
    request.getfixturevalue("credentials")
    client = client_of(request.getfixturevalue("s3"))
    store = new_bucket(client, f"archive-{token_hex(6)}")
    return lambda: type(store)(client, store.place.split("/")[2], "fund/log")
