"""The interface: what is asked, and what answers it. Everything here is read-only but tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response

from strongroom_host.gateway.access import HEAVY, LIGHT, Admission, Gate
from strongroom_host.gateway.answers import (
    Accounts,
    Aggregates,
    Answer,
    Balances,
    Evidence,
    KeyInfo,
    Metrics,
    Returns,
    Token,
    account_row,
    balance_row,
    return_row,
)
from strongroom_host.gateway.cursors import Cursors
from strongroom_host.gateway.errors import EvidenceIncomplete, KeyRefused, NothingThere
from strongroom_host.gateway.keys import Scope
from strongroom_host.gateway.parameters import (
    AccountName,
    AggregateWindow,
    ListingWindow,
    MetricsWindow,
    NoParameters,
    Page,
    StartMs,
    TokenRequest,
)
from strongroom_host.gateway.reading import Reader, Span
from strongroom_host.gateway.tokens import TokenSigner, narrowed
from strongroom_host.log.return_proof import return_proof
from strongroom_host.log.returns import row_path
from strongroom_host.log.sources import open_source
from strongroom_host.log.tree import Storage
from strongroom_host.metrics import linking
from strongroom_host.metrics.measures import measure
from strongroom_host.metrics.plain import plain_metrics, plain_span
from strongroom_host.metrics.sampling import Convention
from strongroom_host.record_store.rows import HourlyReturn

__all__ = ["Interface", "answer_bytes", "routes"]

_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
_OWN: Final = "private, no-cache"
_UNCHANGING: Final = "public, max-age=31536000, immutable"
_CHANGING: Final = "public, no-cache"

_Row = TypeVar("_Row")
_Nothing = Annotated[NoParameters, Query()]


@dataclass(frozen=True, slots=True)
class Interface:
    """What the routes work with; `clock` returns ms since the epoch, `log_folder` is where the
    record's log is stored, for proofs that are made here."""

    gate: Gate
    reader: Reader
    tokens: TokenSigner
    cursors: Cursors
    log: Storage | None
    clock: Callable[[], int]
    log_folder: Path | None = None


def routes(interface: Interface) -> APIRouter:
    """Returns every route under /v1."""
    router = APIRouter(prefix="/v1")
    _add_disclosed(router, interface)
    _add_computed(router, interface)
    _add_evidence(router, interface)
    _add_keys(router, interface)
    return router


def _add_disclosed(router: APIRouter, interface: Interface) -> None:
    gate, reader, cursors = interface.gate, interface.reader, interface.cursors

    @router.get("/accounts", response_model=Accounts, summary="Accounts that the key may see")
    def accounts(
        request: Request,
        page: Annotated[Page, Query()],
        admitted: Annotated[Admission, Depends(gate.needs(Scope.RETURNS))],
    ) -> Response:
        listing = ("accounts",)
        after = "" if page.cursor is None else cursors.read(listing, page.cursor)
        found = reader.accounts(admitted.access, after, page.limit + 1)
        shown = found[: page.limit]
        more = cursors.write(listing, shown[-1].account) if len(found) > page.limit else None
        return _answer(request, Accounts(accounts=tuple(map(account_row, shown)), next=more))

    @router.get("/accounts/{account}/returns", response_model=Returns, summary="Disclosed periods")
    def returns(
        request: Request,
        account: AccountName,
        window: Annotated[ListingWindow, Query()],
        admitted: Annotated[Admission, Depends(gate.needs(Scope.RETURNS))],
    ) -> Response:
        listing = window.listing("returns", account)
        span = _from(window, listing, cursors)
        found = reader.returns(admitted.access, account, span, window.limit + 1)
        more = _next(found, window, listing, cursors, lambda row: row.start_ms)
        shown = tuple(map(return_row, found[: window.limit]))
        return _answer(request, Returns(returns=shown, next=more))

    @router.get(
        "/accounts/{account}/balances", response_model=Balances, summary="Equity at periods' ends"
    )
    def balances(
        request: Request,
        account: AccountName,
        window: Annotated[ListingWindow, Query()],
        admitted: Annotated[Admission, Depends(gate.needs(Scope.BALANCES))],
    ) -> Response:
        listing = window.listing("balances", account)
        span = _from(window, listing, cursors)
        found = reader.balances(admitted.access, account, span, window.limit + 1)
        more = _next(found, window, listing, cursors, lambda row: row.at_ms)
        shown = tuple(map(balance_row, found[: window.limit]))
        return _answer(request, Balances(balances=shown, next=more))


