"""`strongroom eif`: build, look at, verify, sign, take apart and compare enclave image files.

Exit status: 0 done (accepted, identical), 1 refused or different, 2 the command line or an input
other than the image is at fault, 5 this machine lacks something.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from strongroom_eif import (
    FOREIGN,
    OWN,
    Architecture,
    BuildMetadata,
    Image,
    KeyInMemory,
    Metadata,
    Parts,
    files,
    measure,
    parts,
)
from strongroom_eif import (
    build as build_image,
)
from strongroom_eif import (
    describe as describe_image,
)
from strongroom_eif import (
    diff as diff_images,
)
from strongroom_eif import (
    resign as resign_image,
)
from strongroom_eif import (
    sign as sign_image,
)
from strongroom_eif import (
    verify as verify_image,
)
from strongroom_eif.kernel import inspect_kernel
from strongroom_eif.metadata import Json

from strongroom_host.cli.attest_input import read_time
from strongroom_host.cli.eif_files import (
    mapped,
    read_image,
    read_passphrase,
    read_small,
    save_bytes,
    save_image,
)
from strongroom_host.cli.eif_report import (
    comparison_json,
    console,
    faults,
    print_comparison,
    print_description,
    print_json,
    print_pcrs,
    print_released,
    print_verified,
    released_json,
    verified_json,
)
from strongroom_host.errors import BadInput
from strongroom_host.private_files import read_private
from strongroom_host.trust.release import load_release
from strongroom_host.trust.released_image import check_released

__all__ = ["app"]

DIFFERENT = 1

app = typer.Typer(
    name="eif",
    help="Build, verify, sign and compare enclave image files (EIF). Nothing is executed.",
    no_args_is_help=True,
)

ImageArgument = Annotated[Path, typer.Argument(metavar="IMAGE", help="An enclave image file.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Where to write the image.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
KeyOption = Annotated[
    Path, typer.Option("--key", help="EC private key in PEM, readable by its owner only.")
]
CertificateOption = Annotated[
    Path, typer.Option("--certificate", help="The signing certificate in PEM; goes into PCR8.")
]
PassphraseOption = Annotated[
    Path | None, typer.Option(help="A file whose first line unlocks the private key.")
]
AtOption = Annotated[
    str | None,
    typer.Option(help="Judge the signing certificate at this time (ISO 8601; default: now)."),
]


@app.command()
def build(
    kernel: Annotated[Path, typer.Option(help="bzImage (x86_64) or Image (aarch64).")],
    ramdisk: Annotated[
        list[Path],
        typer.Option(help="A ramdisk; repeatable. The first goes into PCR1, all others into PCR2."),
    ],
    output: OutputOption,
    name: Annotated[str, typer.Option(help="The image's name, a label.")],
    version: Annotated[str, typer.Option(help="The image's version, a label.")],
    cmdline: Annotated[str | None, typer.Option(help="The kernel's command line.")] = None,
    cmdline_file: Annotated[
        Path | None, typer.Option(help="A file with it; a line break at its end is left out.")
    ] = None,
    arch: Annotated[str, typer.Option(help="x86_64 or aarch64.")] = "x86_64",
    build_time: Annotated[
        str, typer.Option(help="RFC 3339 time for the label. Fixed, so that builds are equal.")
    ] = "1970-01-01T00:00:00Z",
    operating_system: Annotated[str, typer.Option(help="A label.")] = "Linux",
    kernel_version: Annotated[
        str | None, typer.Option(help="A label; default: what the kernel says.")
    ] = None,
    custom_metadata: Annotated[
        Path | None, typer.Option(help="A JSON file of at most 4096 bytes, added to the label.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Sign with this EC private key.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="And this certificate.")] = None,
    passphrase_file: PassphraseOption = None,
    at: AtOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Build an image; equal inputs give equal files, signed or not."""
    with faults(as_json):
        code = mapped(kernel)
        architecture = _architecture(arch)
        inspected = inspect_kernel(code, architecture)
        label = BuildMetadata(
            build_time=build_time,
            build_tool="strongroom eif",
            build_tool_version="1",
            operating_system=operating_system,
            kernel_version=_first_word(inspected.version)
            if kernel_version is None
            else kernel_version,
        )
        image = build_image(
            Parts(
                kernel=code,
                cmdline=_cmdline(cmdline, cmdline_file),
                ramdisks=[mapped(path) for path in ramdisk],
                metadata=Metadata(name, version, label, custom=_custom(custom_metadata)),
                architecture=architecture,
            )
        )
        # Before anything is written: a key that cannot sign must not leave an unsigned image.
        if key is not None or certificate is not None:
            if key is None or certificate is None:
                raise BadInput(
                    "signing takes both --key and --certificate", remedy="Give the other as well."
                )
            signer = _signer(key, passphrase_file)
            image = sign_image(image, signer, read_small(certificate), _time(at))
        _save(image, output, force=force, as_json=as_json)


@app.command()
def describe(image: ImageArgument, at: AtOption = None, as_json: JsonOption = False) -> None:
    """Show sections with their digests, PCRs, metadata, signature and certificate."""
    with faults(as_json):
        found = describe_image(mapped(image), _time(at))
        if as_json:
            print_json(found.to_json())
        else:
            print_description(console(), found)


