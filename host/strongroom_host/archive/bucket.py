"""An archive in an S3 bucket with Object Lock, in compliance mode.

Object Lock needs a versioned bucket, so nothing is ever replaced: a deletion puts a marker over the
object, another upload puts a version over it, and the locked version stays. Reading therefore goes
by content: of all versions under a name, the one with the digest that the name promises counts.

In compliance mode no user, the account's root included, deletes or shortens before the date. The
date is this machine's clock plus the period, so both clocks must agree.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from strongroom_host.archive.errors import (
    ArchiveUnwritable,
    ClockWrong,
    NotLockable,
    ObjectAltered,
    ObjectMissing,
    RetentionTooShort,
    StoreUnreachable,
    Unprotected,
)
from strongroom_host.archive.manifest import digest_in
from strongroom_host.archive.refusals import explained
from strongroom_host.archive.store import Protection, StoredObject, checked, day, to_second
from strongroom_host.errors import EnvironmentFault

__all__ = ["BucketStore", "connect"]

_COMPLIANCE: Final = "COMPLIANCE"
_MAX_SKEW_S: Final = 300
_CONNECT_S: Final = 10
_READ_S: Final = 60
_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class _Version:
    id: str
    size: int
    latest: bool


def connect(endpoint: str = "", region: str = "") -> Any:
    """A client of S3, with the credentials that boto3 finds: environment, profile, instance role.

    Args:
        endpoint: Address of another service that speaks S3; by default Amazon's.
        region: The bucket's; by default what boto3's configuration says.

    Raises:
        EnvironmentFault: boto3 is not installed.
        StoreUnreachable: the address or region is none.
    """
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            "archiving to S3 needs boto3, which is not installed",
            remedy="install the extra `archive` of this package; in a checkout, run make env-dev",
        ) from error
    config = Config(
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        # Other services than Amazon's rarely have a name for each bucket.
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    with explained("S3", "connecting"):
        # Not boto3's default session, which would keep the first credentials it found.
        return boto3.session.Session().client(
            "s3", endpoint_url=endpoint or None, region_name=region or None, config=config
        )


class BucketStore:
    """The objects under a prefix of a bucket. What is listed once is remembered."""

    mode = _COMPLIANCE

    def __init__(self, client: Any, bucket: str, prefix: str = "") -> None:
        self._client, self._bucket = client, bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._known: dict[str, list[_Version]] | None = None
        self._proven: dict[str, str] = {}
        """By key: the version whose content was seen to be the right one."""

    @property
    def place(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def prepare(self, now_ms: int) -> None:
        """Proves that the bucket is there, has Object Lock, and that its clock is ours."""
        with explained(self.place, "looking at the bucket"):
            answer = self._client.head_bucket(Bucket=self._bucket)
        theirs = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        _same_time(theirs, now_ms)
        with explained(self.place, "reading the bucket's Object Lock configuration"):
            found = self._client.get_object_lock_configuration(Bucket=self._bucket)
        if found.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") != "Enabled":
            raise NotLockable(
                f"{self.place} has no Object Lock", expected="Enabled", remedy="see README.md"
            )

    def objects(self, prefix: str = "") -> Iterable[StoredObject]:
        for key, versions in sorted(self._listed().items()):
            if key.startswith(prefix) and versions:
                latest = next((each for each in versions if each.latest), None)
                proven = self._proven.get(key)
                right = latest is not None and proven in (None, latest.id)
                hidden = not right or len(versions) > 1
                yield StoredObject(key, (latest or versions[0]).size, hidden)

    def put(self, key: str, data: bytes, wanted: Protection) -> None:
        digest = digest_in(key) or ""
        arguments: dict[str, Any] = {
            "Body": data,
            "ChecksumSHA256": b64encode(bytes.fromhex(digest)).decode(),
            "ObjectLockMode": _COMPLIANCE,
            "ObjectLockRetainUntilDate": _date(wanted.until_ms),
        }
        if wanted.hold:
            arguments["ObjectLockLegalHoldStatus"] = "ON"
        with explained(self.place, f"storing {key}"):
            answer = self._client.put_object(**self._named(key), **arguments)
        version = answer.get("VersionId")
        if not version:
            raise Unprotected(
                f"{self.place} stored {key} without a version, so it can be replaced",
                remedy="Object Lock needs versioning: use a bucket that was made with Object Lock",
            )
        others = [_Version(v.id, v.size, latest=False) for v in self._listed().get(key, ())]
        self._listed()[key] = [_Version(version, len(data), latest=True), *others]

    def read(self, key: str) -> bytes:
        altered: ObjectAltered | None = None
        for version in self._versions(key):
            with explained(self.place, f"reading {key}"):
                answer = self._client.get_object(**self._named(key), VersionId=version.id)
                data = bytes(answer["Body"].read())
            try:
                checked(key, data)
            except ObjectAltered as error:
                altered = altered or error
            else:
                self._proven[key] = version.id
                return data
        raise altered or self._missing(key)

    def protection(self, key: str) -> Protection:
        with explained(self.place, f"reading the protection of {key}"):
            found = self._client.head_object(**self._named(key), VersionId=self._right(key))
        until = found.get("ObjectLockRetainUntilDate")
        return Protection(
            mode=str(found.get("ObjectLockMode") or ""),
            until_ms=0 if until is None else int(until.timestamp() * 1000),
            hold=found.get("ObjectLockLegalHoldStatus") == "ON",
        )

    def protect(self, key: str, wanted: Protection) -> None:
        kept, version = self.protection(key), self._right(key)
        if kept.mode == _COMPLIANCE and wanted.until_ms < kept.until_ms:
            raise RetentionTooShort(
                f"{key} is kept longer already, and compliance mode shortens nothing",
                expected=f"{day(kept.until_ms)} or later",
                actual=day(wanted.until_ms),
            )
        named = {**self._named(key), "VersionId": version}
        if kept.mode != _COMPLIANCE or wanted.until_ms > kept.until_ms:
            retention = {"Mode": _COMPLIANCE, "RetainUntilDate": _date(wanted.until_ms)}
            with explained(self.place, f"setting the retention of {key}"):
                self._client.put_object_retention(**named, Retention=retention)
        if wanted.hold != kept.hold:
            status = {"Status": "ON" if wanted.hold else "OFF"}
            with explained(self.place, f"setting the legal hold of {key}"):
                self._client.put_object_legal_hold(**named, LegalHold=status)

    # --- versions -----------------------------------------------------------------------------

    def _listed(self) -> dict[str, list[_Version]]:
        """All versions under our names, newest first."""
        if self._known is None:
            known = dict[str, list[_Version]]()
            with explained(self.place, "listing what is there"):
                pages = self._client.get_paginator("list_object_versions")
                for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                    for each in page.get("Versions", ()):
                        key = each["Key"].removeprefix(self._prefix)
                        if digest_in(key) is not None:
                            found = _Version(each["VersionId"], each["Size"], each["IsLatest"])
                            known.setdefault(key, []).append(found)
            self._known = known
        return self._known

    def _versions(self, key: str) -> list[_Version]:
        """Where to look for an object: first where it was found before."""
        proven = self._proven.get(key)
        return sorted(self._listed().get(key, ()), key=lambda each: each.id != proven)

    def _right(self, key: str) -> str:
        """The version that the name promises; with several, the content decides."""
        versions = self._versions(key)
        if not versions:
            raise self._missing(key)
        if len(versions) > 1 and key not in self._proven:
            self.read(key)
        return self._proven.get(key, versions[0].id)

    def _missing(self, key: str) -> ObjectMissing:
        return ObjectMissing(f"{self.place} has no {key}", remedy="fetch it from another copy")

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}


def _date(time_ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(to_second(time_ms) / 1000, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise ArchiveUnwritable("no date of retention", actual=time_ms) from error


def _same_time(theirs: str, now_ms: int) -> None:
    try:
        apart = parsedate_to_datetime(theirs).timestamp() - now_ms / 1000
    except ValueError as error:
        raise StoreUnreachable(
            "the store answers without a date", expected="an HTTP Date header", actual=theirs
        ) from error
    if abs(apart) > _MAX_SKEW_S:
        raise ClockWrong(
            "this machine's clock and the store's disagree",
            expected=f"{theirs}, as the store says, within {_MAX_SKEW_S} s",
            actual=day(now_ms),
            remedy="set the clock (NTP): retention dates are reckoned from it",
        )
