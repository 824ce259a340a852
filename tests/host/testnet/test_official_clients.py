"""The official clients trade here unmodified but for the host and the CA: the simulator is honest.

py-clob-client-v2 takes any host. polymarket-client pins its environment, so the tests build one
with the package's own factory; only addresses of servers differ from its production values.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from eth_account import Account
from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment
from polymarket._internal.wallet import derive_beacon_deposit_wallet_address
from polymarket.auth import BuilderApiKey
from polymarket.clients.secure import SecureClient
from polymarket.errors import OrderHeartbeatMismatchError, RequestRejectedError
from py_clob_client_v2 import client as clob_client_module
from py_clob_client_v2.clob_types import (
    BalanceAllowanceParams,
    MarketOrderArgsV2,
    OpenOrderParams,
    OrderArgsV2,
    OrderMarketCancelParams,
    OrderPayload,
    PartialCreateOrderOptions,
    PostOrdersV2Args,
    TradeParams,
)
from py_clob_client_v2.exceptions import PolyApiException
from py_clob_client_v2.http_helpers import helpers
from py_clob_client_v2.order_utils.model.signature_type_v2 import SignatureTypeV2
from strongroom_host.testnet import TestnetServer, WalletKind, default_config
from strongroom_host.testnet.contracts import address_from

ClobClient: Any = clob_client_module.ClobClient
DEPOSIT_WALLET = "0x" + "d1" * 20


@pytest.fixture(autouse=True)
def trust_the_testnet(server: TestnetServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give py-clob-client-v2's module-wide HTTP client the testnet's CA."""
    with httpx.Client(http2=True, verify=server.client_context()) as client:
        monkeypatch.setattr(helpers, "_http_client", client)
        yield


def open_account(server: TestnetServer, kind: WalletKind, number: int) -> tuple[str, str]:
    """A key and its funded wallet of `kind`."""
    secret = "0x" + number.to_bytes(32, "big").hex()
    owner = address_from(Account.from_key(secret).address)
    wallet = owner if kind is WalletKind.EOA else address_from(f"0x{number:040x}")
    server.clob.open_account(wallet, kind, owner, funds=10_000_000_000)
    return secret, wallet


def clob_client(server: TestnetServer, kind: WalletKind, number: int) -> Any:
    secret, wallet = open_account(server, kind, number)
    client = ClobClient(
        server.url, 80002, key=secret, signature_type=SignatureTypeV2(kind.value), funder=wallet
    )
    client.set_api_creds(client.create_or_derive_api_key())
    return client


@pytest.mark.parametrize("kind", list(WalletKind))
def test_py_clob_client_v2_places_queries_and_cancels(
    server: TestnetServer, kind: WalletKind
) -> None:
    client = clob_client(server, kind, 5000 + kind.value)
    assert client.get_ok() == "OK"
    assert client.get_version() == 2
    for market in server.clob.config.markets:
        v3 = market is server.clob.config.markets[2]
        asset = {"position_id" if v3 else "token_id": str(market.tokens[0])}
        if v3:
            asset["token_id"] = None  # type: ignore[assignment]
        args = OrderArgsV2(**asset, price=0.4, size=10, side="BUY")
        placed = client.create_and_post_order(args)
        assert (placed["success"], placed["status"]) == (True, "live")
        shown = client.get_order(placed["orderID"])
        assert (shown["status"], shown["original_size"]) == ("LIVE", "10")
        listed = client.get_open_orders(OpenOrderParams(market=market.condition_id))
        assert [item["id"] for item in listed] == [placed["orderID"]]
        done = client.cancel_order(OrderPayload(placed["orderID"]))
        assert done["canceled"] == [placed["orderID"]]


