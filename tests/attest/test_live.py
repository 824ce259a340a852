"""Live verification: challenge, window, and unsigned documents."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_attest import Challenge, FreshnessWindow, Unchecked, VerifiedLive
from strongroom_attest.errors import (
    AttestationError,
    ChallengeReused,
    DocumentFromFuture,
    DocumentTooOld,
    InvalidArgument,
    MalformedDocument,
    NonceMismatch,
    PolicyMismatch,
    SignatureInvalid,
    Stale,
    UnsignedRefused,
)
from strongroom_attest.nitro import (
    AuthenticatedDocument,
    authenticate,
    authenticate_archived,
    authenticate_unsigned,
    verify_live,
    verify_live_unsigned,
)

from tests.attest import pki
from tests.attest.mutations import unsigned
from tests.attest.pki import NONCE, NOW, ROOTS, development_policy, mint


def live(document: bytes | None = None, now: datetime = NOW) -> VerifiedLive[AuthenticatedDocument]:
    return verify_live(document or mint(), development_policy(), ROOTS, now, Challenge(NONCE))


def test_a_fresh_answer_is_accepted_and_says_when() -> None:
    verified = live()
    assert verified.verified_at == NOW
    assert verified.nonce == NONCE
    assert verified.evidence.document.public_key == pki.PUBLIC_KEY
    assert verified.evidence.valid_at == NOW
    assert "public_key" in verified.findings.compared


def test_any_time_zone_will_do_but_one_there_must_be() -> None:
    live(now=NOW.astimezone(timezone(timedelta(hours=9))))
    with pytest.raises(InvalidArgument):
        live(now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize("length", [0, 1, 15, 1025])
def test_nonces_that_could_repeat_or_do_not_fit_are_refused(length: int) -> None:
    with pytest.raises(InvalidArgument):
        Challenge(bytes(length))


def test_a_naive_clock_does_not_use_up_the_challenge() -> None:
    """The caller's mistake, found before anything was looked at."""
    challenge = Challenge(NONCE)
    with pytest.raises(InvalidArgument):
        verify_live(mint(), development_policy(), ROOTS, NOW.replace(tzinfo=None), challenge)
    assert challenge.consume() == NONCE


def test_one_of_many_racing_threads_gets_the_nonce() -> None:
    challenge = Challenge(NONCE)
    start = threading.Barrier(8)
    won: list[bytes] = []
    lost: list[ChallengeReused] = []

    def race() -> None:
        start.wait()
        try:
            won.append(challenge.consume())
        except ChallengeReused as error:
            lost.append(error)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)


@given(st.integers(-600_000, 600_000))
def test_exactly_the_window_is_accepted(offset_ms: int) -> None:
    """Both sides inclusive, to the millisecond."""
    document = mint(timestamp=pki.NOW_MS + offset_ms)
    if offset_ms < -300_000:
        with pytest.raises(DocumentTooOld):
            live(document)
    elif offset_ms > 30_000:
        with pytest.raises(DocumentFromFuture):
            live(document)
    else:
        assert live(document).evidence.document.timestamp_ms == pki.NOW_MS + offset_ms


@pytest.mark.parametrize("offset_ms", [-300_001, -300_000, 30_000, 30_001])
def test_the_edges_of_the_window(offset_ms: int) -> None:
    document = mint(timestamp=pki.NOW_MS + offset_ms)
    if offset_ms in (-300_000, 30_000):
        live(document)
    else:
        with pytest.raises(Stale, match="clock"):
            live(document)


def test_a_window_has_no_negative_side() -> None:
    for sides in ({"max_age": timedelta(-1)}, {"max_future_skew": timedelta(-1)}):
        with pytest.raises(InvalidArgument):
            FreshnessWindow(**sides)


def test_the_nonce_is_judged_before_the_timestamp() -> None:
    """Else "your clock is wrong" would be said about somebody's old document."""
    old = mint(nonce=bytes(32), timestamp=pki.NOW_MS - 3_600_000)
    with pytest.raises(NonceMismatch):
        live(old)


def test_the_policy_is_judged_too() -> None:
    with pytest.raises(PolicyMismatch):
        live(mint(user_data=b"another"))


def test_the_policys_own_nonce_is_compared_besides() -> None:
    policy = development_policy(nonce=Unchecked("compared with the challenge"))
    verify_live(mint(), policy, ROOTS, NOW, Challenge(NONCE))


# --- Unsigned ------------------------------------------------------------------------------------


def test_qemus_form_is_accepted_by_the_call_that_names_it() -> None:
    policy = development_policy(allow_unsigned=True)
    verified = verify_live_unsigned(unsigned(), policy, NOW, Challenge(NONCE))
    assert verified.evidence.document.pcrs == pki.PCRS


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"nonce": bytes(32)}, NonceMismatch),
        ({"timestamp": pki.NOW_MS - 3_600_000}, DocumentTooOld),
        ({"timestamp": pki.NOW_MS + 3_600_000}, DocumentFromFuture),
        ({"user_data": b"another"}, PolicyMismatch),
    ],
)
def test_unsigned_documents_are_compared_all_the_same(
    change: dict[str, object], error: type[AttestationError]
) -> None:
    policy = development_policy(allow_unsigned=True)
    with pytest.raises(error):
        verify_live_unsigned(unsigned(**change), policy, NOW, Challenge(NONCE))


def test_unsigned_documents_use_up_the_challenge() -> None:
    challenge = Challenge(NONCE)
    with pytest.raises(MalformedDocument):
        verify_live_unsigned(b"", development_policy(allow_unsigned=True), NOW, challenge)
    with pytest.raises(ChallengeReused):
        challenge.consume()


@pytest.mark.parametrize(
    "call",
    [
        lambda document: authenticate(document, ROOTS, NOW),
        lambda document: authenticate_archived(document, ROOTS),
        live,
    ],
)
def test_no_authenticating_call_takes_an_unsigned_document(
    call: Callable[[bytes], object],
) -> None:
    with pytest.raises(UnsignedRefused):
        call(unsigned())


def test_the_unsigned_call_needs_a_policy_that_allows_it() -> None:
    with pytest.raises(UnsignedRefused):
        verify_live_unsigned(unsigned(), development_policy(), NOW, Challenge(NONCE))


def test_a_signed_document_does_not_lose_its_proof_through_the_unsigned_call() -> None:
    with pytest.raises(SignatureInvalid):
        authenticate_unsigned(mint())


@pytest.mark.parametrize("length", [0, 63, 65, 96])
def test_only_qemus_signature_length_counts_as_unsigned(length: int) -> None:
    document = pki.sign1(b"\xa1\x01\x20", pki.encode(pki.fields()), bytes(length))
    with pytest.raises(SignatureInvalid):
        authenticate_unsigned(document)


def test_only_a_zero_signature_counts_as_unsigned() -> None:
    with pytest.raises(SignatureInvalid):
        authenticate_unsigned(unsigned()[:-1] + b"\1")


def test_real_time_documents_work_with_the_clock_of_the_caller() -> None:
    """The library reads no clock; a caller's `now` in UTC is all it needs."""
    assert datetime.fromtimestamp(pki.NOW_MS / 1000, UTC) == NOW
