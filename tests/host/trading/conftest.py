from collections.abc import Iterator
from pathlib import Path

import pytest
from strongroom_host.testnet import Mode, TestnetServer, default_config

from tests.host.trading.world import World


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestnetServer]:
    with TestnetServer(default_config(80002), tmp_path_factory.mktemp("testnet")) as running:
        yield running


@pytest.fixture
def world(server: TestnetServer, tmp_path: Path) -> Iterator[World]:
    made = World(server, tmp_path)
    yield made
    made.close()
    server.faults.clear()
    server.clob.mode = Mode.NORMAL