@pytest.mark.parametrize("kind", [WalletKind.EOA, WalletKind.DEPOSIT])
def test_py_clob_client_v2_takes_liquidity_and_sees_its_trades(
    server: TestnetServer, kind: WalletKind
) -> None:
    client = clob_client(server, kind, 5100 + kind.value)
    token = str(server.clob.config.markets[0].tokens[0])
    bought = client.create_and_post_market_order(
        MarketOrderArgsV2(token_id=token, amount=20, side="BUY", order_type="FOK")
    )
    assert bought["status"] == "matched"
    assert len(bought["transactionsHashes"]) == len(bought["tradeIDs"]) > 0
    sold = client.create_and_post_market_order(
        MarketOrderArgsV2(token_id=token, amount=15.5, side="SELL", order_type="FAK"),
        order_type="FAK",
    )
    assert sold["makingAmount"] == "15.5"
    trades = client.get_trades(TradeParams(asset_id=token))
    assert {trade["id"] for trade in trades} == {*bought["tradeIDs"], *sold["tradeIDs"]}
    balance = client.get_balance_allowance(BalanceAllowanceParams(asset_type="COLLATERAL"))
    spent, earned = (
        round(float(text) * 10**6) for text in (bought["makingAmount"], sold["takingAmount"])
    )
    assert int(balance["balance"]) == 10_000_000_000 - spent + earned


def test_py_clob_client_v2_batches_cancels_and_beats(server: TestnetServer) -> None:
    client = clob_client(server, WalletKind.EOA, 5200)
    token = str(server.clob.config.markets[0].tokens[0])
    expiration = int(time.time()) + 600
    batch = [
        PostOrdersV2Args(
            order=client.create_order(
                OrderArgsV2(token_id=token, price=price, size=10, side="BUY", expiration=expires)
            ),
            orderType=order_type,
        )
        for price, order_type, expires in ((0.41, "GTC", 0), (0.42, "GTD", expiration))
    ]
    answers = client.post_orders(batch, post_only=True)
    assert [answer["success"] for answer in answers] == [True, True]
    first, second = (answer["orderID"] for answer in answers)
    assert client.cancel_orders([first])["canceled"] == [first]
    cancelled = client.cancel_market_orders(OrderMarketCancelParams(asset_id=token))
    assert cancelled["canceled"] == [second]
    assert client.cancel_all()["canceled"] == []
    beat = client.post_heartbeat("")
    assert client.post_heartbeat(beat["heartbeat_id"])["heartbeat_id"] != beat["heartbeat_id"]
    with pytest.raises(PolyApiException, match="Invalid Heartbeat ID"):
        client.post_heartbeat("")
    assert client.get_api_keys() == {"apiKeys": [client.creds.api_key]}
    assert client.delete_api_key() == "OK"
    with pytest.raises(PolyApiException, match="Unauthorized"):
        client.get_api_keys()


def test_py_clob_client_v2_is_refused_for_what_is_wrong(server: TestnetServer) -> None:
    client = clob_client(server, WalletKind.EOA, 5300)
    token = str(server.clob.config.markets[0].tokens[0])
    args = OrderArgsV2(token_id=token, price=0.4, size=10, side="BUY")
    order = client.create_order(args)
    assert client.post_order(order)["success"] is True
    with pytest.raises(PolyApiException, match="Duplicated"):
        client.post_order(order)
    with pytest.raises(PolyApiException, match="order_version_mismatch"):
        client.post_order(client.create_order(args, _options(version=1)))
    with pytest.raises(PolyApiException, match="order_version_mismatch"):
        client.post_order(client.create_order(args, _options(version=3)))
    with pytest.raises(PolyApiException, match="invalid signature"):
        client.post_order(client.create_order(args, _options(neg_risk=True)))
    tampered = client.create_order(args)
    tampered.makerAmount = str(int(tampered.makerAmount) + 100_000)
    with pytest.raises(PolyApiException, match="invalid signature"):
        client.post_order(tampered)


def _options(**changes: Any) -> Any:
    return PartialCreateOrderOptions(**changes)


@pytest.fixture(scope="module")
def polygon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestnetServer]:
    """polymarket-client knows chain 137 only."""
    with TestnetServer(default_config(137), tmp_path_factory.mktemp("polygon")) as running:
        yield running


