"""Policies: matchers, composition, modes, and their JSON form."""

import dataclasses
import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom_attest import (
    Absent,
    AllOf,
    AnyOf,
    Exactly,
    Matcher,
    Mode,
    OneOf,
    Policy,
    Refusal,
    Unchecked,
    appraise,
)
from strongroom_attest.errors import (
    DebugRefused,
    EmptyPolicy,
    NoAlternative,
    PolicyInvalid,
    PolicyMismatch,
    TestRootRefused,
    UnsignedRefused,
)
from strongroom_attest.nitro import (
    AuthenticatedDocument,
    NitroEvidence,
    NitroPolicy,
    UnsignedDocument,
    authenticate,
    authenticate_unsigned,
    dump_policy,
    load_policy,
    verify_archived,
)
from strongroom_attest.nitro import policy as nitro_policy

from tests.attest import pki
from tests.attest.mutations import unsigned
from tests.attest.pki import NOW, PCRS, ROOTS, USER_DATA, development_policy, mint


@pytest.fixture
def genuine() -> AuthenticatedDocument:
    return authenticate(mint(), ROOTS, NOW)


# --- Matchers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matcher", "value", "accepted"),
    [
        (Exactly(b"a"), b"a", True),
        (Exactly(b"a"), b"b", False),
        (Exactly(b"a"), b"ab", False),
        (Exactly(b""), b"", True),
        (Exactly(b""), None, False),
        (Exactly(b"a"), None, False),
        (OneOf((b"a", b"b")), b"b", True),
        (OneOf((b"a", b"b")), b"c", False),
        (OneOf((b"a",)), None, False),
        (Absent(), None, True),
        (Absent(), b"", False),
        (Absent(), b"a", False),
        (Unchecked("a test"), b"a", True),
        (Unchecked("a test"), None, True),
    ],
)
def test_a_matcher_accepts_what_it_says(
    matcher: Matcher, value: bytes | None, accepted: bool
) -> None:
    genuine = authenticate(mint(user_data=value), ROOTS, NOW)
    policy = development_policy(user_data=matcher)
    if accepted:
        findings = appraise(genuine, policy).findings
        assert ("user_data" in findings.compared) is not isinstance(matcher, Unchecked)
    else:
        with pytest.raises(PolicyMismatch) as caught:
            appraise(genuine, policy)
        assert caught.value.field == "user_data"
        assert caught.value.expected == matcher
        assert caught.value.actual == value


@pytest.mark.parametrize("reason", ["", " ", "\n\t"])
def test_unchecked_needs_a_reason(reason: str) -> None:
    with pytest.raises(PolicyInvalid):
        Unchecked(reason)


@pytest.mark.parametrize("values", [b"ab", "ab", [b"ab"], None])
def test_one_of_takes_a_tuple(values: object) -> None:
    with pytest.raises(PolicyInvalid):
        OneOf(values)  # type: ignore[arg-type]


def test_the_findings_repeat_every_reason_and_every_unnamed_pcr(
    genuine: AuthenticatedDocument,
) -> None:
    policy = development_policy(user_data=Unchecked("this service has none"))
    findings = appraise(genuine, policy).findings
    assert findings.compared == ("pcrs[0]", "pcrs[1]", "pcrs[2]", "pcrs[16]", "public_key")
    reasons = {skip.field: skip.reason for skip in findings.skipped}
    assert reasons["user_data"] == "this service has none"
    assert reasons["pcrs[8]"] == "not named by the policy"
    assert set(reasons) | set(findings.compared) == {
        *(f"pcrs[{index}]" for index in PCRS),
        "public_key",
        "user_data",
        "nonce",
    }


# --- One policy ----------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [-1, 32, True, "0"])
def test_pcr_indexes_that_do_not_exist_are_refused(index: object) -> None:
    # True equals 1 as a key, so it takes the place of PCR 1 here.
    measured = {n: Exactly(bytes(48)) for n in (0, 1, 2) if n != index}
    pcrs = measured | {index: Exactly(bytes(48))}
    with pytest.raises(PolicyInvalid):
        development_policy(pcrs=pcrs)


