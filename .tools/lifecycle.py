"""Writes the lifecycle diagram and table into enclave/README.md from the code's own table.

`--check` writes nothing and fails if the README is not what would be written.
"""

import argparse
import sys
from pathlib import Path

from strongroom_enclave.init.lifecycle import ROUTES, Phase

__all__ = ["render"]

_README = Path(__file__).resolve().parent.parent / "enclave" / "README.md"
_BEGIN, _END = "<!-- lifecycle -->\n", "<!-- /lifecycle -->\n"


def render() -> str:
    """Returns the Mermaid diagram of every change of phase, and the table of what each answers."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> Booted"]
    for (phase, kind), route in ROUTES.items():
        if route.ok is not phase:
            lines.append(f"    {_name(phase)} --> {_name(route.ok)}: {kind.name}")
    lines += [f"    {_name(phase)} --> Halted: failure, death" for phase in Phase if phase != 4]
    lines += ["```", "", "| request | " + " | ".join(map(_name, Phase)) + " |"]
    lines.append("| --- " * (len(Phase) + 1) + "|")
    for kind in dict.fromkeys(kind for _, kind in ROUTES):
        cells = (_cell(phase, ROUTES.get((phase, kind))) for phase in Phase)
        lines.append(f"| `{kind.name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _name(phase: Phase) -> str:
    return phase.name.capitalize()


def _cell(phase: Phase, route: object) -> str:
    if route is None:
        return "refused"
    ok = getattr(route, "ok", phase)
    return "answered" if ok is phase else f"→ {_name(ok)}"


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
