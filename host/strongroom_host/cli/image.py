"""`strongroom image`: build the measured image from a checkout, and see what is in one.

Exit status: 0 done, 1 the build or the image is not what it should be, 2 the input is at fault,
5 this machine lacks something.
"""

import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from strongroom_eif import Difference, parse
from strongroom_eif.recipe.assemble import PINS, build_image
from strongroom_eif.recipe.pins import Pins
from strongroom_eif.recipe.record import FileLine, Mismatch, ReleaseRecord, compare, lines_of
from strongroom_eif.recipe.record import parse_record as parse_release
from strongroom_eif.recipe.sbom import MAX_SBOM_BYTES, Sbom, read_sbom
from strongroom_eif.recipe.store import Store, default_cache, mirrors

from strongroom_host.cli.eif_files import mapped
from strongroom_host.cli.eif_report import faults
from strongroom_host.cli.output import print_json, say, table
from strongroom_host.errors import BadInput
from strongroom_host.private_files import read_file
from strongroom_host.trust.release_keys import CHECKOUT

__all__ = ["app"]

DIFFERENT = 1
MAX_RECORD_BYTES = 16 << 20

app = typer.Typer(
    name="image",
    help="Build the measured image from source, and look into one.",
    no_args_is_help=True,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
ImageArgument = Annotated[Path, typer.Argument(metavar="IMAGE", help="An enclave image file.")]
SbomOption = Annotated[
    Path | None,
    typer.Option("--sbom", metavar="FILE", help="Its SBOM (default: the one beside the image)."),
]


@app.command()
def build(
    source: Annotated[
        Path, typer.Option(metavar="DIR", help="The checkout to build (default: this one).")
    ] = CHECKOUT,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Default: its build/image."),
    ] = None,
    inputs: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="Look here for inputs before the network is asked; repeatable."
        ),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the network.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Make every part anew, whatever the cache has.")
    ] = False,
    work: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With --fresh: where, leaving the cache's parts alone."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Build image, release record and SBOM; equal checkouts give equal files on every machine."""
    if work is not None and not fresh:
        raise BadInput("--work goes with --fresh", remedy="give both, or neither")
    target = source / "build" / "image" if output is None else output
    started = datetime.now(UTC)
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(),
        transient=True, disable=as_json or not sys.stderr.isatty(),
    ) as progress:  # fmt: skip
        task = progress.add_task("looking at the checkout")

        def told(line: str) -> None:
            progress.update(task, description=line)
            if progress.disable and not as_json:
                say(line)

        pins = Pins.load(source / PINS)
        store = Store(default_cache(), inputs or (), mirrors(pins), told, offline)
        built = build_image(store, pins, source, output=target, fresh=fresh, work=work)
    record = parse_release(built.record.read_bytes())
    if as_json:
        print_json(
            {
                "image": str(built.image),
                "record": str(built.record),
                "sbom": str(built.sbom),
                "sha256": record.eif.sha256,
                "size": record.eif.size,
                "pcrs": record.pcrs,
                "sections": built.sizes,
            }
        )
        return
    say(f"{built.image}: {record.eif.size} bytes, SHA-256 {record.eif.sha256}")
    for name, size in built.sizes.items():
        say(f"  {name:<11} {size:>10} bytes")
    for number, value in sorted(built.pcrs.items()):
        say(f"PCR{number} {value}")
    say(f"record {built.record}\nSBOM   {built.sbom}")
    seconds = (datetime.now(UTC) - started).total_seconds()
    say(f"in {seconds:.1f} s, {store.fetched()} fetched")


