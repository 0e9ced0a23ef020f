"""A group of commands that imports a command's module only when that command is run.

Importing every command takes longer than most of them run: a search at three in the morning must not wait for what
serves, signs or simulates. The group knows each command by name, module and one line of help, which is all that
`msc --help` shows; a test holds those lines against the modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


class Place(NamedTuple):
    """Where a command is.

    Attributes:
        module: Its module.
        name: What it is called there: a function, a `Typer`, or a member of a dictionary (`apps.user`).
        help: Its line in the list of commands.
    """

    module: str
    name: str
    help: str


def _false_until_given(option: Any) -> Any:
    """Give `--help` a default: where it has none, typer imports pydantic, a tenth of a second, to read the None."""
    if option is not None:
        option.default = False
    return option


class _Command(TyperCommand):
    def get_help_option(self, ctx: Any) -> Any:
        return _false_until_given(super().get_help_option(ctx))


def load(name: str, place: Place) -> TyperCommand | TyperGroup:
    """Import a command and make it ready to run."""
    attribute, _, member = place.name.partition(".")
    found: Any = getattr(import_module(place.module), attribute)
    if member:
        found = found[member]
    if isinstance(found, typer.Typer):
        command: Any = get_group(found)
    else:
        alone = typer.Typer(add_completion=False)
        alone.command(name, cls=_Command)(found)
        command = get_command(alone)
    command.name = name
    assert isinstance(command, TyperCommand | TyperGroup)
    return command


class LazyGroup(TyperGroup):
    """Lists its commands from a table, and imports the one that is asked for.

    Attributes:
        table: Name of a command to where it is, in the order of the help.
    """

    table: ClassVar[Mapping[str, Place]] = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, place in self.table.items():
            self.commands[name] = TyperCommand(name, help=place.help)

    def get_help_option(self, ctx: Any) -> Any:
        """Return `--help`."""
        return _false_until_given(super().get_help_option(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command the arguments name, and import it."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in self.table:
            command = load(name, self.table[name])
        return name, command, rest
