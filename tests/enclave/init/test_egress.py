"""Which hosts a manifest may name: those compiled in, and in development those with own roots."""

import pytest
from strongroom_enclave.venues import HOSTS, VENUES, check_egress
from strongroom_wire.errors import Code, Refused
from strongroom_wire.manifest import Account, Egress, Manifest, Tier

from tests.hostile.driver import Desk

ROOT = (b"a root",)


def manifest(mode: str, *venues: Egress, accounts: tuple[str, ...] = ()) -> Manifest:
    kept = tuple(Account(venue, "ada", venue, "live", "EUR", 0, Tier()) for venue in accounts)
    return Desk().but(mode=mode, keys=(), egress=venues, accounts=kept).manifest


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


@pytest.mark.parametrize("mode", ["production", "development"])
@pytest.mark.parametrize("venue", HOSTS)
def test_an_account_brings_its_venues_hosts_and_a_manifest_may_narrow_them(
    mode: str, venue: str
) -> None:
    named = [Egress(host, 443, ("ab" * 32,), ()) for host in HOSTS[venue]]
    check_egress(manifest(mode, accounts=(venue,)))
    check_egress(manifest(mode, *named, accounts=(venue,)))
    for wrong in (
        manifest(mode, *named),
        manifest(mode, *named, accounts=tuple(other for other in HOSTS if other != venue)),
        manifest(mode, Egress(HOSTS[venue][0], 8443, (), ()), accounts=(venue,)),
    ):
        with pytest.raises(Refused) as refused:
            check_egress(wrong)
        assert refused.value.code is Code.VENUE_NOT_ALLOWED


@pytest.mark.parametrize("mode", ["production", "development"])
def test_an_account_at_a_venue_that_is_none_of_ours_is_refused(mode: str) -> None:
    with pytest.raises(Refused) as refused:
        check_egress(manifest(mode, accounts=("binance", "nowhere")))
    assert refused.value.code is Code.VENUE_NOT_ALLOWED
    assert refused.value.actual == "nowhere"
