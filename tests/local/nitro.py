"""What the tests of the local platform share: a root, a launch, a clock one can turn."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
from strongroom_enclave.platform.nsm import NsmPlatform
from strongroom_local.measure import Measurements
from strongroom_local.nsm import SoftwareNsm
from strongroom_local.pki import new_root

NOW = datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROOT = new_root(NOW)
MEASURED = Measurements(b"\x10" * 48, b"\x11" * 48, b"\x12" * 48)


@dataclass
class Clock:
    """Milliseconds since 1970; `turn` moves it both ways."""

    now: datetime = NOW

    def __call__(self) -> int:
        return (self.now - EPOCH) // timedelta(milliseconds=1)

    def turn(self, **by: float) -> None:
        self.now += timedelta(**by)


def launch(**options: Any) -> SoftwareNsm:
    """Returns a fresh module under `ROOT`, at `NOW` unless a clock is given."""
    return SoftwareNsm(ROOT, MEASURED, **{"clock_ms": Clock(), **options})


def ask(nsm: SoftwareNsm, request: object) -> Any:
    """Returns the decoded answer to an item."""
    return cbor2.loads(nsm.handle(cbor2.dumps(request)))


def refusal(nsm: SoftwareNsm, request: object) -> str:
    """Returns the error name with which an item is refused."""
    answer = ask(nsm, request)
    assert isinstance(answer, dict)
    assert answer.keys() == {"Error"}, answer
    return str(answer["Error"])


def attestation(
    user_data: object = None, nonce: object = None, public_key: object = None
) -> dict[str, object]:
    """Returns an Attestation request."""
    return {"Attestation": {"user_data": user_data, "nonce": nonce, "public_key": public_key}}


def document(nsm: SoftwareNsm, *fields: object) -> bytes:
    """Returns the document made over `user_data`, `nonce`, `public_key`."""
    return bytes(ask(nsm, attestation(*fields))["Attestation"]["document"])


def payload(encoded: bytes) -> dict[str, Any]:
    """Returns the payload map of a document."""
    return dict(cbor2.loads(cbor2.loads(encoded)[2]))


class Described(NsmPlatform):
    """The enclave's own client, and the request that only tests have a use for."""

    def describe(self, index: int) -> tuple[bool, bytes]:
        """Returns the register's lock and its value."""
        answer = self._call("DescribePCR", {"index": index})
        assert isinstance(answer, dict)
        assert list(answer) == ["DescribePCR"]
        body = answer["DescribePCR"]
        assert body.keys() == {"lock", "data"}
        assert isinstance(body["lock"], bool)
        assert isinstance(body["data"], bytes)
        return body["lock"], body["data"]
