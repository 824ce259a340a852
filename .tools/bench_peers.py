"""Make the environment of aiohttp, which the feeds are measured beside: build/bench-peers.

aiohttp (Apache-2.0) is overridden away in the development lock: ccxt asks for it, nothing uses it.

    .tools/bench_peers.py
"""

import sys

from apart import ROOT, make

__all__ = ["main"]


def main() -> int:
    """Make it, unless it is there; return the exit status."""
    lock = ROOT / "tests/bench/peers.lock"
    return make("bench peers", ROOT / "build/bench-peers", lock)


if __name__ == "__main__":
    sys.exit(main())
