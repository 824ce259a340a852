"""A manifest that asks for nonces made ahead, and the machines that init takes it on."""

import msgspec
import pytest
from strongroom_enclave.init.lifecycle import Phase
from strongroom_enclave.messages import Kind
from strongroom_wire.errors import Code
from strongroom_wire.manifest import Egress, Manifest

from tests.enclave.init.harness import Harness, Machine
from tests.hostile.driver import Desk

HOST = "clob.polymarket.com"


def asked(mode: str, pool: int) -> Desk:
    """Returns owners whose per-boot key has so many nonces made ahead."""
    desk = Desk()
    keys = [
        msgspec.structs.replace(key, venue=HOST, nonce_pool=pool if key.per_boot else 0)
        for key in desk.manifest.keys
    ]
    return desk.but(mode=mode, keys=tuple(keys), egress=(Egress(HOST, 443, (), ()),))


def loaded(desk: Desk, copies: bool) -> tuple[Code, Harness]:
    machine = Machine()
    machine.copies = copies
    harness = Harness(machine)
    with harness:
        code = harness.ask(Kind.LOAD_MANIFEST, desk.signed.serialise()).code
        phase = Phase.CONFIGURED if code is Code.OK else Phase.BOOTED
        assert harness.phase() == phase
        assert ("extend" in machine.calls) is (code is Code.OK), "measured if and only if taken"
    return code, harness


def test_in_production_memory_that_can_be_copied_has_no_pool() -> None:
    assert loaded(asked("production", 8), copies=True)[0] is Code.MANIFEST_INVALID
    assert loaded(asked("production", 8), copies=False)[0] is Code.OK


def test_development_may_have_one_anywhere() -> None:
    assert loaded(asked("development", 8), copies=True)[0] is Code.OK


def test_without_a_pool_the_machine_is_not_even_asked() -> None:
    code, harness = loaded(asked("production", 0), copies=True)
    assert code is Code.OK
    assert "copyable" not in harness.machine.calls


def test_a_machine_that_cannot_say_ends_the_boot() -> None:
    machine = Machine()
    machine.failing.add("copyable")
    with Harness(machine) as harness:
        statement = asked("production", 8).signed.serialise()
        assert harness.ask(Kind.LOAD_MANIFEST, statement).code is Code.HALTED
        assert "extend" not in machine.calls


@pytest.mark.parametrize("pool", [0, 8])
def test_the_signer_is_told_of_it(pool: int) -> None:
    desk = asked("development", pool)
    with Harness() as harness:
        assert harness.ask(Kind.LOAD_MANIFEST, desk.signed.serialise()).code is Code.OK
        configuration = harness.until(harness.signer, Kind.CONFIGURE).payload
    assert (b"nonce_pool" in configuration) is bool(pool)
    document = Manifest.parse(desk.signed.payload)
    assert [key.nonce_pool for key in document.keys] == [0, 0, pool]
