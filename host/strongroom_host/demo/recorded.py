"""A real document from AWS, where one is at hand: `--document`, or the recorded vectors."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from strongroom_attest.errors import AttestationError
from strongroom_attest.nitro import Roots, authenticate_archived

import strongroom_host
from strongroom_host.demo.forgeries import flipped
from strongroom_host.demo.story import Story, expect_refusal

__all__ = ["find_recorded", "verify_recorded"]

_PATTERN: Final = "*_aws.cose"
"""Names of the recorded documents of enclaves that did not run in debug mode."""


def find_recorded() -> Path | None:
    """Returns the newest recorded AWS document, or None where there are none."""
    for folder in _folders():
        if found := sorted(folder.glob(_PATTERN)):
            return found[-1]
    return None


def verify_recorded(story: Story, given: bytes | None) -> None:
    """Proves a real document up to Amazon's root, and that one changed bit ends that.

    Raises:
        AttestationError: the `given` document is not genuine.
    """
    data = given
    if data is None and (found := find_recorded()):
        data = found.read_bytes()
    if data is None:
        story.facts["aws_document"] = None
        story.note(
            "no real AWS document at hand, so none was verified (give one with --document FILE)"
        )
        return
    proved = authenticate_archived(data, Roots.aws())
    document = proved.document
    middle = len(data) * 4
    expect_refusal(
        AttestationError,
        "a recorded AWS document with one bit flipped",
        lambda: authenticate_archived(flipped(data, middle), Roots.aws()),
    )
    made: datetime = document.timestamp
    story.facts["aws_document"] = document.module_id
    story.proved(
        "aws_document_verified",
        f"a real AWS document ({made:%Y-%m-%d}, {document.module_id.split('-enc')[0]}) verifies up"
        " to Amazon's root; one bit flipped, and it does not",
    )


def _folders() -> Iterator[Path]:
    if named := os.environ.get("STRONGROOM_VECTORS"):
        yield Path(named) / "nitro"
        return
    repository = Path(strongroom_host.__file__).resolve().parents[2]
    yield repository.parent / "shared" / "vectors" / "nitro"
