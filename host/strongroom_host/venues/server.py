"""The venues as a server: TLS on a loopback socket, in a thread of this process."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Sequence
from pathlib import Path

from starlette.types import ASGIApp

from strongroom_host.testnet.certificates import issued_or_kept
from strongroom_host.testnet.faults import Connections
from strongroom_host.testnet.serving import LoopbackServer
from strongroom_host.venues.app import ADMIN_HOST, build_app
from strongroom_host.venues.faults import Faults
from strongroom_host.venues.venue import Venue
from strongroom_host.venues.world import VenueClock, World

__all__ = ["VenuesServer"]


class VenuesServer(LoopbackServer):
    """All venues on one port; the certificate covers every name they answer to.

    `folder` receives the CA certificate and the server's key. Use it as a context manager, or call
    `start` and `stop`. `mapping` is what a CONNECT proxy needs to lead the real names here.
    """

    def __init__(
        self,
        world: World,
        venues: Sequence[Venue],
        folder: Path,
        *,
        clock: VenueClock,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.world, self.venues, self.clock = world, venues, clock
        self.faults = Faults()
        self.admin_token = secrets.token_urlsafe(24)
        self.names = tuple(name for venue in venues for name in venue.hosts)
        folder.mkdir(parents=True, exist_ok=True)
        now = datetime.datetime.now(datetime.UTC)
        certificate = issued_or_kept(folder, (*self.names, ADMIN_HOST), now)
        super().__init__("venues", certificate, Connections(), host, port)

    @property
    def ca_path(self) -> Path:
        """The certificate that clients must trust."""
        return self._certificate.ca

    @property
    def mapping(self) -> dict[str, tuple[str, int]]:
        """Where each ``name:443`` is to be found instead; valid once started."""
        return {f"{name}:443": (self.host, self.port) for name in (*self.names, ADMIN_HOST)}

    def _app(self) -> ASGIApp:
        return build_app(
            self.world, self.venues, self.faults, self.clock, self._connections, self.admin_token
        )
