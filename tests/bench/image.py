"""The image in QEMU without KVM: size, boot, memory, vsock with a real kernel, orders through it.

Everything runs emulated, several times slower than on a Nitro machine; so the peers of orders are
the same processes without image and emulator, on this machine in the same run.
"""

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import socket

from strongroom_eif import parse, serialise
from strongroom_eif.recipe.application import INPUTS, source_digest
from strongroom_eif.recipe.assemble import PINS, build_image
from strongroom_eif.recipe.pins import Pins
from strongroom_eif.recipe.record import ReleaseRecord, parse_record
from strongroom_eif.recipe.store import Store, default_cache
from strongroom_host.cli.emulators import find_or_build
from strongroom_host.cli.trading import Trader, open_trader
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.enclave_client.identity import ClientIdentity
from strongroom_host.owner.signed import read_manifest
from strongroom_host.runners.emulator import chosen_emulator, installed
from strongroom_host.trust.record import EvidencePolicy, Trust
from strongroom_wire.frames import Intent, Kind, OrderIntent

from tests.bench import NotMeasured
from tests.bench.channel import alternate, echo, row
from tests.image.desk import Boot, Desk, Venue
from tests.image.guest import compiled_probe
from tests.image.machine import Machine
from tests.image.probes import Probes

__all__ = ["rows"]

ROOT = Path(__file__).parents[2]
GOAL_MIB, GOAL_MEMORY_MIB = 64, 512
MEMORIES = (256, 224, 192, 160, 128, 96)
BULK, PIECE = 32 << 20, 1 << 20
_FIRST = "run `make test-image` first"
Row = dict[str, object]


def rows(iterations: int = 400) -> list[Row]:
    """Returns the table.

    Raises:
        NotMeasured: There is no image of this source, or no QEMU to run it.
    """
    image, record = _image()
    _check_emulator()
    with tempfile.TemporaryDirectory(prefix="sr-") as name, ExitStack() as stack:
        folder = Path(name)
        venue = stack.enter_context(Venue.run(folder))
        boots, orders = [], {}
        for platform, words in _platforms(image, folder).items():
            with traded(words, folder / platform, venue) as (boot, trader):
                boots.append(boot.seconds)
                times = alternate({"order": lambda: ask(trader, venue.token)}, iterations)
                orders[platform] = row("intent -> signed request through vsock", times["order"])
        return [
            *_sizes(image, record),
            {"name": "image made anew after a change of the source", "unit": "s",
             "value": _rebuild(folder / "again")},
            {"name": "boot to the first answer", "unit": "s", "value": boots[0],
             "peer": "local platform", "peer_value": boots[1],
             "ratio": round(boots[0] / boots[1], 1)},
            _least_memory(image, folder / "least", venue),
            *_vsock(image, folder / "vsock"),
            {**orders["qemu"], "peer": "local platform", "peer_value": orders["local"]["p50"],
             "ratio": _ratio(orders["qemu"]["p50"], orders["local"]["p50"])},
        ]  # fmt: skip


