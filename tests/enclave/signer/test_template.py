"""A template passes if and only if it is the approved request with its secrets zeroed."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strongroom_enclave.signer import errors
from strongroom_enclave.signer.contracts import Exchange
from strongroom_enclave.signer.template import fill_template
from strongroom_wire.errors import Code
from strongroom_wire.frames import Intent, Kind

from tests.enclave.signer.strategies import Situation, Terms, situations
from tests.enclave.signer.test_clob import BUILDER
from tests.enclave.signer.test_keys import EOA, KEY, an_order

REQUEST = BUILDER.post(
    [(KEY.sign_order(an_order(), Exchange.AMOY_V2, EOA), Terms().intent)], 1_790_000_000
)


def blanked(request: bytes) -> tuple[bytes, list[int]]:
    """Return the request as a host that knows no secret lays it out, and where its holes start."""
    text, offsets = request, []
    for match in re.finditer(rb'"signature":"0x([0-9a-f]+)"', request):
        text = text[: match.start(1)] + b"0" * len(match[1]) + text[match.end(1) :]
        offsets.append(match.start(1))
    mac = request.index(b"POLY_SIGNATURE: ") + len("POLY_SIGNATURE: ")
    return text[:mac] + b"0" * 44 + text[mac + 44 :], [*offsets, mac]


TEMPLATE, OFFSETS = blanked(REQUEST)


@given(situations(), st.integers(1, 4))
def test_the_hosts_own_layout_is_filled_in(s: Situation, count: int) -> None:
    request = s.builder.post([(s.signed, s.terms.intent)] * count, 1)
    template, offsets = blanked(request)
    assert len(offsets) == count + 1
    assert fill_template(template, offsets, request) == request


def test_requests_without_an_order_have_the_one_hole() -> None:
    request = BUILDER.other(Intent(Kind.CANCEL_ALL, 0, 5, 0))
    template, offsets = blanked(request)
    assert len(offsets) == 1
    assert fill_template(template, offsets, request) == request


def test_every_other_byte_outside_the_holes_is_refused() -> None:
    holes = set(range(OFFSETS[0], OFFSETS[0] + 130)) | set(range(OFFSETS[1], OFFSETS[1] + 44))
    for at in range(len(TEMPLATE)):
        for change in (1, 0x20, 0x80):
            changed = bytearray(TEMPLATE)
            changed[at] ^= change
            expected = errors.HoleNotZeroed if at in holes else errors.TemplateMismatch
            with pytest.raises(expected) as caught:
                fill_template(bytes(changed), OFFSETS, REQUEST)
            assert caught.value.code is Code.TEMPLATE_MISMATCH


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"POST /order ", b"POST /ordes "),
        (b"570000", b"970000"),
        (b'"expiration":"0"', b'"expiration":"9"'),
        (b'"postOnly":false', b'"postOnly":true '),
        (b'"side":"BUY"', b'"side":"SEL"'),
        (b"POLY_TIMESTAMP: 17", b"POLY_TIMESTAMP: 27"),
        (b"phrase", b"phrasf"),
        (b"Host: clob", b"Host: evil"),
    ],
)
def test_another_request_than_the_approved_one_is_refused(before: bytes, after: bytes) -> None:
    assert len(before) == len(after)
    template = TEMPLATE.replace(before, after)
    assert template != TEMPLATE
    with pytest.raises(errors.TemplateMismatch):
        fill_template(template, OFFSETS, REQUEST)


@pytest.mark.parametrize(
    "template", [b"", TEMPLATE[:-1], TEMPLATE + b" ", TEMPLATE * 2, TEMPLATE[1:], b"0" * 10_000]
)
def test_another_length_is_refused(template: bytes) -> None:
    with pytest.raises(errors.TemplateMismatch):
        fill_template(template, OFFSETS, REQUEST)


@pytest.mark.parametrize(
    "offsets",
    [
        [], OFFSETS[:1], OFFSETS[1:], OFFSETS[::-1], [*OFFSETS, 0], [*OFFSETS, OFFSETS[1]],
        [OFFSETS[0], OFFSETS[0]], [OFFSETS[0] + 1, OFFSETS[1]], [OFFSETS[0] - 2, OFFSETS[1]],
        [OFFSETS[0], OFFSETS[1] - 1], [0, 0], [-1, -1], [2**32 - 1, 2**32 - 1], ["0", "0"],
    ],
)  # fmt: skip
def test_other_holes_are_refused(offsets: list[int]) -> None:
    with pytest.raises(errors.HoleMismatch):
        fill_template(TEMPLATE, offsets, REQUEST)


def test_a_template_that_is_already_filled_in_is_refused() -> None:
    with pytest.raises(errors.HoleNotZeroed):
        fill_template(REQUEST, OFFSETS, REQUEST)


@given(
    st.binary(max_size=2_000) | st.just(TEMPLATE), st.lists(st.integers(0, 2**32 - 1), max_size=4)
)
def test_only_our_errors_come_out(template: bytes, offsets: list[int]) -> None:
    assume((template, offsets) != (TEMPLATE, OFFSETS))
    with pytest.raises(errors.TemplateError):
        fill_template(template, offsets, REQUEST)


@given(situations(), situations())
def test_a_template_of_one_order_is_never_filled_for_another(
    one: Situation, other: Situation
) -> None:
    requests = [s.builder.post([(s.signed, s.terms.intent)], 1) for s in (one, other)]
    template, offsets = blanked(requests[0])
    assume(template != blanked(requests[1])[0])
    with pytest.raises(errors.TemplateError):
        fill_template(template, offsets, requests[1])


def test_an_error_quotes_neither_the_request_nor_the_template() -> None:
    with pytest.raises(errors.TemplateMismatch) as caught:
        fill_template(TEMPLATE.replace(b"phrase", b"phrasf"), OFFSETS, REQUEST)
    assert "phras" not in f"{caught.value} {caught.value.__dict__}"