def _add_computed(router: APIRouter, interface: Interface) -> None:
    gate, reader, cursors = interface.gate, interface.reader, interface.cursors

    @router.get(
        "/accounts/{account}/aggregates",
        response_model=Aggregates,
        summary="Returns by days, months or years",
    )
    def aggregates(
        request: Request,
        account: AccountName,
        window: Annotated[AggregateWindow, Query()],
        admitted: Annotated[Admission, Depends(gate.needs(Scope.METRICS, HEAVY))],
    ) -> Response:
        listing = (*window.listing("aggregates", account), window.span_of)
        first = 0 if window.cursor is None else int(cursors.read(listing, window.cursor))
        series = reader.series(admitted.access, account, window.span)
        # All of them are linked and then cut: a page's first day may begin with an hour of which
        # nothing was disclosed, which rows alone would not show.
        rows = plain_span(series, linking.Span(window.span_of))
        shown, more = rows[first : first + window.limit], None
        if len(rows) > first + window.limit:
            more = cursors.write(listing, str(first + window.limit))
        return _answer(
            request,
            Aggregates(account=account, span=window.span_of, aggregates=tuple(shown), next=more),
        )

    @router.get(
        "/accounts/{account}/metrics", response_model=Metrics, summary="What the returns add up to"
    )
    def metrics(
        request: Request,
        account: AccountName,
        window: Annotated[MetricsWindow, Query()],
        admitted: Annotated[Admission, Depends(gate.needs(Scope.METRICS, HEAVY))],
    ) -> Response:
        series = reader.series(admitted.access, account, window.span)
        measured = measure(series, Convention(window.convention), riskless=Decimal(window.riskless))
        return _answer(request, Metrics(account=account, metrics=plain_metrics(measured)))


def _add_evidence(router: APIRouter, interface: Interface) -> None:
    gate, reader = interface.gate, interface.reader
    needs = Annotated[Admission, Depends(gate.needs(Scope.EVIDENCE))]
    place = "/accounts/{account}/returns/{start_ms}"

    @router.get(f"{place}/evidence", response_model=Evidence, summary="A period as it was signed")
    def evidence(
        request: Request, account: AccountName, start_ms: StartMs, admitted: needs, _: _Nothing
    ) -> Response:
        rows = reader.evidence(admitted.access, account, start_ms)
        row = _beginning(rows, start_ms)
        return _answer(request, Evidence.of(row, len(rows), _path(rows, row.position)))

    @router.get(f"{place}/encoded", summary="The period's bytes", response_class=Response)
    def encoded(
        request: Request, account: AccountName, start_ms: StartMs, admitted: needs, _: _Nothing
    ) -> Response:
        rows = reader.evidence(admitted.access, account, start_ms)
        return answer_bytes(request, _beginning(rows, start_ms).encoded, _BYTES, _OWN)

    @router.get(f"{place}/receipt", summary="The receipt's bytes", response_class=Response)
    def receipt(
        request: Request, account: AccountName, start_ms: StartMs, admitted: needs, _: _Nothing
    ) -> Response:
        rows = reader.evidence(admitted.access, account, start_ms)
        return answer_bytes(request, _beginning(rows, start_ms).receipt, _BYTES, _OWN)

    @router.get(
        f"{place}/proof",
        summary="One file that proves the period offline (`strongroom record verify`)",
        response_class=Response,
    )
    def proof(
        request: Request,
        account: AccountName,
        start_ms: StartMs,
        admitted: Annotated[Admission, Depends(gate.needs(Scope.EVIDENCE, HEAVY))],
        _: _Nothing,
    ) -> Response:
        rows = reader.evidence(admitted.access, account, start_ms)
        row = _beginning(rows, start_ms)
        if interface.log_folder is None:
            raise NothingThere("this gateway has no log to prove anything with")
        path = _path(rows, row.position)
        with open_source(str(interface.log_folder)) as source:
            made = return_proof(
                source, row.leaf_index, row.encoded, row.position, path, row.receipt
            )
        return answer_bytes(request, made.serialise(), _JSON, _OWN)

    @router.get(
        "/log/{path:path}",
        summary="The record's log (C2SP tlog-tiles), and its boots' evidence; needs no key",
        response_class=Response,
    )
    def log(request: Request, path: str, _: _Nothing) -> Response:
        data = None if interface.log is None else interface.log.read(path)
        if data is None:
            raise NothingThere("the log has nothing at this path")
        if path.startswith("tile/"):
            return answer_bytes(request, data, _BYTES, _UNCHANGING)
        kind = _JSON if path.endswith(".json") else "text/plain; charset=utf-8"
        return answer_bytes(request, data, kind, _CHANGING)


