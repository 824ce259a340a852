"""`strongroom feed pins`: the keys that a host shows now, as pins to write into a configuration."""

import socket
import ssl
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from strongroom_host.cli.output import print_json, say, table
from strongroom_host.errors import EnvironmentFault
from strongroom_host.feeds.config import parse_address
from strongroom_host.pins import Chain, pin_of, pin_text, verified_chain, verifying_context

__all__ = ["pins", "shown_chain"]

_TIMEOUT_S = 10.0


class HostUnreachable(EnvironmentFault):
    """No verified TLS connection to the host."""


def pins(
    host: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="Whose keys; port 443.")],
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The only roots that count.")
    ] = None,
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to dial in its place.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Print the pins of a host's certificates: leaf, intermediates, trust anchor.

    It shows what the host has today, over the network that you are on now: compare from elsewhere
    before you rely on it. Pin the leaf's key and a key to follow, or an intermediate's.
    """
    name, port = parse_address(host) if ":" in host else (host, 443)
    chain = shown_chain(name, port, ca, parse_address(address) if address else None)
    rows = [(*_described(der), pin_text(pin_of(der))) for der in chain.certificates]
    if as_json:
        keys = ("subject", "until", "pin")
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    table(f"keys of {name}", ["certificate", "valid until"], [row[:2] for row in rows])
    for row in rows:
        say(f"  {row[2]}")
    if not chain.whole:
        say("This Python tells of the leaf alone; 3.13 shows the whole chain.")
    quoted = ", ".join(f'"{row[2]}"' for row in rows[:2])
    say(f"pins = [{quoted}]")


def shown_chain(
    name: str, port: int, cafile: Path | None, address: tuple[str, int] | None
) -> Chain:
    """The chain of a verified connection.

    Raises:
        HostUnreachable: there is no such connection.
        BadPin: the file of roots cannot be read.
    """
    context = verifying_context(cafile)
    try:
        with (
            socket.create_connection(address or (name, port), timeout=_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=name) as tls,
        ):
            return verified_chain(tls)
    except ssl.SSLCertVerificationError as error:
        raise HostUnreachable(
            f"{name} did not prove its name",
            expected="a certificate for it under a trusted root",
            actual=error.verify_message,
            remedy="a test venue's root is named with --ca (in the feeds' file: cafile); otherwise"
            " somebody may be in between",
        ) from error
    except OSError as error:
        raise HostUnreachable(
            f"no TLS connection to {name}:{port}",
            actual=error,
            remedy="check name, port, network and firewall",
        ) from error


def _described(der: bytes) -> tuple[str, str]:
    certificate = x509.load_der_x509_certificate(der)
    until = certificate.not_valid_after_utc.date().isoformat()
    return certificate.subject.rfc4514_string() or "(no subject)", until
