"""`strongroom log watch`: is this still the one log, whoever shows it, and does somebody look?"""

import json as jsonlib
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from strongroom_wire.bundle import LogHead, Role
from strongroom_wire.checkpoint import log_origin

from strongroom_host.cli.output import say, warn
from strongroom_host.cli.session import JsonOption
from strongroom_host.enclave_client.address import EnclaveAddress, parse_enclave_address
from strongroom_host.enclave_client.bootstrap import BootstrapClient, fetch_evidence
from strongroom_host.errors import BadInput
from strongroom_host.log.monitor import Event, Rules
from strongroom_host.log.monitor_keys import BootKeys
from strongroom_host.log.monitor_state import StateFile
from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.report.words import quantity
from strongroom_host.log.watching import AttestedHeads, CallFailed, Watch, call, event_json
from strongroom_host.log.witnessed import Quorum
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.owner.heads import HeadMemory, How, RememberedHead
from strongroom_host.owner.signed import read_manifest
from strongroom_host.trust.record import EvidencePolicy, Trust

__all__ = ["watch"]

_ALARMED: Final = 3
_LEARN_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class _Boot:
    """A running boot's evidence, which commits to its log's head: a host cannot hold it back from
    those who ask the enclave, and show them another log."""

    name: str
    address: EnclaveAddress
    policy: EvidencePolicy
    ring: BootKeys
    origin: str

    def head(self) -> LogHead | None:
        """The head that fresh evidence commits to."""
        with BootstrapClient(self.address.bootstrap) as client:
            evidence = fetch_evidence(client, self.policy)
        keys = evidence.keys(Role.SIGNER)
        self.ring.add(VerifierKey(self.origin, keys.receipt))
        return keys.head if keys.head.size else None


@dataclass(frozen=True, slots=True)
class _Memory:
    """What an owner remembers of the log."""

    name: str
    memory: HeadMemory
    origin: str

    def head(self) -> LogHead | None:
        """The largest head that he remembers."""
        known = self.memory.known(self.origin)
        return known[-1].head if known else None

    def learn(self, head: LogHead, now_ms: int) -> None:
        """Remembers a head that the monitor proved, at most once an hour: from then on no permit
        of this owner continues less."""
        known = self.memory.known(self.origin)
        largest = known[-1].head.size if known else 0
        newest = max((each.at_ms for each in known), default=0)
        if head.size > largest and now_ms - newest >= _LEARN_MS:
            seen = RememberedHead(head, How.SHOWN, now_ms, what="seen by `log watch`")
            self.memory.remember(self.origin, [seen])


