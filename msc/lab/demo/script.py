"""What happens in the demo: the steps in their order, and how each must end.

The records they ask about are the simulators' specimens, the same in every demo.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

HIT: Final = "MKE/"
NO_RECORD: Final = "NO RECORD"


@dataclass(frozen=True, slots=True)
class Expected:
    """One message that must come.

    Attributes:
        station: Where it must arrive.
        source: The line or station it must come from.
        holds: What its text must hold.
        whose: The mnemonic whose message it says it was, where it comes in another's place.
    """

    station: str
    source: str
    holds: str
    whose: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction of the demo, or something done from which messages follow.

    Attributes:
        title: What happens, in plain words.
        station: Who sends it; for an unsolicited message the simulator `state`, for an order the operator `admin`.
        text: As typed. A host's text carries its own header; an operator's is the command without `msc`.
        expected: Every message that must come of it.
        refused: The code it must be refused with, instead.
        envelope: What is sent beside the text.
        receipts: What its sender must be told of each destination; of what is not a message itself, those of the
            last message that had any.
    """

    title: str
    station: str
    text: str
    expected: tuple[Expected, ...] = ()
    refused: str | None = None
    envelope: dict[str, Any] = field(default_factory=dict)
    receipts: dict[str, str] = field(default_factory=dict)


def _answers(station: str, **by_line: str) -> tuple[Expected, ...]:
    """Answers to a station: line (underscore for the hyphen) to what its answer must hold."""
    return tuple(Expected(station, line.replace("_", "-"), holds) for line, holds in by_line.items())


FIRST: Final = (
    Step(
        "A car asks for a plate: stolen, say the state and NCIC",
        "MOBILE1",
        "IA.QV.CA0990000.LIC/ZZ0001X",
        _answers("MOBILE1", clets_a="MKE/STOLEN VEHICLE", ncic_a="MKE/STOLEN VEHICLE"),
    ),
    Step(
        "The car asks for another plate: nothing on file",
        "MOBILE1",
        "IA.QV.CA0990000.LIC/ZZ0002X",
        _answers("MOBILE1", clets_a=NO_RECORD, ncic_a=NO_RECORD),
    ),
    Step(
        "Dispatch asks for a person: wanted, two sources answer",
        "DISPATCH1",
        "IW.QW.CA0990000.NAM/SPECIMEN,WANTED.DOB/19800101",
        _answers("DISPATCH1", clets_a="MKE/WANTED PERSON", ncic_a="MKE/WANTED PERSON"),
    ),
    Step(
        "Another agency asks for a person: nothing on file",
        "RECORDS1",
        "IW.QW.CA0990100.NAM/SPECIMEN,CLEAR.DOB/19850505",
        _answers("RECORDS1", clets_a=NO_RECORD, ncic_a=NO_RECORD),
    ),
    Step(
        "Dispatch asks who a car is registered to",
        "DISPATCH1",
        "IV.4.CA0990000.LIC/ZZ0002X",
        _answers("DISPATCH1", clets_a="LIC/ZZ0002X"),
    ),
    Step(
        "The CAD host asks for a gun, with its own header, OIF and TAF: stolen",
        "CAD1",
        "EXCD00A017.*K20331.#0A0000010017.IG.QG.CA0990000.SER/TESTGUN999001",
        _answers("CAD1", clets_a="EXCD00A017.", ncic_a="EXCD00A017."),
    ),
    Step(
        "Records asks for a criminal history, naming who requested it",
        "RECORDS1",
        "IH.QH.CA0990100.NAM/SPECIMEN,RECORDED.PUR/C",
        _answers("RECORDS1", clets_a=HIT),
        envelope={"requester": "DET EXAMPLE", "reason": "CASE T26-7"},
    ),
    Step(
        "Dispatch enters a stolen car",
        "DISPATCH1",
        "IA.EV.CA0990000.LIC/ZZ9999X.OCA/T26-1.DTE/20260101",
        _answers("DISPATCH1", clets_a="ACCEPTED"),
    ),
    Step(
        "A car finds the plate just entered",
        "MOBILE1",
        "IA.QV.CA0990000.LIC/ZZ9999X",
        _answers("MOBILE1", clets_a="MKE/STOLEN VEHICLE", ncic_a=NO_RECORD),
    ),
    Step("A message key that does not exist is refused", "DISPATCH1", "IW.ZZ.CA0990000.NAM/DOE,JOHN", refused="E205"),
    Step(
        "A clerk with less than full access may not enter a record",
        "CAD1",
        "EXCD00A018.*K20331.#0A0000010017.IA.EV.CA0990000.LIC/ZZ8888X.OCA/T26-2.DTE/20260101",
        refused="E301",
    ),
    Step(
        "Dispatch writes to Records",
        "DISPATCH1",
        "AM.CA0990000.EXA2.TXT BRIEFING MOVED TO 1500 HOURS",
        (Expected("RECORDS1", "DISPATCH1", "BRIEFING MOVED"),),
    ),
    Step(
        "The state sends a delayed hit for a pooled mnemonic: it goes to the printer, never to its holder",
        "state",
        "EXM1000000.$.H.DELAYED HIT ON PLATE ZZ0001X",
        (Expected("PRINTER1", "clets-a", "DELAYED HIT"),),
    ),
)

