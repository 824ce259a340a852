"""What only S3 has: versions, delete markers, modes, and a server that says no."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from botocore.exceptions import ClientError
from strongroom_host.archive.bucket import BucketStore
from strongroom_host.archive.check import ArchiveProblem, Trusted, check
from strongroom_host.archive.errors import (
    AccessRefused,
    ClockWrong,
    NotLockable,
    ObjectAltered,
    ObjectMissing,
    StoreUnreachable,
    Unprotected,
)
from strongroom_host.archive.keeping import hold
from strongroom_host.archive.manifest import segment_key
from strongroom_host.archive.refusals import explained
from strongroom_host.archive.restore import restore
from strongroom_host.archive.store import Protection

from tests.host.archive import orders
from tests.host.archive.orders import YEAR, archived, log_of
from tests.host.archive.server import client_of, new_bucket

pytestmark = pytest.mark.usefixtures("credentials")


class Bucket:
    """A bucket with an archive in it, and the hand of somebody who may write there."""

    def __init__(self, address: str, folder: Path) -> None:
        self.client = client_of(address)
        self.name = f"bucket-{token_hex(6)}"
        self.log = log_of(20)
        self.manifest = archived(self.log, folder, new_bucket(self.client, self.name)).manifest
        self.key = segment_key(self.manifest.segments[0])

    @property
    def store(self) -> BucketStore:
        return BucketStore(self.client, self.name, "fund/log")

    def named(self, key: str = "") -> dict[str, Any]:
        return {"Bucket": self.name, "Key": f"fund/log/{key or self.key}"}

    def version(self, key: str = "") -> dict[str, Any]:
        head = self.client.head_object(**self.named(key))
        return {**self.named(key), "VersionId": head["VersionId"]}

    def problems(self) -> set[tuple[ArchiveProblem, str]]:
        report = check(self.store, Trusted(), now_ms=orders.NOW)
        return {(each.problem, each.where) for each in report.findings}


@pytest.fixture
def bucket(s3: str, tmp_path: Path) -> Bucket:
    return Bucket(s3, tmp_path)


def test_everything_is_locked_in_compliance_mode(bucket: Bucket) -> None:
    for each in bucket.store.objects():
        retention = bucket.client.get_object_retention(**bucket.version(each.key))["Retention"]
        assert retention["Mode"] == "COMPLIANCE"
        assert retention["RetainUntilDate"].timestamp() * 1000 >= orders.NOW + YEAR


def test_the_server_lets_nobody_delete_shorten_or_downgrade(bucket: Bucket) -> None:
    """That the server enforces it, or the tests here would show nothing."""
    client, version = bucket.client, bucket.version()
    soon = datetime.now(UTC) + timedelta(days=1)
    later = datetime.now(UTC) + timedelta(days=3000)
    attempts: list[Callable[[], object]] = [
        lambda: client.delete_object(**version),
        lambda: client.delete_object(**version, BypassGovernanceRetention=True),
        lambda: client.put_object_retention(
            **version, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": soon}
        ),
        lambda: client.put_object_retention(
            **version, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": later}
        ),
    ]
    for attempt in attempts:
        with pytest.raises(ClientError, match="AccessDenied"):
            attempt()
    assert bucket.problems() == set()


def test_a_delete_marker_hides_nothing_from_us(bucket: Bucket, tmp_path: Path) -> None:
    bucket.client.delete_object(**bucket.named())
    assert bucket.problems() == {(ArchiveProblem.HIDDEN, bucket.key)}
    assert restore(bucket.store, tmp_path / "back").added == 20
    again = archived(bucket.log, tmp_path / "again", bucket.store)
    assert again.hidden == (bucket.key,)
    assert again.added == ()


def test_a_version_put_over_an_object_is_seen_through(bucket: Bucket, tmp_path: Path) -> None:
    bucket.client.put_object(**bucket.named(), Body=b"forged")
    assert bucket.problems() == {(ArchiveProblem.HIDDEN, bucket.key)}
    assert restore(bucket.store, tmp_path / "back").added == 20
    assert bucket.store.protection(bucket.key).mode == "COMPLIANCE"


def test_a_version_of_the_same_content_is_no_replacement(bucket: Bucket) -> None:
    """It is right, but it lies over the locked one unlocked: both are seen."""
    data = bucket.store.read(bucket.key)
    bucket.client.put_object(**bucket.named(), Body=data)
    assert (ArchiveProblem.HIDDEN, bucket.key) in bucket.problems()


def test_something_else_in_its_place_is_no_object(s3: str, tmp_path: Path) -> None:
    """Put there before we were, in a bucket where nothing was locked yet."""
    client = client_of(s3)
    store = new_bucket(client, f"bucket-{token_hex(6)}")
    key = segment_key(archived(log_of(20), tmp_path / "a", store).manifest.segments[0])
    other = new_bucket(client, f"bucket-{token_hex(6)}")
    name = other.place.split("/")[2]
    client.put_object(Bucket=name, Key=f"fund/log/{key}", Body=b"forged")
    with pytest.raises(ObjectAltered):
        archived(log_of(20), tmp_path / "b", other)
    with pytest.raises(ObjectMissing):
        other.read(key.replace(".seg", "")[:-1] + "0.seg")


def test_governance_is_not_enough_and_is_upgraded(s3: str, tmp_path: Path) -> None:
    """An object that an interrupted or other tool stored in governance mode."""
    client = client_of(s3)
    first = new_bucket(client, f"bucket-{token_hex(6)}")
    key = segment_key(archived(log_of(20), tmp_path / "a", first).manifest.segments[0])
    data = first.read(key)
    second = new_bucket(client, f"bucket-{token_hex(6)}")
    named = {"Bucket": second.place.split("/")[2], "Key": f"fund/log/{key}"}
    client.put_object(
        **named,
        Body=data,
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=datetime.now(UTC) + timedelta(days=30),
    )
    done = archived(log_of(20), tmp_path / "b", second)
    assert done.renewed == (key,)
    assert client.head_object(**named)["ObjectLockMode"] == "COMPLIANCE"


def test_an_object_without_a_lock_is_named(bucket: Bucket, tmp_path: Path) -> None:
    """In the mode or date that the server reports: each is looked at."""
    log = bucket.log.decide(True)

    class Unlocked:
        """A client whose uploads are not locked, as with a proxy that drops headers."""

        def __getattr__(self, name: str) -> Any:
            return getattr(bucket.client, name)

        def put_object(self, **arguments: Any) -> Any:
            kept = {k: v for k, v in arguments.items() if not k.startswith("ObjectLock")}
            return bucket.client.put_object(**kept)

        def put_object_retention(self, **_arguments: Any) -> Any:
            return {}

    store = BucketStore(Unlocked(), bucket.name, "fund/log")
    with pytest.raises(Unprotected):
        archived(log, tmp_path / "unlocked", store)
    done = archived(log, tmp_path / "locked", bucket.store)
    assert len(done.renewed) == 1
    assert bucket.problems() == set()


def test_a_store_without_versions_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    class Unversioned:
        def __getattr__(self, name: str) -> Any:
            return getattr(bucket.client, name)

        def put_object(self, **arguments: Any) -> Any:
            return {}

    store = BucketStore(Unversioned(), bucket.name, "fund/log")
    with pytest.raises(Unprotected, match="without a version"):
        archived(bucket.log.decide(True), tmp_path / "more", store)


def test_object_lock_that_is_not_enabled_is_refused(bucket: Bucket) -> None:
    class Disabled:
        def __getattr__(self, name: str) -> Any:
            return getattr(bucket.client, name)

        def get_object_lock_configuration(self, **_arguments: Any) -> Any:
            return {"ObjectLockConfiguration": {}}

    with pytest.raises(NotLockable):
        BucketStore(Disabled(), bucket.name).prepare(orders.NOW)


def test_governance_in_an_archive_is_named(s3: str, tmp_path: Path) -> None:
    client = client_of(s3)

    class Governing:
        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def head_object(self, **arguments: Any) -> Any:
            return client.head_object(**arguments) | {"ObjectLockMode": "GOVERNANCE"}

    name = f"bucket-{token_hex(6)}"
    archived(log_of(20), tmp_path, new_bucket(client, name))
    report = check(BucketStore(Governing(), name, "fund/log"), Trusted(), now_ms=orders.NOW)
    assert {each.problem for each in report.findings} == {ArchiveProblem.UNPROTECTED}
    assert "GOVERNANCE" in str(report.findings[0])


def test_a_hold_keeps_what_its_date_would_not(bucket: Bucket) -> None:
    hold(bucket.store, on=True, now_ms=orders.NOW, by="counsel", why="case 7")
    for each in bucket.store.objects():
        version = bucket.version(each.key)
        found = bucket.client.get_object_legal_hold(**version)["LegalHold"]["Status"]
        assert found == "ON"
    held = check(bucket.store, Trusted(), now_ms=orders.NOW + 2 * YEAR)
    assert held.ok


def test_a_bucket_without_object_lock_is_refused(s3: str, tmp_path: Path) -> None:
    store = new_bucket(client_of(s3), f"plain-{token_hex(6)}", lock=False)
    with pytest.raises(NotLockable) as caught:
        archived(log_of(20), tmp_path, store)
    assert "object-lock-enabled" in caught.value.remedy
    assert list(store.objects()) == []


def test_a_bucket_that_is_not_there_is_named(s3: str, tmp_path: Path) -> None:
    store = BucketStore(client_of(s3), f"none-{token_hex(6)}")
    with pytest.raises(StoreUnreachable, match="no such bucket"):
        archived(log_of(20), tmp_path, store)


@pytest.mark.parametrize("apart", [-3600_000, 3600_000])
def test_a_wrong_clock_is_named_before_anything_is_stored(
    s3: str, tmp_path: Path, apart: int
) -> None:
    store = new_bucket(client_of(s3), f"clock-{token_hex(6)}")
    with pytest.raises(ClockWrong) as caught:
        archived(log_of(20), tmp_path, store, now_ms=orders.NOW + apart)
    assert caught.value.exit_status == 5
    assert list(store.objects()) == []


def test_a_date_is_not_shortened_past_the_store_either(bucket: Bucket) -> None:
    """Should our own check be gone, the server's is there."""
    kept = bucket.store.protection(bucket.key)
    soon = datetime.fromtimestamp(kept.until_ms / 1000 - 86_400, UTC)
    shorter = {"Mode": "COMPLIANCE", "RetainUntilDate": soon}
    with pytest.raises(AccessRefused), explained("here", "shortening"):
        bucket.client.put_object_retention(**bucket.version(), Retention=shorter)
    bucket.store.protect(bucket.key, Protection("COMPLIANCE", kept.until_ms, hold=False))


