"""`strongroom log compare`: what two verifiers were shown, held against each other."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from strongroom_wire.errors import WireError
from strongroom_wire.leaves import Leaf

from strongroom_host.cli.log_facts import say_leaf
from strongroom_host.cli.log_heads import note_in
from strongroom_host.cli.log_meant import (
    CacheOption,
    ClientFolderOption,
    KeyOption,
    LogRole,
    ManifestFileOption,
    OwnerFolderOption,
    RoleOption,
    TrustFileOption,
    whose_log,
)
from strongroom_host.cli.log_options import DEFAULT_CLIENT
from strongroom_host.cli.log_time import shown_time
from strongroom_host.cli.output import print_json, say, warn
from strongroom_host.cli.session import DEFAULT_OWNER, JsonOption
from strongroom_host.errors import HostError
from strongroom_host.log.attested import prove_boot
from strongroom_host.log.comparing import Comparison, Outcome, View, compare
from strongroom_host.log.decoded import Plain, decode_leaf
from strongroom_host.log.errors import CheckpointUnsigned, HeadsUndecided, LogError, LogForked
from strongroom_host.log.examination import Meant
from strongroom_host.log.notes import Checkpoint, Note, VerifierKey, open_checkpoint
from strongroom_host.log.report.words import quantity
from strongroom_host.log.sources import boot_ids, open_source, read_boot

__all__ = ["compare_logs"]

_WHERE = "A folder, a URL, or a file with a signed head (a note or a proof)."


def compare_logs(
    one: Annotated[str, typer.Argument(metavar="A", help=_WHERE)],
    other: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    every_leaf: Annotated[
        bool, typer.Option("--every-leaf", help="Compare the leaves, not only their hashes.")
    ] = False,
    key: KeyOption = [],  # noqa: B006  typer takes no other default for a list
    trust: TrustFileOption = None,
    manifest: ManifestFileOption = None,
    cache: CacheOption = None,
    json: JsonOption = False,
    role: RoleOption = LogRole.SIGNER,
    owner: OwnerFolderOption = DEFAULT_OWNER,
    client: ClientFolderOption = DEFAULT_CLIENT,
) -> None:
    """Say whether two copies of a log are one history, or which leaf is the first that differs.

    Exit status 0: one history; 3: a fork; 1: what is there does not tell.
    """
    with ExitStack() as stack:
        views = [stack.enter_context(_view(place, cache)) for place in (one, other)]
        found = compare(*views, every_leaf=every_leaf)
        signed = _signed(views, _meant(trust, manifest, key, owner, client, role))
    if json:
        leaves = [_leaf(entry) for entry in found.leaves or ()]
        names = {view.name: each for view, each in zip(views, signed, strict=True)}
        facts: Plain = {"outcome": found.outcome.value, "common": found.common, "what": found.what}
        print_json(facts | {"signed": names, "leaves": leaves})
        raise typer.Exit(_STATUS[found.outcome])
    for view, by in zip(views, signed, strict=True):
        say(f"{view.name}: {quantity(view.size, 'leaf', 'leaves')}; {by}")
    for view, entry in zip(views, found.leaves or (), strict=False):
        say(f"leaf {found.common} in {view.name}:")
        _say_leaf(entry)
    _conclude(found)


def _conclude(found: Comparison) -> None:
    match found.outcome:
        case Outcome.FORKED:
            raise LogForked(
                found.what,
                expected="one history",
                actual=f"two, which have the first {found.common} leaves in common",
                remedy="keep both copies, and `strongroom log verify` each: where boots of the same"
                " owners signed both, that is proof of two histories",
            )
        case Outcome.UNKNOWN:
            raise HeadsUndecided(
                found.what, remedy="compare with a folder or URL that has at least as many leaves"
            )
        case _:
            say(found.what)


@contextmanager
def _view(place: str, cache: Path | None) -> Iterator[View]:
    path = Path(place).expanduser()
    if "://" in place or path.is_dir():
        with open_source(place, cache) as source:
            yield View(place, source.checkpoint or source.note, source)
        return
    yield View(place, note_in(path))


def _meant(
    trust: Path | None,
    manifest: Path | None,
    key: list[str],
    owner: Path,
    client: Path,
    role: LogRole,
) -> Meant | None:
    """Whose log it is, or None where nothing says so and nobody asked."""
    try:
        return whose_log(trust, manifest, key, owner, client, role)
    except HostError:
        if trust or manifest or key:
            raise
        return None


def _signed(views: list[View], meant: Meant | None) -> list[str]:
    """Says of each view who vouches for it."""
    if meant is None:
        warn("signatures were not verified: nothing says whose log it is (--trust, --key)")
        return ["signatures not verified"] * len(views)
    keys = dict.fromkeys(meant.keys, "a key that was given")
    for view in views:
        if view.source is None or meant.trust is None:
            continue
        try:
            for boot_id in boot_ids(view.source):
                stored = read_boot(view.source, boot_id)
                proved = prove_boot(stored, meant.trust, meant.owner_root, meant.role)
                keys[proved.key] = f"boot {boot_id.hex()[:16]}"
        except LogError as error:
            warn(f"{view.name}: {error.what}")
    return [_signer(view, keys, meant.origin) for view in views]


def _signer(view: View, keys: dict[VerifierKey, str], origin: str) -> str:
    if not view.note or view.head is None:
        return "no signed head"
    try:
        name = origin or Checkpoint.parse(Note.parse(view.note).text).origin
        signers = open_checkpoint(view.note, name, list(keys)).signers
    except CheckpointUnsigned:
        return f"head of {view.head.size} leaves, signed by no key that is proved"
    except LogError as error:
        return f"head of {view.head.size} leaves: {error.what}"
    return f"head of {view.head.size} leaves, signed by {keys[signers[0]]}"


def _leaf(entry: bytes) -> Plain:
    try:
        leaf = Leaf.parse(entry)
    except WireError as error:
        return {"unreadable": str(error), "bytes": entry[:200].hex()}
    return decode_leaf(leaf) | {"time": shown_time(leaf.time_ms)}


def _say_leaf(entry: bytes) -> None:
    try:
        say_leaf(Leaf.parse(entry))
    except WireError as error:
        say(f"  unreadable: {error}")


_STATUS = {
    Outcome.SAME: 0,
    Outcome.CONTAINED: 0,
    Outcome.FORKED: LogForked.exit_status,
    Outcome.UNKNOWN: HeadsUndecided.exit_status,
}
