"""The HTTP surface over real TLS: status codes, bodies and headers that clients depend on."""

from __future__ import annotations

import hashlib
import itertools
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from strongroom_host.testnet import Fault, FaultKind, Mode, TestnetServer, default_config
from strongroom_host.testnet.admin_api import ADMIN_HEADER

from tests.host.testnet.traders import Clock, Trader, clob_auth_headers, encode

_numbers = itertools.count(1000)


class Session:
    """A trader with an HTTP client: signs each request and sends it."""

    def __init__(self, server: TestnetServer, http: httpx.Client) -> None:
        self.server, self.http = server, http
        self.trader = Trader.funded(server.clob, next(_numbers))
        self.token = server.clob.config.markets[0].tokens[0]

    def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        content = b"" if body is None else encode(body)
        headers = self.trader.l2(method, path, content)
        return self.http.request(method, path, content=content, headers=headers)

    def order(self, side: str = "BUY", price: float = 0.3, size: float = 10, **how: Any) -> Any:
        return self.trader.body(self.token, side, price, size, **how)

    def post(self, **how: Any) -> httpx.Response:
        return self.send("POST", "/order", self.order(**how))


@pytest.fixture
def session(server: TestnetServer, http: httpx.Client) -> Session:
    return Session(server, http)


def test_only_the_testnets_own_ca_is_good_enough(server: TestnetServer) -> None:
    with httpx.Client(base_url=server.url) as stranger, pytest.raises(httpx.ConnectError):
        stranger.get("/ok")


def test_answers_are_not_held_back_for_an_acknowledgement(
    server: TestnetServer, http: httpx.Client
) -> None:
    assert http.get("/ok").status_code == 200
    for transport in server._connections._transports.values():
        accepted = transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_public_facts(http: httpx.Client, session: Session) -> None:
    token = session.token
    assert http.get("/ok").json() == "OK"
    assert http.get("/version").json() == {"version": 2}
    assert isinstance(http.get("/time").json(), int)
    assert http.get("/tick-size", params={"token_id": token}).text == '{"minimum_tick_size":0.01}'
    assert http.get("/neg-risk", params={"token_id": token}).json() == {"neg_risk": False}
    assert http.get("/fee-rate", params={"token_id": token}).json() == {"base_fee": 0}
    condition = http.get(f"/markets-by-token/{token}").json()["condition_id"]
    assert http.get(f"/clob-markets/{condition}").json()["t"][0]["t"] == str(token)
    assert http.get(f"/markets/{condition}").json()["tokens"][0]["token_id"] == str(token)
    assert len(http.get("/markets").json()["data"]) == 3
    assert http.get("/markets/0x00").status_code == 404
    assert http.get("/nowhere").json() == {"error": "not found"}
    assert http.put("/order").json() == {"error": "method not allowed"}


def test_quotes(http: httpx.Client, server: TestnetServer) -> None:
    token = str(server.clob.config.markets[1].tokens[0])  # tick 0.001, seeded around 0.6
    one = {"token_id": token}
    assert http.get("/price", params=one | {"side": "BUY"}).json() == {"price": "0.599"}
    assert http.get("/price", params=one | {"side": "SELL"}).json() == {"price": "0.601"}
    assert http.get("/midpoint", params=one).json() == {"mid": "0.6"}
    assert http.get("/spread", params=one).json() == {"spread": "0.002"}
    assert http.get("/last-trade-price", params=one).json() == {"price": "0.5", "side": ""}
    assert http.post("/midpoints", json=[one]).json() == {token: "0.6"}
    assert http.post("/spreads", json=[one]).json() == {token: "0.002"}
    wanted = [one | {"side": "BUY"}, one | {"side": "SELL"}]
    assert http.post("/prices", json=wanted).json() == {token: {"BUY": "0.599", "SELL": "0.601"}}
    book = http.get("/book", params=one).json()
    assert [float(item["price"]) for item in book["bids"]] == [0.597, 0.598, 0.599]
    assert [float(item["price"]) for item in book["asks"]] == [0.603, 0.602, 0.601]
    (again,) = http.post("/books", json=[one]).json()
    assert again["bids"] == book["bids"]
    hashed = book | {"hash": ""}
    compact = json.dumps(hashed, separators=(",", ":")).encode()
    assert book["hash"] == hashlib.sha1(compact, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("path", "params", "status", "error"),
    [
        ("/book", {}, 400, "Invalid token id"),
        ("/book", {"token_id": "0x12"}, 400, "Invalid token id"),
        ("/book", {"token_id": "12"}, 404, "No orderbook exists for the requested token id"),
        ("/tick-size", {"token_id": "12"}, 404, "No orderbook exists for the requested token id"),
    ],
)
def test_bad_tokens(
    http: httpx.Client, path: str, params: dict[str, str], status: int, error: str
) -> None:
    answer = http.get(path, params=params)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


