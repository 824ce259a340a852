"""Whatever comes in, only errors of this package come out; what is minted verifies as minted."""

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st
from strongroom_attest import AttestationError, Challenge, Exactly, Mode, Unchecked
from strongroom_attest.nitro import (
    NitroPolicy,
    authenticate,
    authenticate_archived,
    authenticate_unsigned,
    parse_untrusted,
    verify_live,
)

from tests.attest import pki
from tests.attest.mutations import unsigned
from tests.attest.pki import NONCE, NOW, ROOTS, development_policy, mint

MORE = settings(max_examples=settings().max_examples * 5)
"""Parsing alone costs microseconds."""


def _check_error(error: AttestationError) -> None:
    assert error.code
    assert str(error).isprintable()


def _accepts(document: bytes) -> bool:
    """Whether any call accepts; anything but our own error propagates and fails the test."""
    accepted = False
    for call in (
        lambda: parse_untrusted(document),
        lambda: authenticate_unsigned(document),
        lambda: authenticate(document, ROOTS, NOW),
        lambda: authenticate_archived(document, ROOTS),
        lambda: verify_live(document, development_policy(), ROOTS, NOW, Challenge(NONCE)),
    ):
        try:
            call()
        except AttestationError as error:
            _check_error(error)
        else:
            accepted = True
    return accepted


@MORE
@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    assert not _accepts(data)


_cbor = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**64), 2**64 - 1),
        st.binary(max_size=60),
        st.text(max_size=20),
        st.floats(),
    ),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(max_size=9), parts),
    max_leaves=12,
)


@MORE
@given(st.lists(_cbor, max_size=5), st.booleans())
def test_arbitrary_envelopes(parts: list[object], tagged: bool) -> None:
    assert not _accepts((b"\xd2" if tagged else b"") + cbor2.dumps(parts))


@MORE
@given(_cbor)
def test_arbitrary_signed_payloads(payload: object) -> None:
    """Correctly signed, so nothing stops them before the payload parser."""
    assert not _accepts(mint(cbor2.dumps(payload)))


@given(st.sampled_from(sorted(pki.fields())), _cbor)
def test_one_field_replaced_by_anything(name: str, value: object) -> None:
    """A payload with one field replaced is signed again; only its own field may change meaning."""
    document = mint(**{name: value})  # type: ignore[arg-type]
    try:
        parsed = parse_untrusted(document)
    except AttestationError:
        assert not _accepts(document)
    else:
        kept = getattr(parsed, "timestamp_ms" if name == "timestamp" else name)
        assert value == (list(kept) if isinstance(kept, tuple) else kept)


@st.composite
def _cuts(draw: st.DrawFn, document: bytes) -> bytes:
    """Removes, repeats, inserts or overwrites some bytes."""
    start = draw(st.integers(0, len(document)))
    end = draw(st.integers(start, min(len(document), start + 40)))
    inserted = draw(st.binary(max_size=20) | st.just(document[start:end] * 2))
    return document[:start] + inserted + document[end:]


@given(_cuts(mint()))
def test_cut_and_pasted_documents(document: bytes) -> None:
    if document not in (mint(), b"\xd2" + mint()):
        try:
            authenticate(document, ROOTS, NOW)
        except AttestationError:
            return
        # ECDSA signs differently each time, so the baseline above is not byte-identical: what is
        # accepted must say exactly what the baseline says.
        assert parse_untrusted(document) == parse_untrusted(mint())


@MORE
@given(st.data())
def test_mutated_certificates(data: st.DataObject) -> None:
    """Certificates changed inside a document whose own signature is then made good again."""
    chain = pki.fields()["cabundle"]
    assert isinstance(chain, list)
    bundle = [*chain, pki.fields()["certificate"]]
    index = data.draw(st.integers(1, len(bundle) - 1))
    changed = data.draw(_cuts(bundle[index]))
    document = mint(chain=[*bundle[:index], changed, *bundle[index + 1 :]])
    try:
        authenticate(document, ROOTS, NOW)
    except AttestationError as error:
        _check_error(error)
    else:
        assert changed == bundle[index]


@given(_cuts(unsigned()))
def test_mutated_unsigned_documents(document: bytes) -> None:
    _accepts(document)


# --- Round trip ----------------------------------------------------------------------------------

_optional = st.none() | st.binary(max_size=1024)


@given(
    pcrs=st.dictionaries(st.integers(3, 31), st.sampled_from((32, 48, 64)).map(bytes), max_size=29),
    measured=st.lists(st.binary(min_size=48, max_size=48), min_size=3, max_size=3),
    public_key=_optional,
    user_data=_optional,
    nonce=st.binary(min_size=16, max_size=1024),
    module_id=st.text(min_size=1, max_size=40),
    offset=st.integers(-60_000, 30_000),
    indefinite=st.booleans(),
    tagged=st.booleans(),
)
def test_what_is_minted_verifies_and_says_what_was_minted(
    pcrs: dict[int, bytes],
    measured: list[bytes],
    public_key: bytes | None,
    user_data: bytes | None,
    nonce: bytes,
    module_id: str,
    offset: int,
    indefinite: bool,
    tagged: bool,
) -> None:
    pcrs |= dict(enumerate(measured))
    document = (b"\xd2" if tagged else b"") + mint(
        indefinite=indefinite,
        pcrs=pcrs,
        public_key=public_key,
        user_data=user_data,
        nonce=nonce,
        module_id=module_id,
        timestamp=pki.NOW_MS + offset,
    )
    policy = NitroPolicy(
        pcrs={index: Exactly(value) for index, value in pcrs.items()},
        public_key=Unchecked("compared below"),
        user_data=Unchecked("compared below"),
        nonce=Exactly(nonce),
        mode=Mode.DEVELOPMENT,
    )
    verified = verify_live(document, policy, ROOTS, NOW, Challenge(nonce))
    parsed = verified.evidence.document
    assert parsed.pcrs == pcrs
    assert (parsed.public_key, parsed.user_data, parsed.nonce) == (public_key, user_data, nonce)
    assert (parsed.module_id, parsed.timestamp_ms) == (module_id, pki.NOW_MS + offset)
    assert parsed.notes == ()
