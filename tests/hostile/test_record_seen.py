"""Whatever a host can look at has nothing of an account but what its owners let out.

Trades with telling amounts, ids and credentials are planted at venues; then everything is searched:
the database as its superuser reads it, every byte on the way out, files, consoles, messages.
"""

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import pytest
from strongroom_host.venues.faults import Fault, FaultKind

from tests.host.record_store.databases import Server, server
from tests.hostile.record_host import (
    COARSE,
    EXACT,
    RecordBoot,
    RecordHost,
    account,
    recording_desk,
)
from tests.hostile.record_tampering import dump
from tests.hostile.recording import Exchanges, exchanges

pytestmark = pytest.mark.timeout(300)
Running = tuple[RecordHost, RecordBoot]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    with exchanges(tmp_path_factory.mktemp("venues"), "binance", "bybit") as running:
        yield running


@pytest.fixture(scope="module")
def begin(
    postgres: Server, venues: Exchanges, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Running]]:
    """Starts a host and a permitted boot whose manifest has these accounts."""
    with ExitStack() as stack:

        def start(*accounts: object) -> Running:
            desk = recording_desk(venues, *accounts)  # type: ignore[arg-type]
            folder = tmp_path_factory.mktemp("host")
            host = stack.enter_context(RecordHost(postgres.fresh(), venues, folder, desk))
            return host, host.start().permitted()

        yield start


@pytest.fixture(scope="module")
def searched(begin: Callable[..., Running], venues: Exchanges) -> Running:
    """An exact account and a coarse one, synchronised, and refused for a while in between."""
    host, boot = begin(
        account("alpha", "binance", venues.since_ms, EXACT),
        account("beta", "bybit", venues.since_ms, COARSE),
    )
    venues.server.faults.arm(Fault(FaultKind.STATUS, "/api/v3/account"))
    venues.server.faults.arm(Fault(FaultKind.MALFORMED, "/v5/execution/list"))
    names = {"alpha": "binance", "beta": "bybit"}
    for name, venue in names.items():
        assert boot.connect(name, venues.logins[venue]) == 0
    for name in names:
        host.port.ended(name)  # whatever the venue's faults make of that
    since = len(host.port.asked)
    for name in names:
        boot.queue(name)
    for name in names:
        assert host.port.ended(name, since=since) == 0
        assert host.count("hourly_returns", name)
    return host, boot


def everything(host: RecordHost, boot: RecordBoot) -> dict[str, bytes]:
    """Returns all that this host can look at, by what it is."""
    found = {
        "database": dump(host.database),
        "traffic": boot.tap.carried,
        "messages": "\n".join(host.said).encode(),
    }
    for folder in (host.folder, boot.enclave.folder, host.log_folder):
        for path in folder.rglob("*"):
            if path.is_file():
                found[str(path)] = path.read_bytes()
    return found


