"""A log behind HTTP: all of it is read, and a server that misbehaves is named."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from strongroom_host.errors import BadInput
from strongroom_host.log.boots import BOOTS_INDEX, boot_path
from strongroom_host.log.errors import LogDamaged, LogUnreadable
from strongroom_host.log.folder import FolderLog
from strongroom_host.log.remote import RemoteLog
from strongroom_host.log.sources import boot_ids, open_source, read_boot
from strongroom_host.log.tiles import CHECKPOINT, ENTRIES, Tile
from strongroom_host.log.tree import LogReader

from tests.host.log.boots_made import Kept, Running, manifest
from tests.host.log.histories import Memory, checkpoint, stored
from tests.wire.test_merkle import grown

LEAVES = [b"leaf %d" % n for n in range(600)]
HEAD = grown(LEAVES).head
STORAGE = stored(LEAVES, checkpoint(HEAD))
Handler = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers out of a storage, counts, and does first what it is told to."""

    def __init__(self, storage: Memory, *first: httpx.Response | Exception) -> None:
        self.storage, self.first = storage, list(first)
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if self.first:
            answer = self.first.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        data = self.storage.read(request.url.path.removeprefix("/log/"))
        return httpx.Response(404) if data is None else httpx.Response(200, content=data)


def remote(
    handler: Handler,
    cache: Path | None = None,
    slept: list[float] | None = None,
    *,
    boots: bool = False,
) -> RemoteLog:
    pauses = [] if slept is None else slept
    transport = httpx.MockTransport(handler)
    return RemoteLog(
        "http://host/log/", cache, boots=boots, transport=transport, sleep=pauses.append
    )


def test_all_of_a_log_is_read() -> None:
    with remote(Server(STORAGE)) as view:
        assert (view.size, view.checkpoint) == (600, checkpoint(HEAD))
        log = LogReader(view, HEAD)
        assert list(log.entries()) == LEAVES
        assert log.frontier().head == HEAD
        assert view.read(Tile(0, 9).path) is None
        assert view.read("../secret") is None
        assert view.read("openings.db") is None


def test_what_is_seen_is_one_moment() -> None:
    server = Server(Memory(STORAGE))
    with remote(server) as view:
        server.storage[CHECKPOINT] = b"another"
        assert view.read(CHECKPOINT) == checkpoint(HEAD)
    assert server.asked == ["/log/checkpoint", "/log/witnessed"]


def test_a_log_without_a_checkpoint_has_no_leaves() -> None:
    assert remote(Server(Memory())).size == 0
    assert remote(Server(Memory({CHECKPOINT: b"no note"}))).size == 0


def test_full_tiles_are_fetched_once_for_good(tmp_path: Path) -> None:
    server = Server(STORAGE)
    for _ in range(2):
        with remote(server, tmp_path) as view:
            assert list(LogReader(view, HEAD).entries()) == LEAVES
    bundles = [path for path in server.asked if "entries" in path]
    assert bundles.count("/log/tile/entries/000") == 1
    assert bundles.count("/log/tile/entries/002.p/88") == 2


def test_a_busy_server_is_asked_again() -> None:
    slept: list[float] = []
    first = (httpx.Response(503), httpx.ConnectError("refused"))
    with remote(Server(STORAGE, *first), slept=slept) as view:
        assert view.size == 600
    assert slept == [1.0, 2.0]


@pytest.mark.parametrize(
    ("first", "asked"),
    [
        ([httpx.Response(503)] * 3, 3),
        ([httpx.ReadTimeout("slow")] * 3, 3),
        ([httpx.Response(403)], 1),
        ([httpx.Response(302, headers={"Location": "http://other/"})], 1),
        ([httpx.Response(200, content=bytes(300_000))], 1),
        ([httpx.Response(200, headers={"Content-Encoding": "br"}, content=b"x")], 1),
    ],
)
def test_a_server_that_does_not_give_it_is_named(
    first: list[httpx.Response | Exception], asked: int
) -> None:
    server = Server(STORAGE, *first)
    with pytest.raises(LogUnreadable, match="http://host/log/checkpoint"):
        remote(server)
    assert len(server.asked) == asked


def test_a_tile_that_does_not_end_is_cut_off() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(4096)

    server = Server(STORAGE, httpx.Response(200, content=checkpoint(HEAD)))
    with remote(server) as view:
        for tile in (Tile(0, 0), Tile(ENTRIES, 2, 88)):
            server.first.append(httpx.Response(200, content=endless()))
            with pytest.raises(LogUnreadable, match="too much"):
                view.read(tile.path)


