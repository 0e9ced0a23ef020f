"""What the documents say is what the code does."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

from msc import __version__
from msc.cli.commands import COMMANDS
from msc.cli.lazy import load
from msc.cli.main import app
from msc.directory.codec import Member
from msc.directory.document import CREDENTIALS, stated_members
from msc.directory.rows import TABLES
from msc.errors import CODES
from msc.journal.keeping import VERBS
from msc.protocol.control import FROM_LINE_CLIENT, FROM_LINE_HOST, FROM_STATION, FROM_SWITCH
from msc.settings import Settings, load_settings
from msc.switch.orders import verb as switching
from tests.support.command import call_msc

ROOT = Path(__file__).parents[1]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
PAGES = ("setting-up", "the-day", "at-three-in-the-morning", "reference")
OPERATING = "\n".join((ROOT / "docs" / f"{page}.md").read_text() for page in PAGES)
README = (ROOT / "README.md").read_text()


def test_the_code_table_is_the_classes() -> None:
    rows = dict(re.findall(r"^\| (E\d{3}) \| ([^|]+?) \|", PROTOCOL, re.MULTILINE))
    assert rows == {code: cls.meaning for code, cls in CODES.items()}


def test_the_tables_of_the_reference_are_what_the_code_says() -> None:
    text = (ROOT / "docs" / "reference.md").read_text()
    filled = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))["filled"]
    assert filled(text) == text, "run python docs/make_reference.py"


@pytest.mark.parametrize(
    "type_", sorted({cls.type for cls in (*FROM_STATION, *FROM_SWITCH, *FROM_LINE_HOST, *FROM_LINE_CLIENT)})
)
def test_every_control_type_is_documented(type_: str) -> None:
    assert f"`{type_}`" in PROTOCOL or f'"type":"{type_}"' in PROTOCOL or f'"type": "{type_}"' in PROTOCOL


def test_the_changelog_has_this_version() -> None:
    assert f"[{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.requirement("F-AUDIT")
def test_every_audit_event_is_documented() -> None:
    makers = {"AuditEvent", "AuditRecord", "_note", "_audit", "_reauthenticate"}
    calls = [
        node
        for file in (ROOT / "msc").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in makers
    ]
    texts = [str(a.value) for call in calls for a in call.args if isinstance(a, ast.Constant)]
    names = {text for text in texts if re.fullmatch(r"[a-z_]+\.[a-z_]+", text)}
    assert {"switch.started", "handshake.refused", "session.locked", "password.change_refused"} <= names
    names |= {f"journal.{verb}" for verb in VERBS} | {f"switching.{verb}" for verb in switching.VERBS}
    names |= {"switching.done", "switching.not_done"}
    section = OPERATING.split("## The audit stream")[1].split("\n## ")[0]
    assert not {name for name in names if f"`{name}`" not in section}


@pytest.mark.parametrize(
    "document", sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("docs/*.md"), *ROOT.glob("*.md")])
)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    file = ROOT / document
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", file.read_text()):
        assert (file.parent / target).exists(), f"{document} links to {target}"


def test_every_command_the_readme_names_exists() -> None:
    commands = set(
        re.findall(
            r"\bmsc (init|serve|simulate|send|check|demo|version|(?:journal|audit|directory|user|acp) [\w-]+)", README
        )
    )
    assert {"init", "serve", "simulate", "send", "check"} <= commands
    assert {"journal search", "journal show", "audit search", "directory apply"} <= commands
    for command in commands:
        assert call_msc(*command.split(), "--help").returncode == 0


def directory_row(member: Member) -> str:
    """Write what the code knows of a member as the first columns of its row in the table of docs/directory.md."""
    form = " ".join(f"`{choice}`" for choice in member.choices) if member.choices is not None else member.expected
    if member.required:
        left_out = "required"
    else:
        text = "" if member.default is None else member.to_text(member.default)
        left_out = f"`{text}`" if text else "empty"
    return f"| `{member.name}` | {form} | {left_out} |"


@pytest.mark.parametrize("table", TABLES)
def test_every_member_of_the_directory_is_documented(table: str) -> None:
    document = (ROOT / "docs" / "directory.md").read_text()
    sections = dict(re.findall(r"^## ([\w ]+)\n(.*?)(?=^## |\Z)", document, re.MULTILINE | re.DOTALL))
    lines = [
        line
        for section in (sections[table].split("\nBesides,")[0], sections["Every table"])
        for line in section.splitlines()
        if line.startswith("| `")
    ]
    expected = [directory_row(member) for member in stated_members(table)]
    assert [line[: len(row)] for line, row in zip(lines, expected, strict=True)] == expected
    assert all(len(line.split("|")[4].strip()) > 5 for line in lines)
    assert all(f"| `{name}` |" in sections["user"] for name in CREDENTIALS)


# --- commands, settings and what a running switch says ----------------------------------------------


def command_lines() -> list[str]:
    """Return every `msc ...` line in a fenced block of the documents, without its comment."""
    lines = []
    for file in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))):
        for block in re.findall(r"^```\w*\n(.*?)^```", file.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if found := re.match(r"(?:\$ )?(?:\.venv/bin/)?msc ([a-z].*)", line):
                    # A comment, or what is said of it, stands behind two blanks or more; `> FILE` is the shell's.
                    lines.append(re.split(r" {2,}(?=\S)| > |, then ", re.sub(r" {2,}(--)", r" \1", found[1]))[0])
    return sorted(set(lines))


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_in_a_document_is_one(line: str) -> None:
    words = [word for word in shlex.split(line) if not re.fullmatch(r"\[.*|.*\]", word)]
    assert words[0] in COMMANDS, line
    command: Any = load(words[0], COMMANDS[words[0]])
    context = typer.main.get_command(app).make_context("msc", [], resilient_parsing=True)
    rest = words[1:]
    while hasattr(command, "commands"):
        _, command, rest = command.resolve_command(context, rest)
    # Raises what says which option there is not.
    given, _, _ = command.make_parser(type(context)(command)).parse_args(list(rest))
    for parameter in command.params:
        if parameter.required and not parameter.envvar and parameter.param_type_name == "option":
            assert parameter.name in given, f"{line}: {parameter.opts[0]} is required"


def settings_of(model: type[BaseModel], name: str) -> Iterator[tuple[str, str]]:
    """Yield table and key of every setting there is."""
    for key, field in model.model_fields.items():
        parts = [field.annotation, *get_args(field.annotation)]
        parts += [inner for part in parts for inner in (part, *get_args(part)) if inner is not part]
        parts += [inner for part in parts for inner in get_args(part)]
        tables = {part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)}
        if not tables:
            yield name, key
        for table in tables:
            yield from settings_of(table, f"{name}.{key}" if name else key)


def documented_settings() -> set[tuple[str, str]]:
    """Return table and key of every setting in the table of docs/reference.md."""
    section = OPERATING.split("\n## msc.toml\n")[1].split("\n## ")[0]
    found, table = set(), ""
    for line in section.splitlines():
        if not line.startswith("| `"):
            continue
        for word in re.findall(r"`([^`]+)`", line.split("|")[1]):
            if word.startswith("["):
                table = word.strip("[]").removesuffix(".NAME")
            else:
                found.add((table, word))
    return found


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    assert documented_settings() == set(settings_of(Settings, ""))


def test_the_examples_in_the_settings_template_are_settings(tmp_path: Path) -> None:
    text = (ROOT / "msc" / "site" / "msc.toml.template").read_text()
    text = re.sub(r"\$second_factor", "required", re.sub(r"= \$(\w+_port)", "= 9440", text)).replace("$switch", "s")
    for example in ('url = "postgresql', "\\[\\[", "\\[admin", "\\[device", "\\[pass", r"\w+ = "):
        text = re.sub(rf"^# (?={example})", "#" if example.startswith("url") else "", text, flags=re.MULTILINE)
    file = tmp_path / "msc.toml"
    file.write_text(text)
    settings = load_settings(file)
    assert [witness.kind for witness in settings.journal.witness] == ["file", "syslog", "http"]
    assert settings.admin.group is not None and settings.journal.retention.years == 3


def test_what_the_journal_logs_as_trouble_is_documented() -> None:
    logged = {
        str(node.args[0].value)
        for file in [*(ROOT / "msc" / "journal").rglob("*.py"), *(ROOT / "msc" / "control").rglob("*.py")]
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and re.fullmatch(r"_?log\.(warning|error)", ast.unparse(node.func))
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }
    assert {"journal.unavailable", "archive.failed", "clock.stepped"} <= logged
    assert not {name for name in logged if f"`{name}`" not in OPERATING}


def test_every_metric_of_the_journal_is_documented() -> None:
    sources = [*(ROOT / "msc" / "journal").rglob("*.py"), ROOT / "msc" / "metrics.py", ROOT / "msc" / "daemon.py"]
    names = {name for file in sources for name in re.findall(r'"(msc_(?:journal|clock)_\w+)"', file.read_text())}
    assert {"msc_journal_available", "msc_clock_steps"} <= names
    assert not {name for name in names if name not in OPERATING}


@pytest.mark.parametrize(
    "document", sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("docs/*.md"), *ROOT.glob("*.md")])
)
def test_links_to_a_heading_find_it(document: str) -> None:
    file = ROOT / document
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", file.read_text()):
        text = (file.parent / target).read_text() if target else file.read_text()
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in anchors, f"{document} links to #{anchor}"
