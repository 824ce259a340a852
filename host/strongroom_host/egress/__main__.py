"""``python -m strongroom_host.egress``: run the proxy until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from strongroom_host.egress.proxy import EgressProxy
from strongroom_host.egress.targets import parse_target
from strongroom_host.errors import HostError

__all__ = ["main"]


async def _run(proxy: EgressProxy, ready: dict[str, object]) -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    async with proxy:
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await done.wait()
    sys.stdout.write(json.dumps({"counts": dict(proxy.counts)}) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Serve; print a ready line, and the counts at the end."""
    parser = argparse.ArgumentParser(prog="strongroom_host.egress", description=__doc__)
    parser.add_argument("--unix", type=Path, required=True, metavar="PATH")
    parser.add_argument("--allow", action="append", default=[], metavar="HOST:PORT")
    parser.add_argument(
        "--map", action="append", default=[], metavar="HOST:PORT=ADDRESS:PORT", dest="mapped"
    )
    options = parser.parse_args(arguments)
    try:
        mapping: dict[str, tuple[str, int]] = {}
        for text in options.mapped:
            name, _, place = text.partition("=")
            target = parse_target(place)
            mapping[name] = (target.host, target.port)
        proxy = EgressProxy(options.allow, unix_path=options.unix, mapping=mapping)
        asyncio.run(_run(proxy, {"ready": True, "unix": str(options.unix)}))
    except HostError as error:
        detail = f": {error.actual}" if error.actual else ""
        sys.stderr.write(f"egress: {error}{detail}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
