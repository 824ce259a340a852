"""What a host may do to a stored log, and what `strongroom log` says of it, as a person would ask.

The logs are kept ones with genuine evidence; each is damaged on the disk, not in memory.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from strongroom_host.cli.app import app
from strongroom_host.log.boots import Boots, boot_path
from strongroom_host.log.files import LogFiles
from strongroom_host.log.folder import FolderLog
from strongroom_host.log.http import build_app
from strongroom_host.log.notes import Checkpoint, VerifierKey, signed_note
from strongroom_host.log.serving import LogServer
from strongroom_host.log.stored import FolderStorage
from strongroom_host.log.tiles import CHECKPOINT, ENTRIES, Tile, bundle
from strongroom_host.owner.heads import HeadMemory, How, RememberedHead
from strongroom_host.store import Journal
from strongroom_host.venue.requests import SignedRequest
from strongroom_host.witness.server import listen
from strongroom_wire.bundle import LogHead
from strongroom_wire.leaves import Kind, Leaf
from strongroom_wire.pages import Entry
from typer.testing import CliRunner

from tests.host.log.boots_made import Kept, Running, manifest
from tests.wire.samples import byte, private_key
from tests.wire.test_merkle import grown

ONE, TWO = Running(manifest(7)), Running(manifest(8))
LEAVES = 300


def kept(count: int = LEAVES) -> Kept:
    """A log of two boots: bundle 0 is full, the rest is in the tail."""
    log = Kept().start(ONE).decide(*([True, False] * 70))
    log.start(TWO)
    return log.decide(*([True, True, False] * 100)[: count - log.tree.size])


LOG = kept()
ORDER = 5
"""A leaf of a signed order; the hash of that order is its index in every byte."""


class Owner:
    """A folder with a log in it, and the commands that are run there."""

    def __init__(self, folder: Path, log: Kept) -> None:
        self.folder, self.kept = folder, log
        self.log = log.store(folder)

    def run(self, *arguments: object, expect: int | None = 0) -> str:
        """Returns what `strongroom log` prints, stdout and stderr."""
        names = ("STRONGROOM_OWNER", "STRONGROOM_CLIENT")
        environment = dict.fromkeys(names, str(self.folder)) | {"COLUMNS": "200"}
        words = ["log", *(str(each) for each in arguments)]
        done = CliRunner().invoke(app, words, env=environment)
        assert expect is None or done.exit_code == expect, f"{words}: {done.output}"
        return done.stdout if "--json" in words else done.output

    def verify(self, *more: object, expect: int = 3) -> list[tuple[str, int, int]]:
        """Returns the findings of `log verify`, by their codes."""
        found = self.verified(*more, expect=expect)["findings"]
        return [(each["code"], each["from"], each["to"]) for each in found]

    def verified(self, *more: object, expect: int = 0) -> Any:
        return json.loads(self.run("verify", "--log", self.log, "--json", *more, expect=expect))

    def rewrite(self, entries: list[bytes]) -> None:
        """Lays the log out anew with these leaves, as consistent as a host can make it."""
        note = (self.log / CHECKPOINT).read_bytes()
        for name in ("tile", "tail.0", "tail.1", "tail.2", CHECKPOINT):
            path = self.log / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        with LogFiles(self.log) as files:
            files.append(0, entries)
        (self.log / CHECKPOINT).write_bytes(note)


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path, LOG)


def test_a_log_in_order(owner: Owner) -> None:
    found = owner.verified()
    assert (found["ok"], found["findings"], found["proven"]) == (True, [], LEAVES)
    assert [each["manifest version"] for each in found["boots"]] == [7, 8]
    assert all(each["permits"][0]["verified"] for each in found["boots"])
    text = owner.run("verify", "--log", owner.log)
    assert "in order: 300 leaves of 2 boots" in text
    assert "image    simulated" in text
    assert "No witness vouches" in text
    assert owner.verify("--from", 150, "--to", 290, expect=0) == []


def test_a_copy_takes_no_leaves_that_no_boot_of_the_log_signed(
    owner: Owner, tmp_path: Path
) -> None:
    """Whoever serves the log goes on with it himself, in a way that is consistent."""
    with LogFiles(tmp_path / "evil") as files:
        files.append(0, [*LOG.entries, b"made up"])
        text = Checkpoint(TWO.origin, files.head).text()
        stranger = VerifierKey(TWO.origin, private_key(99).public_key().public_bytes_raw())
        files.publish(signed_note(text, stranger, private_key(99).sign(text)))
    shutil.copytree(owner.log / "boots", tmp_path / "evil" / "boots")
    copy = tmp_path / "copy"
    owner.run("mirror", owner.log, "--log", copy)
    owner.run("mirror", tmp_path / "evil", "--log", copy, expect=3)
    assert FolderLog(copy).size == LEAVES
    said = owner.run(
        "mirror",
        tmp_path / "evil",
        "--log",
        copy,
        "--owner",
        tmp_path / "nobody",
        "--client",
        tmp_path / "nobody",
    )
    assert "signatures were not verified" in said


# --- leaves ---------------------------------------------------------------------------------------

E = LOG.entries


def changed(at: int) -> bytes:
    return msgspec.structs.replace(Leaf.parse(E[at]), commitment=byte(0xEE)).serialise()


WHOLE: dict[str, tuple[list[bytes], tuple[str, int, int]]] = {
    "dropped in a full bundle": ([*E[:20], *E[21:]], ("dropped", 20, 21)),
    "dropped in the tail": ([*E[:280], *E[281:]], ("dropped", 280, 281)),
    "reordered": ([*E[:30], E[31], E[30], *E[32:]], ("reordered", 31, 32)),
    "duplicated": ([*E[:40], E[39], *E[40:]], ("duplicated", 40, 41)),
    "edited": ([*E[:50], changed(50), *E[51:]], ("wrong_opening", 50, 51)),
    "truncated": (E[:290], ("shorter", 290, 300)),
    "truncated to nothing": ([], ("shorter", 0, 300)),
    "a boot cut out": ([*E[:141]], ("shorter", 141, 300)),
    "no leaf": ([*E[:60], b"garbage", *E[61:]], ("unreadable", 60, 61)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_log_laid_out_anew_is_told(owner: Owner, name: str) -> None:
    entries, finding = WHOLE[name]
    owner.rewrite(entries)
    assert finding in owner.verify()
    text = owner.run("verify", "--log", owner.log, expect=3)
    assert f"{finding[0]}: " in text
    assert "error: the log is not in order" in text


def test_an_edited_file_is_told_with_the_leaf(owner: Owner) -> None:
    path = owner.log / Tile(ENTRIES, 0).path
    path.write_bytes(bundle([*E[:50], changed(50), *E[51:256]]))
    assert ("edited", 50, 51) in owner.verify()
    assert ("edited", 50, 51) in owner.verify("--from", 40, "--to", 60)
    assert owner.verify("--from", 256, expect=0) == []


@pytest.mark.parametrize(
    ("path", "finding"),
    [
        (Tile(ENTRIES, 0).path, ("unreadable", 0, 1)),
        (Tile(0, 0).path, ("unreadable", 0, 1)),
        ("tail.1", ("shorter", 256, 300)),
        (CHECKPOINT, ("unsigned", 0, 300)),
    ],
)
def test_a_missing_file_is_told(owner: Owner, path: str, finding: tuple[str, int, int]) -> None:
    (owner.log / path).unlink()
    assert finding in owner.verify()


def test_a_tail_that_was_cut_is_told(owner: Owner) -> None:
    path = owner.log / "tail.1"
    path.write_bytes(path.read_bytes()[:-200])
    [finding] = owner.verify()
    assert finding[0] == "shorter"


# --- old copies and forks -------------------------------------------------------------------------


def test_an_old_copy_is_told_by_newer_evidence(owner: Owner, tmp_path: Path) -> None:
    """The leaves are of yesterday; what the boots vouched for since is not forgotten with them."""
    old = Owner(tmp_path / "old", kept(200))
    for boot in LOG.boots.values():
        Boots(old.log).add(boot)
    assert old.verify() == [("shorter", 200, 300)]


def test_an_old_copy_is_told_by_a_head_that_was_kept_elsewhere(
    owner: Owner, tmp_path: Path
) -> None:
    old = Owner(tmp_path / "old", kept(200))
    assert old.verify(expect=0) == []  # by itself nothing tells
    mail = owner.log / CHECKPOINT
    assert old.verify("--checkpoint", mail) == [("shorter", 200, 300)]
    assert "fewer than" in old.run("compare", old.log, mail, expect=1)


def test_an_old_copy_is_told_by_the_owners_memory(owner: Owner, tmp_path: Path) -> None:
    old = Owner(tmp_path / "old", kept(200))
    HeadMemory(old.folder / "heads").remember(
        ONE.origin, [RememberedHead(LOG.head, How.PULLED, 1_700_000_000_000)]
    )
    assert old.verify() == [("shorter", 200, 300)]
    assert "the owner's memory" in old.run("verify", "--log", old.log, expect=3)


def journal(path: Path, log: Kept, *indices: int) -> Path:
    """A client's journal, as `store.Journal` lays out what it was handed."""
    path.parent.mkdir(exist_ok=True)
    with Journal(path) as made:
        for sequence, at in enumerate(indices):
            entry, order = Entry(log.entries[at], log.openings[at]), sha256(b"%d" % at).digest()
            made.prepare(SignedRequest((order,), b"request %d" % at, sequence, entry))
    return path


