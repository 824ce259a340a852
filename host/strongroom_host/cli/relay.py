"""`strongroom relay`: signed requests over UDP to a process beside the venue.

Both sides need one pre-shared key: RELAY_PSK_HEX, or a file that only its owner can read.
"""

import gc
import json
import math
import os
import secrets
import signal
import sys
import time
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer

from strongroom_host.cli.orphans import end_with_stdin
from strongroom_host.cli.output import print_json, say, warn
from strongroom_host.errors import BadInput
from strongroom_host.pins import PinSet, pinned_context, verifying_context
from strongroom_host.private_files import read_private, write_private
from strongroom_host.relay import ClientLimits, RelayClient
from strongroom_host.relay.addresses import parse_address, show_address
from strongroom_host.relay.core import CoreLimits
from strongroom_host.relay.counters import prometheus
from strongroom_host.relay.dialing import Venue
from strongroom_host.relay.keys import MIN_PSK, PskRefused, fingerprint, parse_psk
from strongroom_host.relay.reasons import WORDS, Reason
from strongroom_host.relay.server import Relay, RelayLimits
from strongroom_host.relay.upstream import PoolLimits

__all__ = ["VARIABLE", "app", "read_psk"]

VARIABLE: Final = "RELAY_PSK_HEX"
_PORT: Final = 7760
_SWITCH_S: Final = 0.0005

app = typer.Typer(
    name="relay",
    help="Send signed requests to a venue over UDP, by a process that stands beside it.",
    no_args_is_help=True,
)

