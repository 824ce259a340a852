"""A demo that cannot fail shows nothing: each party is sabotaged in turn, and it has to notice."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console
from strongroom_host import store
from strongroom_host.demo import (
    bot,
    evidence_chapter,
    log_chapter,
    next_boot_chapter,
    owner_chapter,
    owners,
    record_chapter,
    scenario,
    trading_chapter,
)
from strongroom_host.demo.closing import print_closing
from strongroom_host.demo.forgeries import flipped
from strongroom_host.demo.scenario import perform
from strongroom_host.demo.story import DemoFailed, Story, expect_refusal, require
from strongroom_host.demo.templates import Template
from strongroom_host.enclave_client.evidence import UntrustedEvidence
from strongroom_host.witness.memory import FollowedOwners
from strongroom_wire.merkle import Frontier

REQUEST = (
    b"POST /order HTTP/1.1\r\nHost: clob.testnet\r\nPOLY_SIGNATURE: " + b"A" * 43 + b"="
    b"\r\nPOLY_TIMESTAMP: 1700000000\r\nContent-Length: 99\r\n\r\n"
    b'{"order":{"salt":7,"makerAmount":"5","builder":"0x00","signature":"0x' + b"ab" * 65 + b'"},'
    b'"owner":"me"}'
)


def lenient_limits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(owners, "LIMITS", replace(owners.LIMITS, order=Decimal(1000)))


def unforged_bits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evidence_chapter, "flipped", lambda document, bit: document)


def unforged_root(patch: pytest.MonkeyPatch) -> None:
    genuine: list[bytes] = []

    def remember(document: bytes, bit: int) -> bytes:
        genuine.append(document)
        return flipped(document, bit)

    def forge(bundle: bytes, *rest: object) -> UntrustedEvidence:
        return UntrustedEvidence(genuine[0], bundle)

    patch.setattr(evidence_chapter, "flipped", remember)
    patch.setattr(evidence_chapter, "signed_by_another_root", forge)


def everybody_signs(patch: pytest.MonkeyPatch) -> None:
    def sign(manifest: Any, who: Any, names: Any, path: Any) -> Any:
        return owners.sign_manifest(manifest, who, tuple(who), path)

    patch.setattr(owner_chapter, "sign", sign)


def price_nobody_sells_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trading_chapter, "_PRICE", "0.45")


def template_as_signed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Template, "filled_by", lambda self, request: False)


def orders_nobody_keeps(patch: pytest.MonkeyPatch) -> None:
    def place(journal: Any, venue: Any, signed: Any, _kept: object) -> Any:
        return store.place(journal, venue, signed)

    patch.setattr(bot, "place", place)


def witness_of_another_log(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(scenario, "FollowedOwners", lambda root, _account: FollowedOwners(root, "else"))
    patch.setattr(log_chapter, "_PATIENCE_S", 2.0)


def log_begun_anew(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(next_boot_chapter, "continued_by", lambda _log, _boot: Frontier())


def key_in_its_own_place(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(record_chapter, "replace", lambda order, **_changes: order)


@pytest.mark.parametrize(
    ("sabotage", "what"),
    [
        (key_in_its_own_place, "a key that was sealed for another account: accepted"),
        (unforged_bits, "evidence with one bit flipped: accepted"),
        (unforged_root, "evidence under another root: accepted"),
        (everybody_signs, "one signature of two was enough"),
        (price_nobody_sells_at, "the order was not accepted"),
        (template_as_signed, "more than the holes was filled"),
        (lenient_limits, "an order, 100 at 0.61"),
        (orders_nobody_keeps, "an order left before its leaf was stored"),
        (witness_of_another_log, "have it cosigned"),
        (log_begun_anew, "does not bring it up to date"),
    ],
)
def test_it_notices(
    sabotage: Callable[[pytest.MonkeyPatch], None], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)
    with pytest.raises(DemoFailed) as failed:
        perform(Story(None), None, None)
    assert what in failed.value.what


def test_a_claim_needs_its_check() -> None:
    require(True, "fine")
    with pytest.raises(DemoFailed, match="wrong"):
        require(False, "wrong", expected=1, actual=2)


def test_a_refusal_must_come_and_for_the_right_reason() -> None:
    def refuse(error: Exception) -> Callable[[], object]:
        def attempt() -> object:
            raise error

        return attempt

    assert isinstance(expect_refusal(KeyError, "x", refuse(KeyError())), KeyError)
    with pytest.raises(DemoFailed, match="accepted"):
        expect_refusal(KeyError, "x", lambda: None)
    with pytest.raises(DemoFailed, match="wrong reason"):
        expect_refusal(KeyError, "x", refuse(ValueError()))


def test_the_closing_table_rests_on_claims_that_were_shown() -> None:
    with pytest.raises(KeyError, match="not shown"):
        print_closing(Console(quiet=True), Story(None))


class TestTemplates:
    def make(self, **fields: Any) -> Template:
        return Template.like(REQUEST, 1_700_000_001, fields)

    def test_both_holes_are_blank_and_where_they_are_said_to_be(self) -> None:
        template = self.make(salt=8)
        assert template.data[template.mac_at :][:44] == b"0" * 44
        assert template.data[template.signature_at :][:130] == b"0" * 130
        assert b'"salt":8' in template.data
        assert b"POLY_TIMESTAMP: 1700000001" in template.data
        body = template.data.partition(b"\r\n\r\n")[2]
        assert b"Content-Length: %d\r\n" % len(body) in template.data

    def test_only_the_holes_may_differ(self) -> None:
        template = self.make(salt=8)
        filled = template.data.replace(b"0" * 130, b"cd" * 65).replace(b"0" * 44, b"B" * 43 + b"=")
        assert template.filled_by(filled)
        assert not template.filled_by(template.data)
        assert not template.filled_by(filled.replace(b'"salt":8', b'"salt":9'))

    def test_something_else_is_no_sample(self) -> None:
        with pytest.raises(DemoFailed, match="another shape"):
            Template.like(b'GET / HTTP/1.1\r\n\r\n{"order":{}}', 1, {})
