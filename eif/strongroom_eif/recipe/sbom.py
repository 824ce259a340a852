"""The SBOM: every entry of the image with hash, origin and licence, as CycloneDX 1.6 in JSON.

One component per package, wheel and own source, the kernel included; in it the files that came from
it, bytecode beside its source. Equal images give equal bytes: the serial number is a name-based
UUID of the content, and there is no time in it.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final
from urllib.parse import quote

import msgspec

from strongroom_eif.newc import kind_of
from strongroom_eif.recipe.content_errors import RecordMalformed
from strongroom_eif.recipe.contents import RECIPE, Item
from strongroom_eif.recipe.licences import Licence, is_expression

__all__ = [
    "Component",
    "ListedComponent",
    "ListedFile",
    "Sbom",
    "debian_purl",
    "pypi_purl",
    "read_sbom",
    "write_sbom",
]

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:strongroom:sbom:1")
_SCHEMA: Final = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_PREFIX: Final = "strongroom:"
"""Properties in our own name space, as CycloneDX asks."""
_KERNEL: Final = "debian:linux"
MAX_SBOM_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Component:
    """Where files of the image come from.

    Attributes:
        origin: As of `Item`.
        name, version: Of the package.
        purl: Package URL; empty for what is in no registry.
        sha256: Of the package's file, empty if it has none.
        licence: In its own words.
        items: What of it is in the image; empty for the kernel, which is a section of its own.
        note: For a reader, what else is to be said.
    """

    origin: str
    name: str
    version: str
    purl: str
    sha256: str
    licence: Licence
    items: Sequence[Item] = ()
    note: str = ""


def debian_purl(name: str, version: str, architecture: str) -> str:
    """Returns the package URL of a Debian package."""
    return (
        f"pkg:deb/debian/{quote(name, '')}@{quote(version, '')}?arch={architecture}&distro=trixie"
    )


def pypi_purl(name: str, version: str, filename: str) -> str:
    """Returns the package URL of a wheel, the file included: a release has many."""
    return (
        f"pkg:pypi/{quote(name.lower(), '')}@{quote(version, '')}?file_name={quote(filename, '')}"
    )


def write_sbom(
    version: str, components: Iterable[Component], ramdisk_of: Mapping[str, int]
) -> bytes:
    """Returns the SBOM's text.

    Args:
        version: Of the image.
        components: In any order.
        ramdisk_of: Path to the number of the ramdisk that holds it.
    """
    listed = [_component(c, ramdisk_of) for c in sorted(components, key=lambda c: c.origin)]
    image = {
        "type": "firmware",
        "bom-ref": "image",
        "name": "strongroom",
        "version": version,
        "licenses": [{"license": {"id": "MIT"}}],
        "purl": f"pkg:generic/strongroom@{quote(version, '')}",
    }
    content = {
        "metadata": {"component": image},
        "components": listed,
        "dependencies": [
            {"ref": "image", "dependsOn": [str(component["bom-ref"]) for component in listed]}
        ],
    }
    digest = hashlib.sha256(_dumped(content)).hexdigest()
    head = {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}",
        "version": 1,
    }
    return _dumped({**head, **content})


def _component(component: Component, ramdisk_of: Mapping[str, int]) -> dict[str, object]:
    kind = {_KERNEL: "operating-system", RECIPE: "data"}.get(component.origin, "library")
    found: dict[str, object] = {
        "type": kind,
        "bom-ref": component.origin,
        "name": component.name,
    }
    if component.version:
        found["version"] = component.version
    if component.purl and not component.items and component.origin != _KERNEL:
        # The lock names it, and no file of it is in the image.
        found["scope"] = "excluded"
    if component.note:
        found["description"] = component.note
    if component.sha256:
        found["hashes"] = [{"alg": "SHA-256", "content": component.sha256}]
    found["licenses"] = _licences(component.licence)
    if component.purl:
        found["purl"] = component.purl
    if component.items:
        ordered = sorted(component.items, key=lambda item: item.path.encode())
        found["components"] = [_file(item, ramdisk_of[item.path]) for item in ordered]
    return found


def _licences(licence: Licence) -> list[dict[str, object]]:
    if is_expression(licence):
        return [{"expression": licence[0], "acknowledgement": "declared"}]
    return [{"license": {"name": name, "acknowledgement": "declared"}} for name in licence]


def _file(item: Item, ramdisk: int) -> dict[str, object]:
    properties = {"kind": item.kind, "mode": f"{item.node.mode:06o}", "ramdisk": str(ramdisk)}
    if item.kind == "link":
        properties["target"] = bytes(item.node.content).decode()
    if item.compiled_from:
        properties["compiled-from"] = f"/{item.compiled_from}"
    return {
        "type": "file",
        "bom-ref": f"file:/{item.path}",
        "name": f"/{item.path}",
        # Of a link its target, as in the record, so that every entry has one.
        "hashes": [{"alg": "SHA-256", "content": item.sha256}],
        "properties": [
            {"name": _PREFIX + name, "value": value} for name, value in properties.items()
        ],
    }


def _dumped(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=True) + "\n").encode()


# --- Reading -------------------------------------------------------------------------------------

_Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class _Hash(msgspec.Struct):
    alg: str
    content: _Digest


class _Property(msgspec.Struct):
    name: str
    value: str


class _File(msgspec.Struct):
    name: str
    hashes: list[_Hash]
    properties: list[_Property]


class _License(msgspec.Struct):
    name: str = ""
    id: str = ""


class _LicenseChoice(msgspec.Struct):
    expression: str = ""
    license: _License | None = None


class _Component(msgspec.Struct):
    name: str
    ref: str = msgspec.field(name="bom-ref")
    version: str = ""
    purl: str = ""
    hashes: list[_Hash] = msgspec.field(default_factory=list)
    licenses: list[_LicenseChoice] = msgspec.field(default_factory=list)
    components: list[_File] = msgspec.field(default_factory=list)


class _Bom(msgspec.Struct):
    format: str = msgspec.field(name="bomFormat")
    spec: str = msgspec.field(name="specVersion")
    serial: str = msgspec.field(name="serialNumber")
    components: list[_Component]


@dataclass(frozen=True, slots=True)
class ListedFile:
    """An entry as the SBOM lists it.

    Attributes:
        path: Relative to the root.
        mode: Six octal digits, type included.
        sha256: Of content or link target.
        origin: The component that it is part of.
        compiled_from: Of bytecode, its source.
    """

    path: str
    mode: str
    sha256: str
    origin: str
    compiled_from: str

    @property
    def kind(self) -> str:
        """`file`, `directory`, `link`, `character device`."""
        return kind_of(int(self.mode, 8))


@dataclass(frozen=True, slots=True)
class ListedComponent:
    """A component as the SBOM lists it; `sha256` is empty where there is no package file."""

    origin: str
    name: str
    version: str
    purl: str
    sha256: str
    licence: str
    files: int


@dataclass(frozen=True, slots=True)
class Sbom:
    """What of an SBOM of ours is of use to a program."""

    serial: str
    components: tuple[ListedComponent, ...]
    files: Mapping[str, ListedFile] = field(default_factory=dict)

    @property
    def descriptions(self) -> dict[str, str]:
        """Path to mode and digest, as `inspection.description` says them."""
        return {path: f"{file.mode} {file.sha256}" for path, file in self.files.items()}


def read_sbom(data: bytes) -> Sbom:
    """Returns the components and files of an SBOM that `write_sbom` wrote.

    Raises:
        RecordMalformed: It is not JSON of that form, or lists a path twice.
    """
    try:
        bom = msgspec.json.decode(data[: MAX_SBOM_BYTES + 1], type=_Bom)
        if (bom.format, bom.spec) != ("CycloneDX", "1.6"):
            raise RecordMalformed(
                "the SBOM is not CycloneDX 1.6", actual=f"{bom.format} {bom.spec}"
            )
        files: dict[str, ListedFile] = {}
        for component in bom.components:
            for file in component.components:
                listed = _listed(file, component.ref)
                if listed.path in files:
                    raise RecordMalformed(f"the SBOM lists /{listed.path} twice")
                files[listed.path] = listed
        components = tuple(
            ListedComponent(
                c.ref, c.name, c.version, c.purl, c.hashes[0].content if c.hashes else "",
                ", ".join(_licence_text(choice) for choice in c.licenses), len(c.components),
            )
            for c in bom.components
        )  # fmt: skip
    except (msgspec.DecodeError, RecursionError, KeyError, IndexError, ValueError) as error:
        raise RecordMalformed(f"the SBOM cannot be read: {error!r}") from error
    return Sbom(bom.serial, components, files)


def _listed(file: _File, origin: str) -> ListedFile:
    told = {p.name.removeprefix(_PREFIX): p.value for p in file.properties}
    int(told["mode"], 8)
    return ListedFile(
        path=file.name.removeprefix("/"),
        mode=told["mode"],
        sha256=file.hashes[0].content,
        origin=origin,
        compiled_from=told.get("compiled-from", "").removeprefix("/"),
    )


def _licence_text(choice: _LicenseChoice) -> str:
    if choice.license is None:
        return choice.expression
    return choice.license.id or choice.license.name