PskFileOption = Annotated[
    Path | None,
    typer.Option(
        "--psk-file",
        metavar="FILE",
        help=f"The pre-shared key in hex, in a file of mode 0600 (default: ${VARIABLE}).",
        show_default=False,
    ),
]
AddressArgument = Annotated[
    str, typer.Argument(metavar="ADDRESS:PORT", help="Where the relay listens.")
]
WithStdinOption = Annotated[
    bool, typer.Option("--with-stdin", help="Also stop when stdin closes (no orphan).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def read_psk(file: Path | None) -> bytes:
    """The pre-shared key of this process: from `file`, or from the environment.

    Raises:
        PskRefused: there is none, or none that anybody should use.
        FileExposed: others can read the file.
    """
    if file is not None:
        text = read_private(file.expanduser()).decode("ascii", "replace")
        return parse_psk(text, str(file))
    held = os.environ.get(VARIABLE)
    if held is None:
        raise PskRefused(
            "there is no pre-shared key",
            expected=f"{VARIABLE} in the environment, or --psk-file FILE",
            remedy="make one with `strongroom relay psk --out FILE`, and give it to both sides",
        )
    return parse_psk(held, VARIABLE)


@app.command()
def run(
    listen: Annotated[
        str,
        typer.Option(
            "--listen", metavar="ADDRESS:PORT", help="UDP address; port 0 takes a free one."
        ),
    ] = f"127.0.0.1:{_PORT}",
    upstream: Annotated[
        str,
        typer.Option("--upstream", metavar="HOST[:PORT]", help="The venue, as its certificate."),
    ] = "clob.polymarket.com:443",
    dial: Annotated[
        list[str] | None,
        typer.Option(
            "--dial",
            metavar="ADDRESS:PORT",
            help="Connect here instead, the first that works. Repeatable.",
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option("--ca", metavar="PEM", help="Trust these roots alone (a local venue's)."),
    ] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(
            "--pin",
            metavar="sha256/...",
            help="A key that the venue's chain may have (`strongroom feed pins`). Repeatable.",
        ),
    ] = None,
    psk_file: PskFileOption = None,
    connections: Annotated[
        int, typer.Option("--connections", min=1, max=64, help="How many stand ready.")
    ] = 4,
    sessions: Annotated[
        int, typer.Option("--sessions", min=1, max=4096, help="Clients at a time.")
    ] = 64,
    no_v1: Annotated[
        bool, typer.Option("--no-v1", help="Take no v1 frames: they are not encrypted.")
    ] = False,
    v1_memory: Annotated[
        int,
        typer.Option(
            "--v1-memory", min=1024, max=1 << 24, help="How many v1 frames are remembered at most."
        ),
    ] = 131_072,
    probe_path: Annotated[
        str, typer.Option("--probe-path", help="What idle connections are asked for.")
    ] = "/ok",
    busy_poll: Annotated[
        bool, typer.Option("--busy-poll", help="Never sleep: faster, and takes a core.")
    ] = False,
    awake_us: Annotated[
        int,
        typer.Option(
            "--awake-us", min=0, max=1_000_000, help="How long to poll after a packet, then sleep."
        ),
    ] = 2_000,
    with_stdin: WithStdinOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready, one at the end.")
    ] = False,
) -> None:
    """Forward requests until SIGINT or SIGTERM; SIGUSR1 prints the counters on stderr."""
    psk = read_psk(psk_file)
    host, port = parse_address(upstream, default_port=443)
    context = verifying_context(ca)
    if pin:
        context = pinned_context(PinSet.of(host, pin), cafile=ca)
    else:
        warn(f"{host} is verified, but not pinned: name its keys with --pin")
    venue = Venue(host, port, context, [parse_address(text) for text in dial or []])
    limits = RelayLimits(
        core=CoreLimits(sessions=sessions, v1=not no_v1, v1_memory=v1_memory),
        pool=PoolLimits(connections=connections),
        probe_path=_checked_path(probe_path),
        awake_s=math.inf if busy_poll else awake_us / 1e6,
    )
    # The thread that connects must not hold up the one that carries orders.
    sys.setswitchinterval(_SWITCH_S)
    with Relay(psk, venue, parse_address(listen, any_port=True), log=_log, limits=limits) as relay:
        _handle_signals(relay)
        if with_stdin:
            end_with_stdin()
        # What passes through makes no cycles (tests/hostile/test_relay_floods.py), and looking for
        # them among a hundred thousand messages would hold an order up for milliseconds.
        gc.collect()
        gc.disable()
        relay.run(lambda: _ready(relay, psk, show_address(host, port), as_json=as_json))
        _stopped(relay, as_json=as_json)


@app.command()
def probe(
    address: AddressArgument,
    psk_file: PskFileOption = None,
    times: Annotated[int, typer.Option("--times", min=1, max=1000, help="Round trips.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Open a session, and measure the way to a relay and back. Nothing goes to the venue."""
    with _client(address, read_psk(psk_file)) as client:
        before_ns = time.perf_counter_ns()
        client.open()
        opened_ms = (time.perf_counter_ns() - before_ns) / 1e6
        trips = sorted(client.ping() for _ in range(times))
        clock = client.wall_difference_s
        found = {
            "address": address,
            "boot": "" if client.boot is None else client.boot.hex(),
            "opened_ms": round(opened_ms, 3),
            "round_trip_ms": {
                "least": round(trips[0] * 1e3, 3),
                "median": round(trips[len(trips) // 2] * 1e3, 3),
                "most": round(trips[-1] * 1e3, 3),
            },
            "relay_clock_ahead_s": None if clock is None else round(clock, 3),
        }
    if as_json:
        print_json(found)
        return
    say(f"the relay at {address} answers, and has the same key")
    say(f"  session    opened in {found['opened_ms']} ms, boot {found['boot']}")
    least, median, most = (trips[at] * 1e3 for at in (0, len(trips) // 2, -1))
    say(f"  round trip {least:.3f} ms at least, {median:.3f} median, {most:.3f} at most")
    if clock is not None:
        where = "ahead of" if clock >= 0 else "behind"
        say(f"  clock      {abs(clock):.3f} s {where} this one (v1 alone needs them to agree)")
        if abs(clock) > 1:
            warn(WORDS[Reason.V1_STALE].remedy)


@app.command()
def status(
    address: AddressArgument,
    psk_file: PskFileOption = None,
    as_json: JsonOption = False,
    as_prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print Prometheus's text format.")
    ] = False,
) -> None:
    """Show a relay's counters, and what to do about each kind of refusal."""
    with _client(address, read_psk(psk_file)) as client:
        told = json.loads(client.status())
    if as_json:
        print_json(told)
        return
    if as_prometheus:
        typer.echo(prometheus(told), nl=False)
        return
    say(f"boot {told['boot']}: {told['sessions']} sessions, {told['deposits']} deposits")
    for name, value in told["events"].items():
        say(f"{value:>12}  {name}")
    for name, value in told["refused"].items():
        words = WORDS[Reason[name.upper()]]
        say(f"{value:>12}  {name}: {words.meaning}\n              do: {words.remedy}")


@app.command()
def psk(
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write it there (mode 0600), show nothing."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Make none: show the fingerprint of the one that is set."),
    ] = False,
    psk_file: PskFileOption = None,
) -> None:
    """Make a pre-shared key for relay and clients, or name the one that is set."""
    if check:
        if out is not None:
            raise BadInput("--check makes no key", expected="--check, or --out")
        say(fingerprint(read_psk(psk_file)))
        return
    key = secrets.token_bytes(MIN_PSK)
    if out is None:
        typer.echo(key.hex())
        return
    write_private(out.expanduser(), key.hex().encode() + b"\n")
    say(f"fingerprint {fingerprint(key)}")


class _Numbers:
    """Packet numbers for a client that lives once: the session's salts are its own."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def next(self) -> int:
        return next(self._numbers)


def _client(address: str, key: bytes) -> RelayClient:
    limits = ClientLimits(handshake_s=3)
    return RelayClient(parse_address(address), key, _Numbers(), host="-", limits=limits)


def _checked_path(path: str) -> str:
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        raise BadInput(f"{path!r} is no path", expected="one such as /ok")
    return path


def _handle_signals(relay: Relay) -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        relay.stop()

    def tell(_number: int, _frame: FrameType | None) -> None:
        _log(json.dumps(relay.counters.named()))

    signal.signal(signal.SIGUSR1, tell)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _log(line: str) -> None:
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in line)
    sys.stderr.write(shown + "\n")
    sys.stderr.flush()


def _ready(relay: Relay, key: bytes, upstream: str, *, as_json: bool) -> None:
    shown = show_address(*relay.address)
    if as_json:
        told = {"ready": True, "address": shown, "upstream": upstream}
        typer.echo(json.dumps({**told, "key": fingerprint(key), "boot": relay.boot.name.hex()}))
    else:
        say(f"takes requests for {upstream} at {shown} (UDP), key {fingerprint(key)}")
    sys.stdout.flush()


def _stopped(relay: Relay, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"stopped": True, **relay.counters.named()}))
        return
    counters = relay.counters
    say(f"Stopped. {counters.taken} datagrams taken, {counters.refused} refused.")
