"""One question to one witness over HTTP, and what its answer means (C2SP tlog-witness).

A witness is a stranger's server: its answers are bounded in size and time, no redirect is followed,
and a signature counts only where `cosigning` has verified it.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import httpx

from strongroom_host.http_cookies import no_cookies
from strongroom_host.log.submissions import (
    ADD_BOOT,
    ADD_CHECKPOINT,
    SIZE_TYPE,
    Introduction,
    Submission,
    checkpoint_path,
    parse_size,
)
from strongroom_host.log.witness_errors import (
    BootRefused,
    HistoryRefused,
    KeyUnknown,
    LogUnknown,
    WitnessAnswerInvalid,
    WitnessUnreachable,
    WitnessUrlInvalid,
)

__all__ = ["Cosigned", "KnowsSize", "WitnessClient", "check_url"]

DEADLINE_S: Final = 10.0
"""For a whole request, from the first byte of the connection to the last of the answer."""
MAX_ANSWER: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Cosigned:
    """Signature lines as they came; nothing about them is verified."""

    lines: bytes


@dataclass(frozen=True, slots=True)
class KnowsSize:
    """The size of the head that the witness says it has cosigned last: another than was named."""

    size: int


class WitnessClient:
    """Asks witnesses, and keeps connections to them. Within one event loop."""

    def __init__(
        self, *, deadline_s: float = DEADLINE_S, context: ssl.SSLContext | None = None
    ) -> None:
        self._deadline_s = deadline_s
        self._http = httpx.AsyncClient(
            verify=True if context is None else context,
            timeout=httpx.Timeout(deadline_s),
            follow_redirects=False,
            cookies=no_cookies(),
            headers={"Accept-Encoding": "identity", "User-Agent": "strongroom"},
        )

    async def add_checkpoint(self, url: str, submission: Submission) -> Cosigned | KnowsSize:
        """Asks for a cosignature.

        Raises:
            WitnessUnreachable: no answer in time, or a fault of the server.
            LogUnknown, KeyUnknown: it does not follow the log, or not with this key.
            HistoryRefused: it holds the proof, or the head, for wrong.
            WitnessAnswerInvalid: any other answer.
        """
        answer, body = await self._ask("POST", url, ADD_CHECKPOINT, submission.serialise())
        match answer.status_code:
            case 200:
                return Cosigned(body)
            case 409 if answer.headers.get("content-type", "").split(";")[0] == SIZE_TYPE:
                try:
                    return KnowsSize(parse_size(body.decode("ascii").removesuffix("\n")))
                except ValueError as error:
                    raise _invalid(url, answer, body) from error
            case 403:
                raise KeyUnknown(
                    f"{url} does not take this head's signature for one of the log",
                    actual=_told(body),
                    remedy="introduce the boot to it (`strongroom log keep` does, where the owners'"
                    " permit is at hand), or let its operator follow the boot's key",
                )
            case 404:
                raise LogUnknown(
                    f"{url} does not follow this log",
                    actual=_told(body),
                    remedy="its operator has to: `strongroom witness follow`, with the owner root"
                    " and account, or with the key",
                )
            case 422:
                raise HistoryRefused(
                    f"{url} says that this head does not continue what it has cosigned",
                    actual=_told(body),
                    remedy="keep both histories, and find out which one is true: one was forked,"
                    " edited or restored from an old copy",
                )
            case _:
                raise _invalid(url, answer, body)

    async def add_boot(self, url: str, introduction: Introduction) -> None:
        """Shows a witness what the owners permit, so that it takes the boot's key.

        Raises:
            WitnessUnreachable: no answer in time, or a fault of the server.
            LogUnknown: it does not follow these owners, or is not one of ours.
            BootRefused: it takes none of it.
        """
        answer, body = await self._ask("POST", url, ADD_BOOT, introduction.serialise())
        if answer.status_code in (404, 405):
            raise LogUnknown(
                f"{url} does not follow these owners",
                actual=_told(body),
                remedy="its operator has to: `strongroom witness follow`; a witness of another make"
                " takes keys from its operator only",
            )
        if answer.status_code != 200:
            raise BootRefused(f"{url} does not accept this boot", actual=_told(body))

    async def checkpoint(self, url: str, origin: str) -> bytes | None:
        """The newest head of a log that the witness has cosigned, as it serves it to monitors; None
        where it has, or serves, none.

        Raises:
            WitnessUnreachable: no answer in time, or a fault of the server.
        """
        answer, body = await self._ask("GET", url, checkpoint_path(origin), b"")
        return body if answer.status_code == 200 else None

    async def close(self) -> None:
        """Ends the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> WitnessClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _ask(
        self, method: str, url: str, path: str, body: bytes
    ) -> tuple[httpx.Response, bytes]:
        found, request = bytearray(), f"{url.rstrip('/')}/{path}"
        try:
            # httpx limits each wait; who answers a byte at a time would outlast them all.
            async with (
                asyncio.timeout(self._deadline_s),
                self._http.stream(method, request, content=body) as answer,
            ):
                async for chunk in answer.aiter_raw():
                    found += chunk
                    if len(found) > MAX_ANSWER:
                        raise WitnessAnswerInvalid(
                            f"{url} answers too much", expected=f"at most {MAX_ANSWER} bytes"
                        )
        except TimeoutError as error:
            raise WitnessUnreachable(
                f"{url} did not answer in time", expected=f"{self._deadline_s:g} s"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise WitnessUnreachable(
                f"{url} cannot be reached",
                actual=f"{type(error).__name__}: {error}",
                remedy="check address, certificate and network, and whether the witness runs",
            ) from error
        if answer.status_code == 429 or answer.status_code >= 500:
            raise WitnessUnreachable(
                f"{url} cannot answer now", actual=f"{answer.status_code} {_told(bytes(found))}"
            )
        return answer, bytes(found)


def check_url(url: str) -> str:
    """Returns `url` after proving that a witness can be asked there.

    Raises:
        WitnessUrlInvalid: not http or https, no host, or more than a prefix of paths.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise WitnessUrlInvalid(f"{url!r} is no URL", actual=error) from error
    more = parsed.userinfo or parsed.query or parsed.fragment or "?" in url or "#" in url
    port = parsed.port is None or 0 < parsed.port < 1 << 16
    if parsed.scheme not in ("http", "https") or not (parsed.host and port) or more:
        raise WitnessUrlInvalid(
            f"{url!r} is no address of a witness",
            expected="https://HOST[:PORT][/PREFIX]",
            remedy="its operator says where it is: without a user name, query or fragment",
        )
    return url


def _invalid(url: str, answer: httpx.Response, body: bytes) -> WitnessAnswerInvalid:
    return WitnessAnswerInvalid(
        f"{url} answers as no witness does",
        expected="200, 403, 404, 409 with a size, or 422",
        actual=f"{answer.status_code} {_told(body)}",
        remedy="is this the address of a witness? no redirect is followed",
    )


def _told(body: bytes) -> str:
    """What a stranger's server says, cut short, in one line: it must not look like one of ours."""
    return " ".join(body[:200].decode("utf-8", "replace").split())
