"""Removing any check of the verifier makes a test here fail.

Each entry of `MUTATIONS` is refused by one check; with that check replaced by nothing, the same
input is accepted. The last tests hold the table complete: a check without an entry is a failure.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
import strongroom_attest

from tests.attest.mutations import MUTATIONS, Mutation

PREFIXES = ("check_", "read_")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_refused_by_this_check_and_by_no_other(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(mutation.error) as caught:
        mutation.attempt()
    assert type(caught.value) is mutation.error
    for module in mutation.modules:
        assert callable(getattr(module, mutation.name))
        monkeypatch.setattr(module, mutation.name, mutation.without)
    if mutation.escapes is None:
        mutation.attempt()
    else:
        with pytest.raises(mutation.escapes):
            mutation.attempt()


def checks() -> Iterator[str]:
    """Yields the qualified names of all checks in the package."""
    for info in pkgutil.walk_packages(strongroom_attest.__path__, "strongroom_attest."):
        module = importlib.import_module(info.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith(PREFIXES) and function.__module__ == info.name:
                yield f"{info.name}.{name}"


def test_every_check_has_an_entry() -> None:
    covered = {
        f"{getattr(m.modules[0], m.name).__module__}.{m.name}"
        for m in MUTATIONS
        if m.name.startswith(PREFIXES)
    }
    assert covered == set(checks())


def test_the_search_for_checks_finds_some() -> None:
    assert len(set(checks())) > 40