# --- to many, and in another's place --------------------------------------------------------------

ALL_POINTS: Final = Step(
    "A car calls all points of the county, by a group; Records is not there, and its message waits",
    "MOBILE1",
    "AM.CA0990000.EXAPB.TXT GREY VAN, NORTHBOUND ON SPECIMEN ROAD",
    (Expected("DISPATCH1", "MOBILE1", "GREY VAN"), Expected("PRINTER1", "MOBILE1", "GREY VAN")),
    receipts={"EXA1": "acknowledged", "EXA2": "queued", "EXPR": "acknowledged"},
)

RECORDS_BACK: Final = Step(
    "Records signs on and finds it; the car's receipts say so",
    "RECORDS1",
    "(sign-on)",
    (Expected("RECORDS1", "MOBILE1", "GREY VAN"),),
    receipts={"EXA1": "acknowledged", "EXA2": "acknowledged", "EXPR": "acknowledged"},
)

FORWARDED: Final = Step(
    "By the clock, Records' messages go to Dispatch at this hour; each says whose it was",
    "MOBILE1",
    "AM.CA0990000.EXA2.TXT PLEASE PULL THE FILE OF CASE T26-7",
    (Expected("DISPATCH1", "MOBILE1", "CASE T26-7", whose="EXA2"),),
)

# --- an operator's hold ---------------------------------------------------------------------------

HOLD: Final = Step("An operator of the switch holds the line to the state", "admin", "line hold clets-a")

HELD: Final = Step(
    "What is asked now waits, and whoever asks is told so at once",
    "DISPATCH1",
    "IV.4.CA0990000.LIC/ZZ0002X",
    _answers("DISPATCH1", clets_a="E402"),
)

RELEASE: Final = Step(
    "The operator releases it: what has waited goes out, and is answered",
    "admin",
    "line release clets-a",
    _answers("DISPATCH1", clets_a="LIC/ZZ0002X"),
)

# --- a clock --------------------------------------------------------------------------------------

HIT_CONFIRMATION: Final = Step(
    "Another state asks whether a record of ours stands, urgently: a clock of ten minutes runs",
    "state",
    "EXA1000000.YQ.NV0990000.CA0990000.TXT.RTY/WP.RNO/1.PRI/U.OCA/T26-9.NIC/W999000009",
    (Expected("DISPATCH1", "clets-a", "YQ.NV0990000"),),
)

HIT_CONFIRMED: Final = Step(
    "Dispatch confirms it, and the clock stops",
    "DISPATCH1",
    "YR.CA0990000.NV0990000.TXT.RTY/WP.RNO/1.CON/Y.OCA/T26-9.NIC/W999000009",
    _answers("DISPATCH1", clets_a="ACCEPTED"),
)

# --- a line cut in mid-traffic --------------------------------------------------------------------

ENTRY_LOST: Final = Step(
    "The state's line is cut with an entry on it: nobody knows whether it was made, so it is not sent again",
    "DISPATCH1",
    "IA.EV.CA0990000.LIC/ZZ7777X.OCA/T26-3.DTE/20260101",
    _answers("DISPATCH1", clets_a="E404"),
)

ON_BACKUP: Final = Step(
    "Dispatch looks: the backup line carries the question, and the entry was not made",
    "DISPATCH1",
    "IA.QV.CA0990000.LIC/ZZ7777X",
    _answers("DISPATCH1", clets_b=NO_RECORD, ncic_a=NO_RECORD),
)

SENT_AGAIN: Final = Step(
    "The operator, who has it in the queue, sends it again: nothing else ever does",
    "admin",
    "queue requeue {msn} --yes-send-again",
    _answers("DISPATCH1", clets_b="ACCEPTED"),
)

ON_PRIMARY: Final = Step(
    "The primary line carries the traffic again, and a car finds the entry that went by the backup",
    "MOBILE1",
    "IA.QV.CA0990000.LIC/ZZ7777X",
    _answers("MOBILE1", clets_a="MKE/STOLEN VEHICLE", ncic_a=NO_RECORD),
)

# --- a line without a backup ----------------------------------------------------------------------

LINE_LOST: Final = Step(
    "The line to NCIC has no backup: the state answers, and Dispatch is told about NCIC at once",
    "DISPATCH1",
    "IW.QW.CA0990000.NAM/SPECIMEN,WANTED.DOB/19800101",
    _answers("DISPATCH1", clets_a="MKE/WANTED PERSON", ncic_a="E401"),
)

LINE_RESTORED: Final = Step(
    "The line is back by itself: both answer again",
    "DISPATCH1",
    "IW.QW.CA0990000.NAM/SPECIMEN,WANTED.DOB/19800101",
    _answers("DISPATCH1", clets_a="MKE/WANTED PERSON", ncic_a="MKE/WANTED PERSON"),
)
