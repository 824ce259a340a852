"""The strategy trades, within the owners' limits and not beyond, until an owner stops it."""

import json
import time

from strongroom_wire.errors import Code, Rule
from strongroom_wire.frames import Kind, OrderIntent

from strongroom_host.cli.explain import CODES, RULES, figures
from strongroom_host.demo.bot import Bot, buy
from strongroom_host.demo.owner_chapter import Configured
from strongroom_host.demo.stage import Stage
from strongroom_host.demo.story import expect_refusal, require
from strongroom_host.demo.templates import Template
from strongroom_host.demo.venue_admin import VenueAdmin
from strongroom_host.enclave_client.errors import CallerRefused, Denied
from strongroom_host.owner.statements import draft_kill
from strongroom_host.store import OrderState
from strongroom_host.venue.replies import Standing, read_order, read_trades

__all__ = ["kill_chapter", "limits_chapter", "order_chapter"]

_PRICE = "0.61"
_SIZE = "20"
_REST_PRICE = "0.50"
_KILLER = "ben"


def order_chapter(stage: Stage, bot: Bot, admin: VenueAdmin) -> None:
    """An order is signed, journalled, posted and filled; then another one through a template.

    Raises:
        DemoFailed: venue, journal and enclave do not agree that it was filled, exactly once.
    """
    story = stage.story
    reply = bot.ask(Kind.ORDERS, buy(stage.market, _PRICE, _SIZE))
    order_hash = reply.order_hashes[0]
    story.facts["order_hash"] = "0x" + order_hash.hex()
    story.facts["request_bytes"] = len(reply.request)
    story.proved(
        "order_signed",
        f"buy {_SIZE} at {_PRICE}: the enclave returns the whole POST /order, signed,"
        f" {len(reply.request)} bytes; order 0x{order_hash.hex()[:12]}…",
    )
    entry = bot.post(reply)
    require(entry.state is OrderState.ACCEPTED, "the order was not accepted", actual=entry)
    _require_filled(bot, admin, order_hash)
    story.facts["order_status"] = entry.detail
    story.proved(
        "order_filled",
        f"journalled, sent once, {entry.detail} and filled: by signed own-order and trade queries,"
        " and by the venue's count",
    )
    _through_template(stage, bot, admin)
    early = bot.posted.count(False)
    require(not early, "an order left before its leaf was stored", actual=early)
    story.proved(
        "kept_before_sent",
        f"{len(bot.posted)} orders left for the venue, each after the log's keeper had its leaf on"
        " disk under a signed head",
    )


