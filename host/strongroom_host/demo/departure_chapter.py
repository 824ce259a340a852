"""The end: what the host carried, what nobody but venue and enclave holds, and that all is gone."""

import base64
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from eth_utils.address import to_checksum_address

from strongroom_host.demo.bot import Bot
from strongroom_host.demo.processes import Child, HostReady
from strongroom_host.demo.stage import Stage
from strongroom_host.demo.story import require
from strongroom_host.testnet.auth import Authenticator
from strongroom_host.testnet.contracts import address_from

__all__ = ["departure_chapter"]


class _Counts(msgspec.Struct, frozen=True):
    """What the host's proxy counted; `opened` tunnels and bytes."""

    opened: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    forbidden: int = 0


class _Farewell(msgspec.Struct, frozen=True):
    stopped: bool
    egress: _Counts


def departure_chapter(stage: Stage, bot: Bot, operating: Child[HostReady], address: str) -> None:
    """Looks for the API secret wherever it must not be, then stops the host and reads its counts.

    Raises:
        DemoFailed: the secret was found outside, or something is left running.
    """
    story = stage.story
    secret = _api_secret(stage, address, str(story.facts["api_key"]))
    places = [stage.folders.host, stage.folders.bot, stage.folders.owners, stage.host.run]
    found = [path for path in _files(places) if _holds(path.read_bytes(), secret)]
    require(not found, "the API secret lies around", expected="nowhere", actual=found)
    leaked = [data for data in bot.seen if _holds(data, secret)]
    require(not leaked, "the API secret left the enclave", actual=len(leaked))
    story.proved(
        "api_secret_stayed_inside",
        f"the API secret, which the venue knows, is in none of {len(bot.seen)} answers of the"
        " enclave and in no file of owners, bot or host",
    )
    last = operating.stop()
    farewell = msgspec.json.decode(last, type=_Farewell)
    counts = farewell.egress
    require(counts.opened > 0 == counts.forbidden, "the proxy counted otherwise", actual=counts)
    carried = counts.bytes_up + counts.bytes_down
    story.facts["egress_bytes"] = carried
    require(not _runs(stage.host.enclave_pid), "the enclave outlived its host")
    times = "one connection" if counts.opened == 1 else f"{counts.opened} connections"
    story.proved(
        "host_stopped_clean",
        f"the host carried {carried} bytes in {times}, TLS or ciphertext for its own database, and"
        " could read none; stopped, and the enclave's processes with it",
    )


def _api_secret(stage: Stage, address: str, api_key: str) -> bytes:
    """Returns the secret as the venue knows it: its keys derive from a secret in its folder."""
    master = (stage.folders.venue / "master.secret").read_bytes()
    known = Authenticator(master, stage.venue.chain_id, l1_skew_s=0, l2_skew_s=0)
    made = known.create(address_from(to_checksum_address(address)), 0)
    require(made.key == api_key, "the venue knows another key", expected=made.key, actual=api_key)
    return made.secret.encode()


def _holds(data: bytes, secret: bytes) -> bool:
    """Returns whether `data` has the secret as text, raw, or in hex."""
    raw = base64.urlsafe_b64decode(secret)
    return any(form in data for form in (secret.rstrip(b"="), raw, raw.hex().encode()))


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file())


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
