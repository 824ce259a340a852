"""Groups of commands that are imported when they are used: one command's needs, or a package that
is missing, neither slow nor stop another."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

__all__ = ["LazyGroup"]


class LazyGroup(TyperGroup):
    """A group with further commands by name: `LATER` has their module:attribute, in the order of
    the help text. The attribute is a Typer app, or a function that is one command.

    The group's own help would have to import all of them for a line each; `SUMMARIES` has those
    lines, the same as they stand where the command is.
    """

    LATER: ClassVar[Mapping[str, str]] = {}
    SUMMARIES: ClassVar[Mapping[str, str]] = {}
    _listing: bool = False

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help text, for which no command with a summary is imported."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, whether or not they can be loaded."""
        return [*super().list_commands(ctx), *self.LATER]

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """Imports and returns one command; one that cannot be imported says why when run."""
        if cmd_name not in self.LATER:
            return cast(TyperCommand | TyperGroup | None, super().get_command(ctx, cmd_name))
        if self._listing and cmd_name in self.SUMMARIES:
            return TyperCommand(cmd_name, help=self.SUMMARIES[cmd_name])
        module, _, attribute = self.LATER[cmd_name].partition(":")
        try:
            return _command(cmd_name, getattr(import_module(module), attribute))
        except ModuleNotFoundError as error:
            return _command(cmd_name, _unavailable(error))


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
