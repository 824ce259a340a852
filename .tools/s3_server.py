"""Make the environment of the S3 server that the archive's tests talk to: build/s3-server.

That server (localstack-core, Apache-2.0) enforces Object Lock as S3 does: deletion, shortening,
downgrading and legal holds, over HTTP. It does not check credentials.

    .tools/s3_server.py
"""

import sys

from apart import ROOT, make

__all__ = ["main"]


def main() -> int:
    """Make it, unless it is there; return the exit status."""
    lock = ROOT / "tests/host/archive/s3-server.lock"
    return make("the S3 server of the tests", ROOT / "build/s3-server", lock)


if __name__ == "__main__":
    sys.exit(main())
