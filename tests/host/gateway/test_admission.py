"""Who is let in, to what: each of these fails if its check is removed."""

import base64
import json
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from strongroom_host.gateway.errors import ExpiryInvalid, NotLimited
from strongroom_host.gateway.keys import DAY_MS, Scope
from strongroom_host.gateway.tokens import AUDIENCE, MAX_SECONDS, TokenSigner
from strongroom_host.record_store.roles import create_reader

from tests.host.gateway.world import MARK, World, hour_ms
from tests.host.record_store.databases import Database

RETURNS = "/v1/accounts/ada-spot/returns"
NEEDS = {
    "/v1/accounts": Scope.RETURNS,
    RETURNS: Scope.RETURNS,
    "/v1/accounts/ada-spot/balances": Scope.BALANCES,
    "/v1/accounts/ada-spot/aggregates": Scope.METRICS,
    "/v1/accounts/ada-spot/metrics?convention=365": Scope.METRICS,
    f"{RETURNS}/{hour_ms(3)}/evidence": Scope.EVIDENCE,
    f"{RETURNS}/{hour_ms(3)}/encoded": Scope.EVIDENCE,
    f"{RETURNS}/{hour_ms(3)}/receipt": Scope.EVIDENCE,
}


def token_of(world: World, key: str, **wanted: object) -> str:
    answer = world.client.post(
        "/v1/tokens", json=wanted, headers={"Authorization": f"Bearer {key}"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["token"])


def code(world: World, path: str, key: str = "") -> tuple[int, str]:
    answer = world.get(path, key)
    return answer.status_code, answer.json().get("code", "")


@pytest.mark.parametrize("path", [*NEEDS, "/v1/key"])
def test_without_a_key_there_is_nothing(world: World, path: str) -> None:
    answer = world.get(path)
    assert (answer.status_code, answer.json()["code"]) == (401, "key-refused")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("path", "scope"), NEEDS.items())
def test_each_scope_opens_its_own_and_nothing_else(world: World, path: str, scope: Scope) -> None:
    alone, _ = world.key((scope,))
    others, _ = world.key(each for each in Scope if each is not scope)
    assert world.get(path, alone).status_code == 200
    assert code(world, path, others) == (403, "scope-missing")


def test_a_key_may_also_come_in_its_own_header(world: World) -> None:
    key, _ = world.key()
    assert world.get("/v1/key", **{"X-API-Key": key}).status_code == 200
    assert world.client.get("/v1/key", params={"key": key}).status_code in (401, 422)


def test_a_key_that_differs_anywhere_opens_nothing(world: World) -> None:
    key, kept = world.key()
    other, _ = world.key()
    assert code(world, "/v1/key", key)[0] == 200
    swapped = f"srk_{kept.id}_{other.split('_', 2)[2]}"
    shapes = [key[:-1], key + "A", key[:-1] + ("A" if key[-1] != "A" else "B"), swapped]
    shapes += [f"srk_{kept.id}_", f"srk_{kept.id}", "srk__", "srk_", kept.digest.hex()]
    for shape in shapes:
        assert code(world, "/v1/key", shape)[0] == 401, shape


def test_a_key_expires_to_the_millisecond(world: World) -> None:
    key, kept = world.key(days=1)
    world.clock.now_ms = kept.expires_ms - 1
    assert code(world, "/v1/key", key)[0] == 200
    world.clock.now_ms = kept.expires_ms
    assert code(world, "/v1/key", key) == (401, "key-refused")


def test_a_revoked_key_ends_at_once_and_its_tokens_with_it(world: World) -> None:
    key, kept = world.key()
    token = token_of(world, key)
    assert code(world, "/v1/key", token)[0] == 200
    world.keys.revoke(kept.id, world.clock.now_ms)
    assert code(world, "/v1/key", key) == (401, "key-refused")
    assert code(world, "/v1/key", token) == (401, "key-refused")


def test_a_limited_key_sees_its_users_and_no_others(world: World) -> None:
    key, _ = world.key(users=("ada",))
    listed = world.get("/v1/accounts", key).json()["accounts"]
    assert [row["account"] for row in listed] == ["ada-spot"]
    assert world.get(RETURNS, key).status_code == 200
    for path in NEEDS:
        if "ada-spot" in path:
            there = world.get(path.replace("ada-spot", "bob-perp"), key)
            nowhere = world.get(path.replace("ada-spot", "nobody"), key)
            assert there.status_code == 404
            # The same answer as for an account that does not exist.
            assert there.json() == nowhere.json()


