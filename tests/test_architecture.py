"""The import law: every file of `msc/` is read, and what it imports is held against one table.

Rooms stand on floors. An import runs downward, or stays within its room; rooms of one floor do not see
each other except where `SAME_FLOOR` says so.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[1]
MSC: Final = ROOT / "msc"

# Lowest floor first. What stands here as `room.module` is a room of its own.
FLOORS: Final[tuple[tuple[str, ...], ...]] = (
    ("ground",),
    ("protocol",),
    ("pki",),
    ("directory",),
    ("routing", "transit", "access"),
    ("journal",),
    ("link", "switch"),
    ("control",),
    ("report", "site", "daemon"),
    ("lab",),
    ("cli",),
    ("__main__",),
)
GROUND: Final = frozenset({
    "__init__", "errors", "limits", "clock", "local_time", "settings", "log", "metrics", "migration", "tls", "lock",
    "audit",
})  # fmt: skip
# (importer, imported): may not be, whatever the floors say.
FORBIDDEN: Final[dict[tuple[str, str], str]] = {
    ("routing", "link"): "routing never sees a socket",
    ("routing", "journal"): "routing decides from memory",
    ("routing", "access"): "routing does not ask who may",
    ("routing", "directory"): "routing is told of stations, and reads no rows",
    ("transit", "directory"): "what is on its way is told of places, and reads no rows",
    ("routing", "pki"): "routing decides from memory",
    ("transit", "pki"): "transit decides from memory",
    ("journal", "routing"): "the journal never sees a route",
    ("journal", "access"): "the journal never asks who may",
    ("journal", "directory"): "the journal never asks who may",
    ("journal", "pki"): "the journal has a signing key of its own",
    ("daemon", "site"): "a running switch makes and declares nothing",
    ("daemon", "report"): "rows for people are made where people ask",
    ("link", "switch"): "link and switch meet only in the daemon",
    ("switch", "link"): "link and switch meet only in the daemon",
}
# Rooms of one floor that may see each other.
SAME_FLOOR: Final = frozenset({("site", "report")})

# Foreign package -> the only rooms, or parts of rooms, that may import it.
ONLY_IN: Final[dict[str, frozenset[str]]] = {
    "sqlalchemy": frozenset({"journal", "directory", "ground.migration"}),
    "alembic": frozenset({"ground.migration", "journal.migrations", "directory.migrations"}),
    "aiosqlite": frozenset(),
    "sqlite3": frozenset({"journal"}),
    "asyncpg": frozenset({"journal"}),
    "typer": frozenset({"cli"}),
    "argon2": frozenset({"directory"}),
    "pyotp": frozenset({"directory"}),
    "pickle": frozenset(),
    "starlette": frozenset({"control"}),
    "uvicorn": frozenset({"control"}),
    "reportlab": frozenset({"report"}),
    "matplotlib": frozenset({"report"}),
}
# Pure rooms -> what would make them impure.
IMPURE: Final = frozenset(
    [
        "asyncio",
        "socket",
        "ssl",
        "select",
        "selectors",
        "time",
        "datetime",
        "random",
        "secrets",
        "threading",
        "multiprocessing",
        "subprocess",
        "os",
        "logging",
        "structlog",
        "uvloop",
        "concurrent",
        "queue",
        "sched",
        "signal",
    ]
)
PURE: Final = ("protocol", "routing", "transit")


class Import(NamedTuple):
    file: str
    line: int
    module: str
    """The module the import stands in."""
    imported: str
    """What it names: a module."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.imported}"


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES: Final = {module_of(file): file for file in sorted(MSC.rglob("*.py"))}


def room_of(module: str) -> str:
    """Return the room of a module of ours."""
    rest = module.split(".")[1:]
    if not rest or rest[0] in GROUND:
        return "ground"
    return rest[0]


