"""What the documents say is what the code does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from msc import __version__
from msc.acp.codec import Member
from msc.acp.directory import TABLES
from msc.acp.document import CREDENTIALS, stated_members
from msc.errors import CODES
from msc.protocol.control import FROM_LINE_CLIENT, FROM_LINE_HOST, FROM_STATION, FROM_SWITCH
from tests.support.command import call_msc

ROOT = Path(__file__).parents[1]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()


def test_the_code_table_is_the_classes() -> None:
    rows = dict(re.findall(r"^\| (E\d{3}) \| ([^|]+?) \|", PROTOCOL, re.MULTILINE))
    assert rows == {code: cls.meaning for code, cls in CODES.items()}


@pytest.mark.parametrize(
    "type_", sorted({cls.type for cls in (*FROM_STATION, *FROM_SWITCH, *FROM_LINE_HOST, *FROM_LINE_CLIENT)})
)
def test_every_control_type_is_documented(type_: str) -> None:
    assert f"`{type_}`" in PROTOCOL or f'"type":"{type_}"' in PROTOCOL or f'"type": "{type_}"' in PROTOCOL


def test_the_changelog_has_this_version() -> None:
    assert f"[{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.requirement("F-AUDIT")
def test_every_audit_event_is_documented() -> None:
    makers = {"AuditEvent", "_note", "_audit", "_reauthenticate"}
    calls = [
        node
        for file in (ROOT / "msc").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in makers
    ]
    texts = [str(a.value) for call in calls for a in call.args if isinstance(a, ast.Constant)]
    names = {text for text in texts if re.fullmatch(r"[a-z_]+\.[a-z_]+", text)}
    assert {"switch.started", "handshake.refused", "session.locked", "password.change_refused"} <= names
    section = (ROOT / "docs" / "operating.md").read_text().split("## The audit stream")[1].split("\n## ")[0]
    assert not {name for name in names if f"`{name}`" not in section}


@pytest.mark.parametrize("document", sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md")))
def test_links_between_documents_lead_somewhere(document: str) -> None:
    file = ROOT / document
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", file.read_text()):
        assert (file.parent / target).exists(), f"{document} links to {target}"


def test_every_command_the_readme_names_exists() -> None:
    commands = set(
        re.findall(
            r"\bmsc (init|serve|simulate|send|check|demo|version|(?:journal|audit|directory|user|acp) \w+)", README
        )
    )
    assert {"init", "serve", "simulate", "send", "check"} <= commands
    assert {"journal search", "journal show", "audit search", "directory apply"} <= commands
    for command in commands:
        assert call_msc(*command.split(), "--help").returncode == 0


README = (ROOT / "README.md").read_text()


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