def test_api_keys_are_created_once_and_derived_ever_after(
    http: httpx.Client, server: TestnetServer
) -> None:
    secret = "0x" + next(_numbers).to_bytes(32, "big").hex()
    headers = clob_auth_headers(secret, timestamp=server.clob.now_s, nonce=5, chain_id=80002)
    assert http.get("/auth/derive-api-key", headers=headers).status_code == 400
    created = http.post("/auth/api-key", headers=headers)
    assert created.status_code == 200
    assert http.get("/auth/derive-api-key", headers=headers).json() == created.json()
    again = http.post("/auth/api-key", headers=headers)
    assert (again.status_code, again.json()) == (400, {"error": "Could not create api key"})
    stolen = http.post("/auth/api-key", headers=headers | {"POLY_NONCE": "6"})
    assert (stolen.status_code, stolen.json()) == (401, {"error": "Invalid L1 Request headers"})


def test_keys_are_listed_and_deleted(session: Session) -> None:
    assert session.send("GET", "/auth/api-keys").json() == {"apiKeys": [session.trader.api.key]}
    assert session.send("DELETE", "/auth/api-key").json() == "OK"
    refused = session.send("GET", "/auth/api-keys")
    assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized/Invalid api key"})


PRIVATE = [
    ("GET", "/auth/api-keys"),
    ("DELETE", "/auth/api-key"),
    ("POST", "/order"),
    ("POST", "/orders"),
    ("DELETE", "/order"),
    ("DELETE", "/orders"),
    ("DELETE", "/cancel-all"),
    ("DELETE", "/cancel-market-orders"),
    ("GET", "/data/order/0x" + "00" * 32),
    ("GET", "/data/orders"),
    ("GET", "/data/trades"),
    ("POST", "/v1/heartbeats"),
    ("GET", "/balance-allowance"),
    ("GET", "/v1/user/rate-limit-tier"),
    ("GET", "/auth/ban-status/closed-only"),
    ("POST", "/auth/builder-api-key"),
    ("GET", "/v1/user/session-signers"),
    ("POST", "/v1/session-signers/authorizations"),
    ("POST", "/v1/session-signers/revocations"),
    ("POST", "/testnet/accounts"),
    ("POST", "/testnet/faults"),
    ("DELETE", "/testnet/faults"),
    ("POST", "/testnet/mode"),
    ("GET", "/testnet/state"),
]


@pytest.mark.parametrize(("method", "path"), PRIVATE)
def test_nothing_private_answers_without_credentials(
    http: httpx.Client, method: str, path: str
) -> None:
    assert http.request(method, path, content=b"{}").status_code == 401


def test_an_order_lives_is_seen_and_is_cancelled(session: Session) -> None:
    answer = session.post()
    order_id = answer.json()["orderID"]
    assert answer.json() == {
        "errorMsg": "",
        "orderID": order_id,
        "takingAmount": "",
        "makingAmount": "",
        "status": "live",
        "success": True,
    }
    assert set(answer.headers) >= {
        "poly-ratelimit-remaining",
        "poly-ratelimit-reset",
        "poly-ratelimit-tier",
    }
    shown = session.send("GET", f"/data/order/{order_id}").json()
    assert (shown["status"], shown["original_size"], shown["price"]) == ("LIVE", "10", "0.3")
    listed = session.send("GET", "/data/orders?next_cursor=MA==").json()
    assert (listed["data"], listed["next_cursor"]) == ([shown], "LTE=")
    done = session.send("DELETE", "/order", {"orderID": order_id})
    assert done.json() == {"canceled": [order_id], "not_canceled": {}}
    assert session.send("GET", f"/data/order/{order_id}").json()["status"] == "CANCELED"
    twice = session.send("DELETE", "/order", {"orderID": order_id}).json()
    assert twice == {"canceled": [], "not_canceled": {order_id: "order already canceled"}}


def test_a_match_names_amounts_and_trades(session: Session, http: httpx.Client) -> None:
    other = Session(session.server, http)
    other.post(side="SELL", price=0.6, size=20)
    answer = session.post(side="BUY", price=0.6, size=12.5).json()
    assert (answer["status"], answer["makingAmount"], answer["takingAmount"]) == (
        "matched",
        "7.5",
        "12.5",
    )
    (trade,) = session.send("GET", "/data/trades").json()["data"]
    assert trade["id"] == answer["tradeIDs"][0]
    assert trade["transaction_hash"] == answer["transactionsHashes"][0]
    assert (trade["trader_side"], trade["size"], trade["price"]) == ("TAKER", "12.5", "0.6")
    (mirror,) = other.send("GET", "/data/trades").json()["data"]
    assert (mirror["trader_side"], mirror["id"]) == ("MAKER", trade["id"])
    path = f"/data/trades?id={trade['id']}&market={trade['market']}"
    assert session.send("GET", path).json()["count"] == 1
    assert session.send("GET", "/data/trades?before=1").json()["count"] == 0
    assert session.send("GET", "/data/trades?after=x").status_code == 400
    balance = session.send("GET", "/balance-allowance?asset_type=COLLATERAL&signature_type=0")
    assert balance.json()["balance"] == str(10_000_000_000 - 7_500_000)
    other.send("DELETE", "/cancel-all")


