"""Every refusal of a store reaches the reader in words: over HTTP, from a server that refuses."""

from __future__ import annotations

import builtins
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from strongroom_host.archive import bucket as module
from strongroom_host.archive.bucket import BucketStore, connect
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

from tests.host.archive import orders

ANSWERS = [
    (403, "AccessDenied", AccessRefused),
    (403, "InvalidAccessKeyId", CredentialsMissing),
    (403, "SignatureDoesNotMatch", CredentialsMissing),
    (400, "ExpiredToken", CredentialsMissing),
    (403, "RequestTimeTooSkewed", ClockWrong),
    (404, "NoSuchBucket", StoreUnreachable),
    (404, "NoSuchKey", ObjectMissing),
    (404, "ObjectLockConfigurationNotFoundError", NotLockable),
    (400, "InvalidBucketState", NotLockable),
    (400, "AuthorizationHeaderMalformed", StoreUnreachable),
    (503, "SlowDown", ArchiveUnwritable),
    (500, "InternalError", ArchiveUnwritable),
    (507, "QuotaExceeded", ArchiveUnwritable),
    (418, "Unheard", StoreUnreachable),
]


class Refusing(BaseHTTPRequestHandler):
    status, code = 403, "AccessDenied"

    def do_GET(self) -> None:
        body = f"<Error><Code>{self.code}</Code><Message>no</Message></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_GET

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, credentials: None) -> None:
    monkeypatch.setattr(module, "_ATTEMPTS", 1)
    monkeypatch.setattr(module, "_CONNECT_S", 2)
    monkeypatch.setattr(module, "_READ_S", 2)


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(("status", "code", "kind"), ANSWERS)
def test_a_refusal_is_named_with_a_remedy(
    address: str,
    status: int,
    code: str,
    kind: type[HostError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Refusing, "status", status)
    monkeypatch.setattr(Refusing, "code", code)
    store = BucketStore(connect(address, "us-east-1"), "there")
    with pytest.raises(kind) as caught:
        list(store.objects())
    assert type(caught.value) is kind
    assert caught.value.remedy
    assert "s3://there/" in caught.value.what
    assert code in str(caught.value.actual)


@pytest.mark.parametrize(
    ("status", "kind"), [(403, AccessRefused), (404, StoreUnreachable), (503, ArchiveUnwritable)]
)
def test_a_bucket_is_asked_for_before_anything_is_sent(
    address: str, status: int, kind: type[HostError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEAD answers have no body: the status alone has to do."""
    monkeypatch.setattr(Refusing, "status", status)
    with pytest.raises(kind):
        BucketStore(connect(address, "us-east-1"), "there").prepare(orders.NOW)


def test_no_credentials_are_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    store = BucketStore(connect(address, "us-east-1"), "there")
    with pytest.raises(CredentialsMissing) as caught:
        store.prepare(orders.NOW)
    assert "AWS_ACCESS_KEY_ID" in caught.value.remedy


def test_a_profile_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CredentialsMissing):
        connect("http://127.0.0.1:9", "us-east-1")


def test_nobody_listening_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        store = BucketStore(connect(f"http://127.0.0.1:{taken.getsockname()[1]}", "eu-1"), "x")
        with pytest.raises(StoreUnreachable):
            store.prepare(orders.NOW)


@pytest.mark.parametrize("endpoint", ["nonsense", "http://"])
def test_an_address_that_is_none_is_named(endpoint: str) -> None:
    with pytest.raises(StoreUnreachable):
        connect(endpoint, "us-east-1")


def test_a_certificate_of_nobody_is_named(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
        + ["-subj", "/CN=127.0.0.1", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"https://127.0.0.1:{server.server_address[1]}"
        with pytest.raises(StoreUnreachable, match="certificate"):
            BucketStore(connect(address, "us-east-1"), "there").prepare(orders.NOW)
        server.shutdown()


def test_without_boto3_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *arguments: object, **named: object) -> object:
        if name.split(".")[0] in ("boto3", "botocore"):
            raise ModuleNotFoundError(name=name)
        return real(name, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(HostError, match="boto3"):
        connect()
    assert os.environ["AWS_ACCESS_KEY_ID"] == "test"
