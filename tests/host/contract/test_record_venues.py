"""The host's list of exchanges is the image's, and the proxy lets a record through to them."""

from pathlib import Path

import pytest
from strongroom_enclave import venues
from strongroom_host.cli.daemon import allowed
from strongroom_host.contract.record_venues import RECORD_HOSTS, hosts_of
from strongroom_wire.manifest import Account, Tier

from tests.host.cli.world import Machine


def test_the_hosts_are_those_of_the_image() -> None:
    assert RECORD_HOSTS == venues.HOSTS


def test_each_host_is_named_once_and_none_for_a_venue_that_is_not_read() -> None:
    named = ("binance", "mexc", "binance", "ftx")
    accounts = [
        Account(f"a{at}", "u", venue, "live", "USD", 0, Tier()) for at, venue in enumerate(named)
    ]
    assert hosts_of(accounts) == ("api.binance.com", "fapi.binance.com", "api.mexc.com")


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    machine = Machine(tmp_path)
    machine.run("owner", "init", "--no-passphrase")
    machine.run("manifest", "new", "--account", "fund", "--no-key", "--out", tmp_path / "m.json")
    for venue in ("binance", "kraken"):
        machine.run("manifest", "add-account", tmp_path / "m.json", "--name", venue, "--venue",
                    venue, "--currency", "USDT")  # fmt: skip
    machine.run("manifest", "sign", tmp_path / "m.json")
    return tmp_path / "m.signed.json"


def test_a_manifest_with_accounts_opens_the_way_to_their_venues(signed: Path) -> None:
    assert allowed(None, signed) == (
        "api.binance.com:443",
        "fapi.binance.com:443",
        "api.kraken.com:443",
    )
    assert allowed(["one.example:443"], signed)[0] == "one.example:443"
