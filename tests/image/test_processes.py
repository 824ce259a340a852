"""The image's processes as its kernel sees them: users, rights, memory.

A machine without a shell says nothing of the kind, so what boots is the image with one more file,
which has every Python process tell on the console (guest/sitecustomize.py).
"""

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from strongroom_eif import Image, Section, SectionType, archive, compress, parse, write
from strongroom_eif.recipe.contents import DIST_PACKAGES, Item, with_directories

from tests.image.desk import Boot, Desk, Venue

USERS = {"init": 0, "front": 61001, "signer": 61002, "record": 61004}
TELLING = Path(__file__).with_name("guest") / "sitecustomize.py"
MEMORY = ("MemTotal", "MemAvailable")
LIMIT_S = 60
ACCOUNT = "--name spot --venue binance --currency USDT"
Told = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def telling(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image under test with one file more, in a ramdisk of its own."""
    parsed = parse(image.read_bytes())
    file = Item.file(f"{DIST_PACKAGES}/{TELLING.name}", TELLING.read_bytes(), "tests")
    more = archive(item.node for item in with_directories([file]))
    ramdisk = Section(SectionType.RAMDISK, b"".join(compress(more)))
    path = tmp_path_factory.mktemp("telling") / "telling.eif"
    with path.open("wb") as stream:
        write(Image((*parsed.sections, ramdisk), parsed.architecture), stream)
    return path


@pytest.fixture(scope="module")
def told(telling: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """What the processes say once there are all that a manifest with an account asks for."""
    folder = tmp_path_factory.mktemp("desk")
    with (
        tempfile.TemporaryDirectory(prefix="sr-") as short,
        Venue.run(folder) as venue,
        Boot.of(
            (str(telling), "--platform", "qemu"), folder, Path(short) / "run", venue.address
        ) as boot,
    ):
        desk = Desk(folder, boot.address)
        desk.do("owner init --owner owner --no-passphrase")
        desk.owner("enclave trust --development")
        desk.do(
            "manifest new --owner owner --account desk --mode development --source generate"
            f" --wallet eoa --chain 80002 --venue clob.testnet --development-root {venue.ca}"
            f" --market {venue.token}:v2:buy,sell:0.40-0.80 --order-notional 25"
        )
        desk.do(f"manifest add-account manifest.json {ACCOUNT}")
        desk.do("manifest sign manifest.json --owner owner")
        desk.owner("enclave load manifest.signed.json")
        console = boot.run / "console.log"
        yield _told(console, after=console.stat().st_size)


def _told(console: Path, after: int) -> Told:
    """Returns the newest line of each role, once there is one of each behind so many bytes: what
    they said before, they said before they had made themselves ready."""
    for _ in range(LIMIT_S):
        text = console.read_bytes()[after:].decode("latin-1")
        lines = re.findall(r"(?m)^process (\w+) (\S.*?)\r?$", text)
        facts = {role: dict(part.split("=", 1) for part in text.split()) for role, text in lines}
        if facts.keys() >= USERS.keys():
            return facts
        time.sleep(1)
    raise AssertionError(f"not all processes told of themselves: {sorted(facts)}")


def test_each_process_is_there_under_a_user_of_its_own(
    told: Told, found: Callable[..., None]
) -> None:
    assert told.keys() == USERS.keys()
    for role, user in USERS.items():
        assert (told[role]["Uid"], told[role]["Gid"]) == ("/".join([str(user)] * 4),) * 2, role
        assert set(told[role]["Groups"].split("/")) <= {"", str(user)}
    found("each process under a user of its own", ", ".join(f"{r} {u}" for r, u in USERS.items()))


@pytest.mark.parametrize("role", sorted(USERS.keys() - {"init"}))
def test_no_worker_can_gain_rights_or_reach_out(role: str, told: Told) -> None:
    facts = told[role]
    assert (facts["NoNewPrivs"], facts["Seccomp"], int(facts["CapEff"], 16)) == ("1", "2", 0)


def test_there_is_memory_left_for_what_accounts_hold(
    told: Told, found: Callable[..., None]
) -> None:
    total, left = (int(told["record"][name].partition("/")[0]) >> 10 for name in MEMORY)
    resident = {role: int(facts["VmRSS"].partition("/")[0]) >> 10 for role, facts in told.items()}
    assert total <= 512
    # Four accounts of the largest venue at once, their markets shared.
    assert left >= 200
    found(
        "memory with a record process",
        f"{left} MiB of {total} are left; "
        + ", ".join(f"{role} {size}" for role, size in sorted(resident.items())),
    )
