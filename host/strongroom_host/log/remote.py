"""A log behind HTTP in the tlog-tiles layout: a `Storage` with limits, retries and a cache.

The server is believed nothing. It can refuse, stall and send too much, so each of these ends in an
error that names it; what it sends is verified by who reads it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from strongroom_host.errors import BadInput
from strongroom_host.http_cookies import no_cookies
from strongroom_host.log.boots import BOOTS_INDEX, MAX_BOOT, boot_path, parse_boot_path, parse_index
from strongroom_host.log.errors import LogDamaged, LogError, LogUnreadable, PathMalformed
from strongroom_host.log.notes import MAX_NOTE, Checkpoint, Note
from strongroom_host.log.tiles import CHECKPOINT, ENTRIES, MAX_ENTRY, WIDTH, WITNESSED, Tile
from strongroom_host.private_files import read_file, write_atomic

__all__ = ["RemoteLog"]

_TIMEOUT: Final = httpx.Timeout(10.0)
_TRIES: Final = 3
_PAUSE_S: Final = 0.5
_BODY_S: Final = 60.0
"""How long one answer may take in all; a time-out of httpx starts anew with each byte."""
_ALL_BOOTS: Final = 256 << 20
"""Upper bound in bytes of the evidence of all boots, which is kept in memory."""
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_NOT_THERE: Final = frozenset({404, 410})


class RemoteLog:
    """The log under a URL prefix. A context manager.

    What is seen is one moment: the checkpoints are fetched once, here, and the evidence of all
    boots before them, so that the newest has every head in it; without `boots` that is fetched when
    it is asked for. Full tiles and bundles never change, so with a `cache` each is fetched once for
    good; that folder is trusted no more than the server is. After `within_s` seconds nothing is
    asked any more, so that no server holds up for longer whoever watches others besides.

    Raises:
        BadInput: the URL is none of http or https.
        LogUnreadable: the server cannot be reached, does not give the checkpoint, or gives more
            evidence of boots than any log has.
    """

    def __init__(
        self,
        url: str,
        cache: Path | None = None,
        *,
        boots: bool = True,
        within_s: float | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise BadInput(f"{url!r} is no log's address", expected="http(s)://HOST[:PORT]/PREFIX")
        self.url, self._sleep = url.rstrip("/"), sleep
        self._cache = cache and cache / sha256(self.url.encode()).hexdigest()[:32]
        # Without compression nothing that is small on the way is large here.
        headers = {"Accept-Encoding": "identity", "User-Agent": "strongroom-log"}
        self._client = httpx.Client(
            headers=headers, timeout=_TIMEOUT, transport=transport, cookies=no_cookies()
        )
        self._connection = _Connection()
        self._until = None if within_s is None else time.monotonic() + within_s
        self._boots: dict[str, bytes | None] = {}
        try:
            if boots:
                self._read_boots()
            self.checkpoint = self._fetch(CHECKPOINT, MAX_NOTE)
            self._witnessed = self._fetch(WITNESSED, MAX_NOTE)
        except BaseException:
            self.close()
            raise
        self.note = b""

    @property
    def size(self) -> int:
        """How many leaves its checkpoint names, whoever signed that; 0 without one. Or more where
        the last one with a quorum is newer, as it is for a moment while it is published."""
        return max(map(_size, (self.checkpoint, self._witnessed)))

    def read(self, path: str) -> bytes | None:
        """What the server has at a path of the layout, or None where it says that it has nothing.

        Raises:
            LogUnreadable: it answers anything else, too slowly, or with too much.
        """
        if path == CHECKPOINT:
            return self.checkpoint
        if path == WITNESSED:
            return self._witnessed
        if path == BOOTS_INDEX or parse_boot_path(path) is not None:
            return self._boots[path] if path in self._boots else self._fetch(path, MAX_BOOT)
        try:
            tile = Tile.parse(path)
        except PathMalformed:
            return None
        limit = tile.width * (MAX_ENTRY + 2 if tile.level == ENTRIES else 32)
        kept = self._cache / path if self._cache and tile.width == WIDTH else None
        if kept is not None and kept.is_file():
            return read_file(kept, limit=limit)
        data = self._fetch(path, limit)
        if kept is not None and data is not None:
            write_atomic(kept, data)
        return data

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def __enter__(self) -> RemoteLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read_boots(self) -> None:
        """Takes the evidence of all boots that the index names."""
        if (index := self.read(BOOTS_INDEX)) is None:
            return
        self._boots[BOOTS_INDEX] = index
        taken = 0
        with suppress(LogDamaged):  # whoever asks for it will be told
            for path in map(boot_path, parse_index(index)):
                self._boots[path] = data = self.read(path)
                taken += len(data or b"")
                if taken > _ALL_BOOTS:
                    raise LogUnreadable(
                        f"{self.url} gives more evidence of boots than any log has",
                        expected=f"at most {_ALL_BOOTS >> 20} MiB",
                    )

    def _fetch(self, path: str, limit: int) -> bytes | None:
        """One resource; asks again where the server or the network may only be busy."""
        url, problem = f"{self.url}/{path}", ""
        for attempt in range(_TRIES):
            if attempt:
                self._sleep(_PAUSE_S * 2**attempt)
            left = _BODY_S if self._until is None else self._until - time.monotonic()
            if left <= 0:
                raise LogUnreadable(f"{self.url} takes too long, all in all", actual=url)
            try:
                with (
                    self._connection.ended_after(min(left, _BODY_S)),
                    self._client.stream("GET", url, extensions=self._connection.traced) as answer,
                ):
                    if answer.status_code == httpx.codes.OK:
                        return _body(answer, url, limit)
                    if answer.status_code in _NOT_THERE:
                        return None
                    problem = f"HTTP status {answer.status_code}"
                    if answer.status_code not in _AGAIN:
                        break
            except httpx.InvalidURL as error:
                raise BadInput(f"{url!r} is no log's address: {error}") from error
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
                if self._connection.ended:
                    raise _too_slow(url) from error
        raise LogUnreadable(
            f"cannot read {url}",
            expected="HTTP status 200, or 404 where there is nothing",
            actual=problem,
            remedy="check the address; `strongroom log serve` serves a log's folder",
        )


def _size(note: bytes | None) -> int:
    try:
        return 0 if note is None else Checkpoint.parse(Note.parse(note).text).head.size
    except LogError:
        return 0


def _body(answer: httpx.Response, url: str, limit: int) -> bytes:
    """The answer's bytes, as they came."""
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise LogUnreadable(f"{url} is sent as {encoding}", expected="no content encoding")
    found, until = bytearray(), time.monotonic() + _BODY_S
    for chunk in answer.iter_bytes():
        found += chunk
        if len(found) > limit:
            raise LogUnreadable(f"{url} sends too much", expected=f"at most {limit} bytes")
        if time.monotonic() > until:
            raise _too_slow(url)
    return bytes(found)


def _too_slow(url: str) -> LogUnreadable:
    return LogUnreadable(f"{url} sends too slowly", expected=f"all within {_BODY_S:.0f} s")


class _Connection:
    """The connection in use, which can be ended from outside: whoever sends the head of an answer,
    or his part of TLS, a byte at a time would outlast every time-out there is."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self.ended = False
        """Whether the last answer was cut off."""
        self.traced: Mapping[str, Any] = {"trace": self._follow}
        """What a request needs for that."""

    @contextmanager
    def ended_after(self, seconds: float) -> Iterator[None]:
        """Ends the connection if the block takes longer."""
        self.ended = False
        timer = Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _follow(self, event: str, info: Mapping[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")

    def _end(self) -> None:
        self.ended = True
        if self._socket is not None:
            with suppress(OSError):
                # Not the method of a TLS socket, which another thread is reading from.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
