"""Run a CLOB testnet until SIGTERM, SIGINT or end of stdin.

Prints what there is when it is ready: text at a terminal, one line of JSON into a pipe.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strongroom_host.errors import HostError
from strongroom_host.testnet.config import default_config, load_config
from strongroom_host.testnet.server import Moves, TestnetServer
from strongroom_host.testnet.units import BASE

__all__ = ["main"]


def _stop_at_end_of_stdin(done: threading.Event) -> None:
    sys.stdin.read()
    done.set()


def _readable(ready: Mapping[str, Any]) -> str:
    """Returns the ready message for a person; a token is on a line of its own, to be copied."""
    lines = [
        f"The test venue runs at {ready['url']}, chain {ready['chain_id']}. Ctrl-C stops it.",
        f"  CA           {ready['ca']}",
        f"  admin token  {ready['admin_token']}",
    ]
    if ready["market_url"]:
        lines.append(f"  market data  {ready['market_url']}")
    for market in ready["markets"]:
        exchange = "v2-neg-risk" if market["neg_risk"] else "v2"
        lines.append(f"  market       {exchange}, tick {market['tick_size']}; tokens:")
        lines += [f"    {token}" for token in market["tokens"]]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Serve and say when ready; 0 after a clean stop, 2 for unusable input."""
    parser = argparse.ArgumentParser(prog="python -m strongroom_host.testnet", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="folder for CA and keys")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--chain", type=int, default=80002, help="137 or 80002")
    parser.add_argument("--config", type=Path, help="JSON; default: three seeded markets")
    parser.add_argument(
        "--faucet",
        type=int,
        default=0,
        metavar="PUSD",
        help="give every new EOA this much of everything (0: accounts must be registered)",
    )
    parser.add_argument(
        "--market-port",
        type=int,
        metavar="PORT",
        help="serve the market channel (WebSocket) as well; 0 picks a free port",
    )
    parser.add_argument("--move", type=int, metavar="SEED", help="let the house move its markets")
    parser.add_argument(
        "--move-every", type=float, default=0.1, metavar="S", help="seconds between its moves"
    )
    parser.add_argument(
        "--with-stdin", action="store_true", help="also stop when stdin closes (no orphan)"
    )
    options = parser.parse_args(arguments)
    done = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda _number, _frame: done.set())
    try:
        config = (
            load_config(options.config, options.chain)
            if options.config
            else default_config(options.chain, open_accounts=options.faucet * BASE)
        )
        server = TestnetServer(
            config,
            options.dir,
            port=options.port,
            market_port=options.market_port,
            moves=None if options.move is None else Moves(options.move, options.move_every),
        ).start()
    except (HostError, OSError) as error:
        detail = error.actual if isinstance(error, HostError) and error.actual else ""
        sys.stderr.write(f"testnet: {error}{': ' if detail else ''}{detail}\n")
        return error.exit_status if isinstance(error, HostError) else 2
    ready: dict[str, Any] = {
        "ready": True,
        "url": server.url,
        "port": server.port,
        "market_url": server.market_url,
        "chain_id": config.chain_id,
        "ca": str(server.ca_path),
        "admin_token": server.admin_token,
        "markets": [
            {
                "condition_id": market.condition_id,
                "tokens": [str(token) for token in market.tokens],
                "tick_size": market.tick_size,
                "neg_risk": market.neg_risk,
            }
            for market in config.markets
        ],
    }
    sys.stdout.write(_readable(ready) if sys.stdout.isatty() else json.dumps(ready) + "\n")
    sys.stdout.flush()
    if options.with_stdin:
        threading.Thread(target=_stop_at_end_of_stdin, args=(done,), daemon=True).start()
    done.wait()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