@pytest.mark.parametrize(
    "matcher", [Exactly(bytes(47)), Exactly(b""), OneOf((bytes(48), b"")), Absent(), bytes(48)]
)
def test_pcr_matchers_that_cannot_match_are_refused(matcher: object) -> None:
    pcrs = dict(development_policy().pcrs) | {0: matcher}
    with pytest.raises(PolicyInvalid):
        development_policy(pcrs=pcrs)


def test_a_policy_cannot_be_changed_after_it_was_checked() -> None:
    pcrs: dict[int, object] = dict(development_policy().pcrs)
    policy = development_policy(pcrs=pcrs)
    pcrs[0] = Unchecked("sneaked in")
    assert isinstance(policy.pcrs[0], Exactly)
    with pytest.raises(TypeError):
        policy.pcrs[0] = Unchecked("sneaked in")  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.mode = Mode.DEVELOPMENT  # type: ignore[misc]


def test_several_releases_may_be_accepted(genuine: AuthenticatedDocument) -> None:
    releases = OneOf((bytes(48), PCRS[0]))
    appraise(genuine, development_policy(pcrs=dict(development_policy().pcrs) | {0: releases}))


# --- Modes ---------------------------------------------------------------------------------------


def test_production_refuses_test_roots_though_the_caller_pinned_them() -> None:
    with pytest.raises(TestRootRefused):
        verify_archived(mint(), development_policy(mode=Mode.PRODUCTION), ROOTS)


@pytest.mark.parametrize("policy", [development_policy, lambda: _production()])
def test_unsigned_documents_need_a_policy_that_names_them(
    policy: Callable[[], NitroPolicy],
) -> None:
    with pytest.raises(UnsignedRefused):
        appraise(authenticate_unsigned(unsigned()), policy())
    named = development_policy(allow_unsigned=True)
    assert appraise(authenticate_unsigned(unsigned()), named).findings.mode is Mode.DEVELOPMENT


def test_allowing_unsigned_in_production_is_a_contradiction() -> None:
    with pytest.raises(PolicyInvalid):
        development_policy(mode=Mode.PRODUCTION, allow_unsigned=True)


@pytest.mark.parametrize("nonzero", [0, 1, 2])
def test_debug_is_all_three_measurements_zero(nonzero: int) -> None:
    zeros = dict.fromkeys((0, 1, 2), bytes(48))
    assert authenticate(mint(pcrs=PCRS | zeros), ROOTS, NOW).document.is_debug
    measured = PCRS | zeros | {nonzero: PCRS[nonzero]}
    assert not authenticate(mint(pcrs=measured), ROOTS, NOW).document.is_debug


def test_a_document_without_measurements_counts_as_debug() -> None:
    assert authenticate(mint(pcrs={4: PCRS[4]}), ROOTS, NOW).document.is_debug


# --- Composition ---------------------------------------------------------------------------------


def _image() -> NitroPolicy:
    return development_policy(
        public_key=Unchecked("another policy"), user_data=Unchecked("another policy")
    )


def _binding(user_data: bytes = USER_DATA) -> NitroPolicy:
    return NitroPolicy(
        pcrs=dict.fromkeys((0, 1, 2), Unchecked("another policy")),
        public_key=Exactly(pki.PUBLIC_KEY),
        user_data=Exactly(user_data),
        nonce=Unchecked("another policy"),
        mode=Mode.DEVELOPMENT,
    )


def _production() -> NitroPolicy:
    return development_policy(mode=Mode.PRODUCTION)


def test_all_of_needs_every_member(genuine: AuthenticatedDocument) -> None:
    findings = appraise(genuine, AllOf((_image(), _binding()))).findings
    assert {"pcrs[0]", "public_key", "user_data"} <= set(findings.compared)
    assert {skip.field for skip in findings.skipped}.isdisjoint(findings.compared)
    for policies in ((_image(), _binding(b"x")), (_binding(b"x"), _image())):
        with pytest.raises(PolicyMismatch):
            appraise(genuine, AllOf(policies))


def test_any_of_needs_one_and_says_why_none(genuine: AuthenticatedDocument) -> None:
    findings = appraise(genuine, AnyOf((_binding(b"x"), _image()))).findings
    assert "pcrs[0]" in findings.compared
    with pytest.raises(NoAlternative) as caught:
        appraise(genuine, AnyOf((_binding(b"x"), _binding(b"y"))))
    assert [type(cause) for cause in caught.value.causes] == [PolicyMismatch, PolicyMismatch]
    assert b"x".hex() in str(caught.value)
    assert b"y".hex() in str(caught.value)