def test_a_tile_that_comes_too_slowly_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with remote(Server(STORAGE)) as view:
        clock = itertools.count(0.0, 40.0)
        monkeypatch.setattr("strongroom_host.log.remote.time.monotonic", lambda: next(clock))
        slow = httpx.Response(200, content=(bytes(32) for _ in range(256)))
        view._client = httpx.Client(transport=httpx.MockTransport(lambda _: slow))
        with pytest.raises(LogUnreadable, match="too slowly"):
            view.read(Tile(0, 0).path)


def test_what_a_server_sets_is_not_sent_back() -> None:
    """One that is not ASCII would end whoever sends it: a monitor, with all that it watches."""
    cookie = [(b"Set-Cookie", "a=é".encode())]
    server = Server(STORAGE, httpx.Response(200, headers=cookie, content=checkpoint(HEAD)))
    with remote(server) as view:
        assert view.read(Tile(0, 0).path) is not None


@pytest.mark.parametrize("chunk", [b"X", b""])
def test_a_head_that_comes_too_slowly_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, chunk: bytes
) -> None:
    """A byte now and then is enough to restart every time-out of a client."""
    monkeypatch.setattr("strongroom_host.log.remote._BODY_S", 0.4)
    over = threading.Event()

    def drip() -> None:
        stream, _ = listener.accept()
        with stream, suppress(OSError):
            stream.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not over.wait(0.05):
                stream.sendall(chunk)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with pytest.raises(LogUnreadable, match="too slowly"):
                RemoteLog(f"http://127.0.0.1:{listener.getsockname()[1]}/log", boots=False)
        finally:
            over.set()
            thread.join()


def test_a_server_that_takes_long_over_everything_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(STORAGE)
    with RemoteLog(
        "http://host/log", boots=False, within_s=100, transport=httpx.MockTransport(server)
    ) as view:
        assert view.read(Tile(0, 0).path) is not None
        later = time.monotonic() + 101
        monkeypatch.setattr("strongroom_host.log.remote.time.monotonic", lambda: later)
        with pytest.raises(LogUnreadable, match="too long"):
            view.read(Tile(0, 1).path)


def test_more_evidence_than_any_log_has_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each boot's is small enough, and the index may name tens of thousands."""
    monkeypatch.setattr("strongroom_host.log.remote._ALL_BOOTS", 10_000)
    ids = [bytes([n]) * 32 for n in range(100)]
    data = Memory({boot_path(each): bytes(1000) for each in ids})
    data[BOOTS_INDEX] = "".join(f"{each.hex()}\n" for each in ids).encode()
    server = Server(data)
    with pytest.raises(LogUnreadable, match="more evidence"):
        remote(server, boots=True)
    assert len(server.asked) == 12


@pytest.mark.parametrize("url", ["ftp://host/log", "http://", "http://host/log?x=1", "http:///x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        RemoteLog(url)


def test_a_place_is_a_folder_or_a_url(tmp_path: Path) -> None:
    with pytest.raises(BadInput), open_source(str(tmp_path / "none")):
        pass
    with open_source(str(tmp_path)) as source:
        assert isinstance(source, FolderLog)
        assert boot_ids(source) == ()
    with pytest.raises(BadInput), open_source("gopher://x"):
        pass


def test_evidence_comes_with_the_leaves(tmp_path: Path) -> None:
    kept = Kept().start(Running(manifest())).decide(True)
    boot_id = kept.boot.boot_id
    with open_source(str(kept.store(tmp_path))) as folder:
        names = (BOOTS_INDEX, boot_path(boot_id), CHECKPOINT)
        data = Memory({name: folder.read(name) or b"" for name in names})
        assert boot_ids(folder) == (boot_id,)
    server = Server(data)
    with remote(server, boots=True) as view:
        asked = [path.split("/")[2] for path in server.asked]
        assert asked == ["boots", "boots", "checkpoint", "witnessed"]
        data[BOOTS_INDEX] = b""  # one moment
        assert boot_ids(view) == (boot_id,)
        assert read_boot(view, boot_id) == kept.boots[boot_id]
        with pytest.raises(LogDamaged):
            read_boot(view, bytes(32))
    assert boot_ids(remote(Server(Memory()))) == ()
