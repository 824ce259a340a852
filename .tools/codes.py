"""Writes the troubleshooting table into README.md from the CLI's own explanations.

`--check` writes nothing and fails if the README is not what would be written.
"""

import argparse
import sys
from pathlib import Path

from strongroom_host.cli.explain import markdown_table

__all__ = ["main"]

_README = Path(__file__).resolve().parent.parent / "README.md"
_BEGIN, _END = "<!-- codes -->\n", "<!-- /codes -->\n"


def main() -> int:
    """Updates or checks the README; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = _README.read_text()
    head, rest = text.split(_BEGIN)
    fresh = f"{head}{_BEGIN}\n{markdown_table().strip()}\n\n{_END}{rest.split(_END)[1]}"
    if parser.parse_args().check:
        if fresh != text:
            sys.stderr.write("README.md: the table of codes is stale; run .tools/codes.py\n")
        return int(fresh != text)
    _README.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
