"""What happened, in a line that a person understands."""

from __future__ import annotations

from strongroom_wire.errors import Code

from strongroom_host.cli.explain import CODES, RULES, figures
from strongroom_host.ring.tick import Side
from strongroom_host.strategy.port import Cancel, CancelAll, Intent, OrderEvent, Outcome
from strongroom_host.trading.loop import Said
from strongroom_host.trading.markets import TradedMarket
from strongroom_host.trading.path import Answered

__all__ = ["denial", "intent_words", "line", "money", "outcome_words"]

_MILLION = 1_000_000


def money(millionths: int, places: int = 4) -> str:
    """Returns an amount of pUSD, a price or shares, without zeros that say nothing."""
    text = f"{millionths / _MILLION:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def intent_words(intent: Intent) -> str:
    """Returns `buy 10 at 0.61 FAK`."""
    side = "buy" if intent.side == Side.BUY else "sell"
    return f"{side} {money(intent.size)} at {money(intent.price)} {intent.order_type.name}"


def denial(answered: Answered) -> str:
    """Returns why the enclave said no: the rule and its figures, or the code."""
    if answered.rule:
        limit, actual = figures(answered.rule, answered.limit, answered.actual)
        words = f"{answered.rule.name}: {RULES[answered.rule].wrong}"
        plain = RULES[answered.rule].unit == "flag"
        return words if plain else f"{words} (limit {limit}, asked {actual})"
    code = Code(answered.code)
    return f"{code.name}: {CODES[code].wrong}"


def outcome_words(event: OrderEvent) -> str:
    """Returns what became of an order, in a few words."""
    match event.outcome:
        case Outcome.FILLED:
            price = abs(event.cash) * _MILLION // event.filled if event.filled else 0
            return f"filled {money(event.filled)} at {money(price)}, {money(event.open)} left"
        case Outcome.LIVE:
            return f"rests, {money(event.open)} open"
        case Outcome.REFUSED:
            return f"refused by the venue ({event.code})"
        case Outcome.NOT_SENT:
            return "not sent"
        case Outcome.UNKNOWN:
            return "no answer: may be at the venue; asking"
        case other:
            return other.name.lower()


def line(said: Said, names: dict[int, TradedMarket]) -> str:
    """Returns one line for a terminal or a pipe."""
    if said.missed:
        return f"{said.missed} ticks missed"
    if said.event is not None:
        event = said.event
        if event.outcome in (Outcome.NOT_SENT, Outcome.DENIED) and not any(event.order_hash):
            return ""  # the decision's own line said so
        return f"#{event.number} {outcome_words(event)}"
    decision = said.decision
    if isinstance(decision, Cancel):
        return f"cancel {decision.order_hash.hex()[:12]} ({decision.reason.name})"
    if isinstance(decision, CancelAll):
        return f"cancel all ({decision.reason.name})"
    if not isinstance(decision, Intent):
        return ""
    market = names.get(decision.instrument)
    where = f" {_short(market.name)}" if market else ""
    text = f"{intent_words(decision)}{where} ({decision.reason.name})"
    if said.held is not None:
        return f"{text}: held, {said.held.value}"
    answered = said.answered
    if answered is None:
        return text
    if answered.code or answered.rule:
        return f"#{answered.number} {text}: DENIED {denial(answered)}"
    return f"#{answered.number} {text}: signed, leaf {answered.leaf}"


def _short(name: str) -> str:
    feed, _, rest = name.partition(":")
    return f"{feed}:{rest[:6]}…{rest[-4:]}" if len(rest) > 16 else name
