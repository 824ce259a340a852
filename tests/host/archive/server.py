"""The S3 server of these tests: one process for a test session, on a port of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from strongroom_host.archive.bucket import BucketStore, connect

from tests.architecture.source import ROOT

__all__ = ["ABSENT", "CREDENTIALS", "PYTHON", "client_of", "new_bucket", "served"]

PYTHON = ROOT / "build/s3-server/bin/python"
ABSENT = "there is no S3 server in build/s3-server: .venv/bin/python .tools/s3_server.py makes it"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
_START_S = 60


@contextmanager
def served() -> Iterator[str]:
    """Runs the server and yields its address."""
    with tempfile.TemporaryDirectory() as folder, _port() as port:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "TMPDIR": folder,
            "FILESYSTEM_ROOT": folder,
            "GATEWAY_LISTEN": f"127.0.0.1:{port}",
            "LOCALSTACK_HOST": f"127.0.0.1:{port}",
            "SERVICES": "s3",
            "EAGER_SERVICE_LOADING": "1",
            "STRICT_SERVICE_LOADING": "1",
            # Nothing leaves this machine.
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DNS_ADDRESS": "0",
        }
        output = Path(folder, "output")
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [PYTHON, "-m", "localstack.runtime.main"],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        try:
            address = f"http://127.0.0.1:{port}"
            _await(f"{address}/_localstack/health", process, output)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def client_of(address: str) -> Any:
    """Return a client; the environment has `CREDENTIALS`."""
    return connect(address, "us-east-1")


def new_bucket(client: Any, name: str, *, lock: bool = True) -> BucketStore:
    """Make a bucket, with Object Lock or without, and return the store in it."""
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
    return BucketStore(client, name, "fund/log")


@contextmanager
def _port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield port


def _await(address: str, process: subprocess.Popen[bytes], output: Path) -> None:
    for _ in range(_START_S * 10):
        if process.poll() is not None:
            break
        try:
            with urlopen(address, timeout=5) as answer:  # noqa: S310 - a fixed local address
                if b'"s3": "running"' in answer.read():
                    return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start:\n{output.read_text()[-3000:]}")