def _through_template(stage: Stage, bot: Bot, admin: VenueAdmin) -> None:
    story, order = stage.story, buy(stage.market, _PRICE, "10")
    seconds = time.time_ns() // 10**9
    fields: dict[str, int | str] = {
        "salt": order.salt,
        "timestamp": str(order.timestamp),
        "makerAmount": str(order.price * order.size // 10**6),
        "takerAmount": str(order.size),
    }
    template = Template.like(bot.sample, seconds, fields)
    reply = bot.ask(Kind.TEMPLATE, order, template.argument, timestamp=seconds)
    require(template.filled_by(reply.request), "more than the holes was filled")
    entry = bot.post(reply)
    require(
        entry.state is OrderState.ACCEPTED, "the template's order was not accepted", actual=entry
    )
    _require_filled(bot, admin, reply.order_hashes[0])
    story.proved(
        "template_filled",
        "a request laid out by the host gets its two holes (signature, HMAC) filled, and is"
        " accepted too",
    )
    order = buy(stage.market, _PRICE, "10")
    fields |= {"salt": order.salt, "timestamp": str(order.timestamp), "takerAmount": "5000000"}
    worse = Template.like(bot.sample, seconds, fields)
    refusal = expect_refusal(
        CallerRefused,
        "a template that says something else",
        lambda: bot.ask(Kind.TEMPLATE, order, worse.argument, timestamp=seconds),
    )
    require(refusal.code is Code.TEMPLATE_MISMATCH, "the wrong refusal", actual=refusal.code.name)
    story.proved(
        "template_mismatch_refused",
        f"refused, a template asking half the shares for the price: {CODES[refusal.code].wrong}",
    )


def limits_chapter(stage: Stage, bot: Bot) -> None:
    """Orders beyond the manifest are denied with the rule and its numbers.

    Raises:
        DemoFailed: one was signed, or denied by another rule.
    """
    story = stage.story
    for name, rule, order, what in (
        ("over_limit_denied", Rule.ORDER_NOTIONAL, buy(stage.market, _PRICE, "100"), "100 at 0.61"),
        ("price_denied", Rule.PRICE_BAND, buy(stage.market, "0.95", "5"), "5 at 0.95"),
        ("market_denied", Rule.MARKET, buy(stage.other_market, "0.600", "5"), "another market"),
    ):
        denied = _denied(bot, rule, what, order)
        limit, actual = figures(denied.rule, denied.limit, denied.figure)
        numbers = "" if RULES[rule].unit == "flag" else f" (limit {limit}, asked {actual})"
        story.facts[name] = denied.limit
        story.proved(name, f"denied, {what}: {rule.name}, {RULES[rule].wrong}{numbers}")


def kill_chapter(stage: Stage, configured: Configured, bot: Bot) -> None:
    """One owner stops signing for good; what rests on the book can still be cancelled.

    Raises:
        DemoFailed: an order was signed after the kill, or a cancel was not.
    """
    story = stage.story
    resting = bot.ask(Kind.ORDERS, buy(stage.market, _REST_PRICE, "10", rest=True))
    entry = bot.post(resting)
    require(entry.state is OrderState.ACCEPTED, "the resting order was not accepted", actual=entry)
    order_hash = resting.order_hashes[0]
    desk, evidence = configured.desk, configured.evidence
    with desk.control(evidence, _KILLER) as client:
        client.submit_order(draft_kill(evidence, desk.key(_KILLER)), "the kill switch")
    order = buy(stage.market, _PRICE, "5")
    denied = _denied(bot, Rule.KILL_SWITCH, "after the kill switch", order)
    story.proved(
        "kill_stops_orders",
        f"{_KILLER} alone stops it: the next order is denied, {denied.rule.name},"
        f" {RULES[denied.rule].wrong}",
    )
    answer = bot.send(bot.ask(Kind.CANCEL, argument=order_hash))
    cancelled = json.loads(answer.body).get("canceled") if answer.status == 200 else None
    wanted = ["0x" + order_hash.hex()]
    require(cancelled == wanted, "the cancel failed", expected=wanted, actual=answer.body[:200])
    standing = read_order(bot.send(bot.ask(Kind.QUERY_ORDER, argument=order_hash)), order_hash)
    require(standing is Standing.CLOSED, "the order still rests", actual=standing.value)
    story.proved(
        "kill_lets_cancels_pass",
        "a cancel still passes: the order that rested at"
        f" {_REST_PRICE} is off the book, by the venue's answer and an own-order query",
    )


def _require_filled(bot: Bot, admin: VenueAdmin, order_hash: bytes) -> None:
    """Proves a fill three ways: own-order query, own trades, and the venue's own count."""
    standing = read_order(bot.send(bot.ask(Kind.QUERY_ORDER, argument=order_hash)), order_hash)
    require(standing is Standing.FILLED, "not filled", expected="filled", actual=standing.value)
    traded = read_trades(bot.send(bot.ask(Kind.QUERY_TRADES)), order_hash)
    require(traded is True, "no trade names the order", expected=True, actual=traded)
    record = admin.orders().get(order_hash)
    require(record is not None and record.submissions == 1, "not submitted once", actual=record)


def _denied(bot: Bot, rule: Rule, what: str, order: OrderIntent) -> Denied:
    denied = expect_refusal(Denied, f"an order, {what}", lambda: bot.ask(Kind.ORDERS, order))
    require(denied.rule is rule, f"an order, {what}", expected=rule.name, actual=denied.rule.name)
    return denied
