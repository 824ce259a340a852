"""The audit as a whole: what is asked, in which order, and what keeps going when something fails.

Every check is made even if an earlier one failed, so that one run shows everything there is to
mend. What the caller named is read first: a typing mistake must not cost ten minutes of building.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from strongroom_attest.nitro import Roots
from strongroom_eif import EifError, measure, parse
from strongroom_eif.recipe.application import version
from strongroom_eif.recipe.errors import RecipeError
from strongroom_eif.recipe.record import ReleaseRecord, parse_record
from strongroom_eif.recipe.rules import Rules
from strongroom_eif.recipe.sbom import Sbom, read_sbom

from strongroom_host.audit import gateway_checks, image_checks, source_checks
from strongroom_host.audit.advisories import (
    ACCEPTED,
    AdvisoryIndex,
    check_advisories,
    read_accepted,
)
from strongroom_host.audit.comparison import (
    compare_builds,
    compare_with_image,
    compare_with_release,
    no_release,
    not_built,
    unusable_release,
)
from strongroom_host.audit.dependencies import check_debian, check_licences, python_packages
from strongroom_host.audit.figures import check_figures
from strongroom_host.audit.findings import Finding, Report, Result, failed
from strongroom_host.audit.live import Expected, check_document, check_enclave, nothing_live
from strongroom_host.audit.promises import check_promises
from strongroom_host.audit.provenance import statement
from strongroom_host.audit.rebuild import FIRST, SECOND, Builder, BuildStopped, Product
from strongroom_host.audit.track_record import check_rows
from strongroom_host.enclave_client.evidence import UntrustedEvidence
from strongroom_host.errors import BadInput
from strongroom_host.mapped_file import mapped
from strongroom_host.private_files import read_file
from strongroom_host.trust.dsse import MAX_ENVELOPE
from strongroom_host.trust.release import VerifiedRelease, accept_unsigned, verify_release
from strongroom_host.trust.release_errors import ReleaseRefused, ReleaseUnsigned
from strongroom_host.trust.release_keys import KeyRing

__all__ = ["Outcome", "Request", "audit", "published"]

RELEASES: Final = Path("reproducible-build") / "releases"
_MARKER: Final = ".strongroom-audit"
_BUILDS: Final = 2
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be audited, and with what it is to be compared.

    Attributes:
        source: The checkout.
        work: A folder for the builds; emptied first.
        release: A release to compare with; None takes the one published for this version.
        keys: Pinned release keys; None takes this source tree's.
        image: An image file to compare with, as one got from an operator.
        rebuild: Whether to build; if not, `image` is audited as it is, with its papers beside it.
        document: A kept attestation document.
        fetch: Asks a running enclave for evidence under a nonce.
        roots: Trust anchors other than the vendor's, for development.
        unsigned: Whether to take documents that nobody signed.
        index: Who is asked for advisories; None for nobody.
    """

    source: Path
    work: Path
    release: Path | None = None
    keys: Path | None = None
    image: Path | None = None
    rebuild: bool = True
    document: bytes | None = None
    fetch: Callable[[bytes], UntrustedEvidence] | None = None
    roots: Roots | None = None
    unsigned: bool = False
    index: AdvisoryIndex | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of an audit.

    Attributes:
        report: Every finding.
        provenance: The statement about the image that was built; None if none was.
        product: The image and its papers, built or given.
        identical: Whether both builds gave the same.
    """

    report: Report
    provenance: dict[str, object] | None
    product: Product | None
    identical: bool


@dataclass(slots=True)
class _Audit:
    request: Request
    builder: Builder
    progress: Progress
    clock: Callable[[], datetime]
    findings: list[Finding] = field(default_factory=list)
    builds: int = 0
    fault: int = 0

    def add(self, *found: Finding) -> None:
        self.findings += found


def audit(
    request: Request,
    builder: Builder,
    progress: Progress = lambda line: None,  # noqa: ARG005
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Outcome:
    """Returns everything that was found.

    Raises:
        BadInput: Something that was named cannot be read; nothing has been done then.
    """
    running = _Audit(request, builder, progress, clock)
    started = clock()
    # 1. The caller's input.
    source = request.source
    release = _version(source)
    if request.rebuild:
        _check_work(request.work)
    published_file = _release_file(request, release)
    accepted = read_accepted(source / ACCEPTED)
    if request.image is not None:
        mapped(request.image)
    # 2. The source by itself: seconds.
    running.add(
        source_checks.check_source(source),
        source_checks.check_lines(source),
        source_checks.check_contracts(source),
        source_checks.check_lock(source),
        source_checks.check_placeholders(source),
        gateway_checks.check_grants(source),
        gateway_checks.check_logins(source),
        gateway_checks.check_doors(source),
    )
    # 3. From source to image, twice.
    product = _built(running) if request.rebuild else _given(running)
    # 4. The image by itself, and its papers.
    papers = None if product is None else _papers(running, product)
    if product is not None:
        _check_image(running, product, papers)
    if papers is not None:
        record, sbom = papers
        running.add(
            check_licences(sbom),
            check_advisories(python_packages(sbom), request.index, accepted),
            check_debian(sbom),
        )
    # 5. The image against what was published, what was handed over, and what runs.
    if product is not None:
        _compare(running, product, release, published_file)
        _live(running, product)
    # 6. The promises: what only a test can show, then row by row.
    running.progress("running the tests that the promises rest on")
    running.add(*check_promises(source, run=request.rebuild), *check_figures(source))
    running.add(*check_rows(source, running.findings))
    finished = clock()
    image: dict[str, object] = {}
    provenance = None
    if product is not None and papers is not None:
        record, _ = papers
        image = {"file": record.eif.name, "sha256": record.eif.sha256, "size": record.eif.size,
                 "pcrs": dict(record.pcrs)}  # fmt: skip
        if running.builds:
            digest = sha256(product.record.read_bytes()).hexdigest()
            provenance = statement(record, digest, running.builds, _text(started), _text(finished))
    report = Report(
        release, _text(started), _text(finished), tuple(running.findings), running.fault, image
    )
    return Outcome(report, provenance, product, running.builds == _BUILDS)


def published(source: Path, release: str) -> Path | None:
    """Returns the release of a version that a source tree has, the signed form before the bare."""
    folder = source / RELEASES
    found = (folder / f"{release}.dsse.json", folder / f"{release}.json")
    return next((path for path in found if path.is_file()), None)


# --- Builds --------------------------------------------------------------------------------------


def _built(running: _Audit) -> Product | None:
    request = running.request
    try:
        _empty(request.work)
        products = []
        for around in (FIRST, SECOND):
            running.progress(f"{around.name} build from scratch; this takes some minutes")
            folder = request.work / around.folder
            products.append(running.builder.build(request.source, folder, around))
    except BuildStopped as error:
        running.fault = error.status if error.status in (2, 5) else 0
        evidence = {
            "code": error.code,
            "expected": None if error.expected is None else str(error.expected),
            "found": None if error.actual is None else str(error.actual),
        }
        title = "Image, kernel and root file system can be built from this source"
        running.add(failed("rebuild.done", title, error.what, evidence, remedy=error.remedy))
        return None
    found = compare_builds(*products)
    running.add(*found)
    running.builds = _BUILDS if all(finding.result is Result.PASS for finding in found) else 1
    return products[0]


def _empty(work: Path) -> None:
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        (work / _MARKER).touch()
    except OSError as error:
        raise BuildStopped(
            f"cannot make an empty folder {work}: {error.strerror or error}",
            status=5,
            remedy="remove it, or name another with --work",
        ) from error


def _check_work(work: Path) -> None:
    """Refuses a folder that is somebody's else: it will be emptied."""
    if work.is_dir() and any(work.iterdir()) and not (work / _MARKER).is_file():
        raise BadInput(
            f"{work} is not empty, and not the work of an earlier audit",
            remedy="name a new folder with --work",
        )