def test_an_old_copy_is_told_by_what_a_client_was_handed(owner: Owner, tmp_path: Path) -> None:
    held = journal(tmp_path / "journal" / "boot.db", LOG, 7, 201, 299)
    assert owner.verify("--journal", held, expect=0) == []
    old = Owner(tmp_path / "old", kept(200))
    assert old.verify("--journal", held.parent) == [("shorter", 201, 202), ("shorter", 299, 300)]
    assert old.verify("--journal", held, "--to", 10)[0] == ("shorter", 201, 202)
    other = Owner(tmp_path / "other", fork())
    found = other.verify("--journal", journal(tmp_path / "x.db", LOG, 103))
    assert found == [("edited", 103, 104)]
    assert "two clients were handed" in other.run(
        "verify", "--log", other.log, "--journal", tmp_path / "x.db",
        "--journal", journal(tmp_path / "y.db", other.kept, 103), expect=3,
    )  # fmt: skip
    assert "cannot read the journal" in old.run(
        "verify", "--log", old.log, "--journal", old.log / CHECKPOINT, expect=2
    )


def fork() -> Kept:
    """Another history from leaf 101 on, by the same boots: as two clones would make it."""
    log = Kept().start(ONE).decide(*([True, False] * 50))
    return log.decide(*([False] * 99))