def watch(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Folders and URLs.")],
    owner: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="An owner's folder: trust, manifest, remembered heads."),
    ] = None,
    trust: Annotated[Path | None, typer.Option(metavar="FILE", help="Or a trust file,")] = None,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="with the signed manifest in force.")
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option(metavar="VKEY", help="Or the log's key, of one boot.")
    ] = None,
    enclave: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A running boot, whose evidence names its head."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What was seen; without it, all is new.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep full tiles of URLs here.")
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, metavar="S", help="Seconds between looks.")] = 30,
    once: Annotated[bool, typer.Option("--once", help="Look once; exit 3 on an alarm.")] = False,
    max_age: Annotated[
        float | None, typer.Option(min=1, metavar="S", help="Alarm when no head is newer.")
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, metavar="S", help="How long a source may lag or be down.")
    ] = 120,
    on_alarm: Annotated[
        str | None, typer.Option(metavar="CMD", help="Run this, with the alarm as JSON on stdin.")
    ] = None,
    acknowledge: Annotated[
        bool, typer.Option("--acknowledge", help="Forget alarms and heads: somebody looked.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Watch a log at one or more places: forks, rollbacks, silence, missing signatures.

    Exit status 0: nothing wrong; 3: an alarm is on (with --once, or when stopped).
    """
    whose = _whose(owner, trust, manifest, key or [])
    rules = Rules(whose.quorum, None if max_age is None else int(max_age * 1000), int(grace * 1000))
    memory = None if owner is None else _memory(owner, whose.origin)
    attesting = _attesting(whose, memory, enclave)
    watched = Watch(whose.origin, sources, attesting, whose.ring, rules, StateFile(state), cache)
    if state is None:
        warn("no --state FILE: what is seen now is forgotten at the end, and no fork with it shows")
    if acknowledge:
        watched.acknowledge()
    for event in () if json else watched.standing:
        warn(f"still on: {_line(event)}")

    def tell(event: Event) -> None:
        _show(event, as_json=json)
        if event.alarm and on_alarm is not None:
            call(on_alarm, event)

    well = True
    with _stopping() as stop:
        while True:
            now_ms = int(time.time() * 1000)
            try:
                well = watched.once(now_ms, tell)
                if well and memory is not None and (proven := watched.newest):
                    memory.learn(proven, now_ms)
            except CallFailed as error:
                well = False
                warn(f"{error.what}: {error.actual}")
            if once or stop.wait(every):
                break
    if not well:
        raise typer.Exit(_ALARMED)
    if once and not json:
        newest = watched.newest
        say(
            f"no alarm; the newest head has {quantity(newest.size, 'leaf', 'leaves')}"
            if newest
            else "no alarm, and no signed head yet"
        )


@dataclass(frozen=True, slots=True)
class _Whose:
    """Which log is meant, and what is known of it beforehand."""

    origin: str
    ring: BootKeys
    quorum: Quorum
    policy: EvidencePolicy | None


def _whose(
    owner: Path | None, trust: Path | None, manifest: Path | None, keys: list[str]
) -> _Whose:
    """Returns the log that the manifest, or else the named key, is of.

    Raises:
        BadInput: neither is given, or they are of different logs.
    """
    named = [VerifierKey.parse(text) for text in keys]
    if owner is not None:
        folder = OwnerFolder(owner.expanduser())
        trust, manifest = trust or folder.trust_path, manifest or folder.manifest_path
    if (trust is None) is not (manifest is None):
        raise BadInput(
            "a trust file and a manifest say only together whose log it is",
            expected="--trust FILE and --manifest FILE, or --owner DIR",
        )
    if trust is None or manifest is None:
        if len({each.name for each in named}) != 1:
            raise BadInput(
                "nothing says which log is meant, and who signs it",
                expected="--owner DIR, or --trust FILE and --manifest FILE, or --key VKEY",
                remedy="`strongroom log pull` prints the key of the running boot; with a trust file"
                " and the manifest, the keys of later boots follow from their evidence",
            )
        return _Whose(named[0].name, BootKeys(named[0].name, named), Quorum((), 0), None)
    verified, _ = read_manifest(manifest)
    record = Trust.load(trust)
    if record.caution:
        warn(record.caution)
    document = verified.manifest
    origin = log_origin(document.owner_root, document.account, Role.SIGNER)
    if foreign := [str(each) for each in named if each.name != origin]:
        raise BadInput("a key of another log", expected=origin, actual=foreign)
    policy = EvidencePolicy.for_manifest(record, verified)
    ring = BootKeys(origin, named, record, document.owner_root)
    return _Whose(origin, ring, Quorum.of(document), policy)


def _memory(owner: Path, origin: str) -> _Memory:
    return _Memory(f"memory of {owner}", OwnerFolder(owner.expanduser()).heads, origin)


def _attesting(whose: _Whose, memory: _Memory | None, enclave: str | None) -> list[AttestedHeads]:
    found: list[AttestedHeads] = [] if memory is None else [memory]
    if enclave is not None:
        if whose.policy is None:
            raise BadInput(
                "a key alone does not say which enclave is the right one",
                expected="--enclave with --owner DIR, or with --trust FILE and --manifest FILE",
            )
        address = parse_enclave_address(enclave)
        found.append(_Boot(f"enclave {enclave}", address, whose.policy, whose.ring, whose.origin))
    return found


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set, so that the round in progress is finished."""
    stop = threading.Event()

    def end(_number: int, _frame: object) -> None:
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(event: Event, *, as_json: bool) -> None:
    if as_json:
        say(jsonlib.dumps(event_json(event)))
        return
    (warn if event.alarm else say)(_line(event))


def _line(event: Event) -> str:
    kind = event.kind.value.upper() if event.alarm else event.kind.value
    at = datetime.fromtimestamp(event.at_ms / 1000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%SZ}  {kind:<11}  {event.source}: {event.what}"
