"""Make the environment of quantstats, with which the metrics' tests compare: build/quantstats.

quantstats (Apache-2.0) brings pandas, scipy, matplotlib and a client for market data; in the
development lock that would be thirty packages more for one comparison.

    .tools/metrics_peer.py
"""

import sys

from apart import ROOT, make

__all__ = ["main"]


def main() -> int:
    """Make it, unless it is there; return the exit status."""
    lock = ROOT / "tests/host/metrics/quantstats.lock"
    return make("quantstats", ROOT / "build/quantstats", lock)


if __name__ == "__main__":
    sys.exit(main())
