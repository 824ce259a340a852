"""How often, how large, from where, and what every answer wears."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_host.errors import BadInput
from strongroom_host.gateway.app import Limits
from strongroom_host.gateway.errors import TooManyRequests, UnsafeAddress
from strongroom_host.gateway.guarding import MAX_BODY, SECURITY_HEADERS
from strongroom_host.gateway.limits import Buckets, Rate, place_of
from strongroom_host.gateway.serving import require_safe, tls
from strongroom_host.testnet.certificates import issue

from tests.host.gateway.world import WIDE, World

RETURNS = "/v1/accounts/ada-spot/returns"
TIGHT = Limits(key=Rate(12, 1), address=Rate(10_000, 1000))


def remaining(answer: httpx.Response) -> tuple[int, int]:
    return answer.status_code, int(answer.headers["x-ratelimit-remaining"])


def test_a_key_is_refused_when_its_bucket_is_empty_and_told_when_not(
    start: Callable[..., World],
) -> None:
    world = start(limits=TIGHT)
    key, _ = world.key()
    other, _ = world.key()
    found = [remaining(world.get("/v1/key", key)) for _ in range(12)]
    assert found == [(200, left) for left in range(11, -1, -1)]
    refused = world.get("/v1/key", key)
    assert (refused.status_code, refused.json()["code"]) == (429, "too-many-requests")
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-ratelimit-limit"] == "12"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert world.get("/v1/key", other).status_code == 200
    world.clock.now_ms += 999
    assert world.get("/v1/key", key).status_code == 429
    world.clock.now_ms += 1
    assert world.get("/v1/key", key).status_code == 200


def test_what_is_computed_costs_ten(start: Callable[..., World]) -> None:
    world = start(limits=TIGHT)
    for path in ("aggregates", "metrics?convention=365"):
        key, _ = world.key()
        answer = world.get(f"/v1/accounts/ada-spot/{path}", key)
        assert remaining(answer) == (200, 2)


def test_tokens_take_from_their_keys_bucket(start: Callable[..., World]) -> None:
    world = start(limits=TIGHT)
    key, _ = world.key()
    shown = {"X-API-Key": key}
    tokens = [world.client.post("/v1/tokens", json={}, headers=shown).json()["token"]
              for _ in range(2)]  # fmt: skip
    assert [remaining(world.get("/v1/key", token))[1] for token in tokens] == [9, 8]


def test_who_guesses_keys_is_refused_by_address(start: Callable[..., World]) -> None:
    world = start(limits=Limits(key=WIDE.key, address=Rate(3, 1)))
    key, _ = world.key()
    assert [world.get("/v1/key", "srk_a_b").status_code for _ in range(3)] == [401] * 3
    # A good key as well: the address is what is refused, before any key is looked at.
    refused = world.get("/v1/key", key)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")


def test_an_address_that_somebody_claims_is_not_believed(start: Callable[..., World]) -> None:
    tight = Limits(key=WIDE.key, address=Rate(1, 1))
    world = start(limits=tight)
    claimed = [world.get("/v1/completeness", **{"X-Forwarded-For": f"192.0.2.{n}"}).status_code
               for n in range(2)]  # fmt: skip
    assert claimed == [200, 429]
    behind = start(limits=tight, proxies=("127.0.0.1",))
    told = [behind.get("/v1/completeness", **{"X-Forwarded-For": f"192.0.2.{n}"}).status_code
            for n in (1, 2, 1)]  # fmt: skip
    assert told == [200, 200, 429]


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 4)), max_size=60))
def test_a_bucket_never_gives_more_than_its_rate(steps: list[tuple[int, int]]) -> None:
    rate, now_ms, given_out = Rate(5, 2), 0, 0
    buckets = Buckets(rate)
    for wait, cost in steps:
        now_ms += wait
        try:
            left = buckets.take("a", now_ms, cost)
        except TooManyRequests as refused:
            # After as long as it says, it passes.
            again = Buckets(rate)
            again._levels.update(buckets._levels)
            again.take("a", now_ms + refused.retry_after * 1000, cost)
        else:
            given_out += cost
            assert 0 <= left.remaining <= rate.burst
        assert given_out <= rate.burst + rate.per_second * now_ms / 1000


def test_a_clock_that_was_set_back_fills_nothing() -> None:
    buckets = Buckets(Rate(1, 1))
    buckets.take("a", 10_000)
    for now_ms in (5_000, 10_000, 10_999):
        with pytest.raises(TooManyRequests):
            buckets.take("a", now_ms)
    buckets.take("a", 11_000)


def test_an_ipv6_client_is_its_network() -> None:
    assert place_of("2001:db8:1:2:3::1") == place_of("2001:db8:1:2::99")
    assert place_of("2001:db8:1:2::1") != place_of("2001:db8:1:3::1")
    assert place_of("::ffff:192.0.2.1") == place_of("192.0.2.1") == "192.0.2.1"


# --- sizes and shapes


def test_a_large_body_is_refused_whether_or_not_it_says_so(world: World) -> None:
    key, _ = world.key()
    shown = {"X-API-Key": key, "Content-Type": "application/json"}
    large = b'{"seconds": 60' + b" " * MAX_BODY + b"}"
    for content in (large, iter([large[:100], large[100:]])):
        answer = world.client.post("/v1/tokens", content=content, headers=shown)
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    small = world.client.post("/v1/tokens", content=b'{"seconds": 60}', headers=shown)
    assert small.status_code == 200


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "from_ms=-1", f"until_ms={2**63}", "form_ms=1",
     "limit=1&x=", "cursor=" + "a" * 401],
)  # fmt: skip
def test_a_parameter_that_is_none_is_refused_and_named(world: World, query: str) -> None:
    key, _ = world.key()
    answer = world.get(f"{RETURNS}?{query}", key)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, "request-invalid")
    assert told["expected"]
    assert told["remedy"]


@pytest.mark.parametrize("riskless", ["1", "NaN", "1e-1", "0.1234567890123", "", "-", "-1", "0,1"])
def test_a_riskless_rate_is_a_fraction(world: World, riskless: str) -> None:
    key, _ = world.key()
    path = "/v1/accounts/ada-spot/metrics"
    answer = world.client.get(path, params={"convention": "365", "riskless": riskless},
                              headers={"X-API-Key": key})  # fmt: skip
    assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")


def test_metrics_have_no_default_convention(world: World) -> None:
    key, _ = world.key()
    assert world.get("/v1/accounts/ada-spot/metrics", key).status_code == 422


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/completeness", 200), ("/v1/key", 401), ("/nothing", 404), ("/v1/tokens", 405),
     ("/v1/completeness?x=1", 422), ("/openapi.json", 200), ("/health/live", 200), ("/docs", 404),
     ("/", 200)],
)  # fmt: skip
def test_every_answer_wears_what_it_should(world: World, path: str, status: int) -> None:
    answer = world.get(path)
    assert answer.status_code == status
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert "cache-control" in answer.headers
    assert "x-ratelimit-limit" in answer.headers
    assert "server" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert told["status"] == status
        assert told["type"] == f"urn:strongroom:problem:{told['code']}"


# --- pages of others


def test_no_page_of_another_origin_may_ask_unless_named(start: Callable[..., World]) -> None:
    closed, opened = start(), start(origins=("https://fund.example",))
    asked = {"Origin": "https://fund.example", "Access-Control-Request-Method": "GET",
             "Access-Control-Request-Headers": "authorization"}  # fmt: skip
    allow = "access-control-allow-origin"
    assert allow not in closed.client.options("/v1/key", headers=asked).headers
    granted = opened.client.options("/v1/key", headers=asked)
    assert granted.headers[allow] == "https://fund.example"
    assert "access-control-allow-credentials" not in granted.headers
    other = opened.client.options("/v1/key", headers=asked | {"Origin": "https://evil.example"})
    assert allow not in other.headers
    # A refusal can be read by the page as well.
    assert opened.get("/v1/key", Origin="https://fund.example").headers[allow]


@pytest.mark.parametrize("origin", ["*", "https://*", "fund.example", "https://a/b", "file://x"])
def test_an_origin_is_one_page_and_not_all(start: Callable[..., World], origin: str) -> None:
    with pytest.raises(UnsafeAddress):
        start(origins=(origin,))


def test_with_tls_browsers_are_told_to_keep_to_it(
    start: Callable[..., World], tmp_path: Path
) -> None:
    certificate = issue(tmp_path / "tls", ("localhost",), datetime.now(UTC))
    world = start(certificate=certificate)
    key, _ = world.key()
    answer = world.get("/v1/key", key)
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in start().get("/v1/completeness").headers
    with pytest.raises(BadInput):
        tls(certificate.key, certificate.chain)


def test_keys_cross_no_network_in_the_clear() -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::", "gateway.example"):  # noqa: S104
        with pytest.raises(UnsafeAddress):
            require_safe(host, encrypted=False, behind_proxy=False)
        require_safe(host, encrypted=True, behind_proxy=False)
        require_safe(host, encrypted=False, behind_proxy=True)
    for host in ("127.0.0.1", "::1", "localhost"):
        require_safe(host, encrypted=False, behind_proxy=False)


# --- for the operator, and for programs


def test_prometheus_is_told_counts_by_route_on_a_port_of_its_own(world: World) -> None:
    key, _ = world.key()
    for account in ("ada-spot", "bob-perp"):
        world.get(f"/v1/accounts/{account}/returns", key)
    world.get("/v1/key")
    world.get("/no/such/path-of-somebody")
    assert world.get("/metrics").status_code == 404
    text = world.client.get(f"{world.monitoring}/metrics").text
    route = "/v1/accounts/{account}/returns"
    assert f'requests_total{{route="{route}",method="GET",status="200"}} 2' in text
    assert 'requests_total{route="none",method="GET",status="404"} 2' in text
    assert 'refused_total{code="key-refused"} 1' in text
    assert "strongroom_gateway_database_ready 1" in text
    assert "strongroom_gateway_keys_active 1" in text
    assert f'request_seconds_count{{route="{route}"}} 2' in text
    assert "path-of-somebody" not in text


def test_nobody_else_is_told_who_asks(
    start: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    telemetry = start().gateway.app._telemetry
    on = {name for name in ("tracing", "metrics", "logs", "auto_configure") if telemetry[name]}
    assert on == set()


def test_the_interface_describes_itself(world: World) -> None:
    told = world.get("/openapi.json").json()
    assert "HTTPValidationError" not in told["components"]["schemas"]
    for path, methods in told["paths"].items():
        if not path.startswith("/v1/"):
            continue
        for method in methods.values():
            for status in ("401", "404", "422", "429", "503"):
                assert "application/problem+json" in method["responses"][status]["content"], path
    assert told["components"]["schemas"]["Problem"]["examples"]
    assert told["components"]["schemas"]["ReturnRow"]["examples"]
    schemes = told["components"]["securitySchemes"]
    assert {scheme["type"] for scheme in schemes.values()} == {"http", "apiKey"}


def test_the_front_names_what_is_there(world: World) -> None:
    """For whoever opens the address: plain text, no scripts."""
    answer = world.get("/")
    assert answer.headers["content-type"].startswith("text/plain")
    paths = [line.split()[0] for line in answer.text.splitlines() if line.startswith("/")]
    assert "/openapi.json" in paths
    for path in paths:
        found = world.get(path)
        known = path != "/v1/log/checkpoint"  # this world has none
        assert (found.status_code == 404) is not known, path
    assert world.client.post("/").status_code == 405
