"""What the console's commands print for people."""

from __future__ import annotations

from typing import Any

import pytest

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
