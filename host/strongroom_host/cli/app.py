"""The tree of commands."""

from typing import Any, Final, NoReturn

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from strongroom_host.cli.failures import report
from strongroom_host.cli.lazy import LazyGroup

__all__ = ["COMMANDS", "app", "run"]

COMMANDS: Final = {
    "demo": "strongroom_host.cli.demo:demo",
    "demo-trade": "strongroom_host.cli.demo_trade:demo_trade",
    "owner": "strongroom_host.cli.owner:app",
    "manifest": "strongroom_host.cli.manifest:app",
    "enclave": "strongroom_host.cli.enclave:app",
    "permit": "strongroom_host.cli.permit:app",
    "provision": "strongroom_host.cli.provision:app",
    "seal": "strongroom_host.cli.seal:app",
    "panic": "strongroom_host.cli.panic:panic",
    "order": "strongroom_host.cli.order:app",
    "trade": "strongroom_host.cli.trade:app",
    "latency": "strongroom_host.cli.latency:latency",
    "log": "strongroom_host.cli.log:app",
    "archive": "strongroom_host.cli.archive:app",
    "witness": "strongroom_host.cli.witness:app",
    "db": "strongroom_host.cli.db:app",
    "record": "strongroom_host.cli.record:app",
    "gateway": "strongroom_host.cli.gateway:app",
    "feed": "strongroom_host.cli.feed:app",
    "ring": "strongroom_host.cli.ring:app",
    "tape": "strongroom_host.cli.tape:app",
    "strategy": "strongroom_host.cli.strategy:app",
    "relay": "strongroom_host.cli.relay:app",
    "host": "strongroom_host.cli.host:app",
    "attest": "strongroom_host.cli.attest:app",
    "eif": "strongroom_host.cli.eif:app",
    "image": "strongroom_host.cli.image:app",
    "release": "strongroom_host.cli.release:app",
    "audit": "strongroom_host.cli.audit:audit",
    "explain": "strongroom_host.cli.lookup:explain",
}
"""Name -> module:attribute, in the order of the help text. The value is a Typer app or a
function that is one command."""


class Root(LazyGroup):
    """The top of the tree: turns every failure into a message."""

    LATER = COMMANDS

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; see `failures` for what becomes of errors."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, TyperException, KeyboardInterrupt):
            raise
        except Exception as error:
            raise typer.Exit(report(error)) from error


app = typer.Typer(
    name="strongroom",
    cls=Root,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def root() -> None:
    """Keep a trading key where no host can read it, and let it sign only what its owner allows."""


def run() -> NoReturn:
    """Runs the command line of this process and exits with its status."""
    get_command(app).main(prog_name="strongroom")
    raise SystemExit(0)
