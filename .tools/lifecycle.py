"""Writes the lifecycle diagram and table into enclave/README.md from the code's own table.

`--check` writes nothing and fails if the README is not what would be written.
"""

import argparse
import sys
from pathlib import Path

from strongroom_enclave.init.lifecycle import ROUTES, Phase, Route
from strongroom_enclave.messages import Kind

__all__ = ["render"]

_README = Path(__file__).resolve().parent.parent / "enclave" / "README.md"
_BEGIN, _END = "<!-- lifecycle -->\n", "<!-- /lifecycle -->\n"


def render() -> str:
    """Returns the Mermaid diagram of every change of phase, and the table of what each answers."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> Booted"]
    for kind, route in ROUTES.items():
        for phase in route.phases:
            if route.success not in (None, phase):
                lines.append(f"    {_name(phase)} --> {_name(route.success)}: {Kind(kind).name}")
    lines += [f"    {_name(phase)} --> Halted: failure, death" for phase in Phase if phase != 4]
    lines += ["```", "", "| request | " + " | ".join(map(_name, Phase)) + " |"]
    lines.append("| --- " * (len(Phase) + 1) + "|")
    for kind, route in ROUTES.items():
        cells = (_cell(phase, route) for phase in Phase)
        lines.append(f"| `{Kind(kind).name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _name(phase: Phase | None) -> str:
    return phase.name.capitalize() if phase else ""


def _cell(phase: Phase, route: Route) -> str:
    if phase not in route.phases:
        return "refused"
    return "answered" if route.success in (None, phase) else f"→ {_name(route.success)}"


def main() -> int:
    """Updates or checks the README; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = _README.read_text()
    head, rest = text.split(_BEGIN)
    fresh = head + _BEGIN + render() + _END + rest.split(_END)[1]
    if parser.parse_args().check:
        if fresh != text:
            print(f"{_README}: lifecycle is stale; run .tools/lifecycle.py", file=sys.stderr)
        return int(fresh != text)
    _README.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