def _given(running: _Audit) -> Product:
    """Returns the image that was handed over, with the papers that lie beside it."""
    image = running.request.image
    if image is None:
        raise BadInput(
            "without rebuilding there has to be an image to look at",
            remedy="name one: --image FILE",
        )
    stem = image.name.removesuffix(".eif")
    running.add(*not_built())
    return Product(image, image.with_name(f"{stem}.json"), image.with_name(f"{stem}.cdx.json"))


# --- The image -----------------------------------------------------------------------------------


def _papers(running: _Audit, product: Product) -> tuple[ReleaseRecord, Sbom] | None:
    try:
        record = parse_record(read_file(product.record, limit=MAX_ENVELOPE))
        return record, read_sbom(read_file(product.sbom, limit=MAX_ENVELOPE))
    except (RecipeError, BadInput) as error:
        title = "The image has a release record and a list of its contents"
        remedy = error.remedy or "take all three files from one build"
        running.add(failed("record.there", title, error.what, remedy=remedy))
        return None


def _check_image(
    running: _Audit, product: Product, papers: tuple[ReleaseRecord, Sbom] | None
) -> None:
    source, data = running.request.source, mapped(product.image)
    running.add(image_checks.check_format(data, running.clock()))
    try:
        image = parse(data)
        rules = Rules.load(source / "reproducible-build" / "system.toml")
    except (EifError, RecipeError) as error:
        title = "The files of the image can be looked at"
        running.add(failed("image.files", title, str(error), remedy="take another image"))
        return
    running.add(*image_checks.check_contents(image, rules))
    running.add(image_checks.check_source_in_image(image, source, rebuilt=running.request.rebuild))
    if papers is not None:
        record, sbom = papers
        sbom_data = product.sbom.read_bytes()
        running.add(*image_checks.check_papers(image, data, record, sbom, sbom_data))