def corner_of(module: str) -> str:
    """Return where a module stands for `ONLY_IN`: its room, or a part of it that has rights of its own."""
    rest = module.split(".")[1:]
    if room_of(module) == "ground" and rest:
        return f"ground.{rest[0]}"
    return ".".join(rest[:2]) if rest[1:2] == ["migrations"] else room_of(module)


def may_import(corner: str, package: str) -> bool:
    """Tell whether a foreign package may be imported there. What a room may, all of its parts may."""
    rooms = ONLY_IN[package]
    return corner in rooms or corner.split(".")[0] in rooms


def floor_of(room: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if room in rooms:
            return number
    raise AssertionError(f"room {room!r} stands on no floor of FLOORS")


def is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def walk(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield every statement that runs, those within functions too; not what only a type checker reads."""
    for node in nodes:
        if isinstance(node, ast.If) and is_type_checking(node.test):
            yield from walk(node.orelse)
            continue
        yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from walk(getattr(node, field, []))


def imports_of(module: str, source: str, file: str = "") -> Iterator[Import]:
    is_package = FILES.get(module, Path()).name == "__init__.py"
    for node in walk(ast.parse(source).body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, module, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".") + ([""] if is_package else [])
                base = ".".join([*parts[: -node.level], *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(file, node.lineno, module, inner if inner in FILES else base)


ALL: Final = [
    found
    for module, file in FILES.items()
    for found in imports_of(module, file.read_text("utf-8"), str(file.relative_to(ROOT)))
]
OURS: Final = [found for found in ALL if found.imported.split(".")[0] == "msc"]
FOREIGN: Final = [found for found in ALL if found.imported.split(".")[0] != "msc"]


def breach(importer: str, imported: str) -> str | None:
    """Say why one room may not import another, or None."""
    if importer == imported:
        return None
    if (importer, imported) in FORBIDDEN:
        return FORBIDDEN[importer, imported]
    if floor_of(importer) > floor_of(imported) or (importer, imported) in SAME_FLOOR:
        return None
    return f"{importer} is not above {imported}"


def report(found: list[str]) -> None:
    assert not found, "\n".join(["", *found])


def test_there_is_something_to_read() -> None:
    assert len(FILES) > 30
    assert len(OURS) > 100
    assert {"msc.protocol.frame", "msc.switch.switch", "msc.daemon"} <= set(FILES)


def test_every_module_stands_on_a_floor() -> None:
    known = {room for rooms in FLOORS for room in rooms}
    report([f"{file.relative_to(ROOT)}: room {room_of(m)!r}" for m, file in FILES.items() if room_of(m) not in known])


def test_imports_run_downward_only() -> None:
    found = [(i, breach(room_of(i.module), room_of(i.imported))) for i in OURS]
    report([f"{i}: {why}" for i, why in found if why])


def test_the_ground_imports_only_the_ground() -> None:
    report([str(i) for i in OURS if room_of(i.module) == "ground" and room_of(i.imported) != "ground"])


@pytest.mark.parametrize("package", sorted(ONLY_IN))
def test_a_package_is_imported_only_where_it_belongs(package: str) -> None:
    rooms = ONLY_IN[package]
    where = f"only {', '.join(sorted(rooms))} may" if rooms else "nobody may"
    report([
        f"{i}: {where}"
        for i in FOREIGN
        if i.imported.split(".")[0] == package and not may_import(corner_of(i.module), package)
    ])  # fmt: skip


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_has_no_sockets_clock_chance_or_threads(room: str) -> None:
    report([
        f"{i}: {room} is pure" for i in FOREIGN if room_of(i.module) == room and i.imported.split(".")[0] in IMPURE
    ])  # fmt: skip


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_does_not_ask_our_clock_either(room: str) -> None:
    impure = {"msc.clock", "msc.log", "msc.tls", "msc.metrics"}
    report([f"{i}: {room} is pure" for i in OURS if room_of(i.module) == room and i.imported in impure])


def test_only_the_commands_about_it_see_the_county_that_does_not_exist() -> None:
    commands = {f"msc.cli.{name}" for name in ("demo", "simulate", "filling", "init")}
    report([
        f"{i}: only {', '.join(sorted(commands))} may"
        for i in OURS
        if room_of(i.imported) == "lab" and room_of(i.module) != "lab" and i.module not in commands
    ])  # fmt: skip


def test_modules_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in FILES}
    for found in OURS:
        graph[found.module].add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        pytest.fail("import circle: " + " -> ".join(exc.args[1]))


def test_no_import_names_a_module_that_is_not_there() -> None:
    report([str(i) for i in OURS if i.imported not in FILES])


# --- the law itself -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("switch", "routing", True),
        ("switch", "transit", True),
        ("journal", "transit", True),
        ("switch", "ground", True),
        ("routing", "protocol", True),
        ("access", "directory", True),
        ("directory", "pki", True),
        ("daemon", "control", True),
        ("daemon", "link", True),
        ("lab", "site", True),
        ("cli", "lab", True),
        ("cli", "daemon", True),
        ("protocol", "routing", False),
        ("ground", "protocol", False),
        ("routing", "transit", False),
        ("transit", "journal", False),
        ("routing", "link", False),
        ("routing", "access", False),
        ("journal", "routing", False),
        ("journal", "access", False),
        ("link", "switch", False),
        ("switch", "link", False),
        ("switch", "control", False),
        ("control", "daemon", False),
        ("daemon", "cli", False),
        ("daemon", "lab", False),
        ("site", "lab", False),
        ("lab", "cli", False),
        ("journal", "switch", False),
    ],
)
def test_the_law_says_what_it_is_meant_to(importer: str, imported: str, allowed: bool) -> None:
    assert (breach(importer, imported) is None) == allowed


@pytest.mark.parametrize(
    ("module", "package", "allowed"),
    [
        ("msc.migration", "alembic", True),
        ("msc.migration", "sqlalchemy", True),
        ("msc.journal.migrations.revision_0004", "alembic", True),
        ("msc.journal.migrations.revision_0004", "sqlalchemy", True),
        ("msc.journal.store", "alembic", False),
        ("msc.tls", "alembic", False),
        ("msc.tls", "sqlalchemy", False),
        ("msc.switch.switch", "sqlalchemy", False),
        ("msc.control.monitor", "uvicorn", True),
    ],
)
def test_the_law_of_packages_says_what_it_is_meant_to(module: str, package: str, allowed: bool) -> None:
    assert may_import(corner_of(module), package) == allowed


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import asyncio as a, msc.clock
from msc import limits
from msc.errors import Refusal
from . import frame
from .frame import Frame
if TYPE_CHECKING:
    import ssl
else:
    import random
try:
    import socket
except ImportError:
    import time
def f():
    with x:
        from msc.link import line
class C:
    import queue
"""
    found = {i.imported for i in imports_of("msc.protocol.session", source)}
    assert found == {
        "asyncio", "msc.clock", "msc.limits", "msc.errors", "msc.protocol.frame", "random", "socket", "time",
        "msc.link.line", "queue",
    }  # fmt: skip


# --- what is published ----------------------------------------------------------------------------------

# Written in two parts, so that this file does not name them itself.
NOT_OURS: Final = ("/wo" + "rk/", ".lib" + "rary")


def tracked() -> list[Path]:
    """Return the files of the repository: those git knows and would add; without git, all that are ours."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        rooms = ("msc", "tests", "docs", "config", "certs", "loadtest", "deploy")
        files = [file for room in rooms for file in (ROOT / room).rglob("*") if "__pycache__" not in file.parts]
        files += [ROOT / "README.md", ROOT / "Makefile", ROOT / "pyproject.toml"]
    return [file for file in files if file.is_file()]


def test_nothing_published_names_a_folder_of_the_machine_it_was_written_on() -> None:
    files = tracked()
    assert len(files) > 50
    report([
        f"{file.relative_to(ROOT)}:{number}: names {name!r}"
        for file in files
        for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1)
        for name in NOT_OURS
        if name in line
    ])  # fmt: skip
