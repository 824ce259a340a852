"""A database that lies: whatever it does to what it was given is found before anything counts.

Each lie is told to a record that had synchronised well. Nothing of it may be folded, logged or
published, the job ends with a code that says so, and with the true database it all goes on.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from strongroom_wire.errors import Code

from tests.host.record_store.databases import Database, Server, server
from tests.hostile.record_host import EXACT, RecordBoot, RecordHost, account, recording_desk
from tests.hostile.record_port import Asked, Lie
from tests.hostile.record_tampering import TAMPERINGS, copied, over_all_rules
from tests.hostile.recording import Exchanges, exchanges

pytestmark = pytest.mark.timeout(600)
NAMES = itertools.count()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    with exchanges(tmp_path_factory.mktemp("venues"), "bybit", days=3) as running:
        yield running


@pytest.fixture(scope="module")
def host(
    postgres: Server, venues: Exchanges, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RecordHost]:
    """A host whose boot has synchronised two accounts of one user."""
    both = [account(name, "bybit", venues.since_ms, EXACT) for name in ("alpha", "beta")]
    desk = recording_desk(venues, *both)
    folder = tmp_path_factory.mktemp("host")
    with RecordHost(postgres.fresh(), venues, folder, desk) as running:
        boot = running.start().permitted()
        for name in ("alpha", "beta"):
            assert boot.connect(name, venues.logins["bybit"]) is Code.OK
        for name in ("alpha", "beta"):
            assert running.port.ended(name) == 0
        yield running


def ended(name: str, code: Code) -> Callable[[Asked], bool]:
    """What a record asks at the end of a job of that account, which ended so."""
    return lambda asked: (
        asked.verb == "ended" and asked.account == name and int.from_bytes(asked.fields[1]) == code
    )


def the_boot(host: RecordHost) -> RecordBoot:
    assert host.boot is not None
    return host.boot


def at_rest(host: RecordHost, name: str) -> Database:
    """Returns a copy of the database, taken while no synchronisation is under way."""
    host.rest()
    return copied(host.database, name)


@contextmanager
def instead(host: RecordHost, database: Database) -> Iterator[None]:
    """Has the record talk to another database meanwhile."""
    true, host.database = host.database, database
    host.port.dsn = database.enclave
    host.port.drop()
    try:
        yield
    finally:
        host.database, host.port.dsn = true, true.enclave
        host.port.drop()


@contextmanager
def lied_to(host: RecordHost, lie: Lie) -> Iterator[None]:
    """Has the port lie meanwhile."""
    host.port.lie = lie
    try:
        yield
    finally:
        host.port.lie = lambda _asked: None


def refused(host: RecordHost, name: str = "alpha") -> Code:
    """Returns the code with which a synchronisation ended that must change nothing."""
    before = host.leaves(), host.published("alpha"), host.published("beta")
    since = len(host.port.asked)
    code = Code(the_boot(host).sync(name))
    asked = {asked.verb for asked in host.port.asked[since:] if asked.account == name}
    assert not asked & {"put", "put-state", "publish"}, "something was made of a lie"
    assert (host.leaves(), host.published("alpha"), host.published("beta")) == before
    assert code is not Code.OK
    return code


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_rows_that_a_superuser_changed(tampering: str, host: RecordHost) -> None:
    other = at_rest(host, f"tampered_{next(NAMES)}")
    with over_all_rules(other) as admin:
        TAMPERINGS[tampering](admin, "alpha")
    with instead(host, other):
        assert refused(host) is Code.SEALED_STATE_REFUSED


def test_rows_of_another_account(host: RecordHost) -> None:
    other = at_rest(host, f"tampered_{next(NAMES)}")
    with over_all_rules(other) as admin:
        for table in ("trades", "cash_flows"):
            admin.execute(f"DELETE FROM {table} WHERE account = 'alpha'")
            admin.execute(f"UPDATE {table} SET account = 'alpha' WHERE account = 'beta'")
    with instead(host, other):
        assert refused(host) is Code.SEALED_STATE_REFUSED


def without_last(asked: Asked) -> None:
    if asked.verb == "get":
        del asked.told[-1:]


def backwards(asked: Asked) -> None:
    if asked.verb == "get":
        asked.told.reverse()


def twice(asked: Asked) -> None:
    if asked.verb == "get" and asked.told:
        asked.told.insert(1, asked.told[0])


def nothing(asked: Asked) -> None:
    if asked.verb == "get":
        asked.told.clear()


def garbage(asked: Asked) -> None:
    if asked.verb == "get" and asked.told:
        asked.told[0] = b"\xff" * len(asked.told[0])


def no_keys(asked: Asked) -> None:
    if asked.verb == "keys":
        asked.told.clear()


def wrong_keys(asked: Asked) -> None:
    if asked.verb == "keys":
        asked.told = [wrapped[:-1] + bytes([wrapped[-1] ^ 1]) for wrapped in asked.told]


@pytest.mark.parametrize(
    "lie", [without_last, backwards, twice, nothing, garbage, no_keys, wrong_keys]
)
def test_a_port_that_tells_something_else(lie: Lie, host: RecordHost) -> None:
    with lied_to(host, lie):
        assert refused(host) in (Code.SEALED_STATE_REFUSED, Code.BAD_SIGNATURE, Code.MALFORMED)


def test_rows_without_end_are_not_read_for_ever(host: RecordHost) -> None:
    """The host answers every question for more rows with the first ones again."""
    first: dict[bytes, list[bytes]] = {}

    def endless(asked: Asked) -> None:
        if asked.verb == "get":
            table = asked.fields[0]
            asked.told[:] = first.setdefault(table, list(asked.told)) or asked.told

    with lied_to(host, endless):
        assert refused(host) is Code.SEALED_STATE_REFUSED


def test_an_account_leased_to_everybody_at_once(host: RecordHost) -> None:
    """All threads synchronise it at the same time. One of them commits; what the others have made
    is refused, because it was not made from the newest state any more."""

    def lie(asked: Asked) -> None:
        if asked.verb == "job":
            asked.told = [b"alpha", b"INCREMENTAL"]

    since, before = len(host.port.asked), host.published("alpha")
    receipts = len(host.receipts("alpha"))
    with lied_to(host, lie):
        the_boot(host).queue("alpha")
        for code in (Code.OK, Code.SEALED_STATE_REFUSED):  # who was told that another was faster
            host.port.wait_for(ended("alpha", code), since=since, within=90)
    found = host.port.asked[since:]
    runs = {asked.on for asked in found if asked.verb == "get" and asked.account == "alpha"}
    assert len(runs) > 1
    assert len(host.receipts("alpha")) > receipts
    assert host.published("alpha")[: len(before)] == before
    since = len(host.port.asked)
    the_boot(host).queue("alpha")  # what was going on still may end first, and not well
    host.port.wait_for(ended("alpha", Code.OK), since=since, within=90)
    assert len({row.start_ms for row in host.published("alpha")}) == len(host.published("alpha"))


def test_an_account_that_was_never_connected_is_not_worked_on(host: RecordHost) -> None:
    def lie(asked: Asked) -> None:
        if asked.verb == "job":
            asked.told = [b"nobody", b"FULL"]

    since = len(host.port.asked)
    with lied_to(host, lie):
        the_boot(host).queue("alpha")
        for _ in range(12):  # each of its threads is told so more than once
            host.port.wait_for(lambda asked: asked.verb == "job", since=len(host.port.asked))
    verbs = {asked.verb for asked in host.port.asked[since:] if asked.account == "nobody"}
    assert verbs <= {"ended"}
    assert the_boot(host).sync("alpha") == 0


def test_an_old_copy_of_the_database_is_refused_by_the_next_boot(
    host: RecordHost, tmp_path: Path
) -> None:
    old = at_rest(host, f"old_{next(NAMES)}")
    assert the_boot(host).sync("alpha", full=True) == 0
    host.rest()
    leaves = host.leaves()
    with instead(host, old):
        begun = host.start()
        since = len(host.port.asked)  # by now the boot before it asks for nothing any more
        boot = begun.permitted()
        host.port.wait_for(lambda asked: asked.verb == "states", since=since)
        boot.queue("alpha")
        time.sleep(3)
        asked = {asked.verb for asked in host.port.asked[since:]}
        assert not asked & {"job", "put", "put-state", "publish", "get"}, asked
        assert boot.connect("alpha", host.exchanges.logins["bybit"]) is not Code.OK
        assert host.leaves()[: len(leaves)] == leaves
        assert {leaf.kind.name for leaf in host.leaves()[len(leaves) :]} <= {"BOOT"}
    assert the_boot(host).sync("alpha") == 0, "with the newest one it goes on"


def test_a_permit_without_the_root_gives_the_accounts_up_and_no_old_one_comes_back(
    host: RecordHost,
) -> None:
    """An owner who says that there was nothing yet gets a record that knows nothing."""
    host.rest()
    since = len(host.port.asked)
    boot = host.start().permitted(record_root=bytes(32))
    boot.queue("alpha")
    time.sleep(3)
    assert "get" not in {asked.verb for asked in host.port.asked[since:]}
    assert host.start().permitted().sync("alpha") == 0
