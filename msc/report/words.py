"""What was looked for, how complete the answer is, and how long things took, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msc import clock
from msc.transit.event import Life
from msc.transit.state import has_ended

Entry = Mapping[str, Any]
"""A message and its events, as `Entry.as_json` gives them."""

_LABELS: Final[dict[str, str]] = {
    "since_us": "Received from",
    "until_us": "Received before",
    "user": "User",
    "mnemonic": "Mnemonic",
    "agency": "Agency",
    "ori": "ORI",
    "database": "Database",
    "kind": "Kind",
    "direction": "Direction",
    "code": "Code",
    "requester": "Requester",
    "session": "Session",
    "device": "Station, from or to",
    "line": "Line, from or to",
    "key": "Message key",
    "header": "Header",
    "msn": "MSN",
    "transaction": "Transaction",
    "outcome": "Outcome",
    "text": "Text holds",
    "scope": "Only agency",
}

# From the worst: what a message's outcome is named after, where its destinations differ.
_WORST: Final = (
    Life.REFUSED,
    Life.REFUSED_BY_PEER,
    Life.OUTCOME_UNKNOWN,
    Life.EXPIRED,
    Life.NOT_SENT,
    Life.OPERATOR_QUEUE,
)


# --- times ------------------------------------------------------------------------------------------


def shown_time(moment: str) -> str:
    """Write a time of RFC 3339 as people read it, to the microsecond: `2026-01-31 08:15:00.123456`."""
    return moment.removesuffix("Z").replace("T", " ")


def shown_second(at_us: int) -> str:
    """Write a wall time to the second, or to the microsecond where it has more: `2026-01-31 08:15:00 UTC`."""
    return clock.rfc3339(at_us).removesuffix("Z").removesuffix(".000000").replace("T", " ") + " UTC"


def duration(us: int) -> str:
    """Write how long something took: `430 µs`, `3.2 ms`, `4.21 s`, `2 min 03 s`, `1 h 02 min`, `3 d 04 h`."""
    if us < 0:
        return f"-{duration(-us)}"
    if us < 1_000:
        return f"{us} µs" if us else "0"
    if us < 999_950:
        return f"{us / 1_000:.1f} ms"
    if us < 59_995_000:
        return f"{us / 1_000_000:.2f} s"
    seconds = (us + 500_000) // 1_000_000
    for unit, below, smaller, seconds_in in (("min", "s", 60, 1), ("h", "min", 60, 60), ("d", "h", 24, 3_600)):
        whole, rest = divmod(seconds // seconds_in, smaller)
        if unit == "d" or whole < (60 if unit == "min" else 24):
            return f"{whole} {unit} {rest:02} {below}"
    raise AssertionError("days are without end")


# --- criteria ---------------------------------------------------------------------------------------


def criteria_in_words(criteria: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say what was looked for.

    Args:
        criteria: As `Criteria.as_json` gives them. A name this does not know is shown as it is.

    Returns:
        Label and value, in the order of a report; never empty.
    """
    known = [name for name in _LABELS if name in criteria]
    unknown = [name for name in criteria if name not in _LABELS]
    said = [
        (_LABELS.get(name) or name.replace("_", " "), value)
        for name in known + unknown
        for value in _values(name, criteria[name])
    ]
    return said or [("Criteria", "none: every message")]


def _values(name: str, value: Any) -> Iterator[str]:
    if name in ("since_us", "until_us"):
        yield shown_second(value)
    elif name == "text":
        for word in value:
            yield f"a word that begins with “{word[:-1]}”" if word.endswith("*") else f"the word “{word}”"
    else:
        yield str(value)


def criteria_line(criteria: Mapping[str, Any]) -> str:
    """Say what was looked for in one line: `User J40217 · Message key QW`."""
    return " · ".join(f"{label} {value}" for label, value in criteria_in_words(criteria))


# --- how complete -----------------------------------------------------------------------------------


def completeness_line(searched: Iterable[int], unreadable: Iterable[int] = (), *, more: bool = False) -> str:
    """Say how complete a search was: `searched 36 months, 2023-12 to 2026-11; 2025-03 could not be read`.

    Args:
        searched: The months that were looked at, those that could not be read among them or not: 202611.
        unreadable: Those of them that could not be read.
        more: Whether there are more messages than were asked for.
    """
    bad = sorted(set(unreadable))
    months = sorted(set(searched) | set(bad))
    if not months:
        said = "no month of the journal was asked for"
    else:
        said = f"searched {len(months)} {'month' if len(months) == 1 else 'months'}, {_spans(months)}"
    if bad:
        said += f"; {_spans(bad)} could not be read"
    if more:
        said += "; there are more messages than were asked for"
    return said


def _spans(months: Sequence[int]) -> str:
    """Write months, those that follow each other as `2023-12 to 2026-11`."""
    spans: list[list[int]] = []
    for month in months:
        if spans and month == _next_month(spans[-1][-1]):
            spans[-1].append(month)
        else:
            spans.append([month])
    return ", ".join(
        _month(span[0]) if len(span) == 1 else f"{_month(span[0])} to {_month(span[-1])}" for span in spans
    )


def _next_month(month: int) -> int:
    return month + 89 if month % 100 == 12 else month + 1


def _month(month: int) -> str:
    return f"{month // 100:04}-{month % 100:02}"


# --- what became of a message -----------------------------------------------------------------------


def lives_of(entry: Entry) -> dict[str, list[Mapping[str, Any]]]:
    """Return a message's events by destination, each in order of time; what has none is not there."""
    lives: dict[str, list[Mapping[str, Any]]] = {}
    for event in entry["events"]:
        if event["destination"]:
            lives.setdefault(event["destination"], []).append(event)
    return lives


def open_at(entry: Entry) -> list[str]:
    """Return the destinations where a message has not ended."""
    return [
        destination
        for destination, events in lives_of(entry).items()
        if not has_ended(destination, [event["event"] for event in events])
    ]


def outcome_of(entry: Entry) -> str:
    """Say in a word what became of a message: its code; the worst that happened and has not been mended; `open`."""
    if entry.get("code"):
        return str(entry["code"])
    happened: set[str] = set()
    for events in lives_of(entry).values():
        at_one = {event["event"] for event in events}
        # An answer that came after the switch had given up is an answer.
        happened |= {Life.ANSWERED.value} if Life.ANSWERED in at_one else at_one
    happened |= {event["event"] for event in entry["events"] if not event["destination"]}
    for bad in _WORST:
        if bad in happened:
            return bad.value
    if open_at(entry):
        return "open"
    return str(entry["events"][-1]["event"]) if entry["events"] else ""


def lines_of(text: str) -> list[str]:
    """Return a message's text by lines; nothing is left out but the line ends, and tabs are spaces."""
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    return [line.expandtabs(8) for line in lines]


def key_of(entry: Entry) -> str:
    """Return a message's key with its system: `IW.QW`."""
    return ".".join(filter(None, (entry.get("system"), entry.get("key"))))
