"""The trusted code stays small enough to read."""

from pathlib import Path

from strongroom_host.audit.lines import data_lines
from strongroom_host.audit.source_checks import check_lines

from tests.architecture.budget import code_lines, lines_by_part, long_modules, over_budget
from tests.architecture.source import ROOT, listing
from tests.architecture.synthetic import write_tree

_SAMPLE = '''"""A module docstring
over two lines."""

# A comment does not count.
import os


class Sample:
    """Nor does this."""

    text = """but a string
    that is a value does"""  # with its comment

    def method(self):
        """Nor this."""
        return (
            self.text
        )
'''


def test_trusted_code_is_within_budget() -> None:
    assert listing(over_budget(ROOT / "enclave")) == ""


def test_no_module_is_too_long() -> None:
    folders = [ROOT / name for name in ("enclave", "attestation", "eif", "host", ".tools")]
    assert listing(found for folder in folders for found in long_modules(folder)) == ""


def test_lines_that_count() -> None:
    # import, class, the two lines of text, def, and the three lines of the return.
    assert code_lines(_SAMPLE) == 8
    assert code_lines("") == 0
    assert code_lines('"""Only a docstring."""\n') == 0


def test_data_beside_the_code_is_named_with_its_lines(tmp_path: Path) -> None:
    tree = write_tree(
        tmp_path,
        {
            "strongroom_enclave/__init__.py": "",
            "strongroom_enclave/record/venues.toml": "# no line\n\n[a]\nb = 1\n",
            "strongroom_enclave/record/hidden.bin": "x\n",
            "strongroom_enclave/record/README.md": "words\n",
            "strongroom_enclave/record/code.py": "a = 1\n",
            "decisions/0001.txt": "not in a package\n",
            "pyproject.toml": "a = 1\n",
        },
    )
    found = {"strongroom_enclave/record/hidden.bin": 1, "strongroom_enclave/record/venues.toml": 2}
    assert data_lines(tree) == found


def test_the_image_has_one_table_and_the_audit_names_it() -> None:
    [table] = data_lines(ROOT / "enclave")
    assert table == "strongroom_enclave/record/connectors/venues.toml"
    finding = check_lines(ROOT)
    assert f"{table} {data_lines(ROOT / 'enclave')[table]}" in finding.detail


def test_one_line_too_many_is_reported(tmp_path: Path) -> None:
    tree = write_tree(
        tmp_path,
        {
            "strongroom_enclave/signer/orders.py": "a = 1\nb = 2\n",
            "strongroom_enclave/record/ledger.py": "a = 1\n",
            "strongroom_enclave/record/connectors/kraken.py": "b = 2\n",
            "strongroom_wire/frames.py": '"""Doc."""\nc = 3\n',
            "strongroom_wire/proto/x_pb2.py": "generated = 1\n" * 100,
        },
    )
    parts = {"strongroom_enclave/record": 2, "strongroom_enclave/signer": 2, "strongroom_wire": 1}
    assert lines_by_part(tree) == parts
    assert over_budget(tree, (2, 2, 5)) == []
    [inside] = over_budget(tree, (1, 2, 5))
    assert "strongroom_enclave without record: 2 lines of code, budget 1" in inside.message
    [record] = over_budget(tree, (2, 1, 5))
    assert "strongroom_enclave/record: 2 lines of code, budget 1" in record.message
    [whole] = over_budget(tree, (2, 2, 4))
    assert "all: 5 lines of code, budget 4" in whole.message
    assert "signer 2" in whole.message


def test_long_module_is_reported(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, {"package/long.py": "\n" * 501, "package/short.py": "\n" * 500})
    assert [finding.path for finding in long_modules(tree)] == ["package/long.py"]