def test_two_histories_shown_to_two_are_told_when_they_compare(
    owner: Owner, tmp_path: Path
) -> None:
    other = Owner(tmp_path / "other", fork())
    assert other.verify(expect=0) == []
    assert owner.verify(expect=0) == []
    text = owner.run("compare", owner.log, other.log, expect=3)
    assert "different histories from leaf 101 on" in text
    assert text.count("signed by boot") == 2
    found = json.loads(owner.run("compare", owner.log, other.log, "--json", expect=3))
    assert (found["outcome"], found["common"]) == ("forked", 101)
    assert [leaf["kind"] for leaf in found["leaves"]] == ["SIGNED", "DENIED"]
    for mail in (other.log / CHECKPOINT, _proof(other)):
        assert "another history" in owner.run("compare", mail, owner.log, expect=3)
        assert owner.verify("--checkpoint", mail)[0][0] == "forked"


def _proof(owner: Owner) -> Path:
    file = owner.folder / "x.tlog-proof"
    owner.run("prove", "inclusion", 3, "--log", owner.log, "--out", file)
    return file


def test_one_history_is_one(owner: Owner, tmp_path: Path) -> None:
    old = Owner(tmp_path / "old", kept(200))
    assert "begins with the 200" in owner.run("compare", owner.log, old.log)
    assert "one history of 300 leaves" in owner.run("compare", owner.log, owner.log, "--every-leaf")
    assert "begins with" in owner.run("compare", owner.log, old.log / CHECKPOINT)


def test_leaves_that_are_not_those_of_their_tiles_are_told(owner: Owner, tmp_path: Path) -> None:
    other = Owner(tmp_path / "other", LOG)
    path = other.log / Tile(ENTRIES, 0).path
    path.write_bytes(bundle([*E[:50], changed(50), *E[51:256]]))
    assert "one history" in owner.run("compare", owner.log, other.log)  # by the tiles
    text = owner.run("compare", owner.log, other.log, "--every-leaf", expect=3)
    assert "from leaf 50 on" in text
    assert f"in {other.log} is not that of its own tiles" in text


