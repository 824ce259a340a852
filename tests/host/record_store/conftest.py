"""The server and its databases."""

from collections.abc import Iterator

import pytest

from tests.host.record_store.databases import Database, Server, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture
def database(postgres: Server) -> Database:
    return postgres.fresh()
