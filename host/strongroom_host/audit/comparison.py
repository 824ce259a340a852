"""Where two builds, or a build and a release, part; and why that matters."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from strongroom_eif import Comparison, EifError, Image, diff, parse
from strongroom_eif.difference import Difference
from strongroom_eif.image import Bytes

from strongroom_host.audit.findings import Finding, failed, inapplicable, passed, warned
from strongroom_host.audit.rebuild import FIRST, SECOND, Product
from strongroom_host.mapped_file import mapped
from strongroom_host.trust.release import VerifiedRelease
from strongroom_host.trust.release_errors import ReleaseRefused
from strongroom_host.trust.released_image import check_released

__all__ = [
    "compare_builds",
    "compare_with_image",
    "compare_with_release",
    "first_difference",
    "no_release",
    "not_built",
    "unusable_release",
]

_BUILDS: Final = "Two builds in different circumstances give the same image, byte for byte"
_RECORDS: Final = "Both builds write the same release record and the same list of contents"
_RELEASE: Final = "The image built from this source is the released one"
_REFERENCE: Final = "The image built from this source is the one that was given"


def compare_builds(first: Product, second: Product) -> list[Finding]:
    """Returns whether two builds left the same image, record and SBOM."""
    one, two = mapped(first.image), mapped(second.image)
    evidence: dict[str, object] = {
        "first": _digest(one),
        "second": _digest(two),
        "circumstances": {around.name: around.to_json() for around in (FIRST, SECOND)},
    }
    if evidence["first"] == evidence["second"]:
        found = passed("rebuild.identical", _BUILDS, f"both are {len(one)} bytes", evidence)
    else:
        text, more = first_difference(parse(one), parse(two))
        found = failed(
            "rebuild.identical",
            _BUILDS,
            f"the builds differ: {text}",
            evidence | more,
            remedy="find what depends on time, place, locale or order, and take it out",
        )
    return [found, _compare_papers(first, second)]


def _compare_papers(first: Product, second: Product) -> Finding:
    for what, one, two in (
        ("release record", first.record, second.record),
        ("list of contents", first.sbom, second.sbom),
    ):
        mine, theirs = one.read_bytes(), two.read_bytes()
        if mine != theirs:
            return failed(
                "rebuild.papers",
                _RECORDS,
                f"the {what} differs, first at {_first_member(mine, theirs)}",
                {"first": sha256(mine).hexdigest(), "second": sha256(theirs).hexdigest()},
                remedy="what stands there must follow from the inputs alone",
            )
    digests = {
        "record": sha256(first.record.read_bytes()).hexdigest(),
        "sbom": sha256(first.sbom.read_bytes()).hexdigest(),
    }
    return passed("rebuild.papers", _RECORDS, "both are equal to the last byte", digests)


def not_built() -> list[Finding]:
    """Returns that nothing was built, so that nothing is known of the way from source to image."""
    what, remedy = "not built: the image was taken as it was given", "leave out --no-rebuild"
    return [
        warned("rebuild.identical", _BUILDS, what, remedy=remedy),
        warned("rebuild.papers", _RECORDS, what, remedy=remedy),
    ]


def compare_with_release(image: Path, release: VerifiedRelease) -> list[Finding]:
    """Returns whether an image is the released one, and whether anybody signed the release."""
    record = release.record
    names = [f"{entry.name} ({entry.role})" for entry in release.signers]
    title = f"Pinned keys signed the release {record.version}"
    if release.signed:
        found = [passed("release.signed", title, ", ".join(names), {"signers": names})]
    else:
        found = [
            failed(
                "release.signed",
                title,
                "the record carries no signature: whoever wrote the file chose its figures",
                remedy="give the signed form, VERSION.dsse.json",
            )
        ]
    data = mapped(image)
    expected = {"sha256": record.eif.sha256, "size": record.eif.size}
    try:
        checked = check_released(data, record)
    except (ReleaseRefused, EifError) as error:
        detail = f"{getattr(error, 'what', error)} [{error.code}]"
        evidence: dict[str, object] = {
            "released": expected,
            "built": _digest(data),
            "expected": str(error.expected),
            "found": str(error.actual),
        }
        remedy = (
            "check out the released commit and audit that; if it is the released one, this release"
            " was not made from this source"
        )
        found.append(failed("release.identical", _RELEASE, detail, evidence, remedy=remedy))
    else:
        evidence = expected | {"sections": checked.sections, "pcrs": dict(record.pcrs)}
        text = f"version {record.version}: file, sections, PCR0 to PCR2"
        found.append(passed("release.identical", _RELEASE, text, evidence))
    return found


def no_release(version: str) -> list[Finding]:
    """Returns that there is nothing to compare with."""
    reason = f"no release is published for version {version}"
    remedy = "name one with RELEASE=FILE; a source between releases has none"
    return [
        inapplicable("release.signed", "Pinned keys signed the release", reason, remedy),
        inapplicable("release.identical", _RELEASE, reason, remedy),
    ]


def unusable_release(error: ReleaseRefused) -> list[Finding]:
    """Returns that a release was refused, so that comparing with it would say nothing."""
    detail = f"{error.what} [{error.code}]"
    evidence = {"expected": str(error.expected), "found": str(error.actual)}
    return [
        failed("release.signed", "Pinned keys signed the release", detail, evidence,
               remedy=error.remedy),
        inapplicable("release.identical", _RELEASE, "not compared: the release was refused"),
    ]  # fmt: skip


def compare_with_image(image: Path, reference: Path) -> Finding:
    """Returns whether the built image is the given one, and if not, the first differing file."""
    one, two = mapped(image), mapped(reference)
    evidence: dict[str, object] = {"built": _digest(one), "given": _digest(two)}
    if evidence["built"] == evidence["given"]:
        return passed("reference.identical", _REFERENCE, f"{len(one)} bytes", evidence)
    text, more = first_difference(parse(one), parse(two))
    return failed(
        "reference.identical",
        _REFERENCE,
        text,
        evidence | more,
        remedy="this image was not made from this source with these inputs: do not use it",
    )


def first_difference(first: Image, second: Image) -> tuple[str, dict[str, object]]:
    """Returns where two images part in words, section and file, and the same as evidence."""
    try:
        found = diff(first, second)
    except EifError as error:
        return f"the two cannot be compared: {error} [{error.code}]", {}
    return _sentence(found), {
        "header": [_difference(item) for item in found.header],
        "section": None if found.section is None else _difference(found.section),
        "file": None if found.file is None else _difference(found.file),
        "other_sections": list(found.others),
        "pcrs": [change.index for change in found.pcrs],
    }


def _sentence(found: Comparison) -> str:
    parts = [f"{item.where} differs ({item.first}, {item.second})" for item in found.header]
    if found.section is not None:
        parts.append(f"the first section that differs is {found.section.where}")
    if found.file is not None:
        item = found.file
        parts.append(f"in it, the first file is {item.where} ({item.what}): {item.matters}")
    elif found.section is not None:
        parts.append(found.section.matters)
    changed = ", ".join(f"PCR{change.index}" for change in found.pcrs)
    parts.append(f"{changed} change with it" if changed else found.unmeasured)
    return "; ".join(part for part in parts if part)


def _difference(item: Difference) -> dict[str, str]:
    return {
        "where": item.where,
        "what": item.what,
        "first": item.first,
        "second": item.second,
        "matters": item.matters,
    }


def _digest(data: Bytes) -> dict[str, object]:
    return {"sha256": sha256(data).hexdigest(), "size": len(data)}


def _first_member(one: bytes, two: bytes) -> str:
    """Returns the path of the first member in which two JSON texts differ."""
    try:
        return _walk(json.loads(one), json.loads(two), "$") or "the spelling of the JSON"
    except ValueError:
        return "a file that is no JSON"


def _walk(one: object, two: object, path: str) -> str:
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        for name in [*one, *(name for name in two if name not in one)]:
            if name not in one or name not in two:
                return f"{path}.{name}"
            if found := _walk(one[name], two[name], f"{path}.{name}"):
                return found
        return "" if list(one) == list(two) else f"{path} (order)"
    if isinstance(one, list) and isinstance(two, list):
        for number, (mine, theirs) in enumerate(zip(one, two, strict=False)):
            if found := _walk(mine, theirs, f"{path}[{number}]"):
                return found
        return "" if len(one) == len(two) else f"{path}[{min(len(one), len(two))}]"
    return "" if one == two and type(one) is type(two) else path
