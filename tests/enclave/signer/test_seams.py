"""Where a secret is used: one place each, in the whole enclave, found by reading its source.

Python has no private; what keeps `_sign_digest` and `l2_signature` from becoming oracles is that
nothing else refers to them, and this is the test that notices when something does.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import strongroom_enclave

ROOT = Path(strongroom_enclave.__path__[0])
SIGNER = ROOT / "signer"


def names(tree: ast.AST) -> Iterator[str]:
    """Yield every name, attribute, import, keyword and string constant of a module."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.FunctionDef(name=name):
                yield name
            case ast.alias(name=name):
                yield from name.split(".")
            case ast.ImportFrom(module=str(name)):
                yield from name.split(".")
            case ast.Constant(value=str(name)):
                yield name


def uses(word: str) -> dict[str, int]:
    """Return how often each enclave module refers to `word`, by path below the package."""
    found = {}
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text())
        count = sum(name == word for name in names(tree))
        if count:
            found[str(path.relative_to(ROOT))] = count
    return found


def test_libsecp256k1_signs_in_one_place() -> None:
    assert uses("sign_recoverable") == {"signer/keys.py": 1}
    # The pool computes with scalars, and signs what the one place hands it.
    assert uses("coincurve") == {"signer/keys.py": 1, "signer/nonces.py": 3}
    assert not uses("sign_msg_hash")
    assert not uses("unsafe_sign_hash")
    for word in ("eth_keys", "eth_account", "ecdsa", "SECP256K1", "secp256k1"):
        assert not uses(word)


def test_only_the_keys_own_two_verbs_reach_a_raw_digest() -> None:
    assert uses("_sign_digest") == {"signer/keys.py": 4}  # the definition and three callers
    tree = ast.parse((SIGNER / "keys.py").read_text())
    callers = {
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and "_sign_digest" in names_called(function)
    }
    assert callers == {"sign_order", "sign_clob_auth"}
    # The bound method of libsecp256k1: declared, set once, called once.
    assert uses("_sign") == {"signer/keys.py": 3}


def test_only_the_one_place_signs_with_a_nonce_made_ahead() -> None:
    tree = ast.parse((SIGNER / "keys.py").read_text())
    callers = [
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and any(ast.unparse(node) == "self.pool.sign" for node in ast.walk(function))
    ]
    assert callers == ["_sign_digest"]
    assert uses("NoncePool") == {"signer/keyring.py": 2, "signer/keys.py": 2}
    assert uses("_combined") == {"signer/nonces.py": 5}  # the definition and four products


def names_called(function: ast.FunctionDef) -> set[str]:
    """Return the attributes that a function calls."""
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {call.attr for call in calls if isinstance(call, ast.Attribute)}


def test_only_the_request_builder_authenticates_with_the_api_secret() -> None:
    assert uses("l2_signature") == {"signer/auth.py": 1, "signer/clob.py": 1}
    assert uses("_mac") == {"signer/auth.py": 3}
    tree = ast.parse((SIGNER / "clob.py").read_text())
    callers = [
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and "l2_signature" in names_called(function)
    ]
    assert callers == ["_build"]


def test_templates_are_compared_in_constant_time() -> None:
    assert uses("compare_digest")["signer/template.py"] == 2  # imported, and used


CORE = ("amounts", "auth", "clob", "contracts", "eip712", "errors", "keccak", "keys", "orders",
        "template")  # fmt: skip


def test_the_core_has_no_clock_randomness_or_io() -> None:
    allowed = {
        "base64", "collections", "coincurve", "Crypto", "dataclasses", "enum", "hmac", "msgspec",
        "re", "sha3", "struct", "strongroom_enclave", "strongroom_wire", "typing",
    }  # fmt: skip
    for module in CORE:
        tree = ast.parse((SIGNER / f"{module}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, module
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] in allowed, module
            if isinstance(node, ast.Name):
                assert node.id not in {"open", "input", "print", "exec", "eval", "float"}, module
            assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), module
            assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)), module
            assert not isinstance(node, ast.Assert), module
