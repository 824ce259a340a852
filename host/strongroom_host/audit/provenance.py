"""Where the image came from, as an in-toto Statement v1 with a SLSA provenance v1 predicate.

Subjects are the image and its SBOM by digest. Everything that went in is a resolved dependency with
a SHA-256: source tree, Debian packages, toolchain, wheels, kernel source, configuration. The times
are the audit's own; nothing else in the statement depends on when or where it was made.
"""

from collections.abc import Iterator
from typing import Final

from strongroom_eif.recipe.record import ReleaseRecord
from strongroom_eif.recipe.sbom import debian_purl, pypi_purl

__all__ = ["BUILDER", "BUILD_TYPE", "STATEMENT_TYPE", "statement"]

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:strongroom:build-type:eif:1"
"""What the parameters mean, and how to build from them, is in reproducible-build/README.md."""
BUILDER: Final = "urn:strongroom:builder:audit:1"
"""`strongroom audit` on the machine of whoever hands this statement on: nobody else's word."""


def statement(
    record: ReleaseRecord, record_sha256: str, builds: int, started: str, finished: str
) -> dict[str, object]:
    """Returns the statement about a built image.

    Args:
        record: What the build wrote.
        record_sha256: Of the record's file.
        builds: How many builds gave this very image.
        started: RFC 3339.
        finished: Likewise.
    """
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": record.eif.name, "digest": {"sha256": record.eif.sha256}},
            {"name": record.sbom.name, "digest": {"sha256": record.sbom.sha256}},
        ],
        "predicateType": _PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"version": record.version, "sourceTree": record.source.tree},
                "internalParameters": {"cmdline": record.cmdline, "identicalBuilds": builds},
                "resolvedDependencies": list(_dependencies(record)),
            },
            "runDetails": {
                "builder": {"id": BUILDER},
                "metadata": {"startedOn": started, "finishedOn": finished},
                "byproducts": [
                    {
                        "name": f"{record.eif.name.removesuffix('.eif')}.json",
                        "digest": {"sha256": record_sha256},
                        "annotations": {f"pcr{n}": value for n, value in record.pcrs.items()},
                    }
                ],
            },
        },
    }


def _dependencies(record: ReleaseRecord) -> Iterator[dict[str, object]]:
    tree: dict[str, object] = {"name": "source tree", "digest": {"sha256": record.source.tree}}
    if record.source.commit is not None:
        tree["annotations"] = {"gitCommit": record.source.commit}
    yield tree
    for use, packages in (("image", record.packages), ("toolchain", record.toolchain)):
        for package in packages:
            yield {
                "name": package.name,
                "uri": debian_purl(package.name, package.version, package.architecture),
                "digest": {"sha256": package.sha256},
                "annotations": {"use": use},
            }
    for wheel in record.wheels:
        yield {
            "name": wheel.filename,
            "uri": pypi_purl(wheel.name, wheel.version, wheel.filename),
            "digest": {"sha256": wheel.sha256},
            "annotations": {"use": "image"},
        }
    kernel = record.kernel
    yield {
        "name": kernel.inputs.get("source", "kernel source"),
        "digest": {"sha256": kernel.inputs.get("source_sha256", "")},
        "annotations": {"use": "kernel", "version": kernel.version},
    }
    for name, digest in record.inputs.items():
        yield {"name": name, "digest": {"sha256": digest}}
