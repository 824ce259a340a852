"""The shape of a document: what parses, what does not, and what is kept apart."""

import dataclasses

import cbor2
import pytest
from strongroom_attest.errors import (
    DocumentTooLarge,
    FieldInvalid,
    MalformedDocument,
    NonCanonical,
)
from strongroom_attest.nitro import MAX_DOCUMENT_BYTES, authenticate, parse_untrusted

from tests.attest import pki
from tests.attest.pki import ABSENT, NOW, PCRS, ROOTS, mint

WRONG_TYPES: dict[str, list[object]] = {
    "module_id": [b"bytes", 1, None, "", "x" * 1025],
    "digest": ["SHA256", "sha384", b"SHA384", None, 384],
    "timestamp": [0, -1, True, "1", b"1", None, 253_402_300_800_000, 2**64 - 1],
    "pcrs": [
        {},
        [],
        None,
        {32: bytes(48)},
        {-1: bytes(48)},
        {"0": bytes(48)},
        {True: bytes(48)},
        {0: bytes(47)},
        {0: bytes(49)},
        {0: b""},
        {0: "0" * 48},
        {0: None},
        {index: bytes(48) for index in range(33)},
    ],
    "certificate": [b"", bytes(1025), None, "text", [b"x"]],
    "cabundle": [[], None, b"x", {}, [b""], [None], [bytes(1025)], ["text"], [b"x"] * 9],
    "public_key": ["text", 0, [], {}, bytes(1025), False],
    "user_data": ["text", 0, [], {}, bytes(1025), False],
    "nonce": ["text", 0, [], {}, bytes(1025), False],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in WRONG_TYPES.items() for value in values],
)
def test_wrong_type_size_or_range_is_refused_and_named(field: str, value: object) -> None:
    with pytest.raises(FieldInvalid) as caught:
        parse_untrusted(mint(**{field: value}))  # type: ignore[arg-type]
    assert caught.value.field.startswith(field)
    assert field in str(caught.value)


@pytest.mark.parametrize(
    "field", ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"]
)
def test_required_fields_may_not_be_missing(field: str) -> None:
    with pytest.raises(FieldInvalid, match=f"{field}: missing"):
        parse_untrusted(mint(**{field: ABSENT}))  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["public_key", "user_data", "nonce"])
def test_null_and_empty_and_long_are_kept_apart(field: str) -> None:
    for value in (None, b"", b"\0", bytes(1024)):
        document = parse_untrusted(mint(**{field: value}))  # type: ignore[arg-type]
        assert getattr(document, field) == value
        assert document.notes == ()


@pytest.mark.parametrize("field", ["public_key", "user_data", "nonce"])
def test_an_optional_key_left_out_reads_as_null_and_is_noted(field: str) -> None:
    document = parse_untrusted(mint(**{field: ABSENT}))  # type: ignore[arg-type]
    assert getattr(document, field) is None
    assert document.notes == (f"{field} is missing; AWS sends null",)


@pytest.mark.parametrize("length", [32, 48, 64])
def test_the_specified_pcr_lengths_parse(length: int) -> None:
    document = parse_untrusted(mint(pcrs={index: bytes(length) for index in range(32)}))
    assert len(document.pcrs) == 32


def test_fields_survive_as_sent() -> None:
    document = authenticate(mint(), ROOTS, NOW).document
    assert document.pcrs == PCRS
    assert document.timestamp == NOW
    assert document.timestamp_ms == pki.NOW_MS
    assert document.cabundle[0] == pki.root_certificate()
    assert not document.is_debug


def test_a_parsed_document_cannot_be_changed() -> None:
    document = parse_untrusted(mint())
    with pytest.raises(dataclasses.FrozenInstanceError):
        document.nonce = b""  # type: ignore[misc]
    with pytest.raises(TypeError):
        document.pcrs[0] = b""  # type: ignore[index]


def test_milliseconds_are_exact() -> None:
    document = parse_untrusted(mint(timestamp=pki.NOW_MS + 1))
    assert document.timestamp.microsecond == 1000


def test_hostile_text_in_notes_is_printable_and_short() -> None:
    hostile = pki.encode(pki.fields() | {"\x1b[2J\u202e" + "x" * 500: 1})
    document = parse_untrusted(mint(hostile))
    (note,) = document.notes
    assert note.isprintable()
    assert note.isascii()
    assert len(note) < 300


# --- Envelope ------------------------------------------------------------------------------------


def test_tag_18_is_optional() -> None:
    assert parse_untrusted(b"\xd2" + mint()) == parse_untrusted(mint())