def _add_keys(router: APIRouter, interface: Interface) -> None:
    @router.get("/completeness", response_model=Answer, summary="What completeness means here")
    def completeness(request: Request, _: _Nothing) -> Response:
        return _answer(request, Answer())

    @router.get("/key", response_model=KeyInfo, summary="What this key may do")
    def key(
        request: Request,
        _: _Nothing,
        admitted: Annotated[Admission, Depends(interface.gate.needs(None))],
    ) -> Response:
        access = admitted.access
        users = None if access.users is None else tuple(sorted(access.users))
        info = KeyInfo(
            key=access.key,
            scopes=tuple(sorted(access.scopes)),
            users=users,
            expires_ms=admitted.key.expires_ms,
        )
        return _answer(request, info)

    @router.post("/tokens", response_model=Token, summary="A short-lived token for this key")
    def tokens(
        wanted: TokenRequest,
        _: _Nothing,
        admitted: Annotated[Admission, Depends(interface.gate.needs(None, LIGHT))],
    ) -> Response:
        if not admitted.by_key:
            # Else one token would lead to the next, and none would be short-lived.
            raise KeyRefused("a token makes no tokens", expected="the key itself")
        access = narrowed(
            admitted.access,
            None if wanted.scopes is None else frozenset(wanted.scopes),
            None if wanted.users is None else frozenset(wanted.users),
        )
        text = interface.tokens.sign(access, interface.clock(), wanted.seconds)
        body = Token(token=text, expires_in=wanted.seconds).model_dump_json()
        return Response(body, headers={"Cache-Control": "no-store"}, media_type=_JSON)


def _from(window: ListingWindow, listing: tuple[str, ...], cursors: Cursors) -> Span:
    if window.cursor is None:
        return window.span
    return Span(int(cursors.read(listing, window.cursor)), window.until_ms)


def _next(
    found: Sequence[_Row],
    window: ListingWindow,
    listing: tuple[str, ...],
    cursors: Cursors,
    time_of: Callable[[_Row], int],
) -> str | None:
    """The cursor at the row that was one too many; None where there is no such."""
    if len(found) <= window.limit:
        return None
    return cursors.write(listing, str(time_of(found[window.limit])))


def _answer(request: Request, shown: Answer) -> Response:
    more = getattr(shown, "next", None)
    found = answer_bytes(request, shown.model_dump_json().encode(), _JSON, _OWN)
    if more is not None:
        url = request.url.include_query_params(cursor=more)
        found.headers.append("Link", f'<{url.path}?{url.query}>; rel="next"')
    return found


def answer_bytes(request: Request, body: bytes, kind: str, cache: str) -> Response:
    """Returns an answer with an ETag that is the digest of its bytes, so that equal means equal;
    304 to who has it already."""
    tag = f'"{sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": cache, "Vary": "Authorization, X-API-Key"}
    known = [each.strip().removeprefix("W/") for each in
             request.headers.get("if-none-match", "").split(",")]  # fmt: skip
    if tag in known or known == ["*"]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=kind)


def _beginning(rows: list[HourlyReturn], start_ms: int) -> HourlyReturn:
    return next(row for row in rows if row.start_ms == start_ms)


def _path(rows: list[HourlyReturn], position: int) -> tuple[bytes, ...]:
    """The hashes that lead from a row to the root over all rows of its receipt."""
    if [row.position for row in rows] != list(range(len(rows))):
        raise EvidenceIncomplete("the database has not all rows of a receipt")
    return row_path([row.encoded for row in rows], position)
