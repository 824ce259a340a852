"""A witness with TLS of its own: asked only under a certificate that is trusted."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from strongroom_host.log.cosigning import Cosigner, WitnessAt, WitnessProblem
from strongroom_host.log.witness_client import WitnessClient
from strongroom_host.log.witness_errors import WitnessUnreachable
from strongroom_host.testnet.certificates import issued_or_kept

from tests.host.witness.daemon import Daemon
from tests.host.witness.logs import Log, Station

LOG = Log()


@dataclass
class Served:
    """A witness behind TLS, and the certificate that vouches for it."""

    station: Station
    url: str
    ca: Path

    def ask(self, url: str, context: ssl.SSLContext | None) -> tuple[WitnessProblem, ...]:
        client = partial(WitnessClient, context=context)
        with Cosigner([WitnessAt(self.station.public, url)], client=client) as cosigner:
            return cosigner.cosign(LOG.note(3), LOG.reader(3))[1]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return a witness in a process of its own, under a certificate for `localhost`."""
    folder = tmp_path_factory.mktemp("tls")
    pair = issued_or_kept(folder, ("localhost",), datetime.now(UTC))
    station = Station(folder / "w", LOG.vkey)
    words = ("--certificate", str(pair.chain), "--key", str(pair.key))
    with Daemon(folder / "w", *words) as daemon:
        assert daemon.url.startswith("https://127.0.0.1:")
        yield Served(station, daemon.url.replace("127.0.0.1", "localhost"), pair.ca)


def test_it_is_asked_under_a_certificate_that_is_trusted(served: Served) -> None:
    context = ssl.create_default_context(cafile=str(served.ca))
    assert served.ask(served.url, context) == ()


def test_it_is_not_asked_under_one_that_is_not(served: Served) -> None:
    (problem,) = served.ask(served.url, None)
    assert isinstance(problem.error, WitnessUnreachable)
    assert "CERTIFICATE_VERIFY_FAILED" in str(problem)


def test_old_versions_are_not_spoken(served: Served) -> None:
    context = ssl.create_default_context(cafile=str(served.ca))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    (problem,) = served.ask(served.url, context)
    assert isinstance(problem.error, WitnessUnreachable)
