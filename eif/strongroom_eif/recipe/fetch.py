"""Fetching a file whose hash is known: any server will do, as nothing is believed but the hash.

Through the standard library, so proxies and certificates come from the environment as everywhere.
Debian's archives are asked over plain http as apt does; that shows a watcher what is fetched.
"""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from strongroom_eif.recipe.errors import (
    InputDigestMismatch,
    InputError,
    InputGone,
    InputMissing,
    InputSizeMismatch,
    InputUnreachable,
)

__all__ = ["DEFAULT_MIRRORS", "Fetcher", "megabytes"]

DEFAULT_MIRRORS: Final = (
    "http://deb.debian.org/debian",
    "http://deb.debian.org/debian-security",
)

_PIECE: Final = 1 << 18
_TIMEOUT_S: Final = 30
_TRIES: Final = 3
_WORTH_A_LINE: Final = 8 << 20
_GONE: Final = (404, 410)


class _Reply(Protocol):
    headers: http.client.HTTPMessage

    def read(self, amount: int, /) -> bytes: ...


class Fetcher:
    """Fetches files by hash from the first server that has them.

    Attributes:
        received: Bytes that came over the network.
    """

    __slots__ = ("_mirrors", "_progress", "received")

    def __init__(self, mirrors: Sequence[str], progress: Callable[[str], None]) -> None:
        self._mirrors = tuple(mirrors)
        self._progress = progress
        self.received = 0

    def fetch(
        self,
        sha256: str,
        limit: int,
        size: int | None,
        urls: Sequence[str],
        name: str,
        target: Path,
    ) -> None:
        """Writes the file with this hash to `target`.

        Args:
            sha256: Of the file.
            limit: Most bytes that are read.
            size: Exact length, if known.
            urls: Where to ask; one without scheme is below each mirror's root.
            name: For people.
            target: Is overwritten.

        Raises:
            InputDigestMismatch: Somebody had a file of the name, with other content.
            InputGone: All servers answered that they have no such file.
            InputUnreachable: Some could not be asked.
        """
        failures: list[tuple[str, InputError]] = []
        for url in self._spelt_out(urls):
            for _ in range(_TRIES):
                try:
                    self._try(url, sha256, limit, size, name, target)
                    return
                except InputUnreachable as error:
                    failure: InputError = error
                    # A server that does not answer at all is not waited for again.
                    if isinstance(error.__cause__, TimeoutError):
                        break
                except InputError as error:
                    failure = error
                    break
            failures.append((url, failure))
        raise _summary(name, sha256, failures)

    def _spelt_out(self, urls: Sequence[str]) -> Iterator[str]:
        for url in urls:
            if "://" in url:
                yield url
            else:
                yield from (f"{mirror}/{url}" for mirror in self._mirrors)

    def _try(
        self, url: str, sha256: str, limit: int, size: int | None, name: str, target: Path
    ) -> None:
        check_scheme(url)
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "strongroom"})  # noqa: S310
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310
                self._receive(reply, sha256, limit, size, name, target)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _GONE:
                raise InputGone(f"{url}: {error.code}") from error
            raise InputUnreachable(f"{url}: {error.code} {error.reason}") from error
        except urllib.error.URLError as error:
            cause = error.reason if isinstance(error.reason, OSError) else error
            raise InputUnreachable(f"{url}: {error.reason}") from cause
        except (http.client.HTTPException, TimeoutError, ValueError) as error:
            raise InputUnreachable(f"{url}: {error}") from error

    def _receive(
        self, reply: _Reply, sha256: str, limit: int, size: int | None, name: str, target: Path
    ) -> None:
        declared = reply.headers.get("Content-Length", "")
        if declared.isdecimal():
            check_size(name, int(declared), limit, size)
        total = int(declared) if declared.isdecimal() else size or 0
        if total >= _WORTH_A_LINE:
            self._progress(f"fetching {name} ({megabytes(total)})")
        state = hashlib.sha256()
        count = 0
        with target.open("wb") as stream:
            while piece := _piece(reply):
                count += len(piece)
                self.received += len(piece)
                check_limit(name, count, size or limit)
                state.update(piece)
                stream.write(piece)
        if declared.isdecimal() and count < int(declared):
            raise InputUnreachable(f"the connection ended after {count} of {declared} bytes")
        check_size(name, count, limit, size)
        check_content(name, sha256, state.hexdigest())


def _piece(reply: _Reply) -> bytes:
    """Returns the next bytes; apart from writing, whose failures are this machine's."""
    try:
        return reply.read(_PIECE)
    except (http.client.HTTPException, OSError) as error:
        raise InputUnreachable(f"the connection broke: {error}") from error


def megabytes(count: int) -> str:
    """Returns a number of bytes for a person."""
    return f"{count / 1e6:.1f} MB"


_ELSEWHERE: Final = (
    "get the file with this hash elsewhere (snapshot.debian.org keeps every version) and put it "
    "into a directory: INPUTS=DIR with make image or make audit; or use a cache that has it: "
    "STRONGROOM_CACHE=DIR"
)


def _summary(name: str, sha256: str, failures: list[tuple[str, InputError]]) -> InputError:
    """Returns the one error that tells a person most."""
    wanted = f"SHA-256 {sha256}"
    for url, failure in failures:
        if isinstance(failure, InputDigestMismatch):
            kind = type(failure)
            return kind(
                f"{url} gave another file than the pinned {name}",
                expected=failure.expected,
                actual=failure.actual,
                remedy=f"the server, or someone on the way, changed it; {_ELSEWHERE}",
            )
    asked = "; ".join(str(failure) for _, failure in failures) or "no server to ask"
    if failures and all(isinstance(failure, InputGone) for _, failure in failures):
        return InputGone(
            f"the archive has dropped {name}", expected=wanted, actual=asked, remedy=_ELSEWHERE
        )
    return InputUnreachable(
        f"cannot fetch {name}",
        expected=wanted,
        actual=asked,
        remedy="check the network and http_proxy; another mirror: STRONGROOM_DEBIAN_MIRROR=URL; "
        f"without network: {_ELSEWHERE}",
    )


# --- Rules ---------------------------------------------------------------------------------------


def check_scheme(url: str) -> None:
    """Refuses file: and the like, with which a URL would read this machine."""
    if not url.startswith(("http://", "https://")):
        raise InputMissing(f"{url} is neither http nor https")


def check_size(name: str, count: int, limit: int, size: int | None) -> None:
    """Refuses a length that cannot be right."""
    if count > limit or (size is not None and count != size):
        raise InputSizeMismatch(
            f"{name} has {count} bytes", expected=f"{size or limit} bytes", actual=f"{count} bytes"
        )


def check_limit(name: str, count: int, limit: int) -> None:
    """Stops reading what has become too large, whatever the server announced."""
    if count > limit:
        raise InputSizeMismatch(
            f"{name} has more than {limit} bytes",
            expected=f"{limit} bytes",
            actual=f"{count} bytes or more",
        )


def check_content(name: str, expected: str, actual: str) -> None:
    """Proves that what came is the pinned file."""
    if actual != expected:
        raise InputDigestMismatch(
            f"{name} has another hash", expected=f"SHA-256 {expected}", actual=f"SHA-256 {actual}"
        )
