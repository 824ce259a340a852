"""Order to complete signed request, in process, beside the official clients on the same order.

Ours starts from price and size and ends with the bytes for the socket: amounts, Order, EIP-712,
signature, JSON, HMAC, HTTP head. The clients' work ends earlier, at the signed body and the L2
headers as dictionaries; the HTTP library's share is not charged to them. Policy and log are rows of
their own elsewhere. The clients' default install has no coincurve: it is measured in a process that
cannot import it.
"""

import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it needs coincurve
    from strongroom_enclave.signer.nonces import NoncePool

__all__ = ["PEERS", "ours", "peers", "rows", "summary"]

SECRET = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
API_KEY, API_SECRET, PASSPHRASE = (
    "00000000-0000-0000-0000-000000000000",
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "passphrase-0",
)
TOKEN = 71321045679252212594626385532706912750332728571942532289631379312455583992563
CHAIN_ID, TIMESTAMP = 137, 1_790_000_000
PEERS = ("py-clob-client-v2", "polymarket-client")
ROUNDS = 5
"""Ours and the peers take turns, so that a busy moment of the machine does not hit only one."""

POOL = 4096
"""Nonces made ahead before each turn of a job that uses them; no turn asks for more."""

Job = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Pooled:
    """A job whose key signs with nonces made ahead, and what makes them."""

    job: Job
    pool: "NoncePool"

    def __call__(self) -> object:
        return self.job()

    def refill(self) -> None:
        """Fills the pool, off the clock."""
        while self.pool.refill():
            pass


def ours() -> dict[str, Job]:
    """Return our jobs by row name: the whole way, and its parts."""
    from strongroom_enclave.signer.amounts import Side, Tick, limit_amounts
    from strongroom_enclave.signer.auth import ApiCredential
    from strongroom_enclave.signer.clob import RequestBuilder
    from strongroom_enclave.signer.contracts import Exchange
    from strongroom_enclave.signer.keys import SigningKey
    from strongroom_enclave.signer.nonces import NoncePool
    from strongroom_enclave.signer.orders import Account, Order, SignatureType
    from strongroom_wire.frames import OrderIntent

    secret = bytes.fromhex(SECRET[2:])
    key, pool = SigningKey(secret), NoncePool(secret, POOL)
    quick, spare = SigningKey(secret, pool), NoncePool(secret, 1)
    account = Account(key.address, SignatureType.EOA, key.address)
    credential = ApiCredential(API_KEY, API_SECRET, PASSPHRASE)
    builder = RequestBuilder("clob.polymarket.com", account, credential)
    exchange, zero, salts = Exchange.POLYGON_V2, bytes(32), count(479_249_096_354)
    terms = OrderIntent(TOKEN, 0, 0, 1, 0, 570_000, 12_340_000, 0, TIMESTAMP * 1000, 0)
    maker, signer, kind = account.maker, account.signer, account.signature_type

    def order() -> Order:
        amounts = limit_amounts(Side.BUY, 570_000, 12_340_000, Tick.HUNDREDTH)
        head = (next(salts), maker, signer, TOKEN, *amounts)
        return Order(*head, Side.BUY, kind, TIMESTAMP * 1000, zero, zero)

    fixed = order()
    signed = key.sign_order(fixed, exchange, account)

    def price_and_size_to_request() -> bytes:
        return builder.post([(key.sign_order(order(), exchange, account), terms)], TIMESTAMP)

    def order_to_request() -> bytes:
        return builder.post([(key.sign_order(fixed, exchange, account), terms)], TIMESTAMP)

    def price_and_size_to_request_by_pool() -> bytes:
        return builder.post([(quick.sign_order(order(), exchange, account), terms)], TIMESTAMP)

    digest = signed.order_hash
    return {
        "price and size -> complete signed request": price_and_size_to_request,
        "same, nonce pool": Pooled(price_and_size_to_request_by_pool, pool),
        "order -> complete signed request": order_to_request,
        "of which libsecp256k1 (RFC 6979)": lambda: key._sign(digest, None),
        "of which nonce pool": Pooled(lambda: pool.sign(digest), pool),
        "making one nonce and using it": lambda: (spare.refill(), spare.sign(digest)),
        "of which EIP-712 digest": lambda: exchange.digest(fixed.struct_hash()),
        "of which body, HMAC, head": lambda: builder.post([(signed, terms)], TIMESTAMP),
    }


def peers() -> dict[str, Job]:
    """Return the official clients' jobs: the same order, to its signed body and L2 headers."""
    return {"py-clob-client-v2": _clob_client(), "polymarket-client": _polymarket_client()}


def _clob_client() -> Job:
    from py_clob_client_v2.clob_types import (
        ApiCreds,
        CreateOrderOptions,
        OrderArgsV2,
        OrderType,
        RequestArgs,
    )
    from py_clob_client_v2.headers.headers import create_level_2_headers
    from py_clob_client_v2.order_builder.builder import OrderBuilder
    from py_clob_client_v2.order_utils.model.order_data_v2 import order_to_json_v2
    from py_clob_client_v2.signer import Signer

    signer, creds = Signer(SECRET, CHAIN_ID), ApiCreds(API_KEY, API_SECRET, PASSPHRASE)
    builder = OrderBuilder(signer)
    arguments = OrderArgsV2(token_id=str(TOKEN), price=0.57, size=12.34, side="BUY")
    options = CreateOrderOptions(tick_size="0.01", neg_risk=False)

    def job() -> object:
        order = builder.build_order(arguments, options)
        payload = order_to_json_v2(order, API_KEY, OrderType.GTC, False, False)
        body = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
        request = RequestArgs("POST", "/order", payload, body)
        return body, create_level_2_headers(signer, creds, request, TIMESTAMP)

    return job