def test_nobody_sees_or_cancels_anothers_order(session: Session, http: httpx.Client) -> None:
    order_id = session.post().json()["orderID"]
    other = Session(session.server, http)
    assert other.send("GET", f"/data/order/{order_id}").status_code == 404
    assert other.send("DELETE", "/order", {"orderID": order_id}).json()["canceled"] == []
    assert other.send("DELETE", "/cancel-all").json()["canceled"] == []
    assert session.send("GET", f"/data/order/{order_id}").json()["status"] == "LIVE"


def test_an_unknown_or_malformed_order_id(session: Session) -> None:
    assert session.send("GET", "/data/order/0x" + "11" * 32).status_code == 404
    for text in ("0x1234", "11" * 32, "0x" + "zz" * 32):
        answer = session.send("GET", f"/data/order/{text}")
        assert (answer.status_code, answer.json()) == (400, {"error": "Invalid orderID"})


def test_a_batch_answers_each_order(session: Session) -> None:
    good, poor, foreign = session.order(), session.order(size=1), session.order()
    foreign["owner"] = "00000000-0000-0000-0000-000000000000"
    answer = session.send("POST", "/orders", [good, poor, foreign, {"order": 1}])
    assert answer.status_code == 200
    first, second, third, fourth = answer.json()
    assert first["success"] is True
    assert second["success"] is False
    assert "lower than the minimum: 5" in second["errorMsg"]
    assert third["errorMsg"] == "the order owner has to be the owner of the API KEY"
    assert fourth["errorMsg"] == "Invalid order payload"
    ids = [session.send("POST", "/orders", [session.order()]).json()[0]["orderID"]]
    cancelled = session.send("DELETE", "/orders", [*ids, first["orderID"]]).json()
    assert set(cancelled["canceled"]) == {*ids, first["orderID"]}


def test_cancels_by_market_and_all(session: Session) -> None:
    clob = session.server.clob
    first, second = (market.tokens[0] for market in clob.config.markets[:2])
    ids = []
    for token in (first, first, second):
        session.token = token
        ids.append(session.post().json()["orderID"])
    condition = clob.markets[first].condition_id
    assert session.send("DELETE", "/cancel-market-orders", {}).status_code == 400
    answer = session.send("DELETE", "/cancel-market-orders", {"market": condition})
    assert set(answer.json()["canceled"]) == set(ids[:2])
    assert session.send("DELETE", "/cancel-all").json()["canceled"] == ids[2:]


def test_bodies_are_bounded(session: Session) -> None:
    body = b"[" + b" " * (512 * 1024) + b"]"
    headers = session.trader.l2("POST", "/orders", body)
    answer = session.http.post("/orders", content=body, headers=headers)
    assert answer.status_code == 413


