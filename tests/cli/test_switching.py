"""How the console's answers are written for people."""

from __future__ import annotations

from typing import Any

import pytest

from msc.cli.switching import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ([], ""),
        ({}, ""),
        (0, "0"),
        (False, "no"),
        (["EXA1", "EXA2"], "EXA1, EXA2"),
        ({"urgent": 1, "status": 0, "response": 12}, "1 urgent, 12 response"),
    ],
)
def test_what_is_not_there_is_blank_and_what_waits_is_counted_by_class(value: Any, text: str) -> None:
    assert shown(value) == text