def test_many_objects_are_listed_page_by_page(s3: str, tmp_path: Path) -> None:
    client = client_of(s3)
    name = f"many-{token_hex(6)}"
    store = new_bucket(client, name)
    archived(log_of(20), tmp_path, store)

    class Paged:
        def __getattr__(self, attribute: str) -> Any:
            return getattr(client, attribute)

        def get_paginator(self, operation: str) -> Any:
            pages = client.get_paginator(operation)

            class Small:
                def paginate(self, **arguments: Any) -> Any:
                    return pages.paginate(**arguments, PaginationConfig={"PageSize": 1})

            return Small()

    found = list(BucketStore(Paged(), name, "fund/log").objects())
    assert found == list(BucketStore(client, name, "fund/log").objects())
    assert len(found) == 4


def test_other_prefixes_are_left_alone(s3: str, tmp_path: Path) -> None:
    client = client_of(s3)
    name = f"shared-{token_hex(6)}"
    archived(log_of(20), tmp_path / "1", new_bucket(client, name))
    for prefix in ("", "fund", "fund/log2", "fund/lo"):
        assert list(BucketStore(client, name, prefix).objects()) == []
    archived(log_of(30), tmp_path / "2", BucketStore(client, name, "other/log"))
    assert check(BucketStore(client, name, "/other/log/"), Trusted(), now_ms=orders.NOW).ok
