"""The life of a transaction as a drawing: what was asked, where it went, what came back when, what is still open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from msc import clock
from msc.report.listing import plain
from msc.report.tree import Node, drawn, wrapped
from msc.report.words import Entry, duration, key_of, lines_of, lives_of, open_at, shown_time
from msc.transit.event import Life
from msc.transit.message import Direction

TEXT_LINES: Final = 12
"""Lines of a text that are shown where not all are asked for."""

_BAD: Final = "bold red"
_LATE: Final = "bold yellow"
_GAVE_UP: Final = frozenset({Life.EXPIRED, Life.OUTCOME_UNKNOWN, Life.NOT_SENT, Life.REFUSED_BY_PEER})
_STYLES: Final[dict[str, str]] = {
    Life.REFUSED: _BAD,
    Life.REFUSED_BY_PEER: _BAD,
    Life.OUTCOME_UNKNOWN: _BAD,
    Life.EXPIRED: _BAD,
    Life.NOT_SENT: _BAD,
    Life.RETURNED: _LATE,
    Life.OPERATOR_QUEUE: _LATE,
    Life.ANSWERED: "bold green",
    Life.ACKNOWLEDGED: "green",
}
_LABEL_WIDTH: Final = 13


def life_of(
    entries: Sequence[Entry], *, now_us: int, width: int = 120, text_lines: int | None = TEXT_LINES
) -> list[Text]:
    """Draw the life of a transaction.

    Destinations stand in the order in which they ended, those that are open last. Each moment has its time since
    the message was received, and the time since what came before it on its branch. Refusals, what was given up, and
    answers that came later than that stand out.

    Args:
        entries: Every message of one transaction.
        now_us: The time now: how long what is open has been so.
        width: Columns; texts are wrapped to them.
        text_lines: Lines shown of each text; what is left out is said. None: all of them.

    Returns:
        Lines.
    """
    drawing = _Drawing(entries, now_us, text_lines)
    return [*drawing.summary(width), Text(""), *drawn(drawing.root(), width)]


class _Drawing:
    def __init__(self, entries: Sequence[Entry], now_us: int, text_lines: int | None) -> None:
        self._entries = sorted(entries, key=lambda entry: (entry["received"], entry["msn"]))
        began = [entry for entry in self._entries if entry["msn"] == entry["transaction"]]
        self._first = (began or self._entries)[0]
        self._whole = bool(began)
        self._others = [entry for entry in self._entries if entry is not self._first]
        self._start_us = _at(self._first["received"])
        self._now_us = now_us
        self._text_lines = text_lines
        self._attached: set[int] = set()

    # --- the lines above --------------------------------------------------------------------------------

    def summary(self, width: int) -> list[Text]:
        first = self._first
        head = Text(f"TRANSACTION {first['transaction']}", style="bold reverse")
        head.append(f"  {plain(first['kind'])} {plain(key_of(first))}".rstrip(), style="bold not reverse")
        head.append(f"  {shown_time(first['received'])} UTC", style="not bold not reverse")
        rows = [("asked by", _asker(first), "")]
        if self._whole:
            rows += [*self._went(), *self._came()]
        else:
            rows.insert(0, ("not whole", f"MSN {first['transaction']}, which began it, was not found", _BAD))
        rows.append(self._still_open())
        lines = [head]
        for label, text, style in rows:
            for number, part in enumerate(wrapped(Text(text, style=style), width - _LABEL_WIDTH)):
                lines.append(Text((f"  {label}" if number == 0 else "").ljust(_LABEL_WIDTH), style="dim") + part)
        return lines

    def _went(self) -> list[tuple[str, str, str]]:
        names = [_place(name) for name in lives_of(self._first)]
        if names:
            noun = "1 destination" if len(names) == 1 else f"{len(names)} destinations"
            return [("went to", f"{noun}: {', '.join(names)}", "")]
        refused = next((event for event in self._first["events"] if event["event"] == Life.REFUSED), None)
        why = plain((refused or {}).get("detail") or self._first.get("code") or "")
        return [("went", f"nowhere{f': {why}' if why else ''}", _BAD if refused else "")]

    def _came(self) -> list[tuple[str, str, str]]:
        answers = [
            (_at(event["at"]) - self._start_us, late)
            for events in lives_of(self._first).values()
            for event, late in _with_lateness(events)
            if event["event"] == Life.ANSWERED
        ]
        rows = []
        if answers:
            times = sorted(after for after, _ in answers)
            late = sum(late for _, late in answers)
            said = f"1 answer after {duration(times[0])}"
            if len(times) > 1:
                said = f"{len(times)} answers, first after {duration(times[0])}, last after {duration(times[-1])}"
            rows.append(("came back", said + (f"; {late} of them LATE" if late else ""), _LATE if late else "green"))
        bad = [
            f"{_place(name)} {events[-1]['event'].replace('_', ' ')}"
            for name, events in lives_of(self._first).items()
            if events[-1]["event"] in _GAVE_UP
        ]
        return [*rows, ("failed", ", ".join(bad), _BAD)] if bad else rows

    def _still_open(self) -> tuple[str, str, str]:
        waiting = [
            f"{_place(name)} (MSN {entry['msn']}, for {duration(self._now_us - _at(entry['received']))})"
            for entry in self._entries
            for name in open_at(entry)
        ]
        return ("still open", ", ".join(waiting), _LATE) if waiting else ("still open", "nothing", "")

    # --- the tree -------------------------------------------------------------------------------------

    def root(self) -> Node:
        root = self._message(self._first, "● ", None)
        rest = [entry for entry in self._others if entry["msn"] not in self._attached]
        root.children += [self._message(entry, "─◀ ", self._start_us) for entry in rest]
        return root

    def _message(self, entry: Entry, mark: str, before_us: int | None) -> Node:
        """Draw a message and where it went."""
        at = _at(entry["received"])
        node = Node(_title(entry), at - self._start_us, None if before_us is None else at - before_us, mark)
        self._fill(node, entry)
        return node

    def _fill(self, node: Node, entry: Entry, *, quoted: str | None = None) -> None:
        """Put a message's text and what became of it below a node.

        Args:
            quoted: What the node says already: a text that is no more than that is not repeated.
        """
        self._attached.add(entry["msn"])
        texts = tuple(map(plain, lines_of(entry["text"]))) if entry["text"] != quoted else ()
        node.text = texts if self._text_lines is None else texts[: self._text_lines]
        if left := len(texts) - len(node.text):
            node.note = f"… {left} more {'line' if left == 1 else 'lines'}, {len(entry['text'])} characters in all"
        at, waiting = _at(entry["received"]), set(open_at(entry))
        for event in entry["events"]:
            if not event["destination"] and event["event"] != Life.RECEIVED:
                node.children.append(self._event(event, at))
        # As they ended: the first answer first, what is open last.
        lives = sorted(lives_of(entry).items(), key=lambda life: (life[0] in waiting, life[1][-1]["at"], life[0]))
        for number, (name, events) in enumerate(lives):
            branch = self._destination(entry, name, events, open_=name in waiting)
            branch.apart = entry is self._first and number > 0
            node.children.append(branch)

    def _destination(self, entry: Entry, name: str, events: list[Mapping[str, Any]], *, open_: bool) -> Node:
        routed = next((event for event in events if event["event"] == Life.ROUTED), None)
        head = Text(_place(name), style="bold")
        if routed is not None and routed["detail"]:
            head.append(f"  {plain(routed['detail'])}", style="not bold dim")
        before, began = _at(entry["received"]), _at(events[0]["at"])
        node = Node(head, mark="─▶ ")
        if began != before:
            node.after_us, node.step_us = began - self._start_us, began - before
        before = began
        for event, late in _with_lateness(events):
            if event is not routed:
                node.children.append(
                    self._event(event, before, late=late, answer=self._answer_of(entry, name, event))
                )
                before = _at(event["at"])
        if open_:
            waits = duration(self._now_us - before)
            node.children.append(Node(Text(f"STILL OPEN: nothing for {waits}", style=_LATE), mark="─? "))
        return node

    def _event(
        self, event: Mapping[str, Any], before_us: int, *, late: bool = False, answer: Entry | None = None
    ) -> Node:
        at, name, detail = _at(event["at"]), event["event"], event["detail"] or ""
        head = Text(plain(name.replace("_", " ")), style=_STYLES.get(name, ""))
        node = Node(head, at - self._start_us, at - before_us)
        if late:
            head.append("  LATE, after it had been given up", style=_LATE)
        if detail and not (name == Life.ANSWERED and "answer" in event["facts"]):
            head.append(f"  {plain(detail)}", style="" if name in _STYLES else "dim")
        if answer is not None:
            node.mark = "─◀ "
            if name == Life.ANSWERED:
                head.append("  ").append_text(_title(answer, source=False))
            else:
                head.append(f"  told in MSN {answer['msn']}", style="not bold default")
            self._fill(node, answer, quoted=detail)
        return node

    def _answer_of(self, entry: Entry, name: str, event: Mapping[str, Any]) -> Entry | None:
        """Find the message an event on a line brought: its answer, or what its originator was told."""
        if entry is not self._first or not name.startswith("line:"):
            return None
        free = [other for other in self._others if other["msn"] not in self._attached]
        if event["event"] == Life.ANSWERED:
            return next((other for other in free if other["msn"] == event["facts"].get("answer")), None)
        if event["event"] in _GAVE_UP:
            line = name.removeprefix("line:")
            same = (other for other in free if other.get("line") == line and other["received"] == event["at"])
            return next(same, None)
        return None


def _title(entry: Entry, *, source: bool = True) -> Text:
    title = Text.assemble(
        (f"MSN {entry['msn']}", "bold"), (f"  {plain(entry['kind'])} {plain(key_of(entry))}".rstrip(), "not bold")
    )
    place = entry.get("line") if entry["direction"] == Direction.INBOUND else entry.get("device")
    if source and place:
        title.append(f"  from {plain(place)}", style="not bold")
    if entry.get("code"):
        title.append(f"  {plain(entry['code'])}", style=_BAD)
    return title


def _with_lateness(events: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], bool]]:
    """Tell of each event whether it is an answer that came after the switch had given up."""
    given_up, found = False, []
    for event in events:
        found.append((event, given_up and event["event"] == Life.ANSWERED))
        given_up = given_up or event["event"] in _GAVE_UP
    return found


def _asker(entry: Entry) -> str:
    who = entry.get("user") or entry.get("line") or "the switch"
    agency = " ".join(filter(None, (entry.get("agency"), entry.get("ori"))))
    parts = [
        who,
        f"of {agency}" if agency else "",
        f"at {entry['device']}" if entry.get("device") else "",
        f"mnemonic {entry['mnemonic']}" if entry.get("mnemonic") else "",
        f"for {entry['requester']}" if entry.get("requester") else "",
        f"reason: {entry['reason']}" if entry.get("reason") else "",
    ]
    return plain(", ".join(filter(None, parts)))


def _place(destination: str) -> str:
    return plain(destination.replace(":", " ", 1))


def _at(moment: str) -> int:
    return clock.parse_rfc3339(moment)
