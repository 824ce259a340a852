"""A log over HTTP: the paths and headers of C2SP tlog-tiles, and nothing else."""

import asyncio

import httpx
import pytest
from strongroom_host.log.boots import BOOTS_INDEX, boot_path
from strongroom_host.log.http import build_app
from strongroom_host.log.tiles import ENTRIES, Tile
from strongroom_host.log.tree import LogReader, Storage

from tests.host.log.histories import Memory, checkpoint, stored
from tests.wire.test_merkle import grown

ENTRIES_600 = [b"leaf %d" % n for n in range(600)]
HEAD = grown(ENTRIES_600).head


class Client:
    """Asks the application, without a socket between."""

    def __init__(self, storage: Storage) -> None:
        self._app = build_app(storage)

    def ask(self, path: str, method: str = "GET") -> httpx.Response:
        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://log") as client:
                return await client.request(method, path)

        return asyncio.run(answer())


CLIENT = Client(stored(ENTRIES_600, checkpoint(HEAD)))


class Remote:
    """A storage behind HTTP."""

    def read(self, path: str) -> bytes | None:
        answer = CLIENT.ask(f"/{path}")
        return answer.content if answer.status_code == 200 else None


def test_a_log_is_read_over_http() -> None:
    log = LogReader(Remote(), HEAD)
    assert list(log.entries()) == ENTRIES_600
    assert log.entry(599) == ENTRIES_600[599]
    log.continues(grown(ENTRIES_600[:300]).head)


def test_the_checkpoint_is_text_that_is_not_kept() -> None:
    answer = CLIENT.ask("/checkpoint")
    assert answer.content == checkpoint(HEAD)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("tile", [Tile(0, 0), Tile(0, 2, 88), Tile(1, 0, 2), Tile(ENTRIES, 1)])
def test_tiles_are_bytes_that_never_change(tile: Tile) -> None:
    answer = CLIENT.ask(f"/{tile.path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "immutable" in answer.headers["cache-control"]
    assert CLIENT.ask(f"/{tile.path}", "HEAD").status_code == 200


class Curious(Memory):
    """A storage that has everything: whatever is asked for would be given away."""

    def read(self, path: str) -> bytes | None:
        return b"a secret"


@pytest.mark.parametrize(
    "path",
    ["/", "/lock", "/tail.0", "/tile", "/tile/", "/tile/0/lock", "/tile/0/..%2f..%2flock"]
    + ["/tile/%2e%2e/lock", "/tile/0/000.p/0", "/tile/0/000.p/256", "/tile/0/0", "/checkpoint/"],
)
def test_nothing_else_is_served(path: str) -> None:
    answer = Client(Curious()).ask(path)
    assert b"secret" not in answer.content
    assert answer.status_code in (307, 404)


def test_what_is_not_there_is_not_found_and_not_kept() -> None:
    client = Client(Memory())
    for path in ("/checkpoint", "/tile/0/000", "/tile/entries/000.p/3"):
        answer = client.ask(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-cache")


def test_nothing_can_be_written() -> None:
    for path in ("/checkpoint", "/tile/0/000"):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert CLIENT.ask(path, method).status_code == 405


def test_evidence_of_boots_is_served_and_nothing_else_beside_it() -> None:
    name = boot_path(bytes(32))
    storage = Memory(
        {BOOTS_INDEX: b"index", name: b"{}", "boots/secret": b"x", "openings.db": b"x"}
    )
    client = Client(storage)
    assert client.ask(f"/{BOOTS_INDEX}").content == b"index"
    assert client.ask(f"/{name}").headers["content-type"] == "application/json"
    for path in ("/boots/secret", "/boots/../openings.db", "/openings.db", f"/{name}x", "/boots/"):
        assert client.ask(path).status_code == 404
