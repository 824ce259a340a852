"""Choose the image's wheels among those that its lock allows (part of `make lock` and `make pins`).

The lock names every file of a release. pip picks the one for the image's Python and processor, here
and not at build time, so that an index or a version of pip has no say in a build.

    .tools/wheel_pins.py            write reproducible-build/pins/wheels.json, say what changed
    .tools/wheel_pins.py --check    write nothing; exit 1 if it would change
"""

import pathlib
import sys
from typing import Final

from strongroom_eif.recipe.errors import RecipeError
from strongroom_eif.recipe.wheels import Wheel, read_pins, resolve, write_pins

ROOT: Final = pathlib.Path(__file__).parents[1]
LOCK: Final = ROOT / "enclave/requirements.lock"
PINS: Final = ROOT / "reproducible-build/pins/wheels.json"


def main(arguments: list[str]) -> int:
    """Resolve, and write or compare; return the exit status."""
    check = arguments == ["--check"]
    if arguments and not check:
        print(__doc__)
        return 2
    try:
        before: tuple[Wheel, ...] = read_pins(PINS)
    except RecipeError:
        before = ()
    try:
        after = resolve(LOCK)
    except RecipeError as error:
        print(f"wheel pins: {error.what}\n  do: {error.remedy}", file=sys.stderr)
        return error.exit_status
    for wheel in sorted({*before} ^ {*after}, key=lambda wheel: wheel.name):
        print(f"  {'new ' if wheel in after else 'gone'} {wheel.filename} {wheel.sha256[:12]}")
    print(f"wheels: {len(after)}, {sum(wheel.size for wheel in after) / 1e6:.0f} MB")
    if check:
        return int(before != after)
    PINS.write_text(write_pins(after), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
