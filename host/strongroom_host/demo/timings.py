"""How long the pieces take on this machine, measured in the run that is being shown."""

import secrets
import statistics
import time
from datetime import UTC, datetime
from typing import Final

from strongroom_attest.freshness import Challenge
from strongroom_wire.frames import Kind

from strongroom_host.demo.bot import Bot, buy
from strongroom_host.demo.stage import Stage
from strongroom_host.demo.story import require
from strongroom_host.enclave_client.bootstrap import NONCE_SIZE, BootstrapClient
from strongroom_host.enclave_client.evidence import VerifiedEvidence, verify_evidence

__all__ = ["timings_chapter"]

_VERIFICATIONS: Final = 20
_ORDERS: Final = 200
_PRICE: Final = "0.41"
_SIZE: Final = "0.5"
"""Small enough for the permit: what is signed counts in full, posted or not."""


def timings_chapter(stage: Stage, bot: Bot, evidence: VerifiedEvidence) -> None:
    """Measures verification of evidence, and orders over the sealed channel, none of them posted.

    Raises:
        EnclaveRefused: an order was refused although manifest and permit allow it.
    """
    story = stage.story
    verified = _verification_ms(stage, evidence)
    signed = sorted(_order_us(stage, bot) for _ in range(_ORDERS))
    p50, p99 = signed[len(signed) // 2], signed[len(signed) * 99 // 100]
    story.facts["evidence_verify_ms"] = round(verified, 2)
    story.facts["intent_to_signed_p50_us"] = round(p50, 1)
    story.facts["intent_to_signed_p99_us"] = round(p99, 1)
    story.proved(
        "timings_measured",
        f"{_ORDERS} orders from intent to signed request over the sealed channel: p50"
        f" {p50:.0f} µs, p99 {p99:.0f} µs; verifying evidence {verified:.1f} ms (median of"
        f" {_VERIFICATIONS})",
    )


def _verification_ms(stage: Stage, evidence: VerifiedEvidence) -> float:
    nonce = secrets.token_bytes(NONCE_SIZE)
    with BootstrapClient(stage.over_tcp.bootstrap) as client:
        untrusted = client.evidence(nonce)
    spent = []
    for _ in range(_VERIFICATIONS):
        challenge = Challenge(nonce)
        started = time.perf_counter_ns()
        verify_evidence(untrusted, evidence.policy, challenge, datetime.now(UTC))
        spent.append((time.perf_counter_ns() - started) / 1e6)
    return statistics.median(spent)


def _order_us(stage: Stage, bot: Bot) -> float:
    order = buy(stage.market, _PRICE, _SIZE)
    started = time.perf_counter_ns()
    reply = bot.ask(Kind.ORDERS, order)
    spent = (time.perf_counter_ns() - started) / 1e3
    require(bool(reply.request), "an approved order came without its request")
    return spent