def test_a_copy_that_contradicts_its_own_head_is_told(owner: Owner, tmp_path: Path) -> None:
    other = Owner(tmp_path / "other", fork())
    (other.log / CHECKPOINT).write_bytes(LOG.boot.note(grown(E[:150]).head))
    text = owner.run("compare", owner.log, other.log, expect=3)
    assert "do not lead to its own signed head" in text


# --- evidence, signatures, openings ---------------------------------------------------------------


def damage_evidence(owner: Owner) -> None:
    (owner.log / boot_path(ONE.boot_id)).write_bytes(b"{}")


def swap_evidence(owner: Owner) -> None:
    Boots(owner.log).add(msgspec.structs.replace(LOG.boots[ONE.boot_id], document=b"x"))


def another_signer(owner: Owner) -> None:
    (owner.log / CHECKPOINT).write_bytes(Running(manifest(8)).note(LOG.head))


def a_larger_head(owner: Owner) -> None:
    (owner.log / CHECKPOINT).write_bytes(TWO.note(LogHead(400, byte(1))))


def another_root(owner: Owner) -> None:
    (owner.log / CHECKPOINT).write_bytes(TWO.note(LogHead(300, byte(1))))


def alter_opening(owner: Owner) -> None:
    with sqlite3.connect(owner.log / "openings.db") as database:
        database.execute("UPDATE openings SET opening = zeroblob(99) WHERE leaf = 7")


ASIDE: dict[str, tuple[Callable[[Owner], None], tuple[str, int, int]]] = {
    "evidence that is none": (damage_evidence, ("unproved", 0, 141)),
    "evidence with another document": (swap_evidence, ("unproved", 0, 141)),
    "a head that another key signed": (another_signer, ("unsigned", 0, 300)),
    "a head of more leaves": (a_larger_head, ("shorter", 300, 400)),
    "a head of another tree": (another_root, ("forked", 0, 300)),
    "an opening of another leaf": (alter_opening, ("wrong_opening", 7, 8)),
}


@pytest.mark.parametrize("name", ASIDE)
def test_what_is_beside_the_leaves_is_checked(owner: Owner, name: str) -> None:
    change, finding = ASIDE[name]
    change(owner)
    assert finding in owner.verify()


def test_the_evidence_of_another_image_or_owner_is_refused(owner: Owner, tmp_path: Path) -> None:
    trust = owner.folder / "trust.json"
    good = trust.read_bytes()
    trust.write_bytes(good.replace(b"01" * 48, b"04" * 48))
    codes = {code for code, _, _ in owner.verify()}
    assert codes == {"unproved", "unsigned"}
    trust.write_bytes(good.replace(ONE.document.owner_root.hex().encode(), b"ab" * 32))
    assert "not the one in the trust file" in owner.run("verify", "--log", owner.log, expect=3)
    trust.unlink()
    assert "no trust file" in owner.run("verify", "--log", owner.log, expect=2)


def test_with_a_key_alone_nothing_is_said_of_images(owner: Owner) -> None:
    text = owner.run("verify", "--log", owner.log, "--key", TWO.key)
    assert "No evidence was given for 2 of 2 boots" in text
    assert "unsigned: " in owner.run("verify", "--log", owner.log, "--key", ONE.key, expect=3)


def test_a_log_is_verified_where_it_is_served(owner: Owner) -> None:
    with (
        listen("127.0.0.1", 0) as listener,
        LogServer(build_app(FolderStorage(owner.log)), listener),
    ):
        url = "http://{}:{}".format(*listener.getsockname()[:2])
        cache, openings = owner.folder / "cache", ("--openings", owner.log)
        more = ("--log", url, "--cache", cache)
        assert "in order: 300 leaves" in owner.run("verify", *more, *openings)
        assert "was not opened" in owner.run("verify", *more)
        assert len(owner.run("show", *more).splitlines()) == 300
        assert "one history of 300" in owner.run("compare", url, owner.log)
        swap_evidence(owner)
        text = owner.run("verify", *more, expect=3)
        assert "unproved: leaves 0 to 140" in text
        (owner.log / Tile(ENTRIES, 0).path).unlink()
        shutil.rmtree(cache)
        assert "unreadable: leaf 0" in owner.run("verify", *more, expect=3)
    assert "cannot read" in owner.run("verify", *more, expect=5)


