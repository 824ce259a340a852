"""How `strongroom eif` shows its results: text for people, JSON for programs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape
from strongroom_eif import Comparison, Description, Difference, EifError, VerifiedImage
from strongroom_eif.errors import CallerError

from strongroom_host.cli.attest_report import safe
from strongroom_host.errors import HostError
from strongroom_host.trust.release import VerifiedRelease
from strongroom_host.trust.release_errors import ReleaseRefused
from strongroom_host.trust.released_image import ReleasedImage

__all__ = [
    "comparison_json",
    "console",
    "faults",
    "print_comparison",
    "print_description",
    "print_json",
    "print_pcrs",
    "print_released",
    "print_verified",
    "release_json",
    "released_json",
    "verified_json",
]

REFUSED, USAGE = 1, 2

_MEANING = {
    0: "kernel, command line, all ramdisks",
    1: "kernel, command line, first ramdisk",
    2: "application: ramdisks after the first",
    8: "certificate that signed the image",
}


def console() -> Console:
    """Returns a console that leaves values whole: they are there to be copied."""
    return Console(soft_wrap=True, highlight=False)


def print_json(value: object) -> None:
    """Prints a value as JSON."""
    typer.echo(json.dumps(value, indent=2))


@contextmanager
def faults(as_json: bool = False) -> Iterator[None]:
    """Turns errors into one message and an exit status: 1 the image, 2 the caller, else the host's.

    With JSON asked for, standard output holds one object all the same.
    """
    try:
        yield
    except EifError as error:
        status = USAGE if isinstance(error, CallerError) else REFUSED
        if as_json:
            print_json({"accepted": False, **_error_json(error)})
        elsewhere = f". Elsewhere: {error.elsewhere}" if error.elsewhere else ""
        word = "error:" if status == USAGE else "REFUSED"
        _complain(word, f"{error} [{error.code}]{elsewhere}")
        raise typer.Exit(status) from error
    except ReleaseRefused as error:
        if as_json:
            print_json({"accepted": False, **_refusal_json(error)})
        _complain("REFUSED", _refusal_text(error))
        raise typer.Exit(REFUSED) from error
    except HostError as error:
        if as_json:
            print_json({"accepted": False, "code": "usage", "message": error.what})
        expected = f" (expected: {error.expected})" if error.expected else ""
        _complain("error:", f"{error.what}{expected}. {error.remedy}".rstrip(" ."))
        raise typer.Exit(error.exit_status) from error


def _complain(word: str, text: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"[bold red]{word}[/] {escape(safe(text))}"
    )


def _error_json(error: EifError) -> dict[str, object]:
    report: dict[str, object] = {"code": error.code, "message": str(error)}
    if error.elsewhere:
        report["elsewhere"] = error.elsewhere
    for name, value in (("expected", error.expected), ("actual", error.actual)):
        if value is not None:
            report[name] = value if isinstance(value, int | str) else _text(value)
    return report


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def print_pcrs(out: Console, pcrs: dict[int, bytes]) -> None:
    """Prints the measurements in full, for copying."""
    out.print("\n[bold]measurements[/] (SHA-384)")
    for index, value in pcrs.items():
        unset = "" if any(value) else "; zero: not signed"
        out.print(f"PCR{index}     {_MEANING[index]}{unset}\n         {value.hex()}")


def print_description(out: Console, found: Description) -> None:
    """Prints what an image consists of."""
    image = found.image
    out.print(
        f"EIF version {image.version}, {image.architecture.name.lower()}, {image.size} bytes, "
        f"CRC-32 {found.crc:08x} (right)"
    )
    out.print(f"SHA-256  {found.sha256.hex()}")
    out.print(f"SHA-384  {found.sha384.hex()}")
    out.print(f"kernel   {escape(safe(found.kernel or '(does not say its version)'))}")
    cmdline = image.cmdline.decode("ascii", "backslashreplace")
    out.print(f"cmdline  {escape(safe(cmdline))}")
    print_pcrs(out, found.measurements.pcrs)
    out.print("\n[bold]sections[/] (in file order; no PCR covers where they end)")
    for section in found.measurements.sections:
        into = ", ".join(f"PCR{index}" for index in section.pcrs) or "no PCR"
        out.print(f"{section.name:<11} at {section.offset}, {section.length} bytes, {into}")
        out.print(f"            {section.sha384.hex()}")
    _print_label(out, found)
    _print_signature(out, found)
    for name, text in found.faults:
        out.print(f"[bold red]FAULT[/] in {name}: {escape(safe(text))}")


def _print_label(out: Console, found: Description) -> None:
    if found.metadata is None:
        return
    label, build = found.metadata, found.metadata.build
    out.print("\n[bold]metadata[/] (a label: measured by nothing)")
    for name, value in (
        ("name", f"{label.image_name} {label.image_version}"),
        ("built", f"{build.build_time} by {build.build_tool} {build.build_tool_version}"),
        ("for", f"{build.operating_system} {build.kernel_version}"),
    ):
        out.print(f"{name:<8} {escape(safe(value))}")
    if label.custom is not None:
        out.print(f"custom   {escape(safe(json.dumps(label.custom)))}")


def _print_signature(out: Console, found: Description) -> None:
    if found.signature is None:
        out.print("\n[bold]signature[/] none")
        return
    certificate = found.signature.certificate
    verdict = "does not hold" if any(n == "signature" for n, _ in found.faults) else "holds"
    out.print(f"\n[bold]signature[/] over PCR{found.signature.register_index}, {verdict}")
    out.print(f"subject  {escape(safe(found.subject))}")
    out.print(
        f"valid    {certificate.not_valid_before_utc:%Y-%m-%d %H:%MZ} to "
        f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%MZ}"
    )


def print_verified(out: Console, verified: VerifiedImage, signed_as_of: str) -> None:
    """Prints that an image is accepted, with what that does not say."""
    out.print("[bold green]ACCEPTED[/]: every part of the image has one reading")
    if verified.signature is not None:
        out.print(f"signature holds, certificate valid at {signed_as_of}")
    for number, summary in enumerate(verified.ramdisks):
        count = "files not seen" if summary.entries is None else f"{summary.entries} entries"
        out.print(f"ramdisk[{number}] {summary.compression}: {count}")
    print_pcrs(out, verified.measurements.pcrs)
    out.print()
    for notice in verified.notices:
        out.print(f"[yellow]note[/] {escape(safe(notice.text))} [dim]({notice.code})[/]")


def verified_json(verified: VerifiedImage) -> dict[str, object]:
    """Returns the same as JSON."""
    pcrs = {str(index): value.hex() for index, value in verified.measurements.pcrs.items()}
    return {
        "accepted": True,
        "signed": verified.signature is not None,
        "pcrs": pcrs,
        "sections": [
            {"name": s.name, "length": s.length, "sha384": s.sha384.hex()}
            for s in verified.measurements.sections
        ],
        "ramdisks": [
            {"compression": s.compression, "entries": s.entries, "content_bytes": s.content_bytes}
            for s in verified.ramdisks
        ],
        "notices": [{"code": notice.code, "text": notice.text} for notice in verified.notices],
    }


def print_released(out: Console, release: VerifiedRelease, image: ReleasedImage) -> None:
    """Prints that an image is the released one: what was proved, and by whose word."""
    record = release.record
    out.print(f"\n[bold green]RELEASED[/] as version {escape(safe(record.version))}")
    out.print(f"file     SHA-256 {image.sha256.hex()}")
    out.print(f"sections {image.sections}, each with the released length and digests; PCR0 to PCR2")
    for entry in release.signers:
        out.print(f"signed   {escape(safe(entry.name))} ({entry.role}), key {entry.id}")
    if not release.signed:
        out.print("[bold red]UNSIGNED[/] record: nobody vouches for it but whoever wrote that file")
    if image.signature_ignored:
        out.print("[yellow]note[/] compared without its signature section: pin PCR8 yourself")
    for reason in release.ignored:
        out.print(f"[yellow]note[/] a signature does not count: {escape(safe(reason))}")


def released_json(release: VerifiedRelease, image: ReleasedImage) -> dict[str, object]:
    """Returns the same as JSON."""
    compared = {"sha256": image.sha256.hex(), "signature_ignored": image.signature_ignored}
    return {"release": release_json(release) | compared}


def release_json(release: VerifiedRelease) -> dict[str, object]:
    """Returns what a release says and who vouches for it, for programs."""
    record = release.record
    return {
        "version": record.version,
        "signed": release.signed,
        "signers": [{"id": e.id, "name": e.name, "role": e.role} for e in release.signers],
        "ignored": list(release.ignored),
        "eif": {"sha256": record.eif.sha256, "size": record.eif.size},
        "pcrs": {str(index): value for index, value in record.pcrs.items()},
    }


def _refusal_text(error: ReleaseRefused) -> str:
    parts = [f"{error.what} [{error.code}]"]
    if error.expected is not None:
        parts.append(f"expected: {error.expected}")
    if error.actual is not None:
        parts.append(f"found: {error.actual}")
    return ". ".join([*parts, error.remedy]).rstrip(" .")


def _refusal_json(error: ReleaseRefused) -> dict[str, object]:
    report: dict[str, object] = {"code": error.code, "message": error.what}
    for name, value in (("expected", error.expected), ("actual", error.actual)):
        if value is not None:
            report[name] = value if isinstance(value, int | str) else _text(value)
    return report


def comparison_json(found: Comparison) -> dict[str, object]:
    """Returns a comparison as JSON."""
    return {
        "identical": found.identical,
        "header": [_difference_json(difference) for difference in found.header],
        "section": None if found.section is None else _difference_json(found.section),
        "file": None if found.file is None else _difference_json(found.file),
        "other_sections": list(found.others),
        "pcrs": {
            str(change.index): {"first": change.first.hex(), "second": change.second.hex()}
            for change in found.pcrs
        },
        "unmeasured": found.unmeasured,
    }


def _difference_json(difference: Difference) -> dict[str, str]:
    return {
        "where": safe(difference.where),
        "what": difference.what,
        "first": safe(difference.first),
        "second": safe(difference.second),
        "matters": difference.matters,
    }


def print_comparison(out: Console, found: Comparison) -> None:
    """Prints where two images part, from the outside in."""
    if found.identical:
        out.print("[bold green]IDENTICAL[/]: the same bytes")
        return
    out.print("[bold red]DIFFERENT[/]")
    for difference in found.header:
        _print_difference(out, "header", difference)
    if found.section is not None:
        _print_difference(out, "first section", found.section)
    if found.file is not None:
        _print_difference(out, "first place in it", found.file)
    if found.others:
        out.print(f"also different: {', '.join(found.others)}")
    for change in found.pcrs:
        out.print(f"PCR{change.index}\n  {change.first.hex()}\n  {change.second.hex()}")
    if found.unmeasured:
        out.print(f"[yellow]note[/] {found.unmeasured}")


def _print_difference(out: Console, label: str, difference: Difference) -> None:
    where = escape(safe(difference.where))
    out.print(f"[bold]{label}[/] {where}: {escape(safe(difference.what))}")
    out.print(f"  first:   {escape(safe(difference.first))}")
    out.print(f"  second:  {escape(safe(difference.second))}")
    out.print(f"  matters: {escape(safe(difference.matters))}")
