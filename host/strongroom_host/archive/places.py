"""Which store a place on the command line means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from strongroom_host.archive.bucket import BucketStore, connect
from strongroom_host.archive.errors import LocationMalformed
from strongroom_host.archive.folder import FolderStore
from strongroom_host.archive.store import Store

__all__ = ["open_store"]

_BUCKET: Final = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>/.*)?")


def open_store(place: str, endpoint: str = "", region: str = "") -> Store:
    """The store at `s3://bucket/prefix` or in a directory; nothing is looked at yet.

    Args:
        place: Where.
        endpoint: Address of a service that speaks S3, if not Amazon's.
        region: The bucket's, if boto3's configuration does not say it.

    Raises:
        LocationMalformed: another scheme, or no name of a bucket.
        EnvironmentFault: boto3 is missing, or what it takes to connect.
    """
    if "://" not in place:
        return FolderStore(Path(place).expanduser())
    match = _BUCKET.fullmatch(place)
    if match is None:
        raise LocationMalformed(
            "no place for an archive", expected="a directory or s3://BUCKET/PREFIX", actual=place
        )
    return BucketStore(connect(endpoint, region), match["bucket"], match["prefix"] or "")
