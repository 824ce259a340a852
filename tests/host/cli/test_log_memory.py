"""A log that was pulled into an owner's folder is held against what he remembers of it."""

from pathlib import Path

import pytest
from strongroom_host.cli.log_memory import memory_beside, remember_pulled
from strongroom_host.log.tree import LogReader
from strongroom_host.owner.heads import HeadMemory, How

from tests.host.log.histories import ORIGIN, History, stored
from tests.wire.samples import byte


def pulled(memory: HeadMemory, history: History) -> bool:
    reader = LogReader(stored(history.entries), history.tree.head)
    return remember_pulled(memory, ORIGIN, reader, history.tree.head, byte(1))


def test_a_log_beside_an_owner_has_his_memory(tmp_path: Path) -> None:
    assert memory_beside(tmp_path / "log") is None
    (tmp_path / "owner.json").write_text("{}")
    memory = memory_beside(tmp_path / "log")
    assert memory is not None
    assert pulled(memory, History().boot(1, 5))
    assert (tmp_path / "heads").exists()
    assert memory_beside(tmp_path / "elsewhere" / "log") is None


def test_what_goes_on_is_remembered(tmp_path: Path) -> None:
    memory, history = HeadMemory(tmp_path / "heads"), History().boot(1, 300)
    assert pulled(memory, history)
    assert pulled(memory, history.boot(2, 5))
    known = memory.known(ORIGIN)
    assert [each.head.size for each in known] == [301, 307]
    assert {each.how for each in known} == {How.PULLED}


@pytest.mark.parametrize("leaves", [0, 5, 400])
def test_what_lacks_a_known_head_is_told_and_remembered_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], leaves: int
) -> None:
    memory, history = HeadMemory(tmp_path / "heads"), History().boot(1, 20)
    assert pulled(memory, history)
    other = History().boot(3, leaves)
    assert not pulled(memory, other)
    told = capsys.readouterr().err
    assert "lacks the history of 21 leaves" in told
    assert "pulled on" in told
    assert len(memory.known(ORIGIN)) == 2, "the next permit has to give one of them up"
