"""The image from its parts: kernel, two ramdisks, label; the record and the SBOM beside it.

Everything is decided by files of the repository and inputs named there by hash. The same checkout
gives the same three files on every machine, whatever its distribution, user, clock, locale, umask
or path; where that is not so, the build is wrong and `make audit` says where.
"""

import hashlib
import io
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from strongroom_eif.archive_writer import archive
from strongroom_eif.builder import Parts, build
from strongroom_eif.image import Image
from strongroom_eif.measurements import measure
from strongroom_eif.metadata import BuildMetadata, Metadata
from strongroom_eif.paths import OWN
from strongroom_eif.recipe.application import (
    INPUTS,
    check_recipe,
    digest_of,
    snapshot,
    version,
    write_snapshot,
)
from strongroom_eif.recipe.bytecode import check_same_python, gzipped
from strongroom_eif.recipe.ingredients import (
    KERNEL_CONFIG,
    LOCK,
    PINS,
    SYSTEM_RULES,
    components,
    gather,
)
from strongroom_eif.recipe.inspection import check_tree, read_tree
from strongroom_eif.recipe.kernel import build_kernel
from strongroom_eif.recipe.machine import check_architecture, writing
from strongroom_eif.recipe.pins import Pins
from strongroom_eif.recipe.record import (
    FORMAT,
    Artefact,
    KernelRecord,
    PCRs,
    ReleaseRecord,
    Source,
    image_sha256,
    lines_of,
    parse_record,
    sections_of,
)
from strongroom_eif.recipe.results import Results
from strongroom_eif.recipe.root import Root
from strongroom_eif.recipe.sbom import read_sbom, write_sbom
from strongroom_eif.recipe.store import Store
from strongroom_eif.recipe.system import SYSTEM
from strongroom_eif.verification import verify
from strongroom_eif.writer import write

__all__ = ["CMDLINE", "PINS", "Built", "build_image"]

CMDLINE: Final = "console=ttyS0 reboot=t panic=-1 random.trust_cpu=on rootfstype=ramfs rdinit=/init"
"""Ends without `--`: the hypervisor appends where its devices are, and the kernel reads that."""


