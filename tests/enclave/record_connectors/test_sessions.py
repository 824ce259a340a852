"""How a connector begins: to whom it speaks, what it shares, which wallets it knows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from strongroom_enclave.http import Answer
from strongroom_enclave.record.connectors.connector import Connector
from strongroom_enclave.record.connectors.rules import Reason, VenueFault
from strongroom_enclave.venues import HOSTS
from strongroom_wire.errors import Code, Refused
from strongroom_wire.manifest import Egress
from strongroom_wire.record import Credentials

from tests.enclave.record_connectors.conftest import VENUES, Site

LOGIN = Credentials(account="a", venue="binance", key="k", secret="s", passphrase="")
HOUR_MS = 3_600_000


def connector(venue: str, environment: str, egress: list[Egress], now_ms: int = 0) -> Connector:
    def nobody() -> Any:
        raise OSError("nobody may be asked")

    return Connector(venue, environment, LOGIN, egress, nobody, lambda: now_ms, lambda _: None)


def own(*hosts: str) -> list[Egress]:
    return [Egress(host, 443, (), (b"root",)) for host in hosts]


def test_an_environment_is_what_the_roots_say() -> None:
    both = HOSTS["binance"]
    connector("binance", "live", [])
    connector("binance", "live", own("clob.polymarket.com", *HOSTS["bybit"]))
    connector("binance", "live", [Egress(both[0], 443, ("ab" * 32,), ())])
    connector("binance", "test", own(*both))
    for environment, egress in (
        ("live", own(*both)),
        ("live", own(both[0])),
        ("test", []),
        ("test", own(both[0])),
        ("paper", []),  # Binance has none
        ("paper", own(*both)),
        ("", []),
    ):
        with pytest.raises(Refused) as caught:
            connector("binance", environment, egress)
        assert caught.value.code is Code.VENUE_NOT_ALLOWED
    connector("alpaca", "paper", [])
    for egress in (own(*HOSTS["alpaca"]), own(HOSTS["alpaca"][1])):
        with pytest.raises(Refused):
            connector("alpaca", "paper", egress)
    with pytest.raises(Refused) as caught:
        connector("elsewhere", "live", [])
    assert caught.value.code is Code.VENUE_NOT_ALLOWED


@pytest.mark.parametrize("venue", VENUES)
def test_what_a_venue_books_late_is_waited_for_wherever_money_is_real(venue: str) -> None:
    """Only a venue under the manifest's own roots is believed to be prompt: nobody gives himself
    a second that the world's venues do not keep to."""
    assert connector(venue, "live", [], 60_000).settled_ms() == 50_000
    assert connector(venue, "test", own(*HOSTS[venue]), 60_000).settled_ms() == 59_000
    if venue == "alpaca":
        assert connector(venue, "paper", [], 60_000).settled_ms() == 50_000


@pytest.mark.parametrize(
    ("environment", "host"), [("live", "api.alpaca.markets"), ("paper", "paper-api.alpaca.markets")]
)
def test_a_paper_account_is_asked_for_on_the_papers_own_host(environment: str, host: str) -> None:
    """What a paper account made is never told as a live one's, nor the other way round."""
    line, asked = connector("alpaca", environment, []), list[str]()

    def request(_method: str, url: str, *_: object) -> Answer:
        asked.append(url.split("/")[2])
        return Answer(200, {}, b"[]")

    line.http.request = request  # type: ignore[method-assign, assignment]
    for call in ("traderPrivateGetV2Positions", "traderPrivateGetV2AccountActivities"):
        line.ask(call)
    assert asked == [host] * 2


def test_who_cannot_be_reached_is_asked_again_and_then_named() -> None:
    with pytest.raises(VenueFault) as caught:
        connector("binance", "live", []).check()
    assert caught.value.reason is Reason.UNREACHABLE


@pytest.mark.parametrize("venue", VENUES)
def test_markets_are_shared_for_an_hour_and_no_key_with_them(site: Site, venue: str) -> None:
    _kept().clear()
    first, other = site.line(venue), site.line(venue, checked=False)
    listed = [call for call in _asked(other, lambda: other.connector.check()) if "load" in call]
    assert listed == []
    assert other.connector.markets == first.connector.markets
    shared: Any = other.session._exchange.markets
    assert shared is first.session._exchange.markets
    login = site.logins[venue]
    for name, (_, kept) in _kept().items():
        assert login.key not in repr(vars(kept)), name
        assert login.secret not in repr(vars(kept)) or venue == "ibkr", name  # a query's number
    late = site.line(venue, checked=False)
    late.session._now = lambda: time.time_ns() // 10**6 + 2 * HOUR_MS
    late.session.ask = _instead(late.session.ask, "fetch_time", late.session._now)  # type: ignore[method-assign]
    late.session._exchange.seconds = lambda: int(time.time())  # what is signed is signed now
    late.session._exchange.milliseconds = lambda: time.time_ns() // 10**6
    asked = _asked(late, lambda: late.session.begin())
    assert "load_markets" in asked


def test_a_venue_that_lists_its_markets_slowly_holds_up_no_other(site: Site) -> None:
    from strongroom_enclave.record.connectors import session

    _kept().clear()
    done = threading.Event()

    def begins() -> None:
        site.line("binance").session.begin()
        done.set()

    with session._LOCKS["bybit"]:  # as while it is asked
        threading.Thread(target=begins, daemon=True).start()
        assert done.wait(30)


@pytest.mark.parametrize("venue", VENUES)
def test_an_account_is_known_by_its_holder_whatever_key_opens_it(site: Site, venue: str) -> None:
    logins = site.logins, site.rotated, site.others
    lines = [site.line(venue, login[venue], checked=False) for login in logins]
    held, again, other = (line.connector.check() for line in lines)
    assert held == again
    assert held not in ("", other)
    assert len({login[venue].key for login in logins}) == 3


def test_a_venue_that_names_no_holder_is_read_all_the_same(site: Site) -> None:
    line = site.line("kraken", checked=False)
    silent = _instead(line.session.ask, "privatePostGetApiKeyInfo", lambda: {"result": {}})
    line.session.ask = silent  # type: ignore[method-assign]
    assert line.connector.check() == ""


def test_more_wallets_than_are_told_are_refused(site: Site) -> None:
    line = site.line("coinbase", checked=False)
    line.session.begin()
    answer = line.session.ask("v3PrivateGetBrokerageAccounts", {"limit": "250"})
    line.session.ask = lambda *_: {**answer, "has_next": True}  # type: ignore[method-assign]
    with pytest.raises(VenueFault) as caught:
        line.connector.balances()
    assert caught.value.reason is Reason.OVERFULL


def test_each_wallet_has_a_stream_of_its_own(site: Site) -> None:
    places = [
        s.place for s in site.line("coinbase").connector.streams() if s.rule == "transactions"
    ]
    held = site.line("coinbase").session.ask("v3PrivateGetBrokerageAccounts", {"limit": "250"})
    assert sorted(places) == sorted(row["uuid"] for row in held["accounts"])


def _kept() -> dict[str, tuple[int, Any]]:
    from strongroom_enclave.record.connectors import session

    return session._LISTED


def _instead(ask: Callable[..., Any], call: str, answer: Callable[[], Any]) -> Callable[..., Any]:
    return lambda asked, *given: answer() if asked == call else ask(asked, *given)


def _asked(line: Any, run: Callable[[], object]) -> list[str]:
    calls, ask = list[str](), line.session.ask

    def noted(call: str, *given: object) -> object:
        calls.append(call)
        return ask(call, *given)

    line.session.ask = noted
    run()
    return calls
