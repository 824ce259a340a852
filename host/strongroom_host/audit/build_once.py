"""One build from scratch, as a process: a job on standard input, its outcome in a file.

Run by path, with the folder of the recipe that is to be used in PYTHONPATH, so it imports nothing
of ours but that recipe.
"""

import json
import sys
from pathlib import Path

__all__: list[str] = []


def main() -> int:
    """Builds what the job says; the exit status is that of the recipe's error, or 0."""
    job = json.load(sys.stdin)
    from strongroom_eif.recipe.assemble import build_image
    from strongroom_eif.recipe.errors import RecipeError
    from strongroom_eif.recipe.pins import Pins
    from strongroom_eif.recipe.store import Store, mirrors

    source = Path(job["source"])
    if not Path(sys.modules[build_image.__module__].__file__ or "").is_relative_to(source):
        raise SystemExit("the recipe is not the one of the copied source")
    status = 0
    outcome: dict[str, object]
    try:
        pins = Pins.load(source / "reproducible-build" / "pins")
        store = Store(
            Path(job["cache"]),
            [Path(path) for path in job["inputs"]],
            mirrors(pins),
            _say,
            job["offline"],
        )
        work, output = Path(job["work"]), Path(job["output"])
        built = build_image(store, pins, source, fresh=True, work=work, output=output)
        outcome = {
            "image": str(built.image),
            "record": str(built.record),
            "sbom": str(built.sbom),
        }
    except RecipeError as error:
        status = error.exit_status
        outcome = {
            "code": error.code,
            "status": status,
            "what": error.what,
            "expected": None if error.expected is None else str(error.expected),
            "actual": None if error.actual is None else str(error.actual),
            "remedy": error.remedy,
            "tail": getattr(error, "tail", ""),
        }
    Path(job["result"]).write_text(json.dumps(outcome), encoding="utf-8")
    return status


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