@pytest.mark.parametrize("composite", [AllOf, AnyOf])
def test_an_empty_composite_is_refused(composite: type[AllOf[NitroEvidence]]) -> None:
    with pytest.raises(EmptyPolicy):
        composite(())
    with pytest.raises(PolicyInvalid):
        composite([_image()])  # type: ignore[arg-type]


def test_composites_can_be_parametrised_at_run_time() -> None:
    assert AllOf[NitroEvidence]((_image(),)) == AllOf((_image(),))


def test_all_of_is_as_strict_as_its_strictest_member(
    genuine: AuthenticatedDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = AllOf((_image(), _production()))
    with pytest.raises(TestRootRefused):
        appraise(genuine, mixed)
    monkeypatch.setattr(nitro_policy, "PRODUCTION_ROOTS", ROOTS.fingerprints)
    assert appraise(genuine, mixed).findings.mode is Mode.PRODUCTION
    debug = authenticate(mint(pcrs=PCRS | dict.fromkeys((0, 1, 2), bytes(48))), ROOTS, NOW)
    with pytest.raises(DebugRefused):
        appraise(debug, AllOf((_binding(), _production())))


def test_any_of_reports_the_mode_of_the_branch_that_accepted(
    genuine: AuthenticatedDocument,
) -> None:
    assert appraise(genuine, AnyOf((_production(), _image()))).findings.mode is Mode.DEVELOPMENT


def test_any_of_does_not_swallow_other_errors(genuine: AuthenticatedDocument) -> None:
    class Broken:
        def assess(self, evidence: NitroEvidence, /) -> object:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        appraise(genuine, AnyOf((Broken(), _image())))  # type: ignore[arg-type]


# --- JSON ----------------------------------------------------------------------------------------

_matchers = st.one_of(
    st.binary(max_size=40).map(Exactly),
    st.lists(st.binary(max_size=9), min_size=1, max_size=3).map(lambda v: OneOf(tuple(v))),
    st.just(Absent()),
    st.text(min_size=1, max_size=9).filter(lambda s: bool(s.strip())).map(Unchecked),
)
_pcr_matchers = st.one_of(
    st.binary(min_size=48, max_size=48).map(Exactly),
    st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=3).map(
        lambda v: OneOf(tuple(v))
    ),
    st.just(Unchecked("a test")),
)


@st.composite
def _leaf_policies(draw: st.DrawFn) -> NitroPolicy:
    extra = draw(st.dictionaries(st.integers(3, 31), _pcr_matchers, max_size=3))
    development = draw(st.booleans())
    return NitroPolicy(
        pcrs={0: Exactly(bytes(48)), 1: draw(_pcr_matchers), 2: draw(_pcr_matchers)} | extra,
        public_key=draw(_matchers),
        user_data=draw(_matchers),
        nonce=draw(_matchers),
        mode=Mode.DEVELOPMENT if development else Mode.PRODUCTION,
        allow_unsigned=development and draw(st.booleans()),
    )


def _combine(parts: st.SearchStrategy[Policy[NitroEvidence]]) -> st.SearchStrategy[object]:
    some = st.lists(parts, min_size=1, max_size=3).map(tuple)
    return st.one_of(some.map(AllOf), some.map(AnyOf))


_policies = st.recursive(_leaf_policies(), _combine, max_leaves=5)


@given(_policies)
def test_json_round_trip(policy: Policy[NitroEvidence]) -> None:
    text = json.dumps(dump_policy(policy))
    assert load_policy(json.loads(text)) == policy
    assert json.dumps(dump_policy(load_policy(json.loads(text)))) == text


_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=9), st.floats()),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=9), parts),
)


@given(_json)
def test_arbitrary_json_is_refused_as_a_policy_error(value: object) -> None:
    with pytest.raises(PolicyInvalid):
        load_policy(value)


def _form(**changes: object) -> dict[str, object]:
    return dump_policy(development_policy()) | changes


