"""The ASGI application: every endpoint group over one `Clob`, behind the fault injector."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from strongroom_host.testnet.admin_api import AdminApi
from strongroom_host.testnet.clob import Clob
from strongroom_host.testnet.endpoints import json_response
from strongroom_host.testnet.faults import Connections, FaultInjector, Faults
from strongroom_host.testnet.public_api import PublicApi
from strongroom_host.testnet.relayer_api import RelayerApi
from strongroom_host.testnet.trading_api import TradingApi

__all__ = ["build_app"]


async def _not_found(_request: Request, _error: Exception) -> Response:
    return json_response({"error": "not found"}, status=404)


async def _wrong_method(_request: Request, _error: Exception) -> Response:
    return json_response({"error": "method not allowed"}, status=405)


def build_app(clob: Clob, faults: Faults, connections: Connections, admin_token: str) -> Starlette:
    """The venue as an ASGI application."""
    return Starlette(
        routes=[
            *PublicApi(clob).routes(),
            *TradingApi(clob).routes(),
            *RelayerApi(clob).routes(),
            *AdminApi(clob, faults, admin_token).routes(),
        ],
        middleware=[Middleware(FaultInjector, faults=faults, connections=connections)],
        exception_handlers={404: _not_found, 405: _wrong_method},
    )