def test_heartbeats_chain_and_their_absence_cancels(tmp_path: Any) -> None:
    clock = Clock()
    server = TestnetServer(default_config(80002), tmp_path, clock=clock)
    with server, httpx.Client(base_url=server.url, verify=server.client_context()) as http:
        session = Session(server, http)
        order_id = session.post().json()["orderID"]

        def beat(heartbeat_id: str) -> httpx.Response:
            return session.send("POST", "/v1/heartbeats", {"heartbeat_id": heartbeat_id})

        clock.forward(3600)
        assert session.send("GET", f"/data/order/{order_id}").json()["status"] == "LIVE"
        first = beat("").json()["heartbeat_id"]
        for wrong in ("", "0" * 32):
            refused = beat(wrong)
            assert refused.status_code == 400
            assert refused.json() == {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": first}
        clock.forward(9)
        second = beat(first).json()["heartbeat_id"]
        assert second != first
        clock.forward(10)
        assert session.send("GET", f"/data/order/{order_id}").json()["status"] == "LIVE"
        clock.forward(0.001)
        assert session.send("GET", f"/data/order/{order_id}").json()["status"] == "CANCELED"
        assert beat(second).status_code == 400
        assert beat("").status_code == 200


def test_rate_limits_are_per_signer_and_say_so(tmp_path: Any) -> None:
    clock = Clock()
    config = replace(default_config(80002), burst=3, per_second=1)
    server = TestnetServer(config, tmp_path, clock=clock)
    with server, httpx.Client(base_url=server.url, verify=server.client_context()) as http:
        session, other = Session(server, http), Session(server, http)
        left = [session.post().headers["Poly-RateLimit-Remaining"] for _ in range(3)]
        assert left == ["2", "1", "0"]
        refused = session.post()
        assert (refused.status_code, refused.json()) == (429, {"error": "Too Many Requests"})
        assert refused.headers["Retry-After"] == "1"
        assert other.post().status_code == 200
        assert session.send("DELETE", "/cancel-all").status_code == 429  # 1 + 3 orders > 3
        clock.forward(1)
        assert session.post().status_code == 200
        assert session.post().status_code == 429
        assert session.send("POST", "/orders", [session.order()] * 4).status_code == 429


def test_the_425_switch(session: Session, server: TestnetServer) -> None:
    server.clob.mode = Mode.RESTARTING
    try:
        assert session.post().status_code == 425
        assert session.send("POST", "/orders", [session.order()]).status_code == 425
        assert session.send("DELETE", "/cancel-all").status_code == 425
    finally:
        server.clob.mode = Mode.NORMAL
    assert session.post().status_code == 200


FAULTS: list[tuple[FaultKind, bool, Callable[[httpx.Response | Exception], bool]]] = [
    (FaultKind.DROP_BEFORE, False, lambda got: isinstance(got, httpx.TransportError)),
    (FaultKind.DROP_AFTER, True, lambda got: isinstance(got, httpx.TransportError)),
    (FaultKind.TRUNCATE, True, lambda got: isinstance(got, httpx.RemoteProtocolError)),
    (
        FaultKind.STATUS_BEFORE,
        False,
        lambda got: isinstance(got, httpx.Response) and got.status_code == 502,
    ),
    (
        FaultKind.STATUS_AFTER,
        True,
        lambda got: isinstance(got, httpx.Response) and got.status_code == 502,
    ),
    (
        FaultKind.DELAY_BEFORE,
        True,
        lambda got: isinstance(got, httpx.Response) and got.status_code == 200,
    ),
    (
        FaultKind.DELAY_AFTER,
        True,
        lambda got: isinstance(got, httpx.Response) and got.status_code == 200,
    ),
]


@pytest.mark.parametrize(("kind", "processed", "seen"), FAULTS)
def test_faults(
    session: Session,
    server: TestnetServer,
    kind: FaultKind,
    processed: bool,
    seen: Callable[[httpx.Response | Exception], bool],
) -> None:
    server.faults.arm(Fault(kind, seconds=0.01))
    before = len(server.clob.orders)
    try:
        got: httpx.Response | Exception = session.post()
    except httpx.TransportError as error:
        got = error
    assert seen(got), got
    assert (len(server.clob.orders) > before) is processed
    assert session.post().status_code == 200  # a fault fires as often as it was armed


def test_an_injected_429_has_the_headers(session: Session, server: TestnetServer) -> None:
    server.faults.arm(Fault(FaultKind.STATUS_BEFORE, status=429, count=2))
    for _ in range(2):
        answer = session.post()
        assert (answer.status_code, answer.headers["poly-ratelimit-remaining"]) == (429, "0")
    assert session.post().status_code == 200


def test_the_admin_endpoints(server: TestnetServer, http: httpx.Client) -> None:
    admin = {ADMIN_HEADER: server.admin_token}
    owner = "0x" + "7e" * 20
    body = {"kind": "deposit", "owner": owner, "funds": "12.5"}
    made = http.post("/testnet/accounts", json=body, headers=admin).json()
    assert made["kind"] == "DEPOSIT"
    assert http.get("/deployed", params={"address": made["wallet"]}).json() == {"deployed": True}
    assert server.clob.accounts.balance(made["wallet"], None) == 12_500_000
    for wrong in ({"kind": "bank"}, {"funds": "-1"}, {"funds": "0.0000001"}, {"owner": "x"}):
        answer = http.post("/testnet/accounts", json=body | wrong, headers=admin)
        assert answer.status_code == 400
    armed = http.post("/testnet/faults", json={"kind": "drop_after"}, headers=admin)
    assert armed.json() == "OK"
    assert server.faults.fire("POST", "/order") is not None
    assert http.post("/testnet/faults", json={"kind": "x"}, headers=admin).status_code == 400
    http.post("/testnet/faults", json={"kind": "drop_after"}, headers=admin)
    http.delete("/testnet/faults", headers=admin)
    assert server.faults.fire("POST", "/order") is None
    for mode in ("cancel_only", "normal"):
        assert http.post("/testnet/mode", json={"mode": mode}, headers=admin).json()["mode"] == mode
    session = Session(server, http)
    order_id = session.post().json()["orderID"]
    session.send("POST", "/order", None)
    state = http.get("/testnet/state", headers=admin).json()
    assert state["orders"][order_id] == {"submissions": 1, "status": "LIVE"}
