"""The list of commands: what it says is true, and it imports nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from msc.cli.commands import COMMANDS
from msc.cli.lazy import load
from msc.cli.main import app

HEAVY = {
    "sqlalchemy", "alembic", "aiosqlite", "cryptography", "httpx", "starlette", "uvicorn", "uvloop", "structlog",
    "numpy", "matplotlib", "reportlab", "asyncpg", "asyncio",
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_line_of_help_is_what_its_module_says(name: str) -> None:
    command = load(name, COMMANDS[name])
    assert command.name == name
    assert (command.help or "").partition("\n\n")[0].replace("\n", " ") == COMMANDS[name].help


def test_the_help_lists_every_command_in_the_order_of_the_table() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    places = [shown.index(f" {name} ") for name in COMMANDS]
    assert places == sorted(places)
    assert all(place.help in shown for place in COMMANDS.values())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_of_its_own(name: str) -> None:
    done = CliRunner().invoke(app, [name, "--help"])
    assert done.exit_code == 0
    assert f"Usage: msc {name} " in done.stdout


def test_a_command_that_is_none_is_told_with_what_may_be_meant() -> None:
    done = CliRunner().invoke(app, ["jornal"])
    assert done.exit_code == 2
    assert "journal" in done.output


ASKING = {"cryptography", "httpx"}
"""What a command needs that signs a question and asks the switch."""


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["version"], set()),
        (["--help"], set()),
        (["journal", "--help"], set()),
        (["journal", "search", "--help"], ASKING),
    ],
)
def test_a_light_command_imports_nothing_heavy(words: list[str], needed: set[str]) -> None:
    script = (
        "import sys, contextlib\n"
        "from msc.cli.main import main\n"
        f"sys.argv = ['msc', *{words!r}]\n"
        "with contextlib.suppress(SystemExit):\n"
        "    main()\n"
        f"print('imported', sorted({HEAVY - needed!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.splitlines()[-1] == "imported []"
