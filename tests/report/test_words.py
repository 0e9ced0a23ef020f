"""What was looked for, how complete the answer is, how long things took."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msc.journal.criteria import Criteria
from msc.report.words import (
    completeness_line,
    criteria_in_words,
    criteria_line,
    duration,
    lines_of,
    open_at,
    outcome_of,
)
from tests.support.entries import START_US, entry


@pytest.mark.parametrize(
    ("us", "said"),
    [
        (0, "0"), (7, "7 µs"), (999, "999 µs"), (1_000, "1.0 ms"), (999_949, "999.9 ms"), (999_950, "1.00 s"),
        (4_210_000, "4.21 s"), (59_994_999, "59.99 s"), (59_995_000, "1 min 00 s"), (123_000_000, "2 min 03 s"),
        (3_599_600_000, "1 h 00 min"), (3_720_000_000, "1 h 02 min"), (86_400_000_000, "1 d 00 h"),
        (273_600_000_000, "3 d 04 h"), (-1_500, "-1.5 ms"),
    ],
)  # fmt: skip
def test_a_duration_is_said_in_units_of_its_size(us: int, said: str) -> None:
    assert duration(us) == said


UNITS = {"µs": 1, "ms": 1_000, "s": 10**6, "min": 60 * 10**6, "h": 3_600 * 10**6, "d": 86_400 * 10**6}


@given(st.integers(1, 10**14))
def test_what_is_said_of_a_duration_is_near_it(us: int) -> None:
    words = duration(us).split()
    said = sum(float(number) * UNITS[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert abs(said - us) <= max(us * 0.06, 0.5)


@pytest.mark.requirement("N-PRINT")
@pytest.mark.parametrize("name", [field.name for field in fields(Criteria)])
def test_every_criterion_has_words(name: str) -> None:
    values: dict[str, Any] = {"text": ("7ABC123", "SPEC*"), "msn": 5, "transaction": 5, "since_us": START_US}
    given_ = Criteria(**{name: values.get(name, START_US if name == "until_us" else "X1")}).as_json()
    said = criteria_in_words(given_)
    assert said and all(label and label not in (name, "Criteria") and value for label, value in said)


def test_criteria_are_said_in_the_order_of_a_report() -> None:
    criteria = Criteria(key="IW.QW", since_us=START_US, text=("7ABC123", "SPEC*"), until_us=1_767_225_600_000_000)
    assert criteria_in_words(criteria.as_json()) == [
        ("Received from", "2026-03-05 03:12:44.000250 UTC"),
        ("Received before", "2026-01-01 00:00:00 UTC"),
        ("Message key", "IW.QW"),
        ("Text holds", "the word “7ABC123”"),
        ("Text holds", "a word that begins with “SPEC”"),
    ]
    assert criteria_line({"user": "J1", "not_yet_known": 3}) == "User J1 · not yet known 3"
    assert criteria_line({}) == "Criteria none: every message"


@pytest.mark.requirement("C-JOURNAL")
@pytest.mark.parametrize(
    ("searched", "unreadable", "more", "said"),
    [
        (
            [*range(202401, 202413), *range(202501, 202513), *range(202601, 202612), 202312], [202503], False,
            "searched 36 months, 2023-12 to 2026-11; 2025-03 could not be read",
        ),
        ([202611], [], True, "searched 1 month, 2026-11; there are more messages than were asked for"),
        ([202401, 202404], [202403], False,
         "searched 3 months, 2024-01, 2024-03 to 2024-04; 2024-03 could not be read"),
        ([202401, 202403], [], False, "searched 2 months, 2024-01, 2024-03"),
        ([], [], False, "no month of the journal was asked for"),
    ],
)  # fmt: skip
def test_a_search_says_how_complete_it_is(searched: list[int], unreadable: list[int], more: bool, said: str) -> None:
    assert completeness_line(searched, unreadable, more=more) == said


TO_A = (0, "routed", "line:a", None)
ANSWERED = (99, "answered", "line:a", "msn 2")


@pytest.mark.parametrize(
    ("events", "members", "outcome"),
    [
        ([(0, "refused", None, "E205 no key")], {"code": "E205"}, "E205"),
        ([TO_A, (5, "sent", "line:a", None), (9, "acknowledged", "line:a", None)], {}, "open"),
        ([TO_A, ANSWERED], {}, "answered"),
        ([TO_A, (9, "expired", "line:a", "E402"), ANSWERED], {}, "answered"),
        ([TO_A, (0, "routed", "line:b", None), ANSWERED, (9, "not_sent", "line:b", "E401")], {}, "not_sent"),
        ([(0, "routed", "device:D", None), (9, "acknowledged", "device:D", None)], {}, "acknowledged"),
        ([(0, "operator_queue", None, "no destination")], {}, "operator_queue"),
    ],
)  # fmt: skip
def test_a_messages_outcome_is_the_worst_that_was_not_mended(
    events: list[Any], members: dict[str, Any], outcome: str
) -> None:
    made = entry(1, *events, **members)
    assert outcome_of(made) == outcome
    assert bool(open_at(made)) == (outcome == "open")


@given(st.text(st.characters(exclude_characters="\t"), max_size=200))
def test_a_text_by_lines_loses_nothing_but_line_ends(text: str) -> None:
    assert "\n".join(lines_of(text)) in (text.replace("\r\n", "\n"), text.replace("\r\n", "\n")[:-1])
