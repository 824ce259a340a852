"""A small checkout that can be audited, and a builder that makes its images in milliseconds.

The recipe's own small checkout, its stand-ins for kernel and toolchain, and all the rest of the
real thing: copying, two builds, papers, comparisons.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from strongroom_eif.recipe.assemble import build_image
from strongroom_host.audit.advisories import Advisory, IndexUnreachable
from strongroom_host.audit.audit import Outcome, Request, audit
from strongroom_host.audit.findings import Finding
from strongroom_host.audit.rebuild import Builder, Circumstances, Product, copy_inputs

from tests.eif.recipe.small_image import Checkout
from tests.host.trust.releases import NOW, ring, sign

__all__ = ["Index", "SmallBuilder", "World"]

CONTRACTS = """
[tool.importlinter]
root_packages = ["strongroom_enclave", "strongroom_wire"]
[[tool.importlinter.contracts]]
name = "The wire contract imports nothing of ours"
type = "forbidden"
source_modules = ["strongroom_wire"]
forbidden_modules = ["strongroom_enclave"]
"""


@dataclass
class SmallBuilder:
    """Builds with the recipe, in this process; `twist` spoils the copied source of one build."""

    checkout: Checkout
    twist: Callable[[Path, Circumstances], None] = lambda source, around: None
    after: Callable[[Product, Circumstances], None] = lambda product, around: None
    built: list[str] = field(default_factory=list)

    def build(self, source: Path, folder: Path, around: Circumstances) -> Product:
        copied = folder / "source"
        copy_inputs(source, copied, around)
        self.twist(copied, around)
        self.built.append(around.name)
        made = build_image(
            self.checkout.store,
            self.checkout.pins,
            copied,
            fresh=True,
            work=folder / "work",
            output=folder / "output",
        )
        product = Product(made.image, made.record, made.sbom)
        self.after(product, around)
        return product


@dataclass
class Index:
    """An index that knows what it is told; a text in place of advisories is why it is silent."""

    known: dict[str, tuple[Advisory, ...] | str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def advisories(self, name: str, version: str) -> tuple[Advisory, ...]:
        self.asked.append((name, version))
        found = self.known.get(name, ())
        if isinstance(found, str):
            raise IndexUnreachable(found)
        return found


class World:
    """The checkout, its builder, and audits of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.checkout = Checkout(folder, monkeypatch)
        self.source = self.checkout.source
        self.checkout.put("pyproject.toml", CONTRACTS)
        self.releases = self.source / "reproducible-build" / "releases"
        self.releases.mkdir()
        ring().save(self.releases / "keys.json")
        self.builder = SmallBuilder(self.checkout)
        self.request = Request(
            source=self.source,
            work=folder / "audited",
            keys=self.releases / "keys.json",
            index=Index(),
        )

    def run(self, builder: Builder | None = None, **changes: object) -> Outcome:
        """Returns what an audit finds."""
        request = replace(self.request, **changes)  # type: ignore[arg-type]
        return audit(request, builder or self.builder, clock=lambda: NOW)

    def product(self) -> Product:
        """Returns an image of the source as it stands, built apart from any audit."""
        made = self.checkout.build("apart", fresh=True, work=self.folder / "apart-work")
        return Product(made.image, made.record, made.sbom)

    def publish(self, name: str = "1.2.3.dsse.json", data: bytes | None = None) -> Path:
        """Puts a release of the source as it stands into the checkout, signed by key 1."""
        path = self.releases / name
        path.write_bytes(sign(self.product().record.read_bytes()) if data is None else data)
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.source / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


def finding(outcome: Outcome, check: str) -> Finding:
    """Returns the one finding of that id."""
    (found,) = (f for f in outcome.report.findings if f.id == check)
    return found


def results(outcome: Outcome) -> dict[str, str]:
    """Returns every finding's result by its id."""
    made = {found.id: found.result.value for found in outcome.report.findings}
    assert len(made) == len(outcome.report.findings)
    json.dumps(outcome.report.to_json())  # plain values only
    return made


LATER = datetime(2031, 1, 1, tzinfo=UTC)