@pytest.mark.parametrize("user", ["*", "ada,bob", "ada\nbob", "", "a" * 65])
def test_a_user_is_never_read_as_several(world: World, user: str) -> None:
    with pytest.raises(NotLimited):
        world.key(users=("ada", user))
    key, _ = world.key()
    answer = world.client.post("/v1/tokens", json={"users": [user]}, headers={"X-API-Key": key})
    assert answer.status_code == 422


def test_a_reader_login_holds_whatever_the_key_says(
    start: Callable[..., World], filled: Database
) -> None:
    world = start(logins={"press": create_reader(filled.admin, "press", ["bob"])})
    key, _ = world.key(users=None, login="press")
    for shown in (key, token_of(world, key)):
        listed = world.get("/v1/accounts", shown).json()["accounts"]
        assert [row["user"] for row in listed] == ["bob"]


# --- tokens


def test_a_token_does_what_its_key_does(world: World) -> None:
    key, kept = world.key((Scope.RETURNS, Scope.METRICS), ("ada",))
    found = world.get("/v1/key", token_of(world, key)).json()
    assert (found["key"], found["scopes"], found["users"]) == (
        kept.id,
        ["metrics", "returns"],
        ["ada"],
    )


def test_a_token_can_do_less_and_is_held_to_it(world: World) -> None:
    key, _ = world.key()
    token = token_of(world, key, scopes=["returns"], users=["bob"])
    assert code(world, "/v1/accounts/bob-perp/balances", token) == (403, "scope-missing")
    assert code(world, RETURNS, token) == (404, "account-unknown")
    assert world.get("/v1/accounts/bob-perp/returns", token).status_code == 200


@pytest.mark.parametrize("wanted", [{"scopes": ["balances"]}, {"users": ["bob"]}, {"scopes": []}])
def test_a_token_cannot_do_more(world: World, wanted: dict[str, object]) -> None:
    key, _ = world.key((Scope.RETURNS,), ("ada",))
    answer = world.client.post("/v1/tokens", json=wanted, headers={"X-API-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")


def test_a_token_ends_after_its_seconds(world: World) -> None:
    key, _ = world.key()
    token = token_of(world, key, seconds=60)
    world.clock.now_ms += 59_999
    assert code(world, "/v1/key", token)[0] == 200
    world.clock.now_ms += 1
    assert code(world, "/v1/key", token) == (401, "token-refused")
    world.clock.now_ms -= 70_000  # before it was made
    assert code(world, "/v1/key", token) == (401, "token-refused")


def test_a_token_lives_a_quarter_of_an_hour_at_most(world: World) -> None:
    key, _ = world.key()
    answer = world.client.post("/v1/tokens", json={"seconds": 901}, headers={"X-API-Key": key})
    assert answer.status_code == 422


@pytest.mark.parametrize("seconds", [0, -1, MAX_SECONDS + 1])
def test_none_is_signed_for_longer(world: World, seconds: int) -> None:
    _, kept = world.key()
    with pytest.raises(ExpiryInvalid):
        TokenSigner(bytes(32)).sign(kept.access, world.clock.now_ms, seconds)


def test_no_token_comes_of_a_token(world: World) -> None:
    key, _ = world.key()
    token = token_of(world, key)
    answer = world.client.post("/v1/tokens", json={}, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "key-refused")


def test_a_token_says_its_algorithm_to_any_jwt_library(world: World) -> None:
    key, kept = world.key()
    secret = Ed25519PrivateKey.from_private_bytes(world.keys.secret("tokens"))
    token = token_of(world, key)
    claims = jwt.decode(token, secret.public_key(), ["EdDSA"], audience=AUDIENCE,
                        options={"verify_exp": False, "verify_iat": False})  # fmt: skip
    assert claims["sub"] == kept.id


def forged(world: World, **changed: object) -> dict[str, object]:
    _, kept = world.key((Scope.RETURNS,), ("ada",))
    now = world.clock.now_ms // 1000
    return {"aud": AUDIENCE, "exp": now + 60, "iat": now, "scope": "returns", "sub": kept.id,
            "users": ["ada"]} | changed  # fmt: skip


def test_tokens_of_others_are_refused(world: World) -> None:
    own = Ed25519PrivateKey.from_private_bytes(world.keys.secret("tokens"))
    good, _ = world.key()
    header = jwt.get_unverified_header(token_of(world, good))
    claims = forged(world)

    def made(key: object, algorithm: str, header: dict[str, object], **changed: object) -> str:
        body: dict[str, object] = claims | changed
        return jwt.encode(body, key, algorithm, headers=header)  # type: ignore[arg-type]

    genuine = made(own, "EdDSA", header)
    # The library writes the header in another order of fields; ours is compared byte by byte.
    ours = token_of(world, good).partition(".")[0]
    _, body, _ = genuine.split(".")
    sign = base64.urlsafe_b64encode(own.sign(f"{ours}.{body}".encode())).rstrip(b"=").decode()
    assert code(world, "/v1/key", f"{ours}.{body}.{sign}")[0] == 200
    stranger = Ed25519PrivateKey.generate()
    false = base64.urlsafe_b64encode(stranger.sign(f"{ours}.{body}".encode())).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    refused = {
        "another's signature": f"{ours}.{body}.{false}",
        "another header": made(own, "EdDSA", {}),
        "no signature": f"{ours}.{body}.",
        "no algorithm": f"{none.rstrip(b'=').decode()}.{body}.",
        "a shared secret": made(own.public_key().public_bytes_raw(), "HS256", {}),
        "another spelling": f"{ours}.{body}.{sign}=",
        "another body": f"{ours}.{body[:-2]}AA.{sign}",
        "nothing": "..",
        "much": "A" * 9000,
    }
    for what, token in refused.items():
        assert code(world, "/v1/key", token)[0] == 401, what


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "another"},
        {"exp": 4_000_000_000},
        {"sub": "0000000000000000"},
        {"scope": "returns balances"},
        {"users": None},
        {"users": ["bob"]},
        {"scope": "everything"},
        {"scope": ""},
        {"users": []},
        {"exp": None},
    ],
)
def test_even_a_token_with_our_signature_is_held_to_its_key(
    world: World, changed: dict[str, object]
) -> None:
    """Whoever got at the signing secret has no more than the key that he names."""
    own = Ed25519PrivateKey.from_private_bytes(world.keys.secret("tokens"))
    good, _ = world.key()
    ours = token_of(world, good).partition(".")[0]

    def signed(claims: dict[str, object]) -> str:
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        sign = base64.urlsafe_b64encode(own.sign(f"{ours}.{body}".encode())).rstrip(b"=").decode()
        return f"{ours}.{body}.{sign}"

    assert code(world, "/v1/accounts", signed(forged(world)))[0] == 200
    answer = world.get("/v1/accounts", signed(forged(world, **changed)))
    if changed == {"users": None}:
        # "As the key has it": that is ada, and no more.
        assert [row["user"] for row in answer.json()["accounts"]] == ["ada"]
    else:
        assert answer.status_code in (401, 403)


