"""What an owner is told when an account is not connected, and what is never shown."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest
from strongroom_host.cli import provision, record_connect
from strongroom_host.cli.session import OwnerSession
from strongroom_host.enclave_client.errors import Unreachable, refusal
from strongroom_host.enclave_client.evidence import VerifiedEvidence
from strongroom_wire.errors import Code
from strongroom_wire.manifest import Account, Tier
from strongroom_wire.owners import Statement
from strongroom_wire.record import Credentials
from strongroom_wire.statements import Action, OwnerOrder

from tests.host.cli.world import Machine
from tests.host.owner.samples import OwnerKeys, sample_manifest, verified

KEY = json.dumps({"key": "API-KEY-1", "secret": "SECRET-7f3a", "passphrase": ""})


class Session:
    """As much of an owner's session as drafting needs."""

    def __init__(self) -> None:
        owners = OwnerKeys.new(1, 1)
        accounts = (Account("ada", "ada", "kraken", "paper", "EUR", 0, Tier()),)
        document = msgspec.structs.replace(sample_manifest(owners), accounts=accounts)
        self.manifest = verified(owners, document)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(record_connect, "open_session", lambda *_: Session())
    return Machine(tmp_path)


def connect(machine: Machine, stdin: str = KEY, expect: int = 0, source: object = "-") -> str:
    done = machine.run("record", "connect", "ada", "--from", source, stdin=stdin, expect=expect)
    assert "SECRET" not in done.out + done.err
    return done.out + done.err


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (Code.SEALED_STATE_REFUSED, "unlock share"),
        (Code.WRONG_PHASE, "strongroom permit"),
        (Code.HALTED, "trading goes on"),
        (Code.SEALED_STATE_REFUSED, "record serve"),
        (Code.KEY_CONFLICT, "another account or venue"),
        (Code.QUORUM_MISSING, "QUORUM_MISSING"),
    ],
)
def test_a_refusal_says_what_to_do(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, code: Code, said: str
) -> None:
    def refused(*_: object) -> bytes:
        raise refusal(code, "connect account ada")

    monkeypatch.setattr(record_connect, "carry_out", refused)
    assert said in connect(machine, expect=4)


def test_what_is_sealed_is_the_manifest_s_account(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafted: list[Credentials] = []
    monkeypatch.setattr(record_connect, "draft_connect", lambda _, made: drafted.append(made))
    monkeypatch.setattr(record_connect, "carry_out", lambda _, draft, __: draft(None))
    connect(machine)
    assert drafted == [Credentials("ada", "kraken", "API-KEY-1", "SECRET-7f3a", "")]


@pytest.mark.parametrize(
    "text", ["", "SECRET", "{}", '{"key": "SECRET", "more": 1}', '{"key": "SECRETé"}', '["SECRET"]']
)
def test_what_is_no_key_is_refused_and_not_shown(machine: Machine, text: str) -> None:
    connect(machine, text, expect=2)


def test_what_cannot_be_remembered_is_said_and_undoes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Away:
        def control(self, _evidence: object) -> object:
            return nullcontext(SimpleNamespace(submit_order=lambda *_: b""))

        def evidence(self) -> object:
            raise Unreachable("the enclave does not answer")

    order = OwnerOrder(Action.CONNECT, bytes(32), bytes(32), "ada")
    session, nothing = cast(OwnerSession, Away()), cast(VerifiedEvidence, None)
    assert provision._submit(session, nothing, cast(Statement, None), order) == b""
    told = capsys.readouterr()
    assert "account ada is connected" in told.out
    assert "was not remembered: the enclave does not answer" in told.err
    assert "record returns ada" in told.err


def test_a_key_that_others_may_read_is_pointed_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_connect, "carry_out", lambda *_: None)
    path = machine.folder / "key.json"
    path.write_text(KEY)
    path.chmod(0o644)
    assert "other users may read" in connect(machine, source=path)
    path.chmod(0o600)
    assert "other users may read" not in connect(machine, source=path)


def test_without_a_terminal_it_is_not_asked_for(machine: Machine) -> None:
    done = machine.run("record", "connect", "ada", expect=2)
    assert "--from FILE" in done.err
