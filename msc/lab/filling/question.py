"""What the filling's stations ask, and what state and NCIC say to it, in the words of the stand-ins.

Few people and vehicles are asked about often, most seldom or never; who has an entry has it every time.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from msc.lab.world import (
    DISPOSITIONS,
    LICENCES,
    OFFENCES,
    PERSONS,
    STATES,
    THINGS,
    VEHICLES,
    Article,
    Gun,
    Person,
    Vehicle,
    article,
    gun,
    ori_of,
    person,
    scattered,
    vehicle,
)

STATE: Final = "clets-a"
NCIC: Final = "ncic-a"
_BOTH: Final = (STATE, NCIC)
_STATE_ONLY: Final = (STATE,)
_NCIC_ONLY: Final = (NCIC,)

_WANTED_ROUTE: Final = "wanted persons: the state's file and NCIC"
_STOLEN_ROUTE: Final = "stolen vehicles and firearms: the state's file and NCIC"
_NCIC_ROUTE: Final = "NCIC asked alone"
_OTHER_ROUTE: Final = "everything else goes to the state"

_CAUTION: Final = "***CAUTION - ARMED AND DANGEROUS***\n"
_CONFIRM: Final = "IMMED CONFIRM WITH ORI BEFORE ACTING"
_REMARKS: Final = (
    "EXTRADITION FROM ADJOINING TEST COUNTIES ONLY, TELEPHONE THE ENTERING AGENCY, ANY HOUR, BEFORE ARREST",
    "SUBJECT OF THIS SYNTHETIC RECORD MAY USE THE ALIAS PLACEHOLDER, OMEGA AND IS KNOWN TO FREQUENT EXAMPLE PARK",
    "LAST SEEN NEAR SPECIMEN WAY IN TESTVILLE WEARING DARK CLOTHING, MAY BE IN COMPANY OF A SECOND TEST SUBJECT",
    "HOLD FOR LATENTS, NOTIFY EVIDENCE DESK OF THE ENTERING AGENCY, DO NOT RELEASE TO THE REGISTERED OWNER",
    "RECORD VALIDATED, CASE FILE AND SUPPLEMENTS AT ENTERING AGENCY, BAIL AS SET BY THE EXAMPLE SUPERIOR COURT",
)
_ZIPF: Final = 3.0
"""The commonest hundredth of all subjects draws a fifth of the questions."""
_FOLLOWS: Final = 0.3
"""How often a question is about what the same person asked of just before."""


class Question(NamedTuple):
    """A message to the state, and what comes of it where nothing goes wrong.

    Attributes:
        kind: The catalog function.
        route: The route it takes, to `lines`.
        timeout_s: Until a line that does not answer is given up.
        text: From the key on.
        answers: Line and text, in the order they come; the header not included.
        subject: Number of the vehicle it is about, or -1.
    """

    kind: str
    system: str | None
    key: str | None
    database: str | None
    route: str
    lines: tuple[str, ...]
    timeout_s: int
    text: str
    answers: tuple[tuple[str, str], ...]
    requester: str | None = None
    secondary: str | None = None
    reason: str | None = None
    subject: int = -1

    @property
    def update(self) -> bool:
        """Whether it changes a record: such a one is never sent twice."""
        return self.kind != "inquiry"


class Questions:
    """Makes them.

    Args:
        requesters: Who asks for criminal histories.
    """

    def __init__(self, rng: Random, requesters: list[str]) -> None:
        self._random = rng.random
        self._requesters = requesters
        self._nic = 995_000_000
        table: tuple[tuple[float, Callable[[str, int], Question]], ...] = (
            (30, self._stolen),
            (14, self._registration),
            (19, self._wanted),
            (6, self._driver_by_name),
            (7, self._driver_by_number),
            (2.5, self._firearm),
            (1.5, self._property),
            (3, self._history),
            (1, lambda ori, _: self._on_file(ori, "IM", "QM", "MUPS", "MISSING PERSON", 8)),
            (3, lambda ori, _: self._on_file(ori, "IB", "QRR", "CARPOS", "RESTRAINING ORDER", 16)),
            (3, lambda ori, _: self._on_file(ori, "IR", "QR", "SRF", "SUPERVISED RELEASE", 24)),
            (3, self._out_of_state_registration),
            (2.5, self._out_of_state_driver),
            (2, self._ncic),
            (2.5, self._update),
            (1, self._confirmation),
        )
        self._kinds = rng, [make for _, make in table], [sum(w for w, _ in table[: n + 1]) for n in range(len(table))]

    def ask(self, ori: str, last_vehicle: int) -> Question:
        """Make the next question.

        Args:
            ori: Of who asks.
            last_vehicle: What they asked about before, or -1.
        """
        rng, makers, weights = self._kinds
        return rng.choices(makers, cum_weights=weights)[0](ori, last_vehicle)

    # --- subjects ---------------------------------------------------------------------------------

    def _skewed(self, count: int) -> int:
        return int(count * self._random() ** _ZIPF)

    def _vehicle(self, last: int) -> tuple[int, Vehicle]:
        number = last if last >= 0 and self._random() < _FOLLOWS else self._skewed(VEHICLES)
        return number, vehicle(number)

    def _person(self, last: int) -> Person:
        if last >= 0 and self._random() < _FOLLOWS:
            return person(vehicle(last).owner)
        return person(self._skewed(PERSONS))

    # --- vehicles ---------------------------------------------------------------------------------

    def _stolen(self, ori: str, last: int) -> Question:
        number, car = self._vehicle(last)
        asked = f"VIN/{car.vin}" if self._random() < 0.12 else f"LIC/{car.plate}"
        if car.chance % 25 == 0:
            entry = _vehicle_entry(number, car)
            answers: tuple[tuple[str, str], ...] = ((STATE, entry), (STATE, _registered(car)), (NCIC, entry))
        else:
            answers = ((STATE, f"NO RECORD IN SVS\n{asked}"), (NCIC, f"NO RECORD IN NCIC\n{asked}"))
        return Question(
            "inquiry", "IA", "QV", "SVS", _STOLEN_ROUTE, _BOTH, 15, f"IA.QV.{ori}.{asked}", answers, subject=number
        )

    def _registration(self, ori: str, last: int) -> Question:
        number, car = self._vehicle(last)
        asked = f"VIN/{car.vin}" if self._random() < 0.08 else f"LIC/{car.plate}"
        found = _registered(car) if car.plate_state == "CA" else f"NO RECORD IN DMV\n{asked}"
        return Question(
            "inquiry", "IV", "4", "DMV", _OTHER_ROUTE, _STATE_ONLY, 15, f"IV.4.{ori}.{asked}", ((STATE, found),),
            subject=number,
        )  # fmt: skip

    def _out_of_state_registration(self, ori: str, _last: int) -> Question:
        number, car = self._vehicle(-1)
        states = ("NV", "AZ") if self._random() < 0.2 else ("NV",) if self._random() < 0.5 else ("OR",)
        asked = f"LIC/{car.plate}.LIY/{2024 + (car.chance >> 10) % 4}"
        found = tuple(
            (
                STATE,
                f"RR.{state}.{ori}.TXT\n"
                + (_registered(car) if car.plate_state == state else f"NO RECORD IN DMV\nLIC/{car.plate}"),
            )
            for state in states
        )
        text = f"RQ.{ori}.{','.join(states)}.TXT.{asked}"
        return Question("inquiry", "", "RQ", "NLETS", _OTHER_ROUTE, _STATE_ONLY, 30, text, found, subject=number)

    def _update(self, ori: str, last: int) -> Question:
        """An entry or what follows one: located, modified, cleared, cancelled."""
        number, car = self._vehicle(last)
        oca, date = (
            _case(car.chance),
            f"202{4 + car.chance % 3}{1 + car.chance // 3 % 12:02}{1 + car.chance // 36 % 28:02}",
        )
        function, key, name, share = "entry", "EV", "ENTRY", self._random()
        if share > 0.5:
            function, key, name = (
                ("clear", "CV", "CLEAR"), ("locate", "LV", "LOCATE"), ("cancel", "XV", "CANCELLATION"),
                ("modify", "MV", "MODIFICATION"),
            )[int(share * 8) - 4]  # fmt: skip
        if key == "EV":
            self._nic += 1
            nic = self._nic
            text = f"IA.EV.{ori}.LIC/{car.plate}.LIS/{car.plate_state}.VIN/{car.vin}.OCA/{oca}.DTE/{date}"
        else:
            nic = 990_000_000 + number
            text = f"IA.{key}.{ori}.NIC/V{nic}.OCA/{oca}" + (f".MIS/{_REMARKS[number % 5]}" if key == "MV" else "")
        found = f"ACCEPTED STOLEN VEHICLE {name}\nNIC/V{nic} FCN/TEST{nic} OCA/{oca} ORI/{ori}"
        return Question(
            function, "IA", key, "SVS", _OTHER_ROUTE, _STATE_ONLY, 20, text, ((STATE, found),), subject=number
        )

    # --- people -----------------------------------------------------------------------------------

    def _wanted(self, ori: str, last: int) -> Question:
        who = self._person(last)
        asked = f"OLN/{who.oln}" if self._random() < 0.15 else f"NAM/{who.name}.DOB/{who.dob}"
        if who.chance % 14 == 0:
            entry = _entry_of(who, "WANTED PERSON")
            answers: tuple[tuple[str, str], ...] = ((STATE, entry), (NCIC, entry))
        else:
            told = asked.replace(".", " ")
            answers = ((STATE, f"NO RECORD IN WPS\n{told}"), (NCIC, f"NO RECORD IN NCIC\n{told}"))
        if self._random() < 0.25:
            answers = (answers[1], answers[0])
        return Question("inquiry", "IW", "QW", "WPS", _WANTED_ROUTE, _BOTH, 15, f"IW.QW.{ori}.{asked}", answers)

    def _on_file(self, ori: str, system: str, key: str, database: str, kind: str, shift: int) -> Question:
        who = self._person(-1)
        found = f"NO RECORD IN {database}\nNAM/{who.name} DOB/{who.dob}"
        if (who.chance >> shift) % 20 == 0:
            found = _entry_of(who, kind)
        text = f"{system}.{key}.{ori}.NAM/{who.name}.DOB/{who.dob}"
        return Question("inquiry", system, key, database, _OTHER_ROUTE, _STATE_ONLY, 15, text, ((STATE, found),))

    def _driver_by_name(self, ori: str, last: int) -> Question:
        who = self._person(last)
        asked = f"NAM/{who.name}.DOB/{who.dob}"
        return Question(
            "inquiry", "IN", "L1", "DMV", _OTHER_ROUTE, _STATE_ONLY, 15, f"IN.L1.{ori}.{asked}",
            ((STATE, _driver(who)),),
        )  # fmt: skip

    def _driver_by_number(self, ori: str, last: int) -> Question:
        who = self._person(last)
        found = _driver(who) if who.chance % 50 else f"NO RECORD IN DMV\nOLN/{who.oln}"
        return Question(
            "inquiry", "ID", "L1", "DMV", _OTHER_ROUTE, _STATE_ONLY, 15, f"ID.L1.{ori}.OLN/{who.oln}",
            ((STATE, found),),
        )  # fmt: skip

    def _out_of_state_driver(self, ori: str, _last: int) -> Question:
        who = self._person(-1)
        state = STATES[-1 - int(self._random() * 4)]
        found = f"NO RECORD IN DMV\nNAM/{who.name} DOB/{who.dob}"
        if who.oln_state == state or self._random() < 0.4:
            found = _driver(who, state)
        text = f"DQ.{ori}.{state}.TXT.NAM/{who.name}.DOB/{who.dob}.SEX/M"
        return Question(
            "inquiry", "", "DQ", "NLETS", _OTHER_ROUTE, _STATE_ONLY, 30, text,
            ((STATE, f"DR.{state}.{ori}.TXT\n{found}"),),
        )  # fmt: skip

    def _history(self, ori: str, last: int) -> Question:
        who, random = self._person(last), self._random
        requester = self._requesters[self._skewed(len(self._requesters))]
        secondary = self._requesters[self._skewed(len(self._requesters))] if random() < 0.2 else None
        found = f"NO RECORD IN ACHS\nNAM/{who.name} DOB/{who.dob}"
        if who.chance % 3 == 0:
            arrests = "\n".join(_arrest(who.chance, n) for n in range(2 + who.chance // 3 % 9))
            found = f"MKE/CRIMINAL HISTORY\n{who.printed}\n{arrests}"
        by = f"CII/{who.cii}" if random() < 0.3 else f"NAM/{who.name}.DOB/{who.dob}"
        return Question(
            "inquiry", "IH", "QH", "ACHS", _OTHER_ROUTE, _STATE_ONLY, 30, f"IH.QH.{ori}.{by}.PUR/C",
            ((STATE, found),), requester, secondary, f"CASE {_case(int(random() * 1e9))}",
        )  # fmt: skip

    # --- things, NCIC alone, confirmations --------------------------------------------------------

    def _firearm(self, ori: str, _last: int) -> Question:
        one = gun(self._skewed(THINGS))
        asked = f"SER/{one.serial}"
        answers = tuple(
            (line, _thing_entry(one, "STOLEN GUN", "G", asked, file))
            for line, file in ((STATE, "AFS"), (NCIC, "NCIC"))
        )
        return Question("inquiry", "IG", "QG", "AFS", _STOLEN_ROUTE, _BOTH, 15, f"IG.QG.{ori}.{asked}", answers)

    def _property(self, ori: str, _last: int) -> Question:
        one = article(self._skewed(THINGS))
        asked = f"SER/{one.serial} TYP/{one.type}"
        found = _thing_entry(one, "STOLEN ARTICLE", "A", asked, "APS")
        text = f"IP.QA.{ori}.{asked.replace(' ', '.')}"
        return Question("inquiry", "IP", "QA", "APS", _OTHER_ROUTE, _STATE_ONLY, 15, text, ((STATE, found),))

    def _ncic(self, ori: str, last: int) -> Question:
        if self._random() < 0.5:
            question, key = self._wanted(ori, last), "QW"
        else:
            question, key = self._stolen(ori, last), "QV"
        answers = tuple(answer for answer in question.answers if answer[0] == NCIC)
        return question._replace(
            system="", key=key, database="NCIC", route=_NCIC_ROUTE, lines=_NCIC_ONLY, text=question.text[3:],
            answers=answers,
        )  # fmt: skip

    def _confirmation(self, ori: str, _last: int) -> Question:
        number = self._skewed(PERSONS)
        who = person(number)
        other = ("NV0990000", "AZ0990000", "OR0990000")[int(self._random() * 3)]
        text = f"YQ.{ori}.{other}.TXT.RTY/WP.RNO/1.PRI/U.OCA/{_case(who.chance)}.NIC/W{990_000_000 + number}"
        return Question(
            "hit_confirmation", "", "YQ", "NLETS", _OTHER_ROUTE, _STATE_ONLY, 30, text,
            ((STATE, f"ACCEPTED HIT CONFIRMATION REQUEST FOR {other}"),),
        )  # fmt: skip


# --- what answers say -------------------------------------------------------------------------------


def _case(chance: int) -> str:
    return f"T{21 + chance % 6}-{1000 + chance // 6 % 9000}"


def _entry(chance: int, letter: str, number: int) -> str:
    date = f"20{20 + chance % 7}{1 + chance // 7 % 12:02}{1 + chance // 84 % 28:02}"
    nic = 990_000_000 + number
    remarks = _REMARKS[chance % 5] + ". " + _REMARKS[chance // 5 % 5]
    return (
        f"MIS/{remarks}\nORI/{ori_of(chance // 25 % 20)} OCA/{_case(chance >> 4)} DTE/{date} "
        f"NIC/{letter}{nic} FCN/TEST{nic}\n{_CONFIRM}"
    )


def _entry_of(who: Person, kind: str) -> str:
    caution = _CAUTION if who.chance % 7 == 0 else ""
    offence = OFFENCES[(who.chance >> 6) % 10]
    return f"{caution}MKE/{kind}\n{who.printed}\nOFF/{offence}\n{_entry(who.chance >> 8, kind[0], int(who.oln[3:]))}"


def _vehicle_entry(number: int, car: Vehicle) -> str:
    return f"MKE/STOLEN VEHICLE\n{car.plated} {car.described}\n{_entry(car.chance >> 6, 'V', number)}"


def _thing_entry(one: Gun | Article, kind: str, letter: str, asked: str, file: str) -> str:
    if one.chance % 10:
        return f"NO RECORD IN {file}\n{asked}"
    return f"MKE/{kind}\n{one.described}\n{_entry(one.chance >> 4, letter, int(one.serial[7:]))}"


def _registered(car: Vehicle) -> str:
    owner = person(car.owner)
    return (
        f"VEHICLE REGISTRATION\n{car.plated}\n{car.described}\n"
        f"NAM/{owner.name.replace(',', ', ')}\nADR/{owner.address}\n"
        f"RO SINCE/20{10 + car.chance % 15}{1 + car.chance // 15 % 12:02} CLEARANCE INFORMATION RECORDS NONE"
    )


def _driver(who: Person, state: str | None = None) -> str:
    licence = LICENCES[(who.chance >> 3) % 5]
    abstracts = "".join(f"\n{_abstract(who.chance, n)}" for n in range((0, 0, 1, 1, 2, 3, 5)[who.chance % 7]))
    return (
        f"DRIVER RECORD\n{who.printed} OLS/{state or who.oln_state}\nADR/{who.address}\n"
        f"CLASS/C STA/{licence} ISSUED/20{14 + who.chance % 10}{1 + who.chance // 10 % 12:02} "
        f"EXPIRES/20{24 + who.chance % 6}{who.dob[4:]}{abstracts}"
    )


def _abstract(chance: int, number: int) -> str:
    """One line of a driver record: a conviction or an accident."""
    one = scattered(number + 50, chance & 0xFFFFFFFF)
    what = ("TEST SPEEDING", "TEST RED LIGHT", "TEST ACCIDENT", "TEST EXPIRED TAGS", "TEST TELEPHONE")[one % 5]
    return (
        f"DTE/{2015 + (one >> 8) % 12}{1 + (one >> 16) % 12:02}{1 + (one >> 24) % 28:02} VIO/{what} "
        f"CT/{10000 + (one >> 32) % 90000} DKT/T{one % 1_000_000:06} PTS/{(one >> 40) % 3}"
    )


def _arrest(chance: int, number: int) -> str:
    one = scattered(number, chance & 0xFFFFFFFF)
    disposition = DISPOSITIONS[(one >> 32) % 3]
    return (
        f"DTE/{1995 + one % 31}{1 + one // 31 % 12:02}{1 + one // 372 % 28:02} ORI/{ori_of((one >> 16) % 20)} "
        f"OFF/{OFFENCES[(one >> 24) % 10]} DSP/{disposition}"
    )