@given(st.sampled_from(sorted(_form())), _json)
def test_a_policy_with_one_arbitrary_member_loads_strictly_or_not_at_all(
    name: str, value: object
) -> None:
    try:
        policy = load_policy(_form(**{name: value}))
    except PolicyInvalid:
        return
    assert load_policy(dump_policy(policy)) == policy


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(_form(pcr8="00"), id="unknown member"),
        pytest.param(_form(Mode="production"), id="misspelt member"),
        pytest.param({k: v for k, v in _form().items() if k != "nonce"}, id="nonce missing"),
        pytest.param({k: v for k, v in _form().items() if k != "mode"}, id="mode missing"),
        pytest.param(_form(platform="snp"), id="another platform"),
        pytest.param(_form(mode="Production"), id="another mode"),
        pytest.param(_form(allow_unsigned="true"), id="text for a boolean"),
        pytest.param(_form(allow_unsigned=True, mode="production"), id="contradiction"),
        pytest.param(_form(nonce="0"), id="odd hex"),
        pytest.param(_form(nonce="0 0"), id="hex with a space"),
        pytest.param(_form(nonce="0x00"), id="hex with a prefix"),
        pytest.param(_form(nonce=[]), id="one of nothing"),
        pytest.param(_form(nonce={"unchecked": ""}), id="no reason"),
        pytest.param(_form(nonce={"unchecked": "a", "b": 1}), id="a reason and more"),
        pytest.param(_form(nonce={"unchecked": None}), id="null reason"),
        pytest.param(_form(pcrs={"0": None, "1": None, "2": None}), id="null PCRs"),
        pytest.param(_form(pcrs=_form()["pcrs"] | {"00": "00" * 48}), id="00"),  # type: ignore[operator]
        pytest.param(_form(pcrs=_form()["pcrs"] | {"32": "00" * 48}), id="32"),  # type: ignore[operator]
        pytest.param(_form(pcrs=_form()["pcrs"] | {"+3": "00" * 48}), id="+3"),  # type: ignore[operator]
        pytest.param(_form(pcrs=_form()["pcrs"] | {"\u0663": "00" * 48}), id="other digits"),  # type: ignore[operator]
        pytest.param({"all_of": []}, id="all of nothing"),
        pytest.param({"any_of": [_form()], "all_of": [_form()]}, id="both"),
        pytest.param({"any_of": [_form()], "mode": "production"}, id="composite and leaf"),
        pytest.param({"any_of": _form()}, id="any_of not a list"),
    ],
)
def test_malformed_policies_are_refused(form: dict[str, object]) -> None:
    with pytest.raises(PolicyInvalid):
        load_policy(form)


def test_a_policy_of_another_type_has_no_json_form() -> None:
    class Custom:
        def assess(self, evidence: NitroEvidence, /) -> object:
            raise NotImplementedError

    with pytest.raises(PolicyInvalid):
        dump_policy(Custom())  # type: ignore[arg-type]


def test_a_loaded_policy_judges_like_the_original(genuine: AuthenticatedDocument) -> None:
    loaded = load_policy(dump_policy(development_policy()))
    appraise(genuine, loaded)
    with pytest.raises(Refusal):
        appraise(genuine, load_policy(_form(user_data="00")))


# --- Results -------------------------------------------------------------------------------------


def test_results_cannot_be_made_or_altered_outside_the_verifier(
    genuine: AuthenticatedDocument,
) -> None:
    for made in (
        genuine,
        authenticate_unsigned(unsigned()),
        appraise(genuine, development_policy()),
        verify_archived(mint(), development_policy(), ROOTS),
    ):
        values = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
        with pytest.raises(TypeError):
            type(made)(**values)
        with pytest.raises(TypeError):
            type(made)(**values, seal=object())  # type: ignore[arg-type]
        with pytest.raises((TypeError, ValueError)):
            dataclasses.replace(made)  # type: ignore[call-arg]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, next(iter(values)), None)


def test_unsigned_is_not_authenticated() -> None:
    assert not issubclass(UnsignedDocument, AuthenticatedDocument)
    assert not issubclass(AuthenticatedDocument, UnsignedDocument)


def test_archived_carries_the_documents_time() -> None:
    later = mint(timestamp=pki.NOW_MS + 5000)
    verified = verify_archived(later, development_policy(), ROOTS)
    assert verified.as_of == NOW + timedelta(seconds=5)
    assert verified.evidence.document.nonce == pki.NONCE
