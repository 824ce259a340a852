"""`strongroom demo`: the main job from end to end on this machine, in seconds."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from strongroom_host.cli._stopping import stoppable
from strongroom_host.runners.implementations import in_use, pure

__all__ = ["demo"]


def demo(
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="DIR",
            help="Keep everybody's folders and logs here, and print how to redo it by hand.",
        ),
    ] = None,
    document: Annotated[
        str | None,
        typer.Option(
            "--document",
            metavar="FILE",
            help="A real AWS Nitro attestation document to verify on the way.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON report at the end instead of a story.")
    ] = False,
) -> None:
    """Boot an attested enclave here: an order signed and filled, a track record kept and proved.

    Owners, host, venue and exchanges have folders and processes of their own, all gone at the end.
    Exit status 0 only if every step really happened.
    """
    console = None if as_json else Console(highlight=False)
    with stoppable():
        # All parties of the story are imported here, which takes a while; what is missing or
        # cannot be read is said before anything else.
        from strongroom_host.cli.attest_input import read_document
        from strongroom_host.demo.closing import print_closing, print_kept, report
        from strongroom_host.demo.scenario import perform
        from strongroom_host.demo.story import Story

        given = read_document(document) if document else None
        if console is not None:
            _introduce(console)
        story = Story(console)
        by_hand = perform(story, keep, given)
    if console is None:
        typer.echo(json.dumps(report(story, in_use(), keep), indent=2))
        return
    print_closing(console, story)
    if keep is not None:
        print_kept(console, keep.expanduser().absolute(), by_hand)


def _introduce(console: Console) -> None:
    parts = " · ".join(f"{part} {name}" for part, name in in_use().items())
    console.print(Text("Strongroom, from end to end on this machine", style="bold"))
    console.print(Text(parts + (" · STRONGROOM_PURE=1" if pure() else ""), style="dim"))