def environment(server: TestnetServer) -> Any:
    config = replace(
        PRODUCTION_CONFIG,
        clob_url=server.url,
        relayer_url=server.url,
        relayer_poll_frequency_ms=1,
    )
    return create_environment(name="testnet", config=config)


@pytest.fixture
def trusted(polygon: TestnetServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(polygon.ca_path))


def secure_client(server: TestnetServer, kind: WalletKind, number: int, **how: Any) -> SecureClient:
    secret = "0x" + number.to_bytes(32, "big").hex()
    owner = address_from(Account.from_key(secret).address)
    wallet = owner
    if kind is WalletKind.DEPOSIT:
        derived = derive_beacon_deposit_wallet_address(owner, PRODUCTION_CONFIG.wallet_derivation)
        wallet = address_from(derived)
    server.clob.open_account(wallet, kind, owner, funds=10_000_000_000)
    return SecureClient.create(
        private_key=secret, wallet=wallet, environment=environment(server), **how
    )


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("kind", [WalletKind.EOA, WalletKind.DEPOSIT])
def test_polymarket_client_trades(polygon: TestnetServer, kind: WalletKind) -> None:
    with secure_client(polygon, kind, 6000 + kind.value) as client:
        for market in polygon.clob.config.markets:
            token = str(market.tokens[0])
            resting: Any = client.place_limit_order(
                asset_id=token, price="0.4", size=10, side="BUY", post_only=True
            )
            assert (resting.ok, resting.status) == (True, "live")
            assert client.get_order(order_id=resting.order_id).status == "LIVE"
            (listed,) = client.list_open_orders(asset_id=token).first_page().items
            assert listed.id == resting.order_id
            assert client.cancel_order(order_id=resting.order_id).canceled == (resting.order_id,)
            taken: Any = client.place_market_order(asset_id=token, side="BUY", amount=12)
            assert (taken.ok, taken.status) == (True, "matched")
            hashes = client.wait_for_order_fill_settlement(taken)
            assert set(hashes) == set(taken.transactions_hashes)
        assert client.get_closed_only_mode() is False
        beat = client.send_order_heartbeat()
        assert client.send_order_heartbeat(heartbeat_id=beat.heartbeat_id).heartbeat_id
        with pytest.raises(OrderHeartbeatMismatchError):
            client.send_order_heartbeat(heartbeat_id="stale")


@pytest.mark.usefixtures("trusted")
def test_polymarket_client_authorises_uses_and_revokes_a_session_key(
    polygon: TestnetServer,
) -> None:
    with secure_client(polygon, WalletKind.DEPOSIT, 6100) as plain:
        builder = plain.create_builder_api_key()
        owner_secret, wallet = "0x" + (6100).to_bytes(32, "big").hex(), str(plain.wallet)
    session_secret = "0x" + "5e" * 32
    session_address = Account.from_key(session_secret).address
    token = str(polygon.clob.config.markets[1].tokens[0])
    with SecureClient.create(
        private_key=owner_secret,
        wallet=wallet,
        environment=environment(polygon),
        api_key=BuilderApiKey(builder.key, builder.secret, builder.passphrase),
    ) as owner:
        granted = owner.authorize_session_key(address=session_address, scopes=["CLOB"])
        assert granted.session_key.address == session_address
        with SecureClient.create(
            private_key=session_secret, wallet=wallet, environment=environment(polygon)
        ) as session:
            placed: Any = session.place_limit_order(
                asset_id=token, price="0.4", size=10, side="BUY"
            )
            assert placed.ok
            stored = polygon.clob.orders[bytes.fromhex(placed.order_id[2:])]
            assert (stored.order.maker, stored.signed_by) == (wallet, session_address)
            owner.revoke_session_key(address=session_address)
            assert owner.fetch_session_keys() == ()
            with pytest.raises(RequestRejectedError):
                session.place_limit_order(asset_id=token, price="0.4", size=10, side="BUY")
        assert owner.get_order(order_id=placed.order_id).status == "CANCELED"
