"""A witness over HTTP: paths, status codes and media types of C2SP tlog-witness, and its limits."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from strongroom_host.log.notes import open_checkpoint
from strongroom_host.witness import http
from strongroom_host.witness.http import build_app

from tests.host.witness.logs import (
    ORIGIN,
    Log,
    Station,
    document,
    introduction,
    owners_of_account,
)

LOG = Log()
PATH = f"/{sha256(ORIGIN.encode()).hexdigest()}/checkpoint"


class Caller:
    """Asks a witness, without a socket between; keeps what it reports."""

    def __init__(self, station: Station) -> None:
        self.told: list[str] = []
        self._app = build_app(station.witness, self.told.append)

    def ask(self, path: str, body: bytes = b"", method: str = "POST") -> httpx.Response:
        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://w") as client:
                return await client.request(method, path, content=body)

        return asyncio.run(answer())


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """Return a witness that follows LOG."""
    return Station(tmp_path / "w", LOG.vkey)


def test_the_statuses_are_those_of_the_document(station: Station) -> None:
    caller = Caller(station)

    def status(body: bytes) -> int:
        return caller.ask("/add-checkpoint", body).status_code

    assert status(b"no request") == 400
    assert status(LOG.submission(6, 5)) == 400
    assert status(Log(origin="example.com/other").submission(0, 5)) == 404
    assert status(Log(key=32).submission(0, 5)) == 403
    good = caller.ask("/add-checkpoint", LOG.submission(0, 5))
    assert (good.status_code, good.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    opened = open_checkpoint(LOG.note(5) + good.content, ORIGIN, [LOG.vkey], [station.public])
    assert station.public in opened.witnesses
    conflict = caller.ask("/add-checkpoint", LOG.submission(0, 5))
    assert (conflict.status_code, conflict.content) == (409, b"5\n")
    assert conflict.headers["content-type"] == "text/x.tlog.size"
    assert status(Log("fork").submission(5, 6)) == 422
    assert status(Log("fork").submission(5, 5)) == 422
    station.clock.seconds -= 3600
    assert status(LOG.submission(5, 6)) == 503
    assert any("422" in line for line in caller.told)


def test_monitors_are_served_what_was_cosigned(station: Station) -> None:
    caller = Caller(station)
    assert caller.ask(PATH, method="GET").status_code == 404
    line = caller.ask("/add-checkpoint", LOG.submission(0, 5)).content
    served = caller.ask(PATH, method="GET")
    assert (served.status_code, served.content) == (200, LOG.note(5) + line)
    assert served.headers["cache-control"] == "no-cache"
    newer = caller.ask("/add-checkpoint", LOG.submission(5, 8)).content
    assert caller.ask(PATH, method="GET").content == LOG.note(8) + newer


def test_boots_are_introduced(station: Station) -> None:
    caller, made = Caller(station), document()
    assert caller.ask("/add-boot", introduction().serialise()).status_code == 404
    station.memory.follow_owners(owners_of_account(made))
    answer = caller.ask("/add-boot", introduction().serialise())
    assert answer.status_code == 200
    assert answer.text.startswith("strongroom.log/signer/")
    assert caller.ask("/add-boot", introduction(permitted=(1,)).serialise()).status_code == 403
    assert caller.ask("/add-boot", b"nonsense").status_code == 400


class Slowly:
    """Sends a body in pieces, as an ASGI server hands them on, and counts what was taken."""

    def __init__(self, piece: bytes, wait_s: float = 0) -> None:
        self._piece, self._wait_s = piece, wait_s
        self.taken, self.status = 0, 0

    async def receive(self) -> dict[str, object]:
        await asyncio.sleep(self._wait_s)
        self.taken += len(self._piece)
        return {"type": "http.request", "body": self._piece, "more_body": True}

    async def send(self, message: MutableMapping[str, object]) -> None:
        if message["type"] == "http.response.start":
            assert isinstance(message["status"], int)
            self.status = message["status"]

    def post(self, station: Station, path: str) -> int:
        scope: dict[str, object] = {"type": "http", "method": "POST", "path": path, "headers": []}
        scope |= {"query_string": b"", "root_path": ""}
        asyncio.run(build_app(station.witness)(scope, self.receive, self.send))
        return self.status


@pytest.mark.parametrize("call", ["/add-checkpoint", "/add-boot"])
def test_a_body_without_end_is_not_read_on(station: Station, call: str) -> None:
    caller = Slowly(bytes(65536))
    assert caller.post(station, call) == 413
    assert caller.taken <= 2 << 20


def test_a_slow_body_is_given_up(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_DEADLINE_S", 0.1)
    assert Slowly(b"old 0\n", 0.01).post(station, "/add-checkpoint") == 400


def test_nothing_else_is_there(station: Station) -> None:
    caller = Caller(station)
    for method, path in (
        ("GET", "/add-checkpoint"),
        ("PUT", "/add-checkpoint"),
        ("POST", PATH),
        ("GET", "/"),
        ("GET", "/witness-key"),
        ("GET", "/../witness-key"),
        ("GET", f"/{ORIGIN}/checkpoint"),
        ("POST", "/sign-subtree"),
    ):
        assert caller.ask(path, method=method).status_code in (404, 405)


def test_a_memory_that_fails_signs_nothing(station: Station) -> None:
    caller = Caller(station)
    station.memory.close()
    answer = caller.ask("/add-checkpoint", LOG.submission(0, 5))
    assert answer.status_code == 503
    assert b"\xe2\x80\x94" not in answer.content
    assert caller.told
