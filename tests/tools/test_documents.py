"""What the documents point at exists: links, headings that links name, modules that they quote."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = {".venv", "build", "node_modules", ".git", ".hypothesis"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
QUOTED = re.compile(r"`([\w./-]*\w\.(?:py|md|toml|sql|proto|lock))`")
OTHERS = ("ccxt/", "advisories.toml")
"""How paths begin that are another project's, or a person's to make."""


def own(pattern: str) -> Iterator[Path]:
    """Yields this project's own files of that name."""
    for path in ROOT.rglob(pattern):
        if FOREIGN.isdisjoint(path.relative_to(ROOT).parts):
            yield path


DOCUMENTS = sorted(own("*.md"))
PACKAGES = ("host/strongroom_host", "enclave/strongroom_enclave/record")


def headings(text: str) -> set[str]:
    """Returns the anchors of a document's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in found}


def dangling(document: Path, text: str) -> Iterator[str]:
    """Yields each relative link that leads nowhere."""
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists():
            yield link
        elif anchor and target.suffix == ".md":
            known = headings(text if target == document else target.read_text())
            if anchor not in known:
                yield link


def unknown(document: Path, text: str, files: set[str]) -> Iterator[str]:
    """Yields each quoted file that is neither beside the document nor the end of a path here."""
    for quoted in QUOTED.findall(text):
        beside = (document.parent / quoted).exists() or (ROOT / quoted).exists()
        elsewhere = any(f"/{each}".endswith(f"/{quoted}") for each in files)
        if not (beside or elsewhere or quoted.startswith(OTHERS)):
            yield quoted


@pytest.fixture(scope="module")
def files() -> set[str]:
    kinds = ("py", "md", "toml", "sql", "proto", "lock")
    return {str(path.relative_to(ROOT)) for kind in kinds for path in own(f"*.{kind}")}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_points_at_exists(document: Path, files: set[str]) -> None:
    text = document.read_text()
    assert list(dangling(document, text)) == []
    assert list(unknown(document, text, files)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_it_is_for(package: str) -> None:
    folders = [path.parent for path in (ROOT / package).glob("*/__init__.py")]
    assert [each.name for each in folders if not (each / "README.md").exists()] == []


def test_a_link_or_a_name_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    text = "# One thing\n[a](#one-thing) [b](#two) [c](gone.md) [d](https://x) `gone.py` `pins.py`"
    document.write_text(text)
    assert list(dangling(document, text)) == ["#two", "gone.md"]
    assert list(unknown(document, text, {"host/strongroom_host/pins.py"})) == ["gone.py"]
