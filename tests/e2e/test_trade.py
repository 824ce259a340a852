"""`strongroom demo-trade` as a person runs it, and its facts looked up in everybody's books."""

import json
import re
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from strongroom_host.demo.folders import Folders
from strongroom_host.demo.story import DemoFailed
from strongroom_host.demo_trade.facts import kept_leaves
from strongroom_host.log.stored import StoredLog
from strongroom_host.ring.places import ring_path
from strongroom_wire.leaves import Leaf

from tests.e2e.commands import STRONGROOM, environment, run, strays

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    done = run("demo-trade", "--seconds", "5", "--json", "--keep", str(folder))
    assert done.returncode == 0, done.stderr
    assert strays(str(folder)) == []
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def journal(folder: Path) -> list[tuple[bytes, str, bytes]]:
    (path,) = (folder / "bot" / "journal").glob("*.db")
    database = sqlite3.connect(path)
    rows = database.execute(
        "SELECT order_hash, state, leaf FROM orders o JOIN requests r ON r.sequence = o.sequence"
    ).fetchall()
    database.close()
    return rows


def decisions(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "bot" / "decisions.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_orders_were_filled_each_sent_once_and_each_is_a_leaf_of_the_log(
    folder: Path, report: dict[str, Any]
) -> None:
    facts, rows = report["facts"], journal(folder)
    assert facts["orders"] == len(rows) == len({row[0] for row in rows}) > 0
    assert not [row for row in rows if row[1] in ("sent", "unknown")]
    log = StoredLog(folder / "bot" / "log")
    for _, _, leaf in rows:
        assert log.leaf(Leaf.parse(leaf).index) == leaf
    assert facts["leaves"] == len(rows)
    fills = [each for each in decisions(folder) if each["record"] == "event" and each["filled"]]
    assert facts["filled"] == len({each["order_hash"] for each in fills}) > 0
    assert facts["shares"] == sum(each["filled"] for each in fills)
    assert {bytes.fromhex(each["order_hash"]) for each in fills} <= {row[0] for row in rows}
    assert facts["open"] == 0


def test_denials_came_from_the_owners_limits(folder: Path, report: dict[str, Any]) -> None:
    answers = [each for each in decisions(folder) if each["record"] == "answer"]
    denied = [each["rule"] for each in answers if each.get("rule")]
    assert set(denied) <= {"WINDOW_NOTIONAL", "PRICE_BAND"}
    assert report["facts"]["denials"] == {rule: denied.count(rule) for rule in set(denied)}
    assert denied


def test_every_decision_is_on_record_with_the_answer_and_its_leaf(
    folder: Path, report: dict[str, Any]
) -> None:
    records = decisions(folder)
    made = [each for each in records if each["record"] == "decision"]
    assert [each["number"] for each in made] == list(range(1, len(made) + 1))
    signed = [each for each in records if each["record"] == "answer" and not each["code"]]
    assert {bytes.fromhex(each["order_hash"]) for each in signed} == {
        row[0] for row in journal(folder)
    }
    assert all(isinstance(each["leaf"], int) for each in signed)
    assert all(len(each["inputs_digest"]) == 64 for each in made)


def test_an_order_that_is_not_in_the_log_is_noticed(
    folder: Path, report: dict[str, Any], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (path,) = (copy / "bot" / "journal").glob("*.db")
    database = sqlite3.connect(path)
    (leaf,) = database.execute("SELECT leaf FROM requests ORDER BY sequence LIMIT 1").fetchone()
    changed = bytes([*leaf[:-20], leaf[-20] ^ 1, *leaf[-19:]])
    database.execute("UPDATE requests SET leaf = ? WHERE leaf = ?", (changed, leaf))
    database.commit()
    database.close()
    folders = Folders(copy, copy / "run" / "enclave", copy / "database")
    with pytest.raises(DemoFailed, match="another leaf"):
        kept_leaves(folders, [path])


def test_stopped_half_way_it_leaves_nothing_behind() -> None:
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        process = subprocess.Popen(
            [*STRONGROOM, "demo-trade", "--seconds", "60", "--json", "--keep", name],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        until = time.monotonic() + 200
        while not (Path(name) / "bot" / "decisions.jsonl").exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        # Another worker may have a demo of its own beside this one.
        (ring,) = {
            found for line in strays(name) for found in re.findall(r"demo-[0-9a-f]{8}", line)
        }
        process.terminate()
        process.communicate(timeout=200)
        assert process.returncode == 130
        assert strays(name) == []
        assert not list(ring_path("x").parent.glob(f"*{ring}*"))
