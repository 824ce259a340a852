"""Refusals as RFC 9457 has them: what was wrong, what was expected, what to do about it.

What is at fault on this side is named and nothing more: a database's own words may hold an address,
a role or a row.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.responses import Response

from strongroom_host.errors import EnvironmentFault, HostError
from strongroom_host.gateway.errors import GatewayError, TooManyRequests
from strongroom_host.record_store.errors import NotInitialised

__all__ = ["PROBLEM_TYPE", "Problem", "code_of", "problem", "problem_of"]

PROBLEM_TYPE: Final = "application/problem+json"
_RETRY_S: Final = "5"
_SHOWN: Final = 200


class Problem(BaseModel):
    """Why a request was refused; `type` and `code` are stable, the sentences are for people."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:strongroom:problem:cursor-refused",
                    "title": "Bad Request",
                    "status": 400,
                    "code": "cursor-refused",
                    "detail": "this cursor is not one of this listing",
                    "expected": "`next` of the page before, with the same parameters",
                    "actual": None,
                    "remedy": "begin the listing again, without a cursor",
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    code: str
    detail: str
    expected: str | None = None
    actual: str | None = None
    remedy: str | None = None


def problem_of(error: Exception) -> Problem:
    """Returns what is told of an error: in full where the caller erred, else only that we did."""
    match error:
        case GatewayError():
            return _problem(
                error.status, error.code, error.what, error.expected, error.actual, error.remedy
            )
        case RequestValidationError():
            return _invalid(error)
        case HTTPException(status_code=404):
            remedy = "/openapi.json has what there is"
            return _problem(404, "not-found", "there is nothing at this path", remedy=remedy)
        case HTTPException(status_code=405):
            return _problem(405, "method-refused", "this path is not asked in that way")
        case HTTPException():
            return _problem(error.status_code, "refused", "the request was refused")
        case EnvironmentFault() | NotInitialised():
            return _problem(
                503,
                "unavailable",
                "what this answer needs cannot be reached at the moment",
                remedy=f"ask again in {_RETRY_S} s",
            )
        case HostError():
            return _problem(
                500,
                "gateway-at-fault",
                "this gateway cannot answer as it should",
                remedy="tell whoever runs it",
            )
        case _:
            return _problem(
                500,
                "defect",
                "this gateway has a defect",
                remedy="tell whoever runs it",
            )


def code_of(error: Exception) -> str:
    """Returns the code of an error's problem."""
    return problem_of(error).code


def problem(error: Exception) -> Response:
    """Returns the answer to a request that ended so."""
    told = problem_of(error)
    headers = {"Cache-Control": "no-store"}
    if told.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="strongroom"'
    if told.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _RETRY_S
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, HTTPException) and error.headers and "allow" in error.headers:
        headers["Allow"] = error.headers["allow"]
    return Response(told.model_dump_json(), told.status, headers, PROBLEM_TYPE)


def _invalid(error: RequestValidationError) -> Problem:
    first: dict[str, object] = dict(next(iter(error.errors()), {}))
    where = first.get("loc", ())
    place = ".".join(map(str, where)) if isinstance(where, Sequence) else ""
    return _problem(
        422,
        "request-invalid",
        f"{place or 'the request'} is not what the interface says",
        expected=str(first.get("msg", "what /openapi.json says")),
        actual=repr(first.get("input"))[:_SHOWN],
        remedy="see /openapi.json",
    )


def _problem(
    status: int,
    code: str,
    detail: str,
    expected: object = None,
    actual: object = None,
    remedy: str = "",
) -> Problem:
    return Problem(
        type=f"urn:strongroom:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        expected=None if expected is None else str(expected),
        actual=None if actual is None else str(actual),
        remedy=remedy or None,
    )