@app.command()
def verify(
    image: ImageArgument,
    at: AtOption = None,
    own: Annotated[
        bool,
        typer.Option(
            "--own",
            help="Hold the ramdisks to the rules of images that Strongroom builds: no devices but "
            "the console, no hard links, clean paths only.",
        ),
    ] = False,
    release: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A signed release that the image has to be."),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Pinned release keys (default: this source tree's)."),
    ] = None,
    unsigned_release: Annotated[
        bool,
        typer.Option("--unsigned-release", help="Take a bare record: of an image you built."),
    ] = False,
    ignore_signature: Annotated[
        bool,
        typer.Option(
            "--ignore-signature", help="Compare without the signature section (yours: pin PCR8)."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every rule of the format, the signature and the files; say what others overlook.

    With --release also that it is that very image, and that pinned keys signed the release.
    """
    with faults(as_json):
        moment = _time(at)
        if release is None and (keys or unsigned_release or ignore_signature):
            raise BadInput("--keys and the like say how to take a --release", remedy="Name one.")
        data = mapped(image)
        verified = verify_image(data, moment, OWN if own else FOREIGN)
        proved = None
        if release is not None:
            # The release first: what nobody vouches for is not compared with anything.
            found = load_release(release, moment, keys=keys, unsigned=unsigned_release)
            checked = check_released(data, found.record, ignore_signature=ignore_signature)
            proved = (found, checked)
        if as_json:
            print_json(verified_json(verified) | (released_json(*proved) if proved else {}))
        else:
            print_verified(console(), verified, moment.isoformat(timespec="seconds"))
            if proved:
                print_released(console(), *proved)


@app.command()
def sign(
    image: ImageArgument,
    key: KeyOption,
    certificate: CertificateOption,
    output: OutputOption,
    passphrase_file: PassphraseOption = None,
    at: AtOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Sign an unsigned image."""
    with faults(as_json):
        signer = _signer(key, passphrase_file)
        signed = sign_image(read_image(image), signer, read_small(certificate), _time(at))
        _save(signed, output, force=force, as_json=as_json)


@app.command()
def resign(
    image: ImageArgument,
    key: KeyOption,
    certificate: CertificateOption,
    output: OutputOption,
    passphrase_file: PassphraseOption = None,
    at: AtOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Replace a signature; every other section keeps its bytes and its place."""
    with faults(as_json):
        signer = _signer(key, passphrase_file)
        signed = resign_image(read_image(image), signer, read_small(certificate), _time(at))
        _save(signed, output, force=force, as_json=as_json)


@app.command()
def extract(
    image: ImageArgument,
    folder: Annotated[Path, typer.Argument(help="Where to put the parts.")],
    file: Annotated[
        list[str] | None,
        typer.Option(help="Only this file out of the ramdisks, by its path there; repeatable."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Save each section as a file, or single files out of the ramdisks."""
    with faults():
        found = read_image(image)
        out = console()
        if not file:
            for name, data in parts(found).items():
                save_bytes([data], folder / name, force=force)
                out.print(f"{folder / name}: {len(data)} bytes")
            return
        missing = set(file)
        # A name of ours: the archive's directories, links and modes stay inside the archive.
        targets = {path: folder / path.rpartition("/")[2] for path in missing}
        if len(set(targets.values())) < len(targets):
            raise BadInput("two files of the same name", remedy="Extract them one at a time.")
        for entry in files(found, frozenset(file)):
            target = targets[entry.path]
            save_bytes(entry.pieces, target, force=force)
            out.print(f"{target}: {entry.size} bytes")
            missing.discard(entry.path)
        if missing:
            raise BadInput(
                f"no regular file {min(missing)!a} in the ramdisks",
                remedy="Paths are relative, as in the archive: usr/bin/init.",
            )


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help="An enclave image file.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
    as_json: JsonOption = False,
) -> None:
    """Name the first section that differs, the first file in it, and why it matters."""
    with faults(as_json):
        found = diff_images(read_image(first), read_image(second))
        if as_json:
            print_json(comparison_json(found))
        else:
            print_comparison(console(), found)
    if not found.identical:
        raise typer.Exit(DIFFERENT)


def _save(image: Image, output: Path, *, force: bool, as_json: bool) -> None:
    length = save_image(image, output, force=force)
    measured = measure(image)
    if as_json:
        pcrs = {str(index): value.hex() for index, value in measured.pcrs.items()}
        print_json({"output": str(output), "size": length, "pcrs": pcrs})
    else:
        out = console()
        out.print(f"{output}: {length} bytes", markup=False)
        print_pcrs(out, measured.pcrs)


def _time(text: str | None) -> datetime:
    return datetime.now(UTC) if text is None else read_time(text)


def _signer(key: Path, passphrase_file: Path | None) -> KeyInMemory:
    return KeyInMemory.from_pem(read_private(key), read_passphrase(passphrase_file))


def _architecture(text: str) -> Architecture:
    try:
        return Architecture[text.upper()]
    except KeyError:
        raise BadInput(
            f"--arch: {text!a} is no architecture", remedy="Give x86_64 or aarch64."
        ) from None


def _cmdline(text: str | None, file: Path | None) -> str:
    if (text is None) == (file is None):
        raise BadInput("give either --cmdline or --cmdline-file", remedy="Exactly one of them.")
    if text is not None or file is None:
        return text or ""
    return read_small(file).decode("latin-1").removesuffix("\n")


def _custom(file: Path | None) -> Json:
    if file is None:
        return None
    try:
        value: Json = json.loads(read_small(file))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"--custom-metadata: {file} is not JSON") from error
    if not isinstance(value, dict):
        raise BadInput(f"--custom-metadata: {file} holds no JSON object")
    return value


def _first_word(text: str) -> str:
    return text.partition(" ")[0] or "unknown"