NAME: Final = "strongroom"
TOOLCHAIN: Final = "toolchain"
_LABEL_TIME: Final = "1970-01-01T00:00:00Z"
"""The label's build time says nothing: two builds of one source are one image."""
_ANY_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""For the verification of an unsigned image, whose outcome no time changes."""


@dataclass(frozen=True, slots=True)
class Built:
    """A finished image and what belongs to it.

    Attributes:
        image: The EIF.
        record: Its release record.
        sbom: Its SBOM.
        pcrs: By number.
        sizes: Bytes of each section by name.
    """

    image: Path
    record: Path
    sbom: Path
    pcrs: dict[int, str]
    sizes: dict[str, int]


def build_image(
    store: Store,
    pins: Pins,
    source: Path,
    *,
    output: Path,
    fresh: bool = False,
    work: Path | None = None,
) -> Built:
    """Builds the image of a checkout, with its record and SBOM, or takes them from the cache.

    Args:
        store: Inputs and earlier results.
        pins: Of the checkout.
        source: Its root.
        output: The folder that gets the three files, each replaced in one step.
        fresh: Whether to make everything anew, inputs excepted.
        work: With `fresh`, where the parts are made; the cache then keeps its own.

    Raises:
        RecipeError: A subclass for whatever is wrong with inputs, machine, build or result.
    """
    check_architecture()
    results = Results(store, fresh, work)
    files = snapshot(source)
    check_recipe(files)
    tree = digest_of(files)

    def make(place: Path) -> None:
        with tempfile.TemporaryDirectory(dir=results.scratch()) as folder:
            with writing(Path(folder)):
                write_snapshot(files, Path(folder))
            _make(place, results, pins, Path(folder), tree)

    made = results.make("image", tree, make)
    return _publish(made, source, output)


# --- The three files -----------------------------------------------------------------------------

_IMAGE, _RECORD, _SBOM = "image.eif", "record.json", "sbom.cdx.json"


def _make(place: Path, results: Results, pins: Pins, source: Path, tree: str) -> None:
    store = results.store
    release = version(source)
    check_same_python(pins)
    root = Root.prepare(store, pins, TOOLCHAIN)
    # Before the kernel, which takes minutes: a mistake in here shows at once.
    contents = gather(results, pins, source, root)
    ramdisks = [
        gzipped(archive(item.node for item in part), results, root)
        for part in (contents.boot, contents.application)
    ]
    kernel = build_kernel(
        store, pins, source / KERNEL_CONFIG, fresh=results.fresh, work=results.work
    )
    image = build(
        Parts(kernel.image.read_bytes(), CMDLINE, ramdisks, _label(release, kernel.version))
    )
    store.say("checking the finished image")
    with writing(place), (place / _IMAGE).open("wb") as stream:
        write(image, stream)
    verify((place / _IMAGE).read_bytes(), _ANY_TIME, OWN)
    ramdisk_of = {item.path: 1 for item in contents.application}
    ramdisk_of |= {item.path: 0 for item in contents.boot}
    sbom = write_sbom(release, components(contents, kernel, pins, release), ramdisk_of)
    programs = (program.path for program in contents.rules.programs)
    check_tree(read_tree(image), programs, read_sbom(sbom).descriptions)
    record = ReleaseRecord(
        format=FORMAT,
        version=release,
        source=Source(tree=tree, commit=None),
        eif=Artefact(name=f"{_stem(release)}.eif", size=image.size, sha256=image_sha256(image)),
        pcrs=_pcrs(image),
        cmdline=CMDLINE,
        sections=sections_of(image),
        kernel=KernelRecord(
            version=kernel.version,
            sha256=_sha256(kernel.image),
            config_sha256=_sha256(kernel.config),
            inputs={name: str(value) for name, value in sorted(kernel.inputs.items())},
        ),
        packages=list(pins.package_set(SYSTEM)),
        wheels=[unpacked.wheel for unpacked in contents.wheels],
        toolchain=list(pins.package_set(TOOLCHAIN)),
        inputs={
            **{str(path): _sha256(source / path) for path in (SYSTEM_RULES, LOCK, KERNEL_CONFIG)},
            "system packages": pins.digest(SYSTEM),
            "toolchain packages": pins.digest(TOOLCHAIN),
        },
        sbom=Artefact(
            name=f"{_stem(release)}.cdx.json",
            size=len(sbom),
            sha256=hashlib.sha256(sbom).hexdigest(),
        ),
        files={name: [str(line) for line in lines] for name, lines in lines_of(image).items()},
    )
    with writing(place):
        (place / _SBOM).write_bytes(sbom)
        (place / _RECORD).write_bytes(record.to_json())


def _publish(made: Path, source: Path, output: Path) -> Built:
    """Puts a result into the output folder; the commit is added here, since it changes nothing."""
    record = parse_record((made / _RECORD).read_bytes())
    record = msgspec.structs.replace(
        record, source=Source(tree=record.source.tree, commit=_commit(source))
    )
    stem = _stem(record.version)
    targets = [output / f"{stem}{suffix}" for suffix in (".eif", ".json", ".cdx.json")]
    image, written, sbom = targets
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        _replace(image, (made / _IMAGE).open("rb"))
        _replace(sbom, (made / _SBOM).open("rb"))
        # Last: whoever sees the record finds what it is about.
        _replace(written, io.BytesIO(record.to_json()))
    return Built(
        image,
        written,
        sbom,
        {int(number): value for number, value in record.pcrs.items()},
        {section.name: section.length for section in record.sections},
    )


def _replace(target: Path, content: BinaryIO) -> None:
    with content, tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as stream:
        try:
            shutil.copyfileobj(content, stream, 1 << 20)
            stream.flush()
            Path(stream.name).chmod(0o644)
            Path(stream.name).replace(target)
        except BaseException:
            Path(stream.name).unlink(missing_ok=True)
            raise


def _commit(source: Path) -> str | None:
    """Returns the commit that the tree is at, None if it differs, or where git cannot tell."""
    git = shutil.which("git")
    if git is None or not (source / ".git").exists():
        return None
    try:
        changed = _git(git, source, "status", "--porcelain", "--", *INPUTS)
        return None if changed else _git(git, source, "rev-parse", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(git: str, source: Path, *arguments: str) -> str:
    return subprocess.run(  # noqa: S603  git, by absolute path, on the tree that was named
        [git, "-C", str(source), *arguments], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def _label(release: str, kernel_version: str) -> Metadata:
    label = BuildMetadata(_LABEL_TIME, "strongroom image", release, "Linux", kernel_version)
    return Metadata(NAME, release, label)


def _pcrs(image: Image) -> PCRs:
    pcrs = measure(image).pcrs
    return {"0": pcrs[0].hex(), "1": pcrs[1].hex(), "2": pcrs[2].hex()}


def _stem(release: str) -> str:
    return f"{NAME}-{release}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
