"""The tree of commands. Each group is imported when it is used, so that one command's needs (or
missing packages) do not slow, or stop, another."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NoReturn, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command, get_group

from strongroom_host.cli.failures import report

__all__ = ["COMMANDS", "app", "run"]

COMMANDS: Final = {
    "demo": "strongroom_host.cli.demo:demo",
    "owner": "strongroom_host.cli.owner:app",
    "manifest": "strongroom_host.cli.manifest:app",
    "enclave": "strongroom_host.cli.enclave:app",
    "permit": "strongroom_host.cli.permit:app",
    "provision": "strongroom_host.cli.provision:app",
    "seal": "strongroom_host.cli.seal:app",
    "panic": "strongroom_host.cli.panic:panic",
    "order": "strongroom_host.cli.order:app",
    "log": "strongroom_host.cli.log:app",
    "archive": "strongroom_host.cli.archive:app",
    "witness": "strongroom_host.cli.witness:app",
    "db": "strongroom_host.cli.db:app",
    "record": "strongroom_host.cli.record:app",
    "gateway": "strongroom_host.cli.gateway:app",
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


class Root(TyperGroup):
    """The top of the tree: loads commands by name, and turns every failure into a message."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """All names, whether or not they can be loaded."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: Any,  # noqa: ARG002
        cmd_name: str,
    ) -> TyperCommand | TyperGroup | None:
        """Imports and returns one command; one that cannot be imported says why when run."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        try:
            return _command(cmd_name, getattr(import_module(module), attribute))
        except ModuleNotFoundError as error:
            return _command(cmd_name, _unavailable(error))

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; see `failures` for what becomes of errors."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, TyperException, KeyboardInterrupt):
            raise
        except Exception as error:
            raise typer.Exit(report(error)) from error


def _command(name: str, target: Any) -> TyperCommand | TyperGroup:
    command: TyperCommand | TyperGroup
    if isinstance(target, typer.Typer):
        command = get_group(target)  # unlike get_command, it adds no options about completion
    else:
        single = typer.Typer(add_completion=False)
        single.command(name=name)(target)
        command = cast(TyperCommand, get_command(single))
    command.name = name
    return command


def _unavailable(error: ModuleNotFoundError) -> Callable[[], None]:
    def unavailable() -> None:
        raise error

    unavailable.__doc__ = f"(not available: the package {error.name!r} is missing)"
    return unavailable


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