# --- what was planted


def test_a_planted_trade_cannot_be_had(world: World) -> None:
    """Everything the interface has, with the widest key, and everything beside it."""
    key, _ = world.key()
    paths = [*NEEDS, "/v1/key", "/v1/completeness", "/openapi.json", "/health/ready", "/nothing"]
    paths += [path.replace("ada-spot", "bob-perp") for path in NEEDS]
    paths += [f"/v1/accounts/{name}/returns" for name in ("trades", "%2e%2e", "'%20OR%201=1--")]
    paths += [f"/v1/{table}" for table in ("trades", "cash_flows", "exchange_connections")]
    paths += ["/v1/log/../trades", "/v1/log/%2e%2e/%2e%2e/etc/passwd"]
    for path in paths:
        answer = world.get(path, key)
        whole = answer.content + repr(answer.headers).encode()
        assert MARK not in whole, path
        assert base64.b64encode(MARK)[:20] not in whole, path
        assert MARK.hex().encode() not in whole, path
    metrics = world.client.get(f"{world.monitoring}/metrics").text
    for secret in ("PLANTED", "ada", "bob", key.split("_", 2)[2], world.keys.listed()[0].id):
        assert secret not in metrics


def test_the_planted_trade_is_there_to_be_found(filled: Database) -> None:
    with filled.as_admin() as connection:
        row = connection.execute("SELECT ciphertext FROM trades LIMIT 1").fetchone()
    assert row is not None
    assert MARK in row[0]


def test_last_use_is_kept_to_the_minute(world: World) -> None:
    key, kept = world.key()
    assert kept.used_ms is None
    first = world.clock.now_ms
    for wait, expected in ((0, first), (59_999, first), (1, first + 60_000)):
        world.clock.now_ms += wait
        world.get("/v1/key", key)
        (found,) = world.keys.listed()
        assert found.used_ms == expected
    assert found.expires_ms == first + 30 * DAY_MS
