"""The SBOM: CycloneDX 1.6 that lists every entry, the same bytes for the same image."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from strongroom_eif.archive_writer import Node
from strongroom_eif.recipe.content_errors import RecordMalformed
from strongroom_eif.recipe.contents import RECIPE, SOURCE, Item
from strongroom_eif.recipe.sbom import (
    Component,
    debian_purl,
    pypi_purl,
    read_sbom,
    write_sbom,
)

ITEMS = [
    Item.file("usr/a.py", b"x = 1\n", "wheel:a"),
    Item.file("usr/__pycache__/a.cpython-313.pyc", b"\0", "wheel:a", "usr/a.py"),
    Item.link("usr/l", "a.py", "wheel:a"),
]
LAYOUT = [
    Item(Node.directory("usr"), RECIPE),
    Item(Node.character_device("dev/console", 5, 1), RECIPE),
]
COMPONENTS = [
    Component("wheel:a", "a", "1.0", pypi_purl("A", "1.0", "a.whl"), "aa" * 32, ("MIT",), ITEMS),
    Component(
        "debian:linux", "linux", "6.12.1-1", debian_purl("linux-source", "6.12.1-1", "all"),
        "bb" * 32, ("GPL-2.0-only WITH Linux-syscall-note",), note="the kernel",
    ),
    Component("wheel:b", "b", "1", pypi_purl("b", "1", "b.whl"), "cc" * 32, ("BSD License", "PD")),
    Component(RECIPE, "image-layout", "1.2.3", "", "", ("MIT",), LAYOUT),
    Component(SOURCE, "own", "1.2.3", "", "", ("MIT",), [Item.file("usr/é", b"", SOURCE)]),
]  # fmt: skip
RAMDISK = {item.path: 0 for c in COMPONENTS for item in c.items} | {"usr/é": 1}


def written() -> bytes:
    return write_sbom("1.2.3", COMPONENTS, RAMDISK)


# --- The published schema's own requirements, as far as our document uses it ---------------------

_SERIAL = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TYPES = {
    "application", "framework", "library", "container", "platform", "operating-system", "device",
    "device-driver", "firmware", "file", "machine-learning-model", "data", "cryptographic-asset",
}  # fmt: skip
_TOP = {
    "$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata", "components",
    "services", "externalReferences", "dependencies", "compositions", "vulnerabilities",
    "annotations", "formulation", "declarations", "definitions", "properties", "signature",
}  # fmt: skip
_COMPONENT = {
    "type", "mime-type", "bom-ref", "supplier", "manufacturer", "authors", "author", "publisher",
    "group", "name", "version", "description", "scope", "hashes", "licenses", "copyright", "cpe",
    "purl", "omniborId", "swhid", "swid", "modified", "pedigree", "externalReferences",
    "components", "evidence", "releaseNotes", "modelCard", "data", "cryptoProperties",
    "properties", "tags", "signature",
}  # fmt: skip


def faults(bom: dict[str, Any]) -> Iterator[str]:
    """Yields what the CycloneDX 1.6 schema would refuse."""
    if not bom.keys() <= _TOP:
        yield f"unknown {bom.keys() - _TOP}"
    if (bom["bomFormat"], bom["specVersion"]) != ("CycloneDX", "1.6"):
        yield "format"
    if not _SERIAL.fullmatch(bom["serialNumber"]) or bom["version"] < 1:
        yield "serial number or version"
    seen: set[str] = set()
    for component in _all([bom["metadata"]["component"], *bom["components"]]):
        yield from _component_faults(component)
        if component["bom-ref"] in seen:
            yield f"twice {component['bom-ref']}"
        seen.add(component["bom-ref"])
    for dependency in bom["dependencies"]:
        if not {dependency["ref"], *dependency["dependsOn"]} <= seen:
            yield "a dependency on nothing"
        if len(set(dependency["dependsOn"])) != len(dependency["dependsOn"]):
            yield "a dependency twice"


def _all(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for component in components:
        yield component
        yield from _all(component.get("components", []))


def _component_faults(component: dict[str, Any]) -> Iterator[str]:
    name = component["name"]
    if not component.keys() <= _COMPONENT:
        yield f"{name}: unknown {component.keys() - _COMPONENT}"
    if component["type"] not in _TYPES:
        yield f"{name}: type"
    if component.get("scope", "required") not in ("required", "optional", "excluded"):
        yield f"{name}: scope"
    for entry in component.get("hashes", []):
        if entry["alg"] != "SHA-256" or not re.fullmatch(r"[a-fA-F0-9]{64}", entry["content"]):
            yield f"{name}: hash"
    licences = component.get("licenses", [])
    if any("expression" in entry for entry in licences):
        if len(licences) != 1 or not licences[0].keys() <= {"expression", "acknowledgement"}:
            yield f"{name}: an expression beside others"
    elif any(len({"id", "name"} & entry["license"].keys()) != 1 for entry in licences):
        yield f"{name}: licence"
    for entry in component.get("properties", []):
        if not entry.keys() <= {"name", "value"} or not isinstance(entry["value"], str):
            yield f"{name}: property"
    if "purl" in component and not component["purl"].startswith("pkg:"):
        yield f"{name}: purl"


def test_it_is_cyclonedx() -> None:
    assert list(faults(json.loads(written()))) == []


def test_faults_are_seen() -> None:
    bom = json.loads(written())
    bom["components"][0]["surprise"] = 1
    bom["components"][1]["bom-ref"] = bom["components"][0]["bom-ref"]
    bom["serialNumber"] = "x"
    assert len(list(faults(bom))) == 4


def test_equal_contents_give_equal_bytes_in_any_order() -> None:
    assert write_sbom("1.2.3", reversed(COMPONENTS), RAMDISK) == written()
    assert b"timestamp" not in written()


def test_another_content_has_another_serial_number() -> None:
    other = [*COMPONENTS[:-1], Component(SOURCE, "own", "1.2.3", "", "", ("MIT",), ())]
    serials = {read_sbom(data).serial for data in (
        written(), write_sbom("1.2.3", other, RAMDISK), write_sbom("1.2.4", COMPONENTS, RAMDISK)
    )}  # fmt: skip
    assert len(serials) == 3


def test_every_entry_can_be_read_back() -> None:
    found = read_sbom(written())
    assert found.descriptions == {
        item.path: f"{item.node.mode:06o} {item.sha256}" for c in COMPONENTS for item in c.items
    }
    compiled = found.files["usr/__pycache__/a.cpython-313.pyc"]
    assert (compiled.origin, compiled.compiled_from) == ("wheel:a", "usr/a.py")
    assert found.files["dev/console"].kind == "character device"
    by_origin = {component.origin: component for component in found.components}
    assert by_origin["wheel:b"].licence == "BSD License, PD"
    assert by_origin["wheel:a"].files == 3
    assert by_origin["debian:linux"].sha256 == "bb" * 32


def test_what_the_lock_names_and_the_image_lacks_is_marked() -> None:
    scopes = {c["name"]: c.get("scope") for c in json.loads(written())["components"]}
    assert scopes == {"a": None, "b": "excluded", "linux": None, "image-layout": None, "own": None}


def test_purls_are_escaped() -> None:
    assert debian_purl("libstdc++6", "1:14.2.0-19", "amd64") == (
        "pkg:deb/debian/libstdc%2B%2B6@1%3A14.2.0-19?arch=amd64&distro=trixie"
    )
    assert pypi_purl("Safe", "1.0+x", "a b.whl") == "pkg:pypi/safe@1.0%2Bx?file_name=a%20b.whl"


def tampered(change: str) -> bytes:
    bom = json.loads(written())
    file = bom["components"][-2]["components"][0]
    match change:
        case "version":
            bom["specVersion"] = "1.5"
        case "twice":
            bom["components"][-2]["components"].append(file)
        case "no hash":
            file["hashes"] = []
        case "bad hash":
            file["hashes"][0]["content"] = "AA"
        case "no mode":
            file["properties"] = []
        case "bad mode":
            file["properties"][1]["value"] = "9"
        case "no name":
            del file["name"]
    return json.dumps(bom).encode()


@pytest.mark.parametrize(
    "change", ["version", "twice", "no hash", "bad hash", "no mode", "bad mode", "no name"]
)
def test_an_sbom_that_cannot_be_held_against_an_image_is_refused(change: str) -> None:
    with pytest.raises(RecordMalformed):
        read_sbom(tampered(change))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_what_is_no_sbom_is_refused(data: bytes) -> None:
    with pytest.raises(RecordMalformed):
        read_sbom(data)


def test_the_built_image_has_one_too() -> None:
    built = sorted((Path(__file__).parents[3] / "build/image").glob("*.cdx.json"))
    if not built:
        pytest.skip("no image was built here: run make image")
    assert list(faults(json.loads(built[-1].read_bytes()))) == []
