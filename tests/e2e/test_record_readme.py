"""The README's table of failed synchronisations has every one of them, and no other."""

from pathlib import Path

from strongroom_host.record_store import failures
from strongroom_host.record_store.failures import REASONS, failure, shown
from strongroom_wire.errors import Code

README = Path(__file__).resolve().parents[2] / "README.md"


def test_every_failure_has_its_row() -> None:
    _, _, rest = README.read_text().partition("<!-- sync -->")
    table, end, _ = rest.partition("<!-- /sync -->")
    assert end
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][2:]
    assert all(len(row) == 3 and all(cell.strip(" |") for cell in row) for row in rows)
    named = {row[0].removeprefix("| ").partition(" (")[0] for row in rows}
    told = {*REASONS.values(), *failures._CODES.values(), shown(-1)}
    assert named == told
    for number, words in REASONS.items():
        assert words in shown(failure(Code.VENUE_REFUSED, number))