def _polymarket_client() -> Job:
    from eth_account import Account
    from polymarket._internal.actions.orders import limit, orders, post, typed_data
    from polymarket._internal.actions.orders.types import OrderDraft
    from polymarket._internal.hmac import build_hmac_signature

    account = Account.from_key(SECRET)
    price, size, tick = Decimal("0.57"), Decimal("12.34"), Decimal("0.01")
    address: Any = account.address
    exchange: Any = "0xE111180000d2663C0091e4f400237545B87B996B"
    token: Any = str(TOKEN)

    def job() -> object:
        offered, requested = limit._compute_limit_order_amounts(
            price=price, size=size, side="BUY", tick_size=tick
        )
        draft = OrderDraft(
            chain_id=CHAIN_ID,
            exchange_address=exchange,
            expiration=0,
            funder_address=address,
            offered_amount=offered,
            order_type="GTC",
            side="BUY",
            signer=address,
            requested_amount=requested,
            asset_id=token,
        )
        unsigned = orders.create_unsigned_order(draft, wallet=address, wallet_type="EOA")
        data = typed_data.build_order_typed_data(unsigned)
        raw: Any = "0x" + account.sign_typed_data(full_message=data).signature.hex()
        signature = typed_data.build_order_signature(unsigned, raw)
        signed = orders.create_signed_order(unsigned, signature)
        path, payload = post.build_post_order_request(signed, owner_api_key=API_KEY)
        body = json.dumps(payload, separators=(",", ":"))
        return body, build_hmac_signature(
            secret=API_SECRET, timestamp=TIMESTAMP, method="POST", path=path, body=body
        )

    return job


def summary(samples: Iterable[int]) -> dict[str, float]:
    """Return p50, p99, p99.9 and p99.99 of nanosecond samples, in microseconds."""
    ordered = sorted(samples)
    last = len(ordered) - 1
    points = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "p9999": 0.9999}
    return {name: ordered[min(last, int(len(ordered) * q))] / 1000 for name, q in points.items()}


def _measure(job: Job, times: int) -> list[int]:
    samples = []
    for done in range(times):
        if isinstance(job, Pooled) and done % (POOL // 2) == 0:
            job.refill()
        start = perf_counter_ns()
        job()
        samples.append(perf_counter_ns() - start)
    return samples


def _take_turns(jobs: dict[str, Job], times: dict[str, int]) -> dict[str, list[int]]:
    """Return the samples of each job, measured in turns with the collector off."""
    samples: dict[str, list[int]] = {name: [] for name in jobs}
    for name, job in jobs.items():
        _measure(job, max(3, times[name] // 20))
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for name, job in jobs.items():
                gc.collect()
                samples[name] += _measure(job, times[name] // ROUNDS)
    finally:
        if was_enabled:
            gc.enable()
    return samples


def _default_install(times: int) -> dict[str, list[int]]:
    """Return the peers' samples from a process without coincurve, as `pip install` leaves it."""
    program = (
        "import json, sys\n"
        "sys.modules['coincurve'] = None\n"
        "from tests.bench import signing\n"
        "from eth_keys.backends import get_backend_class\n"
        "assert get_backend_class().__name__ == 'NativeECCBackend'\n"
        "jobs = signing.peers()\n"
        f"print(json.dumps(signing._take_turns(jobs, dict.fromkeys(jobs, {times}))))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    answer = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    samples: dict[str, list[int]] = json.loads(answer.stdout)
    return samples


def _row(name: str, figures: dict[str, float], peer: str, of_peer: float | None) -> dict[str, Any]:
    ratio = None if of_peer is None else of_peer / figures["p50"]
    measured = {"name": name, "unit": "us", "value": figures["p50"], **figures}
    return {**measured, "peer": peer, "peer_value": of_peer, "ratio": ratio}


def rows(iterations: int = 20_000) -> list[dict[str, Any]]:
    """Return one row per comparison (`ratio`: peer's median over ours) and per part of our way."""
    our_jobs, peer_jobs = ours(), peers()
    times = dict.fromkeys(our_jobs, iterations) | dict.fromkeys(peer_jobs, iterations // 20)
    samples = _take_turns({**our_jobs, **peer_jobs}, times)
    figures = {name: summary(taken) for name, taken in samples.items()}
    bare = {n: summary(t) for n, t in _default_install(max(20, iterations // 200)).items()}
    whole, pooled, *parts = our_jobs
    found = [
        _row(whole, figures[whole], f"{peer}, {install}", medians[peer]["p50"])
        for medians, install in ((figures, "coincurve installed"), (bare, "default install"))
        for peer in PEERS
    ]
    plain = figures[whole]["p50"]
    found.append(_row(pooled, figures[pooled], "ours, RFC 6979", plain))
    return found + [_row(part, figures[part], "", None) for part in parts]


def main(arguments: Sequence[str]) -> None:
    """Print the rows as a table; an argument sets the number of iterations."""
    for row in rows(*map(int, arguments[:1])):
        numbers = " ".join(f"{row[p]:9.1f}" for p in ("p50", "p99", "p999", "p9999"))
        line = f"{row['name']:42} {numbers}"
        if row["peer"]:
            line += f"  {row['peer']:40} {row['peer_value']:9.1f} {row['ratio']:6.1f}x"
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
