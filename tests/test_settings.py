"""Lines in `msc.toml`: what does not fit together is told, all of it at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from msc import clock
from msc.errors import SettingsError
from msc.settings import load_settings

SITE = """
switch = { name = "msc-test" }
listener = { port = 0 }
tls = { ca = "ca.pem", certificate = "switch.pem", key = "switch.key" }
journal = { url = "sqlite+aiosqlite:///journal.db" }
directory = { url = "sqlite+aiosqlite:///directory.db" }
catalog = { folder = "catalog" }
routes = { file = "routes.toml" }
monitor = { port = 0 }
"""


def in_days(days: int) -> str:
    return str(clock.today() + timedelta(days=days))


def line(name: str, **more: str) -> str:
    """Write a line's table; dates stand bare."""
    rows = {"name": name, "peer": f"msc://host/{name}", "host": "127.0.0.1"} | more
    text = [f'{key} = {value}' if key in ("expires", "ack_s", "failback_s") else f'{key} = "{value}"'
            for key, value in rows.items()]  # fmt: skip
    return "\n".join(["[[line]]", "port = 0", *text, ""])


def faults_of(folder: Path, *lines: str) -> list[str]:
    """Load settings with these lines; what is wrong with them, where first."""
    file = folder / "msc.toml"
    file.write_text(SITE + "".join(lines))
    try:
        load_settings(file)
    except SettingsError as exc:
        return [f"{fault.where}: {fault.problem}" for fault in exc.faults]
    return []


def test_a_line_has_a_driver_and_a_backup_of_the_same_mode(tmp_path: Path) -> None:
    test = {"mode": "test", "expires": in_days(30)}
    assert not faults_of(
        tmp_path,
        line("clets-a", backup="clets-b", driver="stx", ack_s="2.5", failback_s="0"),
        line("clets-b", driver="mtp"),
        line("test-a", backup="test-b", **test),
        line("test-b", **test),
    )
    first, second, *_ = load_settings(tmp_path / "msc.toml").line
    assert (first.driver, first.backup, first.ack_s, first.failback_s) == ("stx", "clets-b", 2.5, 0)
    assert (second.driver, second.backup, second.ack_s, second.failback_s, second.expires) == (
        "mtp",
        None,
        10,
        5,
        None,
    )


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([line("a", backup="b")], "line.0 (a).backup: there is no line 'b'"),
        ([line("a", backup="a")], "line.0 (a).backup: a line is not its own backup"),
        (
            [line("a", backup="b"), line("b", backup="c"), line("c")],
            "line.0 (a).backup: 'b' has a backup itself; a backup has none",
        ),
        (
            [line("a", backup="c"), line("b", backup="c"), line("c")],
            "line.0 (a).backup: 'c' is also the backup of 'b'; a line backs up one other at most",
        ),
        (
            [line("a", backup="b"), line("b", mode="test", expires=in_days(1))],
            "line.0 (a).backup: 'b' is a test line, this is a production line",
        ),
        (
            [line("a", backup="b", mode="test", expires=in_days(1)), line("b")],
            "line.0 (a).backup: 'b' is a production line, this is a test line",
        ),
        ([line("a"), line("a")], "line.name: 'a' stands twice"),
    ],
)
def test_a_backup_that_cannot_be_one_is_a_fault(tmp_path: Path, lines: list[str], fault: str) -> None:
    assert fault in faults_of(tmp_path, *lines)


@pytest.mark.requirement("C-TEST")
def test_a_test_line_ends_within_a_year(tmp_path: Path) -> None:
    assert faults_of(tmp_path, line("a", mode="test")) == [
        "line.0 (a).expires: a test line needs a day on which it ends (C-TEST)"
    ]
    assert not faults_of(tmp_path, line("a", mode="test", expires=in_days(366)))
    late = in_days(367)
    assert faults_of(tmp_path, line("a", mode="test", expires=late)) == [
        f"line.0 (a).expires: a test line ends within a year, not on {late} (C-TEST)"
    ]


def test_a_line_that_has_ended_keeps_no_switch_from_starting(tmp_path: Path) -> None:
    assert not faults_of(tmp_path, line("a", mode="test", expires=in_days(-1)), line("b", expires=in_days(1000)))
    ended, lasts = load_settings(tmp_path / "msc.toml").line
    assert ended.is_over(clock.today()) and not lasts.is_over(clock.today())
    assert ended.expires is not None and ended.is_over(ended.expires)
    assert not ended.is_over(ended.expires - timedelta(days=1))


def test_every_fault_of_the_lines_is_told_at_once(tmp_path: Path) -> None:
    found = faults_of(tmp_path, line("a", backup="x"), line("b", mode="test", backup="a"), line("a"))
    assert [fault.partition(":")[0] for fault in found] == [
        "line.name", "line.0 (a).backup", "line.1 (b).backup", "line.1 (b).expires",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "more", [{"driver": "x25"}, {"ack_s": "0"}, {"ack_s": "121"}, {"failback_s": "-1"}, {"expires": "1"}]
)
def test_what_no_line_can_be_is_a_fault(tmp_path: Path, more: dict[str, str]) -> None:
    [fault] = faults_of(tmp_path, line("a", **more))
    assert fault.startswith(f"line.0.{next(iter(more))}: ")
