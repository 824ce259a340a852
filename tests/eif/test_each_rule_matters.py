"""Removing any check of the library makes a test here fail.

Each entry of `MUTATIONS` is refused by one check; with that check replaced by nothing, the same
input is accepted. The last tests hold the table complete: a check without an entry is a failure.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
import strongroom_eif

from tests.eif.mutations import MUTATIONS, Mutation, refused_by
from tests.eif.samples import baseline


def test_the_baseline_breaks_no_rule() -> None:
    assert refused_by(baseline().data()) == ""


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_refused_by_this_check_and_by_no_other(
    mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(mutation.error) as caught:
        mutation.attempt()
    assert type(caught.value) is mutation.error
    assert str(caught.value).isprintable()
    for module in (mutation.module, *mutation.users):
        assert callable(getattr(module, mutation.name))
        monkeypatch.setattr(module, mutation.name, lambda *_, **__: None)
    if mutation.module.__name__.endswith(".signature") and mutation.name == "check_aware":
        monkeypatch.setattr("strongroom_eif.verification.check_aware", lambda _: None)
    if mutation.escapes is None:
        mutation.attempt()
    else:
        with pytest.raises(mutation.escapes):
            mutation.attempt()


def checks() -> Iterator[str]:
    """Yields the qualified names of all checks of the format; the recipe's are its own tests'."""
    for info in pkgutil.iter_modules(strongroom_eif.__path__, "strongroom_eif."):
        module = importlib.import_module(info.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("check_") and function.__module__ == info.name:
                yield f"{info.name}.{name}"


def test_every_check_has_an_entry() -> None:
    covered = {f"{mutation.module.__name__}.{mutation.name}" for mutation in MUTATIONS}
    assert covered == set(checks())


def test_every_error_of_an_image_is_raised_by_some_entry() -> None:
    raised = {mutation.error for mutation in MUTATIONS}
    pending: list[type[strongroom_eif.EifError]] = [strongroom_eif.ImageError]
    leaves = set()
    while pending:
        error = pending.pop()
        pending += error.__subclasses__()
        if not error.__subclasses__():
            leaves.add(error)
    elsewhere = {"ArchiveTruncated", "CompressionUnsupported", "KernelInvalid"}
    assert {error.__name__ for error in leaves - raised} == elsewhere


def test_codes_are_unique() -> None:
    pending: list[type[strongroom_eif.EifError]] = [strongroom_eif.EifError]
    codes: list[str] = []
    while pending:
        error = pending.pop()
        pending += error.__subclasses__()
        assert "code" in vars(error), error
        codes.append(error.code)
    assert len(codes) == len(set(codes))
