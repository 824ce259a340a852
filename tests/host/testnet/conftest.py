"""A testnet with real TLS for the tests that speak HTTP to it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from strongroom_host.testnet import TestnetServer, default_config


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestnetServer]:
    folder: Path = tmp_path_factory.mktemp("testnet")
    with TestnetServer(default_config(80002, open_accounts=10_000_000_000), folder) as running:
        yield running


@pytest.fixture
def trusting(server: TestnetServer) -> ssl.SSLContext:
    return server.client_context()


@pytest.fixture
def http(server: TestnetServer, trusting: ssl.SSLContext) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, verify=trusting) as client:
        yield client
    server.faults.clear()