# --- looking --------------------------------------------------------------------------------------


def test_show_survives_what_no_log_has(owner: Owner) -> None:
    late = msgspec.structs.replace(Leaf.parse(E[2]), time_ms=(1 << 64) - 1).serialise()
    never = msgspec.structs.replace(Leaf.parse(E[3]), time_ms=0).serialise()
    owner.rewrite([*E[:2], late, never, b"garbage", *E[5:300]])
    lines = owner.run("show", "--log", owner.log).splitlines()
    assert len(lines) == 300
    assert f"{(1 << 64) - 1} ms" in lines[2]
    assert "no time" in lines[3]
    assert "unreadable: no leaf" in lines[4]
    (owner.log / Tile(ENTRIES, 0).path).unlink()
    lines = owner.run("show", "--log", owner.log).splitlines()
    assert "0 to 255  unreadable" in lines[0]
    assert len(lines) == 1 + 44


def test_show_filters(owner: Owner) -> None:
    def shown(*more: object) -> list[dict[str, Any]]:
        text = owner.run("show", "--log", owner.log, "--json", *more)
        return [json.loads(line) for line in text.splitlines()]

    assert len(shown()) == 300
    assert {each["kind"] for each in shown("--kind", "boot")} == {"BOOT"}
    assert len(shown("--boot", ONE.boot_id.hex()[:8])) == 141
    assert [each["from"] for each in shown("--from", 9, "--to", 11)] == [9, 10]
    assert len(shown("--key", "main")) == 298
    assert shown("--key", "other") == []
    assert len(shown("--asked-by", "strategy", "--kind", "DENIED")) == sum(
        Leaf.parse(entry).kind is Kind.DENIED for entry in E
    )
    assert len(shown("--since", "2027-01-15T08:00:10Z", "--until", "2027-01-15T08:00:12")) == 2
    assert shown("--from", 5, "--to", 6)[0]["record"]["orders"] == [byte(5).hex()]
    assert "rule=RATE" in owner.run("show", "--log", owner.log, "--details", "--to", 3)
    assert "no kind of leaf" in owner.run("show", "--log", owner.log, "--kind", "x", expect=2)
    assert "is no time" in owner.run("show", "--log", owner.log, "--since", "x", expect=2)
    assert "is no log" in owner.run("show", "--log", owner.folder / "none", expect=2)


def test_open_proves_that_the_opening_is_the_leafs(owner: Owner) -> None:
    found = json.loads(owner.run("open", ORDER, "--log", owner.log, "--json"))
    assert (found["index"], found["record"]["code"]) == (ORDER, "OK")
    by_order = owner.run("open", "--order", byte(ORDER).hex(), "--log", owner.log)
    assert "strategy" in by_order
    assert "what it commits to" in by_order
    alter_opening(owner)
    assert "not that of leaf 7" in owner.run("open", 7, "--log", owner.log, expect=3)
    (owner.log / "openings.db").unlink()
    assert "no opening is known" in owner.run("open", ORDER, "--log", owner.log)
    other = owner.folder / "x.opening"
    other.write_bytes(LOG.openings[ORDER])
    assert "strategy" in owner.run("open", ORDER, "--opening", other, "--log", owner.log)
    assert owner.run("open", 8, "--opening", other, "--log", owner.log, expect=3)
    for wrong in ((), (1, "--order", "00" * 32), (300,), ("--order", "00" * 32), ("--order", "x")):
        owner.run("open", *wrong, "--log", owner.log, expect=2)


# --- proofs ---------------------------------------------------------------------------------------


@pytest.fixture
def made(owner: Owner) -> tuple[Owner, Path, Path]:
    """A proof of one leaf with the evidence for it; the log itself is gone then."""
    proof, evidence = owner.folder / "p.tlog-proof", owner.folder / "boot.json"
    owner.run(
        "prove", "inclusion", "--order", byte(ORDER).hex(), "--log", owner.log, "--out", proof,
        "--evidence-out", evidence, "--opening-out", owner.folder / "p.opening",
    )  # fmt: skip
    shutil.rmtree(owner.log)
    return owner, proof, evidence