# --- Comparisons ---------------------------------------------------------------------------------


def _compare(running: _Audit, product: Product, release: str, file: Path | None) -> None:
    request = running.request
    if file is None:
        running.add(*no_release(release))
    else:
        found = _release(request, file, running.clock())
        if isinstance(found, ReleaseRefused):
            running.add(*unusable_release(found))
        else:
            running.add(*compare_with_release(product.image, found))
    if request.image is not None and request.rebuild:
        running.add(compare_with_image(product.image, request.image))


def _release(request: Request, file: Path, at: datetime) -> VerifiedRelease | ReleaseRefused:
    data = read_file(file, limit=MAX_ENVELOPE)
    try:
        return verify_release(data, KeyRing.load(request.keys), at, str(file))
    except ReleaseUnsigned:
        return accept_unsigned(data, str(file))  # compared, and reported as unsigned
    except ReleaseRefused as error:
        return error


def _live(running: _Audit, product: Product) -> None:
    request = running.request
    if request.document is None and request.fetch is None:
        running.add(*nothing_live())
        return
    try:
        pcrs = measure(parse(mapped(product.image))).pcrs
    except EifError as error:
        title = "What runs can be compared with the image"
        running.add(failed("live.image", title, str(error), remedy="take another image"))
        return
    expected = Expected(
        (pcrs[0], pcrs[1], pcrs[2]), request.roots, request.unsigned, dict(_known(request.source))
    )
    if request.document is not None:
        running.add(check_document(request.document, expected))
    if request.fetch is not None:
        running.add(check_enclave(request.fetch, expected, running.clock))


def _known(source: Path) -> Iterator[tuple[str, str]]:
    """Yields version and PCR0 of the published records, to name what else may be running."""
    for path in sorted((source / RELEASES).glob("*.json")):
        if path.name == "keys.json" or path.name.endswith(".dsse.json"):
            continue
        try:
            record = parse_record(path.read_bytes())
        except (RecipeError, OSError):
            continue  # a hint only: the release's own check says what is wrong with it
        yield record.version, record.pcrs["0"]


# --- Input ---------------------------------------------------------------------------------------


def _version(source: Path) -> str:
    try:
        return version(source)
    except RecipeError as error:
        raise BadInput(
            error.what, remedy=error.remedy or "name a checkout of Strongroom"
        ) from error


def _release_file(request: Request, release: str) -> Path | None:
    file = request.release or published(request.source, release)
    if file is not None:
        data = read_file(file, limit=MAX_ENVELOPE)
        try:
            json.loads(data)
        except ValueError as error:
            raise BadInput(
                f"{file} is not JSON: {error}", remedy="name a release, VERSION.dsse.json"
            ) from error
        KeyRing.load(request.keys)
    return file


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
