"""Where a feed's venue is, and how it is known to be the venue."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from strongroom_host.feeds.errors import BadFeed
from strongroom_host.pins import PinSet, pinned_context, verifying_context

__all__ = ["Endpoint"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A WebSocket URL and what its peer has to prove.

    Attributes:
        url: ``wss://``; ``ws://`` only to a loopback address.
        pins: Keys the peer may have, beyond a certificate that verifies; None asks for no more.
        cafile: The only roots that count, in the place of the system's.
        address: Where to dial instead, for a test venue that goes by another's name.

    Raises:
        BadFeed: another scheme, no host, plain text to elsewhere, pins without TLS.
    """

    url: str
    pins: PinSet | None = None
    cafile: Path | None = None
    address: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            host = parts.hostname or ""
            _ = parts.port
        except ValueError as error:
            raise BadFeed("not a URL", actual=self.url[:200]) from error
        if parts.scheme not in ("wss", "ws") or not host:
            raise BadFeed("not a WebSocket URL", expected="wss://HOST/PATH", actual=self.url[:200])
        if parts.scheme == "ws":
            if not _loopback(host):
                raise BadFeed(
                    "plain text over a network is no market data",
                    expected="wss://, or ws:// to 127.0.0.1 or [::1]",
                    actual=self.url[:200],
                )
            if self.pins is not None or self.cafile is not None:
                raise BadFeed("pins and roots are of TLS", expected="wss://", actual=self.url[:200])
        if self.pins is not None and self.pins.host.lower() != host:
            raise BadFeed("the pins are another host's", expected=host, actual=self.pins.host)

    @property
    def host(self) -> str:
        """The name that the certificate must prove."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port of the URL."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "wss" else 80)

    @property
    def secure(self) -> bool:
        """Whether it is TLS."""
        return self.url.startswith("wss:")

    def context(self) -> ssl.SSLContext | None:
        """The TLS context to connect with; None for plain text.

        Raises:
            BadPin: the file of roots cannot be read.
        """
        if not self.secure:
            return None
        if self.pins is None:
            return verifying_context(self.cafile)
        return pinned_context(self.pins, cafile=self.cafile)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