def _image() -> tuple[Path, ReleaseRecord]:
    """Returns the image of this source that was built last."""
    found = sorted((ROOT / "build" / "image").glob("*.eif"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise NotMeasured(f"there is no image: {_FIRST}")
    record = parse_record(found[-1].with_suffix(".json").read_bytes())
    if record.source.tree != source_digest(ROOT):
        raise NotMeasured(f"the image is of another source: {_FIRST}")
    return found[-1], record


def _check_emulator() -> None:
    cached = default_cache() / "slots" / "qemu"
    if chosen_emulator(None) is None and installed() is None and not any(cached.glob("*")):
        raise NotMeasured(f"there is no QEMU with the Nitro machine: {_FIRST}")


def _platforms(image: Path, folder: Path) -> dict[str, tuple[str, ...]]:
    state = str(folder / "state")
    return {"qemu": (str(image),), "local": ("--platform", "local", "--state", state)}


def _sizes(image: Path, record: ReleaseRecord) -> Iterator[Row]:
    lengths = {section.name: section.length for section in record.sections}
    ramdisks = sum(size for name, size in lengths.items() if name.startswith("ramdisk"))
    for name, size in (("image file", image.stat().st_size), ("its ramdisks", ramdisks)):
        mib = round(size / (1 << 20), 1)
        yield {"name": name, "unit": "MiB", "value": mib, "peer": "goal",
               "peer_value": GOAL_MIB, "ratio": round(mib / GOAL_MIB, 2)}  # fmt: skip


def _rebuild(folder: Path) -> float:
    """Returns how long an image takes whose source differs in one file; s."""
    for name in INPUTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        else:
            shutil.copy2(ROOT / name, folder / name)
    changed = folder / "enclave" / "strongroom_enclave" / "signer" / "__init__.py"
    # Never the same twice, or it would come out of the cache.
    changed.write_text(f"{changed.read_text()}\n# {time.time_ns()}\n")
    start = time.perf_counter()
    pins = Pins.load(folder / PINS)
    build_image(Store(default_cache()), pins, folder, output=folder / "build")
    return round(time.perf_counter() - start, 1)


# --- Trading -------------------------------------------------------------------------------------


@contextmanager
def traded(platform: tuple[str, ...], folder: Path, venue: Venue) -> Iterator[tuple[Boot, Trader]]:
    """Yields a boot with a key, its credential and a permit, and a channel to its signer."""
    folder.mkdir()
    with Boot.of(platform, folder, folder / "run", venue.address) as boot:
        desk = Desk(folder, boot.address)
        desk.do("owner init --owner owner --no-passphrase")
        desk.do("owner client bot --out bot")
        desk.owner("enclave trust --development")
        desk.do(
            "manifest new --owner owner --account bench --mode development --source generate"
            f" --wallet eoa --chain 80002 --venue clob.testnet --development-root {venue.ca}"
            f" --client bot/card.json=order --market {venue.token}:v2:buy:0.40-0.80"
            " --order-notional 25 --window 3600=1000000 --orders-per-minute 1000000"
        )
        desk.do("manifest sign manifest.json --owner owner")
        desk.owner("enclave load manifest.signed.json")
        desk.owner("provision generate main")
        desk.owner("permit --budget main=1000000:1000000")
        desk.owner("provision enroll main")
        for name in ("trust.json", "manifest.signed.json"):
            shutil.copy2(folder / "owner" / name, folder / "bot" / name)
        bot = folder / "bot"
        manifest = read_manifest(bot / "manifest.signed.json")[0].manifest
        policy = EvidencePolicy.pinned(Trust.load(bot / "trust.json"))
        address = parse_enclave_address(boot.address)
        with open_trader(ClientIdentity.load(bot), address, policy, manifest) as trader:
            yield boot, trader


def ask(trader: Trader, token: str) -> None:
    """Has one small order signed; nothing is posted."""
    now = time.time_ns() // 1_000_000
    order = OrderIntent(int(token), 0, 3, 1, 0, 410_000, 5_000_000, 0, now, 0)
    reply = trader.ask(Intent(Kind.ORDERS, 0, now // 1000, now + 5_000, (order,)), "order")
    if not reply.request:
        raise RuntimeError("an approved order came without its request")


def _least_memory(image: Path, folder: Path, venue: Venue) -> Row:
    """Returns the smallest memory in which an order was signed."""
    folder.mkdir()
    least = GOAL_MEMORY_MIB
    for memory in MEMORIES:
        words = (str(image), "--memory", str(memory), "--timeout", "45")
        try:
            with traded(words, folder / str(memory), venue) as (_, trader):
                ask(trader, venue.token)
        except (AssertionError, OSError, RuntimeError):
            break
        least = memory
    return {"name": "least memory in which an order is signed", "unit": "MiB", "value": least,
            "peer": "goal", "peer_value": GOAL_MEMORY_MIB,
            "ratio": round(least / GOAL_MEMORY_MIB, 2)}  # fmt: skip


# --- vsock ---------------------------------------------------------------------------------------


def _vsock(image: Path, folder: Path) -> Iterator[Row]:
    """Yields what a byte and many take to a guest that echoes, and back."""
    folder.mkdir()
    probes = Probes(parse(image.read_bytes()).kernel, compiled_probe(folder))
    path = folder / "echo.eif"
    path.write_bytes(serialise(probes.echoing()))
    measured: dict[str, list[int]] = {}

    def talk(connection: socket) -> None:
        with echo((1, 1), False) as bare:
            jobs = {"vsock": lambda: _there_and_back(connection), "bare": bare}
            measured.update(alternate(jobs, 2_000))
        measured["bulk"] = [_bulk(connection)]

    Machine(find_or_build(None).words).boot(path, talk=talk)
    found, bare = (row("vsock, one byte there and back", measured[n]) for n in ("vsock", "bare"))
    yield {**found, "peer": "a process and a socket pair", "peer_value": bare["p50"],
           "ratio": _ratio(found["p50"], bare["p50"])}  # fmt: skip
    rate = round(BULK / measured["bulk"][0] * 1e3, 1)
    yield {"name": "vsock, there and back at once", "unit": "MB/s", "value": rate}


def _there_and_back(connection: socket) -> None:
    connection.sendall(b"x")
    if not connection.recv(1):
        raise ConnectionError("the guest is gone")


def _bulk(connection: socket) -> int:
    """Returns how long `BULK` bytes take to the guest and back; ns."""
    data = os.urandom(PIECE)

    def send() -> None:
        for _ in range(BULK // PIECE):
            connection.sendall(data)

    start = time.perf_counter_ns()
    sender = threading.Thread(target=send)
    sender.start()
    left = BULK
    while left:
        got = len(connection.recv(PIECE))
        if not got:
            raise ConnectionError("the guest is gone")
        left -= got
    sender.join()
    return time.perf_counter_ns() - start


def _ratio(mine: object, theirs: object) -> float:
    return round(float(str(mine)) / float(str(theirs)), 1)


if __name__ == "__main__":
    for line in rows():
        sys.stdout.write(f"{line}\n")