def spelled(needle: bytes) -> set[bytes]:
    """Returns the ways in which somebody may have written it down."""
    ways = {needle, needle.hex().encode(), needle.hex().upper().encode()}
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + needle + b"xx")
        # All that is the needle's own, and no letter less: six digits of a number stand by chance
        # in every long text of digits.
        whole = encoded[-(-8 * shift // 6) : 8 * (shift + len(needle)) // 6]
        if len(whole) >= 8:
            ways |= {whole, whole.replace(b"+", b"-").replace(b"/", b"_")}
    return ways


def written(content: bytes, needle: bytes) -> bool:
    """Whether it stands there: a number in any spelling, but not as the beginning of a longer one,
    for equity may well begin like a price."""
    if not re.fullmatch(rb"[0-9]+\.[0-9]+", needle):
        return needle in content
    short = needle.rstrip(b"0")
    if short not in content:
        return False
    return re.search(rb"(?<![0-9.])" + re.escape(short) + rb"0*(?![0-9])", content) is not None


def leaks(places: dict[str, bytes], needles: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """Returns where which of the needles was found."""
    return [
        (place, needle)
        for needle in needles
        for way in spelled(needle)
        for place, content in places.items()
        if written(content, way)
    ]


def test_a_number_is_found_in_any_spelling_and_not_in_others_digits() -> None:
    needle = b"4.61121255"
    for before in (b"", b"a", b"ab", b"abc"):
        for after in (b"", b"a", b"ab"):
            text = base64.b64encode(before + needle + after)
            assert any(written(text, way) for way in spelled(needle)), (before, after)
    for before in (b"", b"a", b"ab", b"abc"):
        text = base64.b64encode(before + b"0f61121255e4.61121e.61121255")
        assert not any(written(text, way) for way in spelled(needle)), before


def test_the_search_finds_what_is_there(searched: Running) -> None:
    host, boot = searched
    places = everything(host, boot)
    closing = f"{host.published('alpha')[-1].closing:f}"
    assert ("database", closing.encode()) in leaks(places, [closing.encode()])
    assert ("traffic", b"CONNECT api.binance.com") in leaks(places, [b"CONNECT api.binance.com"])
    for needle in (b"a planted secret", b"56505.57"):
        for way in spelled(needle):
            assert leaks({"here": b"... " + way + b" ..."}, [needle])
    assert leaks({"here": b"x56505.570000 "}, [b"56505.57"])
    assert not leaks({"here": b" 56505.571 156505.57 0.56505.57"}, [b"56505.57"])
    assert len(places["traffic"]) > 100_000, "the traffic was not recorded"


def test_no_trade_is_anywhere(searched: Running, venues: Exchanges) -> None:
    host, boot = searched
    needles = venues.marks("binance") | venues.marks("bybit")
    assert len(needles) > 100
    assert leaks(everything(host, boot), needles) == []


def test_no_instrument_is_anywhere(searched: Running, venues: Exchanges) -> None:
    host, boot = searched
    traded = {
        name
        for venue in ("binance", "bybit")
        for fill in venues.truth(venue).fills
        for name in (
            fill.instrument.symbol.encode(),
            (fill.instrument.base + fill.instrument.quote).encode(),
        )
    }
    assert traded >= {b"DOGE/USDT", b"BTCUSDT"}
    assert leaks(everything(host, boot), traded) == []


def test_no_credential_is_anywhere(searched: Running, venues: Exchanges) -> None:
    host, boot = searched
    needles = venues.secrets("binance") | venues.secrets("bybit")
    assert len(needles) >= 4
    assert leaks(everything(host, boot), needles) == []


def test_a_coarse_account_gives_no_exact_number_away(
    searched: Running, begin: Callable[..., Running], venues: Exchanges
) -> None:
    """The same account at the venue is synchronised once more elsewhere, under the exact tier: none
    of those numbers is anything that the host of the coarse one can see."""
    open_host, open_boot = begin(account("open", "bybit", venues.since_ms, EXACT))
    assert open_boot.connected("open", venues.logins["bybit"]) == 0
    exact = {
        text
        for row in open_host.published("open")
        for text in (f"{abs(number):f}" for number in row.money)
        if len(text.strip("0.").replace(".", "")) >= 7
    }
    assert len(exact) > 100
    host, boot = searched
    coarse = {f"{abs(number):f}" for row in host.published("beta") for number in row.money}
    needles = {number.rstrip("0").encode() for number in exact - coarse}
    assert leaks(everything(host, boot), needles) == []


def test_an_exact_account_shows_its_hours_and_a_coarse_one_its_days(searched: Running) -> None:
    host, _ = searched
    assert {row.hours for row in host.published("alpha")} == {1}
    coarse = host.published("beta")
    assert {row.hours for row in coarse[1:]} == {24}
    for row in coarse:
        assert (row.opening, row.pnl, row.fees, row.trades) == (None, None, None, None)
        assert row.value is None or row.value == round(row.value, 4)


def test_what_is_stored_is_opened_by_nobody_else(searched: Running) -> None:
    """Wrapped keys, states and rows have no two alike parts, as plaintext in disguise would."""
    host, _ = searched
    with host.database.as_admin() as admin:
        rows = admin.execute("SELECT nonce, ciphertext FROM trades").fetchall()
        assert len({bytes(nonce) for nonce, _ in rows}) == len(rows) > 50
        assert len({bytes(text)[:16] for _, text in rows}) == len(rows)
