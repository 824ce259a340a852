"""One disclosed row with its way to its receipt: out of the database, or from a gateway."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from typing import Annotated, Final

import httpx
import msgspec
from msgspec import Meta, Struct

from strongroom_host.errors import BadInput, EnvironmentFault, HostError
from strongroom_host.gateway.keys import Access
from strongroom_host.gateway.reading import Reader
from strongroom_host.log.returns import row_path

__all__ = ["FetchedRow", "GatewayRefused", "GatewayUnreachable", "fetch_row"]

_EVERYBODY: Final = Access("", frozenset(), None, "")
_TIMEOUT_S: Final = 30.0
_LIMIT: Final = 16 << 20


class GatewayRefused(HostError):
    """The gateway does not show it, or its answer is none."""

    exit_status = 4


class GatewayUnreachable(EnvironmentFault):
    """No gateway answers there."""


class _Evidence(Struct, frozen=True):
    encoded: str
    receipt: str
    position: Annotated[int, Meta(ge=0)]
    row_path: tuple[str, ...]
    leaf_index: Annotated[int, Meta(ge=0)]


class _Problem(Struct, frozen=True):
    title: str = ""
    detail: str = ""
    code: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class FetchedRow:
    """A row's bytes, its receipt's opening, its place, and the path between them; unverified."""

    encoded: bytes
    opening: bytes
    position: int
    path: tuple[bytes, ...]
    leaf_index: int

    @classmethod
    def of(cls, dsn: str, account: str, start_ms: int) -> FetchedRow:
        """Returns the row of an account that begins then, as the role `gateway`.

        Raises:
            AccountHidden, NothingThere: nothing was disclosed of it.
            DatabaseUnavailable, DatabaseRefused: it cannot be asked for.
        """
        reader = Reader(lambda _login: dsn)
        try:
            rows = reader.evidence(_EVERYBODY, account, start_ms)
        finally:
            reader.close()
        [row] = [each for each in rows if each.start_ms == start_ms]
        path = row_path([each.encoded for each in rows], row.position)
        return cls(row.encoded, row.receipt, row.position, path, row.leaf_index)


def fetch_row(url: str, key: str, account: str, start_ms: int) -> FetchedRow:
    """Returns the row of an account that begins then, as a gateway gives it out.

    Raises:
        GatewayRefused: it does not.
        GatewayUnreachable: nobody answers.
    """
    place = f"{url.rstrip('/')}/v1/accounts/{account}/returns/{start_ms}/evidence"
    try:
        answer = httpx.get(place, headers={"Authorization": f"Bearer {key}"}, timeout=_TIMEOUT_S)
    except httpx.InvalidURL as error:
        raise BadInput("this is no gateway's address", actual=url) from error
    except httpx.HTTPError as error:
        raise GatewayUnreachable(f"no gateway answers at {url}", actual=error) from error
    if answer.status_code != httpx.codes.OK or len(answer.content) > _LIMIT:
        raise GatewayRefused(
            "the gateway does not show this return", actual=_problem(answer.content)
        )
    try:
        found = msgspec.json.decode(answer.content, type=_Evidence)
        path = tuple(bytes.fromhex(each) for each in found.row_path)
        row, opening = (b64decode(each, validate=True) for each in (found.encoded, found.receipt))
    except (msgspec.DecodeError, ValueError) as error:
        raise GatewayRefused("the gateway's answer is no evidence", actual=error) from error
    return FetchedRow(row, opening, found.position, path, found.leaf_index)


def _problem(content: bytes) -> str:
    try:
        found = msgspec.json.decode(content[:100_000], type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "an answer that is none of a gateway's"
    return f"{found.code}: {found.detail or found.title}"
