"""What the console's commands print for people."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from msc.cli.main import app
from msc.cli.switching import shown

pytestmark = pytest.mark.requirement("C-ADMIN")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ({}, ""),
        ([], ""),
        ({"urgent": 2, "status": 0, "broadcast": 1}, "2 urgent, 1 broadcast"),
        ({"waiting": 3}, "3 waiting"),
        (["J40217", "K20331"], "J40217, K20331"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
    ],
)
def test_members_of_an_answer_are_written_for_people(value: Any, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    "words", [("queue", "move", "--from", "device:A", "--to", "device:B"), ("queue", "delete", "--from", "device:A")]
)
def test_the_site_may_be_left_out_where_no_message_is_named_either(words: tuple[str, ...]) -> None:
    told = CliRunner().invoke(app, words, env={"MSC_CONFIG": "msc.toml"})
    assert told.exit_code == 2
    assert "name the messages by their MSNs, or say --all" in told.stderr
