"""A keeper before real boots and real witnesses, while host and owners go back in time."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from strongroom_host.contract.roles import role_keys
from strongroom_host.enclave_client.channel import refused_reply
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.cosigning import WitnessAt
from strongroom_host.log.errors import LogForked, LogShorter
from strongroom_host.log.keeper import Keeper, KeeperStopped, Source
from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.openings import Openings
from strongroom_host.log.pull import continued_by
from strongroom_host.log.stored import StoredLog
from strongroom_host.log.witness_errors import HistoryRefused, WitnessAhead
from strongroom_host.log.witnessed import Quorum, witnessed
from strongroom_host.witness.memory import FollowedOwners
from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.encoding import u64
from strongroom_wire.errors import Code
from strongroom_wire.frames import Intent, Kind, Reply
from strongroom_wire.pages import Entry

from tests.host.witness.logs import Station
from tests.hostile.driver import Boot, Desk
from tests.hostile.test_log_witnessed import witnesses

__all__ = ["witnesses"]  # a fixture
Start = Callable[..., Boot]
Witnesses = tuple[list[Station], list[WitnessAt]]


def origin_of(boot: Boot) -> str:
    return log_origin(boot.bundle.owner_root, boot.desk.manifest.account, Role.SIGNER)


def key_of(boot: Boot) -> VerifierKey:
    return VerifierKey(origin_of(boot), role_keys(boot.bundle, Role.SIGNER).receipt)


def keeper_of(boot: Boot, folder: Path, at: list[WitnessAt] | None = None) -> Keeper:
    """Returns a keeper of that boot; it believes what the boot says of itself."""

    @contextmanager
    def connect() -> Iterator[Source]:
        channel, bundle = boot.channel(), boot.bundle

        def ask(start: int) -> bytes:
            reply = channel.ask(Intent(Kind.READ_LOG, 0, 0, 0, (), u64(start)))
            if error := refused_reply(reply, "reading the log"):
                raise error
            return reply.request

        manifest = boot.desk.signed.serialise()
        stored = StoredBoot(b"document", bundle.serialise(), manifest, 1)
        yield Source(ask, key_of(boot), stored, tuple(at or ()))

    return Keeper(folder, connect)


def entry_of(reply: Reply) -> Entry:
    assert reply.code is Code.OK
    return Entry(reply.leaf, reply.opening)


def test_what_is_kept_is_cosigned_and_a_second_history_is_not(
    start: Start, witnesses: Witnesses, tmp_path: Path
) -> None:
    stations, at = witnesses
    boot = start(Desk()).make_ready()
    account = boot.desk.manifest.account
    for station in stations:
        station.memory.follow_owners(FollowedOwners(boot.bundle.owner_root, account))
    quorum = Quorum(tuple(station.public for station in stations), 2)

    def vouched(folder: Path, of: Boot) -> int:
        note = StoredLog(folder).read("checkpoint")
        assert note is not None
        return witnessed([note], origin_of(of), [key_of(of)], quorum).size

    with keeper_of(boot, tmp_path / "log", at) as keeper:
        for _ in range(3):
            keeper.keep([entry_of(boot.channel().buy(1))])
            assert keeper.publish() == ()
            assert vouched(tmp_path / "log", boot) == keeper.size
    before = StoredLog(tmp_path / "log")
    # The same history, gone on with twice, each kept by its own host: one of them is cosigned.
    for name in ("left", "right"):
        shutil.copytree(tmp_path / "log", tmp_path / name)
    left, right = (
        start(boot.desk).make_ready(signer_log=before.frontier.serialise()) for _ in range(2)
    )
    with keeper_of(left, tmp_path / "left", at) as keeper:
        keeper.keep([entry_of(left.channel().buy(1))])
        assert keeper.publish() == ()
        assert vouched(tmp_path / "left", left) == keeper.size > before.size
    with keeper_of(right, tmp_path / "right", at) as keeper:
        entry = entry_of(right.channel().buy(1))
        keeper.keep([entry])
        with pytest.raises(KeeperStopped):
            keeper.publish()
        assert isinstance(keeper.fault, HistoryRefused)
        with pytest.raises(KeeperStopped):
            keeper.keep([entry])
    assert vouched(tmp_path / "right", boot) == before.size, "what was served before still is"


def test_an_old_copy_heals_while_the_enclave_has_what_it_lacks(
    start: Start, witnesses: Witnesses, tmp_path: Path
) -> None:
    stations, at = witnesses
    boot = start(Desk()).make_ready()
    for station in stations:
        account = boot.desk.manifest.account
        station.memory.follow_owners(FollowedOwners(boot.bundle.owner_root, account))
    log, old = tmp_path / "log", tmp_path / "old"
    with keeper_of(boot, log, at) as keeper:
        keeper.pull()
        keeper.publish()
        shutil.copytree(log, old)
        kept = [entry_of(boot.channel().buy(1)) for _ in range(3)]
        keeper.keep(kept)
        assert keeper.publish() == ()
    shutil.rmtree(log)
    old.rename(log)
    with keeper_of(boot, log, at) as keeper:
        problems = keeper.publish()
        assert {type(problem.error) for problem in problems} <= {WitnessAhead}
        keeper.keep(kept)
        assert keeper.publish() == ()
    with Openings(log) as openings:
        assert {entry.opening for entry in kept} <= {opening for _, opening in openings.items()}


@pytest.mark.parametrize("lacking", [1, 3])
def test_a_boot_permitted_on_an_old_state_is_named_and_keeps_nothing(
    start: Start, tmp_path: Path, lacking: int
) -> None:
    boot = start(Desk()).make_ready()
    with keeper_of(boot, tmp_path) as keeper:
        keeper.keep([entry_of(boot.channel().buy(1)) for _ in range(4)])
    stored = StoredLog(tmp_path)
    before = stored.head
    again = start(boot.desk)
    assert continued_by(stored, again.bundle.boot_id).head == before
    old = stored.reader(stored.size - lacking).frontier()
    assert again.submit_permit(again.permit(signer_log=old.serialise())) is Code.OK
    with keeper_of(again, tmp_path) as keeper:
        with pytest.raises(KeeperStopped, match="another history"):
            keeper.pull()
        assert isinstance(keeper.fault, LogForked | LogShorter)
    assert StoredLog(tmp_path).head == before