@app.command()
def record(
    record_file: Annotated[
        Path, typer.Argument(metavar="RECORD", help="A release record (.json).")
    ],
    image: Annotated[
        Path | None, typer.Argument(metavar="[IMAGE]", help="An image to hold against it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a record says; with an image, whether it is that one, and if not, where they part.

    Nobody vouches for a bare record: `strongroom eif verify --release` checks signatures too.
    """
    found = parse_release(read_file(record_file, limit=MAX_RECORD_BYTES))
    if image is None:
        _show_record(found, as_json=as_json)
        return
    with faults(as_json):
        data = mapped(image)
        mismatch = compare(found, parse(data))
    if as_json:
        print_json(
            {
                "identical": mismatch is None,
                "mismatch": _mismatch_json(mismatch),
                "file_sha256": hashlib.sha256(data).hexdigest(),
            }
        )
    elif mismatch is None:
        say(f"{image} is the image of this record, version {found.version}")
        _show_digest(hashlib.sha256(data).hexdigest(), found.eif.sha256)
    else:
        say(f"{image} is not the image of this record, version {found.version}")
        _show_difference("first section", mismatch.section)
        if mismatch.file is not None:
            _show_difference("first place in it", mismatch.file)
        if mismatch.others:
            say(f"also different: {', '.join(mismatch.others)}")
    if mismatch is not None:
        raise typer.Exit(DIFFERENT)


@app.command()
def files(
    image: ImageArgument,
    sbom: SbomOption = None,
    under: Annotated[
        str, typer.Option(metavar="PATH", help="Only what is below this path of the image.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """List every entry of an image with mode, digest and, from its SBOM, origin."""
    with faults(as_json):
        listed = lines_of(parse(mapped(image)))
    origins = _sbom_beside(image, sbom)
    rows = [
        (ramdisk, line, _origin(origins, line))
        for ramdisk, lines in listed.items()
        for line in lines
        if f"{line.path}/".startswith(under.strip("/") + "/" if under.strip("/") else "")
    ]
    if as_json:
        print_json(
            [
                {
                    "ramdisk": ramdisk,
                    "path": line.path,
                    "mode": f"{line.mode:06o}",
                    "sha256": line.sha256,
                    "origin": origin,
                }
                for ramdisk, line, origin in rows
            ]
        )
        return
    for _, line, origin in rows:
        say(f"{line.mode:06o} {line.sha256} {origin:<30} /{line.path}")


@app.command()
def sbom(
    sbom_file: Annotated[Path, typer.Argument(metavar="SBOM", help="An SBOM (.cdx.json) of ours.")],
    as_json: JsonOption = False,
) -> None:
    """Show what an image is made of: packages with version, licence and number of files."""
    found = read_sbom(read_file(sbom_file, limit=MAX_SBOM_BYTES))
    if as_json:
        print_json(
            [
                {
                    "origin": c.origin,
                    "version": c.version,
                    "licence": c.licence,
                    "files": c.files,
                    "purl": c.purl,
                    "sha256": c.sha256,
                }
                for c in found.components
            ]
        )
        return
    table(
        f"{len(found.components)} components, {len(found.files)} entries",
        ["origin", "version", "entries", "licence"],
        [(c.origin, c.version, str(c.files), _shortened(c.licence)) for c in found.components],
    )


def _show_record(found: ReleaseRecord, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "version": found.version,
                "source": {"tree": found.source.tree, "commit": found.source.commit},
                "eif": {"sha256": found.eif.sha256, "size": found.eif.size},
                "pcrs": found.pcrs,
                "entries": {name: len(lines) for name, lines in found.files.items()},
            }
        )
        return
    say(f"version  {found.version}")
    say(f"source   {found.source.tree}, commit {found.source.commit or 'not recorded'}")
    say(f"image    {found.eif.size} bytes, SHA-256 {found.eif.sha256}")
    say(f"kernel   {found.kernel.version}")
    for number, value in sorted(found.pcrs.items()):
        say(f"PCR{number}     {value}")
    for section in found.sections:
        say(f"{section.name:<11} {section.length:>10} bytes, SHA-384 {section.sha384}")
    say(
        f"made of {len(found.packages)} Debian packages and {len(found.wheels)} wheels, with "
        f"{len(found.toolchain)} packages of tools; "
        f"{sum(len(lines) for lines in found.files.values())} entries"
    )


def _show_digest(actual: str, recorded: str) -> None:
    """Says what the comparison by section leaves open."""
    say("signature sections in it, if any, were not compared")
    if actual == recorded:
        say(f"the file's own SHA-256 is the record's: {actual}")
    else:
        say(
            "the file's own SHA-256 is not the record's, as for an image that was signed since\n"
            f"  record:  {recorded}\n  file:    {actual}"
        )


def _show_difference(label: str, difference: Difference) -> None:
    say(f"{label}: {difference.where}: {difference.what}")
    say(f"  record:  {difference.first}\n  image:   {difference.second}")
    say(f"  matters: {difference.matters}")


def _mismatch_json(mismatch: Mismatch | None) -> dict[str, object] | None:
    if mismatch is None:
        return None
    return {
        "section": _difference_json(mismatch.section),
        "file": None if mismatch.file is None else _difference_json(mismatch.file),
        "others": list(mismatch.others),
    }


def _difference_json(difference: Difference) -> dict[str, str]:
    return {
        "where": difference.where,
        "what": difference.what,
        "record": difference.first,
        "image": difference.second,
        "matters": difference.matters,
    }


def _sbom_beside(image: Path, named: Path | None) -> Sbom | None:
    path = image.with_suffix(".cdx.json") if named is None else named
    if named is None and not path.exists():
        return None
    return read_sbom(read_file(path, limit=MAX_SBOM_BYTES))


def _origin(listed: Sbom | None, line: FileLine) -> str:
    if listed is None:
        return "-"
    found = listed.files.get(line.path)
    if found is None or (found.mode, found.sha256) != (f"{line.mode:06o}", line.sha256):
        return "not in the SBOM"
    return found.origin


def _shortened(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:87]}..."
