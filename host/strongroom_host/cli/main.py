"""Entry point of the `strongroom` command; imports nothing that may be missing.

A missing package must be a message too, so everything else is imported under a guard.
"""

import sys
from typing import NoReturn

__all__ = ["main"]

_SUPPORTED = ((3, 11), (3, 12), (3, 13))


def main() -> None:
    """Runs the command line and exits with its status."""
    if sys.version_info[:2] not in _SUPPORTED:
        _fail("Python 3.11 to 3.13 is needed, not " + sys.version.split()[0])
    try:
        from strongroom_host.cli.app import run

        run()  # names what is missing itself, unless that is needed to say so
    except ModuleNotFoundError as error:
        _fail(
            f"the Python package {error.name!r} is missing\n"
            "  do       run `make env`, or install what requirements.lock names"
        )


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"error: {message}\n")
    sys.exit(5)


if __name__ == "__main__":
    main()
