"""One entry per check of the verifier: an input that only this check refuses.

`Mutation.attempt` must raise `error` while the check is in place and succeed once the check is
replaced by `without`. So each entry proves two things: the check works, and no other check hides
its removal.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType, ModuleType
from typing import cast

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from strongroom_attest import (
    AllOf,
    AttestationError,
    Challenge,
    Exactly,
    FreshnessWindow,
    Mode,
    OneOf,
    Unchecked,
    appraise,
    errors,
    freshness,
    policy,
    result,
)
from strongroom_attest.nitro import (
    AuthenticatedDocument,
    NitroPolicy,
    Roots,
    authenticate,
    authenticate_unsigned,
    cbor,
    chain,
    cose,
    document,
    live,
    load_policy,
    policy_json,
    roots,
    verify,
    verify_live,
)
from strongroom_attest.nitro import policy as nitro_policy

from tests.attest import pki
from tests.attest.pki import NONCE, NOW, PCRS, ROOTS, issue, key, mint, with_link

__all__ = ["MUTATIONS", "Mutation", "unsigned", "version_1"]


@dataclass(frozen=True)
class Mutation:
    """`name` is looked up in `modules`, all of which call it, and replaced there by `without`."""

    name: str
    modules: tuple[ModuleType, ...]
    attempt: Callable[[], object]
    error: type[AttestationError] | type[TypeError]
    without: Callable[..., object] = lambda *_, **__: None
    about: str = ""
    escapes: type[Exception] | None = None
    """Some checks keep a foreign exception from getting out; then this is what gets out."""

    def __str__(self) -> str:
        return f"{self.modules[0].__name__.removeprefix('strongroom_attest.')}.{self.name}" + (
            f"-{self.about}" if self.about else ""
        )


# --- Bad documents -------------------------------------------------------------------------------


def accept(data: bytes) -> AuthenticatedDocument:
    """Authenticates under the test root at the baseline's time."""
    return authenticate(data, ROOTS, NOW)


def _document(**changes: object) -> Callable[[], object]:
    return lambda: accept(mint(**changes))  # type: ignore[arg-type]


def _payload(name: str, value: bytes, *, known: bool = True) -> Callable[[], object]:
    """A payload in which the field `name` is followed by these bytes instead of its value."""

    def attempt() -> object:
        pairs = [
            (cbor2.dumps(n), value if n == name else cbor2.dumps(v))
            for n, v in pki.fields().items()
        ]
        if not known:
            pairs.append((cbor2.dumps(name), value))
        return accept(mint(pki.map_of(pairs)))

    return attempt


def _repeated_nonce() -> object:
    pairs = [(cbor2.dumps(n), cbor2.dumps(v)) for n, v in pki.fields().items()]
    return accept(mint(pki.map_of([*pairs, (cbor2.dumps("nonce"), cbor2.dumps(b"another"))])))


def _indefinite_envelope() -> object:
    return accept(b"\x9f" + mint()[1:] + b"\xff")


def _dropped_zero() -> object:
    """A signature whose r begins with a zero byte that was left out, as bignum code does."""
    for timestamp in range(4096):
        payload = pki.encode(pki.fields(timestamp=pki.NOW_MS + timestamp))
        protected = cbor2.dumps(pki.ES384)
        signature = pki.cose_sign(protected, payload)
        if signature[0] == 0:
            return accept(pki.sign1(protected, payload, signature[1:]))
    raise LookupError("no signature with a leading zero: one in 256 should have it")


def _altered_signature() -> object:
    good = mint()
    return accept(good[:-1] + bytes([good[-1] ^ 1]))


def unsigned(**changes: object) -> bytes:
    """Returns a document in the form of QEMU's security module."""
    bare = {"certificate": bytes(64), "cabundle": [bytes(64)]}
    payload = pki.encode(pki.fields(None, **(bare | changes)))
    return pki.sign1(cbor2.dumps({1: -1}), payload, bytes(64))


# --- Bad chains ----------------------------------------------------------------------------------


def _chain(name: str, **changes: object) -> Callable[[], object]:
    """A document under a hierarchy of which one certificate is different."""

    def attempt() -> object:
        specs = with_link(name, **changes)
        return accept(mint(chain=_under_root(specs), signer=specs[-1].private_key))

    return attempt


def _under_root(specs: tuple[pki.CertificateSpec, ...]) -> list[bytes]:
    """Issues the chain, with the very root that ROOTS pins."""
    return [pki.root_certificate(), *issue(specs)[1:]]


def _extra_authority() -> object:
    """One authority more than the instance's pathLenConstraint of 0 allows."""
    *above, leaf = pki.AWS_SHAPE
    extra = replace(above[-1], name="one too many", path_length=None)
    return accept(mint(chain=_under_root((*above, extra, leaf))))