@pytest.mark.parametrize("prefix", [b"\xd2\xd2", b"\xd8\x12", b"\xd1", b"\xd3", b"\xd9\xd9\xf7"])
def test_any_other_tag_is_refused(prefix: bytes) -> None:
    with pytest.raises(NonCanonical):
        parse_untrusted(prefix + mint())


@pytest.mark.parametrize(
    "envelope",
    [
        [],
        [b"", {}, b""],
        [b"", {}, b"", b"", b""],
        {},
        b"",
        None,
        0,
        ["", {}, b"", b""],
        [b"", [], b"", b""],
        [b"", None, b"", b""],
        [b"", {}, None, b""],
        [b"", {}, b"", None],
        [b"", {}, {}, b""],
        [b"", b"", b"", b""],
    ],
)
def test_envelopes_of_another_shape_are_refused(envelope: object) -> None:
    with pytest.raises(MalformedDocument):
        parse_untrusted(cbor2.dumps(envelope))


@pytest.mark.parametrize("payload", [b"", b"\xf6", b"\x80", b"\x00", b"\xa0", b"\xbf\xff"])
def test_payloads_that_are_no_document_are_refused(payload: bytes) -> None:
    with pytest.raises(MalformedDocument):
        parse_untrusted(mint(payload))


def test_size_is_bounded_before_anything_is_decoded() -> None:
    with pytest.raises(DocumentTooLarge):
        parse_untrusted(b"\x9f" * (MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(MalformedDocument):
        parse_untrusted(b"\x9f" * MAX_DOCUMENT_BYTES)


@pytest.mark.parametrize(
    "item",
    [
        pytest.param("5fff", id="byte string in no chunks"),
        pytest.param("5f4161ff", id="byte string in chunks"),
        pytest.param("7f6161ff", id="text in chunks"),
        pytest.param("1801", id="integer one byte too long"),
        pytest.param("190001", id="integer two bytes too long"),
        pytest.param("1a00000001", id="integer four bytes too long"),
        pytest.param("1b0000000000000001", id="integer eight bytes too long"),
        pytest.param("5800", id="long-form length"),
        pytest.param("b801f6f6", id="long-form map length"),
        pytest.param("3800", id="long-form negative"),
        pytest.param("f90000", id="half float"),
        pytest.param("fa00000000", id="float"),
        pytest.param("fb0000000000000000", id="double"),
        pytest.param("f7", id="undefined"),
        pytest.param("e0", id="unassigned simple"),
        pytest.param("f820", id="long simple"),
        pytest.param("1c", id="reserved 28"),
        pytest.param("5e", id="reserved 30"),
        pytest.param("1f", id="indefinite integer"),
        pytest.param("c000", id="date tag"),
        pytest.param("c240", id="bignum"),
        pytest.param("c5821a7fffffff01", id="bigfloat with a huge exponent"),
        pytest.param("d81c80", id="shared reference"),
        pytest.param("d82360", id="regular expression"),
        pytest.param("ff", id="break outside"),
    ],
)
def test_forms_that_no_document_has_are_refused(item: str) -> None:
    pairs = [(cbor2.dumps(n), cbor2.dumps(v)) for n, v in pki.fields().items()]
    pairs.append((cbor2.dumps("new"), bytes.fromhex(item)))
    with pytest.raises(NonCanonical):
        parse_untrusted(mint(pki.map_of(pairs)))


@pytest.mark.parametrize(
    "item", ["1b", "1bffffffffffffff", "5bffffffffffffffff", "9bffffffffffffffff", "9f", "bf", "61"]
)
def test_lengths_beyond_the_input_are_refused_at_once(item: str) -> None:
    pairs = [(cbor2.dumps(n), cbor2.dumps(v)) for n, v in pki.fields().items()]
    pairs.append((cbor2.dumps("new"), bytes.fromhex(item)))
    with pytest.raises(MalformedDocument):
        parse_untrusted(mint(pki.map_of(pairs)))


def test_text_that_is_not_utf_8_is_refused() -> None:
    pairs = [(cbor2.dumps(n), cbor2.dumps(v)) for n, v in pki.fields().items()]
    with pytest.raises(MalformedDocument):
        parse_untrusted(mint(pki.map_of([*pairs, (b"\x61\xff", b"\x00")])))


@pytest.mark.parametrize("nested", [b"\xbf\x61a\x9f\x01\xff\xff", b"\x81\x81\x81\xa1\x00\x00"])
def test_unknown_keys_may_hold_nested_values_of_either_form(nested: bytes) -> None:
    pairs = [(cbor2.dumps(n), cbor2.dumps(v)) for n, v in pki.fields().items()]
    assert parse_untrusted(mint(pki.map_of([*pairs, (b"\x61n", nested)]))).notes
