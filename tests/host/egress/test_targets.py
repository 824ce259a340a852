"""Parsing of destinations and request heads: what is taken, and what never is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.egress.targets import (
    MAX_HEAD,
    InvalidTarget,
    MalformedConnect,
    MethodRefused,
    Target,
    parse_connect,
    parse_target,
    public_address,
)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("clob.polymarket.com:443", Target("clob.polymarket.com", 443)),
        ("CLOB.Polymarket.COM.:443", Target("clob.polymarket.com", 443)),
        ("localhost:1", Target("localhost", 1)),
        ("127.0.0.1:65535", Target("127.0.0.1", 65535)),
        ("[::1]:443", Target("::1", 443)),
        ("[0:0:0:0:0:0:0:1]:443", Target("::1", 443)),
        ("xn--bcher-kva.example:443", Target("xn--bcher-kva.example", 443)),
    ],
)
def test_destinations(text: str, target: Target) -> None:
    assert parse_target(text) == target
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":443",
        "host:0",
        "host:65536",
        "host:443443",
        "host:+443",
        "host:4\u06613",
        "host:443 ",
        " host:443",
        "ho st:443",
        "ho/st:443",
        "user@host:443",
        "-host:443",
        "host-:443",
        "a..b:443",
        ".a:443",
        "h\u00f6st:443",
        "a" * 64 + ":443",
        ".".join(["a" * 60] * 5) + ":443",
        "::1:443",
        "[::1:443",
        "[::g]:443",
        "[::1%eth0]:443",
        "127.1:443",
        "2130706433:443",
        "127.0.0.256:443",
        "0177.0.0.1:443",
    ],
)
def test_texts_that_are_no_destination(text: str) -> None:
    with pytest.raises(InvalidTarget):
        parse_target(text)


GOOD = b"CONNECT clob.polymarket.com:443 HTTP/1.1\r\nHost: clob.polymarket.com:443\r\n\r\n"


def test_a_connect_request() -> None:
    assert parse_connect(GOOD) == Target("clob.polymarket.com", 443)
    assert parse_connect(b"CONNECT a.b:1 HTTP/1.0\r\n\r\n") == Target("a.b", 1)


@pytest.mark.parametrize("method", [b"GET", b"connect", b"CONNECTX", b"POST"])
def test_other_methods(method: bytes) -> None:
    with pytest.raises(MethodRefused):
        parse_connect(GOOD.replace(b"CONNECT", method))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\r\n\r\n",
        GOOD[:-2],
        GOOD.replace(b"HTTP/1.1", b"HTTP/2"),
        GOOD.replace(b"HTTP/1.1", b"HTTP/1.1 "),
        GOOD.replace(b" HTTP", b"  HTTP"),
        GOOD.replace(b"Host:", b"Host :"),
        GOOD.replace(b"Host:", b" Host:"),
        GOOD.replace(b"Host: ", b"Host: \x00"),
        GOOD.replace(b"\r\nHost", b"\nHost"),
        GOOD.replace(b"Host", b"X" * MAX_HEAD),
    ],
)
def test_heads_that_are_none(head: bytes) -> None:
    with pytest.raises(MalformedConnect):
        parse_connect(head)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(noise: bytes) -> None:
    for head in (noise, b"CONNECT " + noise + b" HTTP/1.1\r\n\r\n", noise + b"\r\n\r\n"):
        try:
            target = parse_connect(head)
        except (MalformedConnect, MethodRefused, InvalidTarget):
            continue
        assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.1.1", False),
        ("172.16.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104  # an address to classify, not to bind
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:1.1.1.1", True),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert public_address(address) is public
