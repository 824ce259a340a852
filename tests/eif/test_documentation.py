"""The README names every rule of the container and every module."""

import re
from pathlib import Path

import strongroom_eif
from strongroom_eif import FormatError

README = (Path(__file__).parents[2] / "eif" / "README.md").read_text(encoding="utf-8")


def test_every_rule_of_the_container_is_in_the_table() -> None:
    table = README[README.index("| code |") : README.index("Inside sections")]
    named = {code for cell in re.findall(r"(?m)^\| (`.*?) \|", table) for code in cell.split(", ")}
    assert named == {f"`{error.code}`" for error in FormatError.__subclasses__()}


def test_every_module_is_in_the_layout() -> None:
    package = Path(strongroom_eif.__path__[0])
    layout = README[README.index("## Layout") : README.index("## The recipe")]
    recipe = README[README.index("## The recipe") : README.index("## Testing")]
    for table, folder in ((layout, package), (recipe, package / "recipe")):
        modules = {path.name for path in folder.glob("*.py")}
        assert set(re.findall(r"\w+\.py", table)) == modules - {"__init__.py"}


def test_every_name_offered_exists() -> None:
    assert all(hasattr(strongroom_eif, name) for name in strongroom_eif.__all__)
