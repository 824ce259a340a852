"""Writes the troubleshooting tables into README.md from the CLI's own explanations.

`--check` writes nothing and fails if the README is not what would be written.
"""

import argparse
import sys
from pathlib import Path

from strongroom_host.cli.explain import markdown_table
from strongroom_host.cli.log_words import log_table

__all__ = ["main"]

_README = Path(__file__).resolve().parent.parent / "README.md"
_TABLES = {"codes": markdown_table, "log": log_table}


def main() -> int:
    """Updates or checks the README; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = fresh = _README.read_text()
    for name, table in _TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
        head, rest = fresh.split(begin)
        fresh = f"{head}{begin}\n{table().strip()}\n\n{end}{rest.split(end)[1]}"
    if parser.parse_args().check:
        if fresh != text:
            sys.stderr.write("README.md: a table of codes is stale; run .tools/codes.py\n")
        return int(fresh != text)
    _README.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
