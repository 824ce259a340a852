"""Hosts and ports as people write them."""

from __future__ import annotations

import re
from typing import Final

from strongroom_host.relay.errors import AddressRefused

__all__ = ["parse_address", "show_address"]

_HOST: Final = re.compile(r"[0-9a-z](?:[0-9a-z._-]{0,253}[0-9a-z])?|[0-9a-f:.]{2,45}")


def parse_address(
    text: str, *, default_port: int | None = None, any_port: bool = False
) -> tuple[str, int]:
    """Host (lower case) and port of ``HOST:PORT``; an IPv6 address stands in brackets.

    Args:
        text: What was written.
        default_port: Taken where no port is written; without it there has to be one.
        any_port: Whether port 0 may be written, for any that is free.

    Raises:
        AddressRefused: another shape.
    """
    bracketed = text.startswith("[")
    if default_port is not None and (text.endswith("]") if bracketed else ":" not in text):
        text = f"{text}:{default_port}"
    host, _, port = text.rpartition(":")
    name = host.lower().removeprefix("[").removesuffix("]")
    usable = (":" in name) is bracketed and host.endswith("]") is bracketed
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else -1
    if not usable or not _HOST.fullmatch(name) or not (not any_port) <= number < 1 << 16:
        raise AddressRefused(
            f"{text[:80]!r} is not an address",
            expected="HOST:PORT, [IPv6]:PORT" + ("; port 0 takes a free one" if any_port else ""),
        )
    return name, number


def show_address(host: str, port: int) -> str:
    """``HOST:PORT``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
