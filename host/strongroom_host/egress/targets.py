"""Where the proxy may connect to: the CONNECT request line, the allow-list, address classes.

Sans-I/O. The enclave verifies TLS end to end, so a wrong destination cannot harm it; the
allow-list and the refusal of private addresses protect the operator's own network from whatever
speaks to the proxy's socket.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom_host.errors import BadInput

__all__ = [
    "MAX_HEAD",
    "InvalidTarget",
    "MalformedConnect",
    "MethodRefused",
    "Place",
    "Target",
    "parse_connect",
    "parse_target",
    "public_address",
    "targets",
]

MAX_HEAD: Final = 8 * 1024
"""Bytes of request line and headers that are read at most."""

Place = tuple[str, int] | Path
"""Where a mapped destination leads: a TCP address, or a Unix socket of this machine."""

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_REQUEST_LINE: Final = re.compile(rb"([!-~]{1,32}) ([!-~]{1,300}) HTTP/1\.[01]")
_HEADER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


class InvalidTarget(BadInput):
    """A configured or requested destination is not ``host:port``."""


class MalformedConnect(BadInput):
    """The bytes before the first empty line are no HTTP/1 request head."""


class MethodRefused(BadInput):
    """A well-formed request, but not CONNECT: this proxy forwards bytes, never requests."""


@dataclass(frozen=True, slots=True)
class Target:
    """A destination: lower-case DNS name or canonical IP address, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_target(text: str) -> Target:
    """The destination that ``host:port`` or ``[v6]:port`` names.

    Raises:
        InvalidTarget: no port from 1 to 65535, or neither a DNS name nor an address.
    """
    host, colon, port = text.rpartition(":")
    if not (colon and port.isascii() and port.isdecimal() and len(port) <= 5):
        raise InvalidTarget("a destination is host:port", actual=text)
    if not 1 <= int(port) <= 65535:
        raise InvalidTarget("a port lies between 1 and 65535", actual=text)
    host = host.lower().removesuffix(".")
    if host.startswith("[") and host.endswith("]") and "%" not in host:
        try:
            return Target(str(ipaddress.IPv6Address(host[1:-1])), int(port))
        except ValueError as error:
            raise InvalidTarget("not an IPv6 address", actual=text) from error
    if len(host) > 253 or _NAME.fullmatch(host) is None:
        raise InvalidTarget("not a DNS name or address", actual=text)
    if re.fullmatch(r"[0-9.]+", host):
        try:
            return Target(str(ipaddress.IPv4Address(host)), int(port))
        except ValueError as error:
            # "127.1" and "2130706433" are addresses to some resolvers.
            raise InvalidTarget("not an IPv4 address", actual=text) from error
    return Target(host, int(port))


def targets(
    allow: Iterable[str], mapping: Mapping[str, Place]
) -> tuple[frozenset[Target], dict[Target, Place]]:
    """The parsed allow-list and mapping; mapped destinations are allowed by being mapped.

    Raises:
        InvalidTarget: an entry is not ``host:port``.
    """
    mapped = {parse_target(text): place for text, place in mapping.items()}
    return frozenset(parse_target(text) for text in allow) | frozenset(mapped), mapped


def parse_connect(head: bytes) -> Target:
    """The destination of a CONNECT request head (through its empty line).

    Raises:
        MalformedConnect: not a request head in HTTP/1 syntax.
        MethodRefused: another method.
        InvalidTarget: the request target is not ``host:port``.
    """
    if not head.endswith(b"\r\n\r\n") or len(head) > MAX_HEAD:
        raise MalformedConnect("no complete request head")
    line, *fields = head[:-4].split(b"\r\n")
    request = _REQUEST_LINE.fullmatch(line)
    if request is None or any(_HEADER.fullmatch(field) is None for field in fields):
        raise MalformedConnect("not HTTP/1 syntax", actual=line[:80])
    if request[1] != b"CONNECT":
        raise MethodRefused("only CONNECT is served", actual=request[1].decode())
    return parse_target(request[2].decode("ascii"))


def public_address(address: str) -> bool:
    """Whether an IP address belongs to the public internet (not loopback, private, link-local)."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_global and not parsed.is_multicast
