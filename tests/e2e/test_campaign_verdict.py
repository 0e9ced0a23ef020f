"""The campaign's judge notices each breach: a judge that cannot condemn proves nothing.

One small world in which every promise was kept, and one way to break each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.support.campaign_verdict import PROMISES, Evidence, Row, judge
from tests.support.stand_in_host import StateBook, Taken, Told
from tests.support.stand_in_terminal import Arrival, Sent, TerminalBook

LINE, DEVICE, OTHER = "line:clets-a", "device:ONE", "device:TWO"
PLATE = "IV.4.CA0990000.LIC/A{}"
ENTRY = "IA.EV.CA0990000.LIC/B.OCA/1.DTE/20260101"
NOTE = "AM.CA0990000.T002.TXT HELLO"


@dataclass
class World:
    """Two terminals, a state, and the journal between them."""

    one: TerminalBook
    two: TerminalBook
    state: StateBook
    rows: list[Row]

    def evidence(self) -> Evidence:
        return Evidence(
            {row.msn: row for row in self.rows}, {"ONE": self.one, "TWO": self.two}, {"clets-a": self.state}
        )

    def change(self, msn: int, **members: object) -> None:
        """Change a row of the journal."""
        self.rows = [row._replace(**members) if row.msn == msn else row for row in self.rows]

    def drop(self, msn: int) -> None:
        """Lose a row of the journal."""
        self.rows = [row for row in self.rows if row.msn != msn]

    def add_event(self, msn: int, event: str, where: str) -> None:
        """Add an event to a row of the journal."""
        (row,) = (row for row in self.rows if row.msn == msn)
        self.change(msn, events=(*row.events, (event, where)))


def header(msn: int) -> str:
    return f"T001{msn:06}"


def taken(number: int, msn: int, text: str, connection: int = 1) -> Taken:
    raw = f"{header(msn)}.*S00000.#0Z8KFLT.{text}"
    return Taken(number, 0.0, "clets-a", connection, number + 1, raw, outcome="A")


def row(msn: int, kind: str, device: str, text: str, *events: tuple[str, str | None], **more: object) -> Row:
    members: dict[str, object] = {"line": None, "header": header(msn), "transaction": msn, "code": None}
    return Row(  # type: ignore[arg-type]
        msn=msn, kind=kind, device=device, text=text, priority="routine", events=events, **(members | more)
    )


def arrival(number: int, msn: int, kind: str, text: str, source: str, **more: object) -> Arrival:
    envelope = {"msn": msn, "kind": kind, "source": source, "priority": "routine", **more}
    return Arrival(0.0, 1, number, envelope, text, "A")


def world() -> World:
    """Make a world in which two inquiries were answered, an update was cut off, and a note was delivered."""
    station = (("routed", DEVICE), ("sent", DEVICE), ("acknowledged", DEVICE))
    asked = (("routed", LINE), ("sent", LINE), ("answered", LINE))
    texts = {1: PLATE.format(1), 2: PLATE.format(2), 3: ENTRY, 4: NOTE}
    one, two, state = TerminalBook(), TerminalBook(), StateBook()
    for msn, text in texts.items():
        one.sent[f"r{msn}"] = Sent(f"r{msn}", text, "routine", 0.0, 1, msn)
    state.taken = [taken(0, 1, texts[1]), taken(1, 2, texts[2]), taken(2, 3, texts[3])]
    rows = [
        row(1, "inquiry", "ONE", texts[1], *asked),
        row(2, "inquiry", "ONE", texts[2], *asked),
        row(
            3,
            "entry",
            "ONE",
            texts[3],
            ("routed", LINE),
            ("sent", LINE),
            ("outcome_unknown", LINE),
            ("routed", "operator:queue"),
        ),
        row(4, "administrative", "ONE", texts[4], ("routed", OTHER), ("sent", OTHER), ("acknowledged", OTHER)),
    ]
    two.arrivals = [arrival(1, 4, "unsolicited", NOTE, "ONE")]
    for number, (msn, of) in enumerate(((5, 1), (6, 2)), 1):
        words = f"NO RECORD {of}"
        payload = f"{header(of)}.{words}"
        state.told.append(Told(payload.encode(), "clets-a", 0.0, msn, "", 1))
        rows.append(row(msn, "response", "ONE", payload, *station, line="clets-a", transaction=of))
        one.arrivals.append(arrival(number, msn, "response", words, "clets-a", transaction=of, ref=f"r{of}"))
    status = "E404 clets-a was lost"
    rows.append(row(7, "status", "ONE", status, *station, line="clets-a", transaction=3, code="E404"))
    one.arrivals.append(arrival(3, 7, "status", status, "clets-a", transaction=3, ref="r3"))
    return World(one, two, state, rows)


def swap_submissions(made: World) -> None:
    made.state.taken[:2] = made.state.taken[1::-1]


def swap_arrivals(made: World) -> None:
    made.one.arrivals[:2] = made.one.arrivals[1::-1]


def repeat_answer(made: World) -> None:
    """The state says the same again, and the terminal gets it as if it were new."""
    made.state.told.append(Told(made.state.told[0].payload, "clets-a", 0.0, 8, "", 1))
    station = (("routed", DEVICE), ("acknowledged", DEVICE))
    made.rows.append(
        row(8, "response", "ONE", made.state.told[0].payload.decode(), *station, line="clets-a", transaction=1)
    )
    made.one.arrivals.append(arrival(4, 8, "response", "NO RECORD 1", "clets-a", transaction=1, ref="r1"))


def later(made: World) -> None:
    """The second answer comes after its destination was given up."""
    made.rows = [row._replace(msn=9) if row.msn == 6 else row for row in made.rows]
    made.state.told[1].msn = 9
    made.one.arrivals[1].envelope["msn"] = 9
    made.change(7, transaction=2, code="E403")


BREACHES: dict[str, list[Callable[[World], None]]] = {
    "nothing acknowledged is lost": [
        lambda made: made.change(1, text=PLATE.format(9)),
        lambda made: made.one.sent.update(r9=Sent("r9", "GONE", "routine", 0.0, 1, 99)),
        lambda made: made.two.sent.update(x=Sent("x", PLATE.format(1), "routine", 0.0, 1, 1)),
    ],
    "nothing the state was acknowledged is lost": [
        lambda made: made.state.told.append(Told(b"EXA1.LOST", "clets-a", 0.0, 98, "", 1)),
        lambda made: made.change(5, line="ncic-a"),
    ],
    "every message ends everywhere": [
        lambda made: made.add_event(1, "routed", "line:ncic-a"),
        lambda made: made.change(4, events=(("routed", OTHER), ("sent", OTHER), ("returned", OTHER))),
        lambda made: made.change(4, events=()),
        lambda made: made.change(7, events=(("routed", DEVICE), ("sent", DEVICE))),
    ],
    "every originator is told": [
        lambda made: made.change(7, transaction=1),
        lambda made: made.change(7, events=(("routed", DEVICE), ("returned", DEVICE))),
    ],
    "what is unknown is the operator's": [
        lambda made: made.change(3, events=(("routed", LINE), ("outcome_unknown", LINE))),
    ],
    "what is late says so": [
        later,
    ],
    "what is said of lines is true": [
        lambda made: made.change(3, events=(("routed", LINE), ("not_sent", LINE))),
        lambda made: made.change(5, text=f"{header(1)}.INVENTED NO RECORD 1"),
        lambda made: made.state.taken.append(taken(3, 77, "IV.4.CA0990000.LIC/NOBODY")),
        lambda made: made.change(2, events=(("routed", "line:ncic-a"), ("answered", "line:ncic-a"))),
    ],
    "what is said of terminals is true": [
        lambda made: made.two.arrivals.clear(),
        lambda made: made.one.arrivals.append(arrival(4, 4, "unsolicited", NOTE, "ONE")),
        lambda made: made.one.arrivals.append(arrival(4, 97, "unsolicited", "FROM NOWHERE", "ONE")),
        lambda made: made.change(4, text="AM.CA0990000.T002.TXT GOODBYE"),
    ],
    "nothing comes to a terminal twice unmarked": [lambda made: made.two.arrivals.append(made.two.arrivals[0])],
    "the second copy of an answer is marked": [repeat_answer],
    "nothing but inquiries is submitted to the state twice": [
        lambda made: made.state.taken.append(taken(3, 3, ENTRY, connection=2)),
        lambda made: made.state.taken.append(taken(3, 1, PLATE.format(1), connection=1)),
    ],
    "order is kept on the lines": [swap_submissions],
    "order is kept at the terminals": [swap_arrivals],
    "numbers rise as messages are sent": [
        lambda made: made.one.sent.update(r1=made.one.sent.pop("r1")),
    ],
    "the protocol is kept": [lambda made: made.state.faults.append("D 3 where 2 was due")],
}


def test_a_world_in_which_all_was_kept_is_acquitted() -> None:
    assert judge(world().evidence()) == {}


def test_what_may_happen_again_is_no_breach() -> None:
    made = world()
    made.state.taken.append(taken(3, 1, PLATE.format(1), connection=2))
    again = arrival(2, 4, "unsolicited", NOTE, "ONE", possible_duplicate=True)
    made.two.arrivals.append(again)
    repeat_answer(made)
    made.one.arrivals[-1].envelope["possible_duplicate"] = True
    assert judge(made.evidence()) == {}


def test_every_promise_has_a_breach() -> None:
    assert BREACHES.keys() == PROMISES.keys()


@pytest.mark.parametrize(
    ("promise", "breach"), [(promise, breach) for promise, breaches in BREACHES.items() for breach in breaches]
)
def test_a_breach_is_noticed(promise: str, breach: Callable[[World], None]) -> None:
    made = world()
    breach(made)
    assert promise in judge(made.evidence())
