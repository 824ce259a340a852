"""Every module says what it offers."""

import pytest

from tests.architecture.exports import export_problems
from tests.architecture.source import ROOT, listing, modules_under
from tests.architecture.synthetic import module


def test_every_module_lists_what_it_offers() -> None:
    # In the image's own code a name without an underscore says so (enclave/decisions/0003).
    folders = [ROOT / name for name in ("attestation", "eif", "host")]
    modules = [found for folder in folders for found in modules_under(folder)]
    assert listing(export_problems(modules)) == ""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def offered(): ...", "has no __all__"),
        ("LIMIT = 3", "has no __all__"),
        ("__all__ = ['gone']\ndef here(): ...", "names gone"),
        ("__all__: list[str] = ['gone']", "names gone"),
    ],
)
def test_each_flaw_is_reported(source: str, message: str) -> None:
    [finding] = export_problems([module("strongroom_wire.x", source)])
    assert message in finding.message


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("strongroom_wire", '"""Only a docstring."""'),
        ("strongroom_enclave.front.__main__", "from x import main\nmain()"),
        (
            "strongroom_wire.x",
            "from y import z\n__all__ = ['z', 'C', 'D']\nC: int = 1\nclass D: ...",
        ),
        (
            "strongroom_wire.x",
            "__all__ = ['k']\ntry:\n    from a import k\nexcept E:\n    k = None",
        ),
    ],
)
def test_what_is_in_order_is_let_through(name: str, source: str) -> None:
    assert export_problems([module(name, source)]) == []
