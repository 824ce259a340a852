"""The gateway on sockets until it is told to stop, and where it may listen at all."""

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette

from strongroom_host.errors import BadInput
from strongroom_host.gateway.errors import UnsafeAddress
from strongroom_host.log.serving import NotServing

__all__ = ["Server", "require_safe", "tls"]

_START_S: Final = 20.0
_MAX_CONNECTIONS: Final = 256
_MAX_HEADERS: Final = 16 * 1024
_GRACE_S: Final = 10


class Server:
    """Serves an application in a thread; a context manager. `proxies` are the addresses whose
    X-Forwarded-For is believed: nobody's by default, since whoever is believed is not limited.

    Raises:
        NotServing: it did not start.
    """

    def __init__(
        self,
        app: Starlette,
        listener: socket.socket,
        *,
        context: ssl.SSLContext | None = None,
        proxies: Sequence[str] = (),
    ) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http="h11",
                loop="asyncio",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=True,
                proxy_headers=bool(proxies),
                forwarded_allow_ips=list(proxies),
                limit_concurrency=_MAX_CONNECTIONS,
                h11_max_incomplete_event_size=_MAX_HEADERS,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=_GRACE_S,
                ssl_context_factory=None if context is None else lambda _config, _default: context,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="gateway", daemon=True
        )

    def __enter__(self) -> "Server":
        self._thread.start()
        until = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                self.__exit__()
                raise NotServing("the gateway did not start")
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(_GRACE_S + _START_S)

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()


def require_safe(host: str, *, encrypted: bool, behind_proxy: bool) -> None:
    """Proves that no key crosses a network in the clear.

    Raises:
        UnsafeAddress: others can reach `host`, without TLS and without a proxy that has it.
    """
    try:
        local = ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not (local or encrypted or behind_proxy):
        raise UnsafeAddress(
            f"{host} can be reached from elsewhere, and keys would go there in the clear",
            expected="a certificate, an address of this machine's own, or a proxy that ends TLS",
            remedy="--tls-cert and --tls-key, or --proxy with the proxy's address",
        )


def tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """Returns a server's TLS, 1.2 or newer.

    Raises:
        BadInput: the files are none of that.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise BadInput(
            f"{certificate} and {key} are no certificate and its key", actual=error
        ) from error
    return context