def _long_bundle() -> object:
    root, *_, leaf = pki.AWS_SHAPE
    middle = [replace(root, name=f"authority {n}") for n in range(document.MAX_CABUNDLE)]
    return accept(mint(chain=_under_root((root, *middle, leaf))))


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def version_1(der: bytes) -> bytes:
    """Returns the certificate without its version field, signed again by `instance`."""
    tbs = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    version_3 = bytes.fromhex("a003020102")
    tbs = _der(0x30, tbs[tbs.index(version_3) + len(version_3) :])
    r, s = decode_dss_signature(key("instance").sign(tbs, ec.ECDSA(hashes.SHA384())))
    signature = _der(0x30, b"".join(_der(2, n.to_bytes(n.bit_length() // 8 + 1)) for n in (r, s)))
    ecdsa_with_sha384 = bytes.fromhex("300a06082a8648ce3d040303")
    return _der(0x30, tbs + ecdsa_with_sha384 + _der(3, b"\0" + signature))


def _parse_critical() -> tuple[tuple[x509.ExtensionType, bool], ...]:
    constraint = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    return ((constraint, True),)


def _large_leaf() -> object:
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(700))
    return _chain("leaf", extensions=((padding, False),))()


@functools.cache
def _p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _other_root() -> object:
    return accept(mint(chain=issue(with_link("test root", key=key("somebody else")))))


# --- Bad policies and bad moments ----------------------------------------------------------------


def _live(data: bytes | None = None, **changes: object) -> Callable[[], object]:
    settings: dict[str, object] = {
        "policy": pki.development_policy(),
        "roots": ROOTS,
        "now": NOW,
        "challenge": NONCE,
    } | changes

    def attempt() -> object:
        challenge = settings["challenge"]
        if isinstance(challenge, bytes):
            challenge = Challenge(challenge)
        return verify_live(data or mint(), **(settings | {"challenge": challenge}))  # type: ignore[arg-type]

    return attempt


def _reused() -> object:
    challenge = Challenge(NONCE)
    challenge.consume()
    return _live(challenge=challenge)()


def _policy(**changes: object) -> Callable[[], object]:
    return lambda: pki.development_policy(**changes)


def _under(requirement: NitroPolicy, data: bytes) -> object:
    return appraise(accept(data), requirement)


def _zeros(mode: Mode) -> NitroPolicy:
    return pki.development_policy(
        pcrs=dict.fromkeys((0, 1, 2), Exactly(bytes(48))), mode=mode, allow_unsigned=False
    )


def _debug_in_production() -> object:
    # The test root must not be what gets it refused.
    genuine = accept(mint(pcrs=PCRS | dict.fromkeys((0, 1, 2), bytes(48))))
    nitro_policy.check_not_debug(genuine.document)
    return genuine


def _nested_policy() -> object:
    value: dict[str, object] = {
        "platform": "nitro",
        "mode": "development",
        "pcrs": {str(n): "00" * 48 for n in (0, 1, 2)},
        "public_key": None,
        "user_data": None,
        "nonce": None,
    }
    for _ in range(policy_json.MAX_NESTING + 1):
        value = {"all_of": [value]}
    return load_policy(value)


def _unknown_member() -> object:
    return load_policy(
        {
            "platform": "nitro",
            "mode": "development",
            "pcrs": {str(n): "00" * 48 for n in (0, 1, 2)},
            "pcr8": "00" * 48,
            "public_key": None,
            "user_data": None,
            "nonce": None,
        }
    )


def _read_pcrs(value: object) -> Mapping[int, bytes]:
    return MappingProxyType(cast(dict[int, bytes], value))


def _read_bytes(field: str, value: object, low: int, high: int) -> object:
    return value


def _read_optional(field: str, value: object) -> object:
    return value


MUTATIONS = (
    # cbor: form of the bytes
    Mutation(
        "check_size", (cbor,), _payload("pad", cbor2.dumps(bytes(16000)), known=False),
        errors.DocumentTooLarge,
    ),
    Mutation("check_end", (cbor,), lambda: accept(mint() + b"\0"), errors.TrailingBytes),
    Mutation(
        "check_end", (cbor,), lambda: accept(mint(pki.encode(pki.fields()) + b"\0")),
        errors.TrailingBytes, about="payload",
    ),
    Mutation("load", (cbor,), _repeated_nonce, errors.DuplicateKey, cbor2.loads),
    Mutation(
        "check_depth", (cbor,),
        _payload("new", b"\x81" * cbor.MAX_DEPTH + b"\x00", known=False), errors.NestedTooDeep,
    ),
    Mutation(
        "check_item_count", (cbor,), _payload("new", cbor2.dumps([0] * 600), known=False),
        errors.MalformedDocument,
    ),
    Mutation(
        "check_shortest", (cbor,), _payload("digest", pki.head(3, 6, 1) + b"SHA384"),
        errors.NonCanonical,
    ),
    Mutation("check_indefinite", (cbor,), _indefinite_envelope, errors.NonCanonical),
    Mutation(
        "check_no_tag", (cbor,), _payload("new", b"\xc1\x00", known=False), errors.NonCanonical
    ),
    Mutation(
        "check_simple", (cbor,), _payload("new", b"\xf7", known=False), errors.NonCanonical
    ),
    # cose: envelope and signature
    Mutation(
        "check_unprotected", (cose,), _document(unprotected={4: b"kid"}), errors.MalformedDocument
    ),
    Mutation(
        "check_es384_header", (verify,), _document(header={1: -7}), errors.AlgorithmRefused
    ),
    Mutation(
        "check_es384_header", (verify,), _document(header={1: -35, 2: [99], 99: 0}),
        errors.AlgorithmRefused, about="crit",
    ),
    Mutation("check_signature_length", (cose,), _dropped_zero, errors.SignatureInvalid),
    Mutation("check_signature", (cose,), _altered_signature, errors.SignatureInvalid),
    Mutation(
        "check_unsigned_form", (verify,), lambda: authenticate_unsigned(mint()),
        errors.SignatureInvalid,
    ),
    # document: fields
    Mutation(
        "check_keys", (document,),
        lambda: accept(
            mint(pki.map_of([
                *((cbor2.dumps(n), cbor2.dumps(v)) for n, v in pki.fields().items()),
                (b"\x01", b"\x01"),
            ]))
        ),
        errors.MalformedDocument,
    ),
    Mutation(
        "read_module_id", (document,), _document(module_id=""), errors.FieldInvalid, lambda v: v
    ),
    Mutation(
        "read_digest", (document,), _document(digest="SHA512"), errors.FieldInvalid, lambda v: v
    ),
    Mutation(
        "read_timestamp", (document,), _document(timestamp=0), errors.FieldInvalid, lambda v: v
    ),
    Mutation(
        "read_pcrs", (document,), _document(pcrs=PCRS | {32: bytes(48)}), errors.FieldInvalid,
        _read_pcrs,
    ),
    Mutation("read_cabundle", (document,), _long_bundle, errors.FieldInvalid, tuple),
    Mutation(
        "read_optional", (document,), _document(nonce=bytes(1025)), errors.FieldInvalid,
        _read_optional,
    ),
    Mutation("read_bytes", (document,), _large_leaf, errors.FieldInvalid, _read_bytes),
    # chain
    Mutation("check_root_pinned", (verify,), _other_root, errors.RootNotPinned),
    Mutation(
        "check_version", (chain,), _chain("leaf", patch=version_1), errors.CertificateMalformed
    ),
    Mutation(
        "read_p384_key", (chain,), _chain("leaf", key=_p256()), errors.KeyRefused, lambda k, _: k
    ),
    Mutation(
        "check_extensions", (chain,), _chain("zonal", extensions=_parse_critical()),
        errors.CriticalExtensionRefused,
    ),
    *(
        Mutation(
            "check_not_expired", (chain,),
            _chain(name, life=(timedelta(hours=-9), timedelta(seconds=-1))),
            errors.CertificateExpired, about=name,
        )
        for name in ("regional", "zonal", "instance", "leaf")
    ),
    *(
        Mutation(
            "check_started", (chain,),
            _chain(name, life=(timedelta(seconds=31), timedelta(hours=9))),
            errors.CertificateNotYetValid, about=name,
        )
        for name in ("regional", "zonal", "instance", "leaf")
    ),
    *(
        Mutation(
            "check_is_authority", (chain,), _chain(name, ca=ca, path_length=None),
            errors.NotAnIssuer, about=f"{name}-{ca}",
        )
        for name in ("regional", "zonal", "instance")
        for ca in (False, None)
    ),
    Mutation("check_path_length", (chain,), _extra_authority, errors.PathTooLong),
    Mutation(
        "check_path_length", (chain,), _chain("regional", path_length=1), errors.PathTooLong,
        about="regional",
    ),
    *(
        Mutation(
            "check_may_sign_certificates", (chain,), _chain("instance", uses=uses),
            errors.KeyUsageRefused, about="none" if uses is None else "other",
        )
        for uses in (None, frozenset({"digital_signature", "crl_sign"}))
    ),
    Mutation("check_is_end_entity", (chain,), _chain("leaf", ca=True), errors.NotAnEndEntity),
    *(
        Mutation(
            "check_may_sign_documents", (chain,), _chain("leaf", uses=uses),
            errors.KeyUsageRefused, about="none" if uses is None else "other",
        )
        for uses in (None, frozenset({"key_agreement"}))
    ),
    Mutation(
        "check_algorithm", (chain,), _chain("instance", algorithm=hashes.SHA256()),
        errors.KeyRefused,
    ),
    Mutation(
        "check_issued", (chain,), _chain("zonal", signer=key("somebody else")),
        errors.ChainSignatureInvalid, about="signature",
    ),
    Mutation(
        "check_issued", (chain,), _chain("zonal", issuer="somebody else"), errors.IssuerMismatch,
        about="name",
    ),
    # roots
    Mutation(
        "check_fingerprints", (roots,), lambda: Roots(frozenset()), errors.InvalidArgument
    ),
    Mutation(
        "check_fingerprints", (roots,), lambda: Roots(frozenset({b"short"})),
        errors.InvalidArgument, about="length",
    ),
    # freshness
    Mutation(
        "check_aware", (verify,), lambda: authenticate(mint(), ROOTS, NOW.replace(tzinfo=None)),
        errors.InvalidArgument, about="authenticate", escapes=TypeError,
    ),
    Mutation(
        "check_aware", (live, verify),
        _live(now=NOW.replace(tzinfo=None)), errors.InvalidArgument, escapes=TypeError,
    ),
    Mutation(
        "check_nonce_length", (freshness,), lambda: Challenge(b"short"), errors.InvalidArgument
    ),
    Mutation(
        "check_window", (freshness,), lambda: FreshnessWindow(max_age=timedelta(-1)),
        errors.InvalidArgument,
    ),
    Mutation("check_unused", (freshness,), _reused, errors.ChallengeReused),
    Mutation("check_nonce", (live,), _live(challenge=bytes(32)), errors.NonceMismatch),
    Mutation(
        "check_not_too_old", (live,), _live(now=NOW + timedelta(minutes=6)), errors.DocumentTooOld
    ),
    Mutation(
        "check_not_from_future", (live,), _live(now=NOW - timedelta(seconds=31)),
        errors.DocumentFromFuture,
    ),
    # policy
    Mutation("check_bytes", (policy,), lambda: Exactly("ab"), errors.PolicyInvalid),  # type: ignore[arg-type]
    Mutation("check_values", (policy,), lambda: OneOf(()), errors.EmptyPolicy),
    Mutation("check_reason", (policy,), lambda: Unchecked(" "), errors.PolicyInvalid),
    Mutation("check_members", (policy,), lambda: AllOf(()), errors.EmptyPolicy),
    Mutation(
        "match_field", (nitro_policy,),
        lambda: _under(pki.development_policy(), mint(user_data=b"another")),
        errors.PolicyMismatch,
    ),
    Mutation(
        "check_required_pcrs", (nitro_policy,), _policy(pcrs={0: Exactly(PCRS[0])}),
        errors.PolicyInvalid,
    ),
    Mutation(
        "check_pcr_matchers", (nitro_policy,),
        _policy(pcrs={0: Exactly(b"short"), 1: Exactly(PCRS[1]), 2: Exactly(PCRS[2])}),
        errors.PolicyInvalid,
    ),
    Mutation(
        "check_unsigned_mode", (nitro_policy,),
        _policy(mode=Mode.PRODUCTION, allow_unsigned=True), errors.PolicyInvalid,
    ),
    Mutation(
        "check_compares_something", (nitro_policy,),
        _policy(
            pcrs=dict.fromkeys((0, 1, 2), Unchecked("test")),
            public_key=Unchecked("test"), user_data=Unchecked("test"), nonce=Unchecked("test"),
        ),
        errors.EmptyPolicy,
    ),
    Mutation(
        "check_signed", (nitro_policy,),
        lambda: appraise(authenticate_unsigned(unsigned()), pki.development_policy()),
        errors.UnsignedRefused,
    ),
    Mutation(
        "check_vendor_root", (nitro_policy,),
        lambda: _under(pki.development_policy(mode=Mode.PRODUCTION), mint()),
        errors.TestRootRefused,
    ),
    Mutation(
        "check_not_debug", (nitro_policy,), _debug_in_production, errors.DebugRefused
    ),
    # policies as JSON, and results
    Mutation("check_nesting", (policy_json,), _nested_policy, errors.PolicyInvalid),
    Mutation("check_members", (policy_json,), _unknown_member, errors.PolicyInvalid),
    Mutation(
        "check_sealed", (result,),
        lambda: result.Appraisal(
            evidence=None, findings=result.Findings(Mode.PRODUCTION, (), ()), seal=result.Seal()
        ),
        TypeError,
    ),
)  # fmt: skip
