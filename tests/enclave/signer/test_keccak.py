"""Both Keccak libraries agree, and anything that is not Keccak-256 is refused at import."""

import hashlib
import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest
from eth_hash.auto import keccak as eth_hash_keccak
from hypothesis import given
from hypothesis import strategies as st
from strongroom_enclave.signer import keccak
from strongroom_enclave.signer.errors import KeccakUnavailable


def load_with(monkeypatch: pytest.MonkeyPatch, **modules: object) -> ModuleType:
    """Return a fresh instance of the module that found `modules` instead of what is installed."""
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    assert keccak.__file__
    spec = importlib.util.spec_from_file_location("keccak_under_test", keccak.__file__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@given(st.binary(max_size=1000))
def test_both_libraries_and_a_third_agree(data: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fallback = load_with(patch, sha3=None)
    assert "sha3" not in vars(fallback)["_new"].__module__
    assert keccak.keccak256(data) == fallback.keccak256(data) == eth_hash_keccak(data)


def test_the_fallback_is_pycryptodome(monkeypatch: pytest.MonkeyPatch) -> None:
    fallback = load_with(monkeypatch, sha3=None)
    assert type(fallback._new(b"")).__module__ == "Crypto.Hash.keccak"


def test_a_sha3_module_with_nist_padding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nist = SimpleNamespace(keccak_256=hashlib.sha3_256)
    with pytest.raises(KeccakUnavailable) as caught:
        load_with(monkeypatch, sha3=nist)
    assert caught.value.actual == hashlib.sha3_256(b"").hexdigest()


def test_a_sha3_module_without_keccak_gives_way_to_the_other_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = load_with(monkeypatch, sha3=SimpleNamespace(sha3_256=hashlib.sha3_256))
    assert module.keccak256(b"x") == keccak.keccak256(b"x")


def test_without_a_library_there_is_no_signer(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImportError):
        load_with(monkeypatch, sha3=None, **{"Crypto.Hash": None})
