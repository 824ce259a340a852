"""Asking for advisories: what counts as an answer, and what never becomes a pass."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from strongroom_host.audit.advisories import (
    Advisory,
    IndexUnreachable,
    PackageIndex,
    check_advisories,
    read_accepted,
)
from strongroom_host.audit.findings import Result
from strongroom_host.errors import BadInput

from tests.host.audit.world import Index

FLAW = Advisory("PYSEC-2026-1", ("CVE-2026-1", "GHSA-x"), "memory", ("1.1",))
TWO = [("sample", "1.0"), ("other", "2.0")]


def index(answer: Callable[[httpx.Request], httpx.Response]) -> PackageIndex:
    return PackageIndex(
        "https://index.invalid/", httpx.Client(transport=httpx.MockTransport(answer))
    )


def says(
    version: str = "1.0", *rows: dict[str, object]
) -> Callable[[httpx.Request], httpx.Response]:
    body = {"info": {"name": "sample", "version": version}, "vulnerabilities": list(rows)}
    return lambda _: httpx.Response(200, json=body)


ROW: dict[str, object] = {
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-1", "GHSA-x"],
    "summary": None,
    "details": "memory\nmore",
    "fixed_in": ["1.1"],
    "link": "https://example.invalid",
    "withdrawn": None,
}


def test_the_exact_version_is_asked_for() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return says("1.0+x")(request)

    assert index(answer).advisories("sample", "1.0+x") == ()
    assert asked == ["https://index.invalid/pypi/sample/1.0%2Bx/json"]


def test_advisories_are_read_and_withdrawn_ones_are_none() -> None:
    assert index(says("1.0", ROW)).advisories("sample", "1.0") == (FLAW,)
    assert index(says("1.0", ROW | {"withdrawn": "2026-01-01"})).advisories("sample", "1.0") == ()


def _unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route", request=request)


@pytest.mark.parametrize(
    "answer",
    [
        _unreachable,
        lambda _: httpx.Response(404),
        lambda _: httpx.Response(200, text="<html>log in</html>"),
        lambda _: httpx.Response(200, json={"info": {"name": "sample", "version": "1.0"}}),
        lambda _: httpx.Response(200, json={"vulnerabilities": []}),
        lambda _: httpx.Response(200, text=json.dumps("x" * (17 << 20))),
        says("1.1"),
    ],
    ids=["no route", "404", "portal", "no list", "no info", "huge", "another version"],
)
def test_what_is_no_answer(answer: Callable[[httpx.Request], httpx.Response]) -> None:
    with pytest.raises(IndexUnreachable):
        index(answer).advisories("sample", "1.0")


# --- The finding ---------------------------------------------------------------------------------


def test_none_known_is_a_pass_and_says_how_many_were_asked_about() -> None:
    found = check_advisories(TWO, Index(), {})
    assert found.result is Result.PASS
    assert "2 packages" in found.detail


def test_a_known_flaw_fails_even_if_another_package_is_unknown() -> None:
    found = check_advisories(TWO, Index({"sample": (FLAW,), "other": "no route"}), {})
    assert found.result is Result.FAIL
    assert "sample 1.0: PYSEC-2026-1" in found.detail


def test_silence_is_a_warning_with_the_reason() -> None:
    for silent in (Index({"sample": "no route"}), None):
        found = check_advisories(TWO, silent, {})
        assert found.result is Result.WARNING
        assert found.remedy
    assert "no route" in check_advisories(TWO, Index({"other": "no route"}), {}).detail


def test_an_accepted_one_passes_under_any_of_its_numbers_and_is_reported() -> None:
    for number in (FLAW.id, *FLAW.aliases):
        found = check_advisories(TWO, Index({"sample": (FLAW,)}), {number: "not reached"})
        assert found.result is Result.PASS
        assert found.evidence["accepted"] == {f"sample: {number}": "not reached"}
    assert check_advisories(TWO, Index({"sample": (FLAW,)}), {"CVE-9": "x"}).result is Result.FAIL


def test_no_package_is_not_applicable() -> None:
    assert check_advisories([], Index(), {}).result is Result.NOT_APPLICABLE


def test_accepted_ones_need_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "advisories.toml"
    assert read_accepted(path) == {}
    path.write_text('[[accepted]]\nid = "CVE-1"\nwhy = "not reached"\n')
    assert read_accepted(path) == {"CVE-1": "not reached"}
    for text in (
        '[[accepted]]\nid = "CVE-1"\n', '[[accepted]]\nid = "CVE-1"\nwhy = " "\n', "accepted = 1",
        "[",
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(BadInput):
            read_accepted(path)
