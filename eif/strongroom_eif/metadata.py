"""The metadata section: JSON about how an image came to be, in no PCR and read by nobody at boot.

So it is a label, not evidence; but it is part of the file, and two files that differ in it alone
have the same PCRs and another SHA-256. Everything comes in as an argument, the time of the build
included: the same arguments give the same bytes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from strongroom_eif.errors import InvalidArgument, MetadataInvalid

__all__ = [
    "MAX_CUSTOM_BYTES",
    "MAX_METADATA_BYTES",
    "BuildMetadata",
    "Json",
    "Metadata",
    "parse_metadata",
]

MAX_METADATA_BYTES: Final = 1 << 20
"""Ours; the format sets none. What `docker image inspect` prints is some kilobytes."""

MAX_CUSTOM_BYTES: Final = 4_096
"""AWS's limit for the file with custom metadata."""

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_BUILD: Final = ("BuildTime", "BuildTool", "BuildToolVersion", "OperatingSystem", "KernelVersion")

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class BuildMetadata:
    """The member `BuildMetadata`.

    Attributes:
        build_time: RFC 3339; of the source, not of the clock, if builds are to be equal.
        build_tool: What made the file.
        build_tool_version: Its version.
        operating_system: What the image runs: `Linux`.
        kernel_version: Of the kernel in the image.
    """

    build_time: str
    build_tool: str
    build_tool_version: str
    operating_system: str
    kernel_version: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """The whole section.

    Attributes:
        image_name: Any text.
        image_version: Any text. AWS's eif_build puts the name here whatever it is given.
        build: How it was built.
        docker_info: Output of `docker image inspect`; the schema calls it a required object, and
            AWS's eif_build writes null.
        custom: The builder's own annotations.
    """

    image_name: str
    image_version: str
    build: BuildMetadata
    docker_info: Mapping[str, Json] | None = None
    custom: Json = None

    def to_json(self) -> bytes:
        """Returns the section's bytes: compact, members in AWS's order, UTF-8.

        Members of `docker_info` and `custom` are sorted, as AWS's serialiser sorts them.

        Raises:
            InvalidArgument: The time is not RFC 3339, or the annotations are too large.
        """
        check_build_time(self.build.build_time)
        custom = _dumped(self.custom)
        check_custom_size(custom)
        build = dict(zip(_BUILD, _values(self.build), strict=True))
        plain = {"ImageName": self.image_name, "ImageVersion": self.image_version}
        head = json.dumps(
            {**plain, "BuildMetadata": build}, separators=(",", ":"), ensure_ascii=False
        )
        docker = _dumped(None if self.docker_info is None else dict(self.docker_info))
        text = f'{head[:-1]},"DockerInfo":{docker},"CustomMetadata":{custom}}}'
        return _utf8(text)


def parse_metadata(section: bytes) -> Metadata:
    """Returns what a metadata section says; unknown members are refused, as is a repeated one.

    CustomMetadata may be absent, as in the schema. DockerInfo may be null, as AWS writes it.

    Raises:
        MetadataInvalid: Naming the member.
    """
    check_metadata_size(section)
    try:
        text = section.decode()
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise MetadataInvalid("", "nested too deep") from error
    except ValueError as error:
        raise MetadataInvalid("", f"not JSON in UTF-8: {error}") from error
    members = _object(value, "")
    known = {"ImageName", "ImageVersion", "BuildMetadata", "DockerInfo", "CustomMetadata"}
    check_members("", members, known, known - {"CustomMetadata"})
    build = _object(members["BuildMetadata"], "BuildMetadata")
    check_members("BuildMetadata", build, set(_BUILD), set(_BUILD))
    docker = members["DockerInfo"]
    return Metadata(
        image_name=_text(members["ImageName"], "ImageName"),
        image_version=_text(members["ImageVersion"], "ImageVersion"),
        build=BuildMetadata(*(_text(build[name], name) for name in _BUILD)),
        docker_info=None if docker is None else _object(docker, "DockerInfo"),
        custom=members.get("CustomMetadata"),
    )


def _values(build: BuildMetadata) -> tuple[str, ...]:
    return (
        build.build_time,
        build.build_tool,
        build.build_tool_version,
        build.operating_system,
        build.kernel_version,
    )


def _dumped(value: Json) -> str:
    try:
        return json.dumps(
            value, separators=(",", ":"), ensure_ascii=False, sort_keys=True, allow_nan=False
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"metadata that JSON cannot hold: {error}") from error


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument("metadata that is not Unicode text") from error


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    check_unique(len(pairs), len(members))
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise MetadataInvalid("", f"{name} is not JSON")


def _object(value: Json, field: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise MetadataInvalid(field, f"{_kind(value)} where an object has to be")
    return value


def _text(value: Json, field: str) -> str:
    if not isinstance(value, str):
        raise MetadataInvalid(field, f"{_kind(value)} where a string has to be")
    return value


def _kind(value: Json) -> str:
    if value is None:
        return "null"
    return {"bool": "a boolean", "dict": "an object", "list": "an array", "str": "a string"}.get(
        type(value).__name__, "a number"
    )


# --- Rules ---------------------------------------------------------------------------------------


def check_metadata_size(section: bytes) -> None:
    """Bounds the work before any of it is done."""
    if len(section) > MAX_METADATA_BYTES:
        raise MetadataInvalid(
            "",
            f"{len(section)} bytes; at most {MAX_METADATA_BYTES} are accepted",
            expected=MAX_METADATA_BYTES,
            actual=len(section),
        )


def check_unique(pairs: int, members: int) -> None:
    """Refuses a member that stands there twice: readers differ in which one they take."""
    if pairs != members:
        raise MetadataInvalid("", "a member stands there twice")


def check_members(
    field: str, members: dict[str, Json], known: set[str], required: set[str]
) -> None:
    """Refuses unknown members, which no reader shows, and missing ones."""
    if missing := sorted(required - members.keys()):
        raise MetadataInvalid(field, f"{missing[0]} is missing", expected=missing[0])
    if unknown := sorted(members.keys() - known):
        raise MetadataInvalid(field, f"unknown member {unknown[0][:60]!a}", actual=unknown[0][:60])


def check_build_time(text: str) -> None:
    """Refuses a build time that is not a time."""
    if not _RFC3339.fullmatch(text):
        raise InvalidArgument(
            f"the build time {text!a} is not RFC 3339", expected="1970-01-01T00:00:00Z"
        )


def check_custom_size(text: str) -> None:
    """Refuses annotations beyond AWS's limit, which its tools would not have taken."""
    if len(_utf8(text)) > MAX_CUSTOM_BYTES:
        raise InvalidArgument(
            f"custom metadata of {len(_utf8(text))} bytes; at most {MAX_CUSTOM_BYTES} are allowed",
            expected=MAX_CUSTOM_BYTES,
            actual=len(_utf8(text)),
        )
