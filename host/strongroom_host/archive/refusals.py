"""What S3 and the way to it refuse, in words: what was wrong and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from strongroom_host.archive.errors import (
    AccessRefused,
    ArchiveUnwritable,
    ClockWrong,
    CredentialsMissing,
    NotLockable,
    ObjectMissing,
    StoreUnreachable,
)
from strongroom_host.errors import HostError

__all__ = ["explained"]


class _Words(NamedTuple):
    kind: type[HostError]
    what: str
    remedy: str


_ADDRESS: Final = "check the bucket's name, --region and --endpoint"
_KEYS: Final = (
    "boto3 looks in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in AWS_PROFILE and ~/.aws, and at "
    "the instance's role; `aws sts get-caller-identity` shows what it finds"
)
_POLICY: Final = (
    "host/strongroom_host/archive/README.md lists the permissions that it takes; if they are "
    "there, the object is locked, and nobody can do this before its date"
)
_NO_LOCK: Final = _Words(
    NotLockable,
    "the bucket was made without Object Lock, so nothing in it can be protected",
    "make a bucket with Object Lock (aws s3api create-bucket --object-lock-enabled-for-bucket), or "
    "enable it on this one, and run the same command again",
)
_BUSY: Final = _Words(
    ArchiveUnwritable,
    "the store is overloaded or failed",
    "run the same command again later: it goes on from where it stopped",
)
_FORBIDDEN: Final = _Words(AccessRefused, "these credentials may not do this here", _POLICY)
_STALE: Final = _Words(
    CredentialsMissing, "the credentials are out of date", f"renew them; {_KEYS}"
)
_WRONG: Final = _Words(CredentialsMissing, "the store does not know these credentials", _KEYS)
_NO_BUCKET: Final = _Words(StoreUnreachable, "there is no such bucket", _ADDRESS)
_CODES: Final[Mapping[str, _Words]] = {
    "AccessDenied": _FORBIDDEN,
    "403": _FORBIDDEN,
    "AllAccessDisabled": _FORBIDDEN,
    "NoSuchBucket": _NO_BUCKET,
    "404": _NO_BUCKET,
    "NoSuchKey": _Words(ObjectMissing, "an object is gone", "fetch it from another copy"),
    "NoSuchVersion": _Words(ObjectMissing, "an object is gone", "fetch it from another copy"),
    "ObjectLockConfigurationNotFoundError": _NO_LOCK,
    "InvalidBucketState": _NO_LOCK,
    "InvalidAccessKeyId": _WRONG,
    "SignatureDoesNotMatch": _WRONG,
    "InvalidToken": _WRONG,
    "ExpiredToken": _STALE,
    "TokenRefreshRequired": _STALE,
    "RequestTimeTooSkewed": _Words(
        ClockWrong,
        "this machine's clock and the store's disagree",
        "set the clock (NTP): retention dates are reckoned from it",
    ),
    "PermanentRedirect": _Words(StoreUnreachable, "the bucket is in another region", _ADDRESS),
    "AuthorizationHeaderMalformed": _Words(
        StoreUnreachable, "the bucket is in another region", _ADDRESS
    ),
    "301": _Words(StoreUnreachable, "the bucket is in another region", _ADDRESS),
    "SlowDown": _BUSY,
    "InternalError": _BUSY,
    "ServiceUnavailable": _BUSY,
    "503": _BUSY,
    "500": _BUSY,
    "RequestTimeout": _BUSY,
    "QuotaExceeded": _Words(
        ArchiveUnwritable, "the store is full", "make room, then run the same command again"
    ),
    "BadDigest": _Words(
        ArchiveUnwritable, "what arrived is not what was sent", "run the same command again"
    ),
    "XAmzContentChecksumMismatch": _Words(
        ArchiveUnwritable, "what arrived is not what was sent", "run the same command again"
    ),
}
_EXCEPTIONS: Final[Mapping[str, _Words]] = {
    "NoCredentialsError": _Words(CredentialsMissing, "there are no credentials for S3", _KEYS),
    "PartialCredentialsError": _Words(CredentialsMissing, "credentials are incomplete", _KEYS),
    "CredentialRetrievalError": _Words(CredentialsMissing, "credentials cannot be had", _KEYS),
    "TokenRetrievalError": _STALE,
    "ProfileNotFound": _Words(CredentialsMissing, "there is no such profile", _KEYS),
    "NoRegionError": _Words(StoreUnreachable, "no region is named", _ADDRESS),
    "SSLError": _Words(
        StoreUnreachable,
        "the store's certificate is not trusted",
        "set AWS_CA_BUNDLE to the authority's certificate if the store is your own",
    ),
}


@contextmanager
def explained(place: str, doing: str) -> Iterator[None]:
    """Turns what boto3 and the network raise within it into errors that say what to do.

    Raises:
        AccessRefused, ArchiveUnwritable, ClockWrong, CredentialsMissing, NotLockable,
        ObjectMissing, StoreUnreachable: by who erred.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        answer = error.response.get("Error", {})
        code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
        words = _CODES.get(code, _Words(StoreUnreachable, "the store refused", _ADDRESS))
        raise _raised(words, place, doing, f"{code}: {message[:300]}") from error
    except BotoCoreError as error:
        fallback = _Words(StoreUnreachable, "the store does not answer", f"{_ADDRESS}; rerun")
        words = _EXCEPTIONS.get(type(error).__name__, fallback)
        raise _raised(words, place, doing, str(error)[:300]) from error
    except (OSError, ValueError) as error:
        # urllib3's own errors while a body is read, and botocore's about malformed addresses.
        words = _Words(StoreUnreachable, "the store cannot be talked to", f"{_ADDRESS}; rerun")
        raise _raised(words, place, doing, str(error)[:300]) from error


def _raised(words: _Words, place: str, doing: str, actual: str) -> HostError:
    what = f"{doing} at {place}: {words.what}"
    return words.kind(what, actual=actual, remedy=words.remedy)
