"""Credentials: parsed strictly, shown never, and an HMAC that another implementation confirms."""

import base64
import pickle

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import hmac as crypto_hmac
from hypothesis import example, given
from hypothesis import strategies as st
from polymarket._internal.hmac import build_hmac_signature as polymarket_hmac
from py_clob_client_v2.signing.hmac import build_hmac_signature as clob_hmac
from strongroom_enclave.signer import errors
from strongroom_enclave.signer.auth import ApiCredential

from tests.enclave.signer.strategies import api_keys, passphrases

SECRET = bytes(range(32))
TEXT = base64.urlsafe_b64encode(SECRET).decode()


@given(st.binary(min_size=16, max_size=64), api_keys, passphrases)
def test_a_venues_credential_parses(secret: bytes, api_key: str, passphrase: str) -> None:
    text = base64.urlsafe_b64encode(secret).decode()
    credential = ApiCredential(api_key, text, passphrase)
    assert (credential.api_key, credential.passphrase) == (api_key, passphrase)


@pytest.mark.parametrize(
    "secret",
    [
        "", "=", "====", TEXT[:-1], TEXT + "=", TEXT + "\n", "\n" + TEXT,
        TEXT.replace("A", "A ", 1),
        TEXT[:-2] + "9=", TEXT.rstrip("="), "!" + TEXT[1:], TEXT[:-1] + "\u00bd", "\x00" * 44,
        base64.b64encode(b"\xff" * 32).decode(), base64.urlsafe_b64encode(bytes(15)).decode(),
        base64.urlsafe_b64encode(bytes(65)).decode(), TEXT * 100_000,
    ],
)  # fmt: skip
def test_a_malformed_secret_is_refused_without_being_quoted(secret: str) -> None:
    with pytest.raises(errors.CredentialError, match="API secret") as caught:
        ApiCredential("key", secret, "passphrase")
    assert not secret or len(str(secret)) < 8 or str(secret)[:8] not in str(caught.value)


@given(st.text(max_size=90) | st.text("AZaz09-_+/= \n", max_size=90))
@example(TEXT[:-2] + "8=")
def test_the_parser_lets_only_its_own_errors_out_and_takes_one_spelling(secret: str) -> None:
    try:
        ApiCredential("key", secret, "passphrase")
    except errors.CredentialError as error:
        assert error.what == "API secret"  # noqa: PT017
        return
    assert base64.urlsafe_b64encode(base64.urlsafe_b64decode(secret)).decode() == secret


BAD = ["", " ", "a b", "a\r", "a\n", "a\r\nX-Evil: 1", "a\0", 'a"', "a'", "a\\", "a%s", "a{0}", "ä",
       "\u0661", "a:b,"]  # fmt: skip


@pytest.mark.parametrize("text", [*BAD, "k" * 65, "k_", "k.k", "k\u2028"])
def test_an_api_key_with_another_alphabet_is_refused(text: str) -> None:
    with pytest.raises(errors.CredentialError, match="API key"):
        ApiCredential(text, TEXT, "passphrase")


@pytest.mark.parametrize("text", [*BAD, "p" * 129, "p\u2028"])
def test_a_passphrase_with_another_alphabet_is_refused(text: str) -> None:
    with pytest.raises(errors.CredentialError, match="passphrase") as caught:
        ApiCredential("key", TEXT, text)
    assert caught.value.actual == "another"


@given(st.text(max_size=150), st.text(max_size=80) | st.just(TEXT), st.text(max_size=150))
def test_credentials_let_only_their_own_errors_out(key: str, secret: str, phrase: str) -> None:
    try:
        credential = ApiCredential(key, secret, phrase)
    except errors.CredentialError:
        return
    for value in (credential.api_key, credential.passphrase):
        assert value.isascii()
        assert value.isprintable()
        assert not set(value) & set(" \"'\\%{}:;,")


def test_a_credential_shows_neither_secret_nor_passphrase() -> None:
    credential = ApiCredential("the-key", TEXT, "the-passphrase")
    for shown in (repr(credential), str(credential)):
        assert "the-key" in shown
        assert "passphrase=" not in shown
        assert "the-passphrase" not in shown
        assert "_mac" not in shown
        assert TEXT not in shown
    assert not hasattr(credential, "secret")
    with pytest.raises(TypeError):
        pickle.dumps(credential)
    with pytest.raises(AttributeError):
        credential.passphrase = "x"  # type: ignore[misc]


_ascii = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="'"))


@given(
    st.binary(min_size=16, max_size=64),
    st.integers(0, 2**64 - 1),
    st.sampled_from(["GET", "POST", "DELETE"]),
    _ascii,
    _ascii,
)
def test_l2_signatures_equal_other_implementations(
    secret: bytes, timestamp: int, method: str, path: str, body: str
) -> None:
    text = base64.urlsafe_b64encode(secret).decode()
    ours = ApiCredential("key", text, "p").l2_signature(timestamp, method, path, body)
    mac = crypto_hmac.HMAC(secret, hashes.SHA256())
    mac.update(f"{timestamp}{method}{path}{body}".encode())
    assert ours == base64.urlsafe_b64encode(mac.finalize()).decode()
    assert ours == clob_hmac(text, str(timestamp), method, path, body)
    assert ours == polymarket_hmac(
        secret=text, timestamp=timestamp, method=method, path=path, body=body
    )
    assert len(ours) == 44


def test_a_credential_signs_the_same_twice() -> None:
    credential = ApiCredential("key", TEXT, "p")
    assert len({credential.l2_signature(1, "GET", "/", "") for _ in range(3)}) == 1
