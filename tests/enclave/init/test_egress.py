"""Which hosts a manifest may name: those compiled in, and in development those with own roots."""

import pytest
from strongroom_enclave.venues import VENUES, check_egress
from strongroom_wire.errors import Code, Refused
from strongroom_wire.manifest import Egress, Manifest

from tests.hostile.driver import Desk

ROOT = (b"a root",)


def manifest(mode: str, *venues: Egress) -> Manifest:
    return Desk().but(mode=mode, keys=(), egress=venues).manifest


@pytest.mark.parametrize("mode", ["production", "development"])
def test_the_venues_compiled_in_may_be_named_or_left_out(mode: str) -> None:
    check_egress(manifest(mode))
    for host, port in VENUES:
        check_egress(manifest(mode, Egress(host, port, ("ab" * 32,), ())))


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("clob.polymarket.com", 444),
        ("clob.polymarket.com", 80),
        ("polymarket.com", 443),
        ("evil.clob.polymarket.com", 443),
        ("clob.polymarket.com.evil.test", 443),
        ("localhost", 443),
    ],
)
@pytest.mark.parametrize(
    ("mode", "roots"), [("production", ()), ("production", ROOT), ("development", ())]
)
def test_nothing_else_is_added(mode: str, roots: tuple[bytes, ...], host: str, port: int) -> None:
    good = Egress("clob.polymarket.com", 443, (), ())
    with pytest.raises(Refused) as refused:
        check_egress(manifest(mode, good, Egress(host, port, (), roots)))
    assert refused.value.code is Code.VENUE_NOT_ALLOWED
    assert refused.value.actual == (host, port)


def test_development_names_any_host_with_roots_of_its_own() -> None:
    check_egress(manifest("development", Egress("localhost", 8443, (), ROOT)))