def test_a_proof_is_checked_without_the_log(made: tuple[Owner, Path, Path]) -> None:
    owner, proof, evidence = made
    text = owner.run("prove", "check", proof, "--evidence", evidence, "--opening",
                     owner.folder / "p.opening")  # fmt: skip
    assert f"leaf {ORDER} is in the log of 300 leaves" in text
    assert "manifest version 8" in text
    assert byte(ORDER).hex() in text
    assert (owner.folder / "p.opening").stat().st_mode & 0o777 == 0o600
    assert "signed by strongroom.log" in owner.run("prove", "check", proof, "--key", TWO.key)
    assert "whose signature counts" in owner.run("prove", "check", proof, expect=2)
    assert "no key of the log" in owner.run("prove", "check", proof, "--key", ONE.key, expect=3)


def test_a_proof_that_was_touched_proves_nothing(made: tuple[Owner, Path, Path]) -> None:
    owner, proof, _ = made
    good = proof.read_bytes()
    lines = good.split(b"\n")
    extra = lines[1].removeprefix(b"extra ")
    forged = {
        "another index": good.replace(b"index 5\n", b"index 6\n"),
        "another leaf": good.replace(extra, extra[:-8] + b"AAAAAAA="),
        "another hash": good.replace(lines[3], b"A" * 43 + b"="),
        "one hash fewer": good.replace(lines[3] + b"\n", b""),
        "another head": good.replace(b"\n300\n", b"\n301\n"),
        "another spelling": good.replace(b"index 5\n", b"index 05\n"),
        "no header": good[1:],
        "no checkpoint": good.split(b"\n\n")[0] + b"\n\n",
    }
    for name, data in forged.items():
        assert data != good, name
        proof.write_bytes(data)
        owner.run("prove", "check", proof, "--key", TWO.key, expect=3)
    leaf = owner.folder / "leaf"
    proof.write_bytes(good)
    leaf.write_bytes(E[6])
    owner.run("prove", "check", proof, "--key", TWO.key, "--leaf", leaf, expect=3)
    leaf.write_bytes(E[5])
    owner.run("prove", "check", proof, "--key", TWO.key, "--leaf", leaf)
    leaf.write_bytes(LOG.openings[6])
    owner.run("prove", "check", proof, "--key", TWO.key, "--opening", leaf, expect=3)


def test_heads_are_proved_to_follow_one_another(owner: Owner) -> None:
    old, file = owner.folder / "old", owner.folder / "x.tlog-consistency"
    old.write_bytes(ONE.note(grown(E[:100]).head))
    owner.run("prove", "consistency", old, "--log", owner.log, "--out", file)
    keys = ("--key", ONE.key, "--key", TWO.key)
    text = owner.run("prove", "check", file, "--old", old, *keys)
    assert "the log of 300 leaves begins with that of 100" in text
    assert "which older head" in owner.run("prove", "check", file, *keys, expect=2)
    other = owner.folder / "other"
    other.write_bytes(ONE.note(grown(fork().entries[:100]).head))
    owner.run("prove", "check", file, "--old", other, *keys)  # the same hundred leaves
    other.write_bytes(ONE.note(grown(fork().entries[:150]).head))
    text = owner.run("prove", "check", file, "--old", other, *keys, expect=3)
    assert "a proof for another head" in text
    owner.run("prove", "consistency", other, "--log", owner.log, "--out", file, expect=3)
    other.write_bytes(ONE.note(LogHead(100, byte(1))))
    owner.run("prove", "check", file, "--old", other, *keys, expect=3)
    owner.run("prove", "consistency", 150, "--log", owner.log, "--out", file)


def test_a_store_that_has_another_leaf_is_told_before_a_proof_is_made(owner: Owner) -> None:
    path = owner.log / Tile(ENTRIES, 0).path
    path.write_bytes(bundle([*E[:50], changed(50), *E[51:256]]))
    out = owner.folder / "x"
    owner.run("prove", "inclusion", 50, "--log", owner.log, "--out", out, expect=3)
    assert not out.exists()
    (owner.log / CHECKPOINT).write_bytes(TWO.note(grown(E[:40]).head))
    text = owner.run("prove", "inclusion", 45, "--log", owner.log, "--out", out, expect=2)
    assert "no signed head that is stored has this leaf" in text
