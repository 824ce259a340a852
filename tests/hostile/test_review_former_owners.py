"""Owners who handed over keep the owner root, their signatures and their memory of the share."""

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
from strongroom_wire import manifest
from strongroom_wire.errors import Code
from strongroom_wire.statements import Action

from tests.hostile.conftest import Start
from tests.hostile.driver import Boot, Desk, Owners
from tests.hostile.test_provisioning import with_share


@dataclass(frozen=True)
class Line:
    """A desk whose first owners handed over, step by step, to the last of `sets`."""

    desk: Desk
    sets: tuple[Owners, ...]

    def at(self, version: int) -> Desk:
        document = self.desk.manifest
        for before, after in zip(self.sets, self.sets[1:], strict=False):
            changes = document.owner_changes
            drafted = manifest.OwnerChange(after.spec, ())
            fields: dict[str, Any] = {"owner_changes": (*changes, drafted)}
            document = msgspec.structs.replace(document, **fields)
            message = manifest.owner_change_message(document, len(changes))
            made = before.sign(manifest.OWNER_CHANGE_DOMAIN, message).signatures
            pairs = tuple((each.key.hex(), each.value.hex()) for each in made)
            signed = msgspec.structs.replace(drafted, signatures=pairs)
            fields = {"owner_changes": (*changes, signed)}
            document = msgspec.structs.replace(document, **fields)
        genesis = self.sets[0].spec
        changed = self.desk.but(
            version=version, genesis=genesis, owner_changes=document.owner_changes
        )
        return replace(changed, owners=self.sets[-1])


@pytest.fixture(scope="module")
def old() -> Desk:
    return Desk()


@pytest.fixture(scope="module")
def new() -> Owners:
    return Owners.new()


@pytest.fixture(scope="module")
def exporter(start: Start, old: Desk, new: Owners) -> Boot:
    boot = with_share(start(Line(old, (old.owners, new)).at(2)))
    assert boot.order(Action.GENERATE, "main")[0] is Code.OK
    return boot


@pytest.fixture(scope="module")
def blob(exporter: Boot) -> bytes:
    code, blob = exporter.order(Action.EXPORT)
    assert code is Code.OK
    return blob


def test_former_owners_do_not_open_what_their_successors_sealed(
    start: Start, exporter: Boot, blob: bytes, old: Desk
) -> None:
    """Not under a manifest without the hand-over, nor on a branch of their own, at any version."""
    for sets in ((old.owners,), (old.owners, Owners.new())):
        theirs = with_share(start(Line(old, sets).at(9), exporter.enclave.state))
        assert theirs.bundle.owner_root == exporter.bundle.owner_root
        assert theirs.order(Action.RESTORE, body=blob) == (Code.SEALED_STATE_REFUSED, b"")


def test_successors_open_what_was_sealed_before_them(
    start: Start, exporter: Boot, blob: bytes, old: Desk, new: Owners
) -> None:
    last = with_share(
        start(Line(old, (old.owners, new, Owners.new())).at(3), exporter.enclave.state)
    )
    assert last.order(Action.RESTORE, body=blob) == (Code.OK, (1).to_bytes(4, "big"))
