"""How the filling's transactions go: asked, sent, taken over, answered, delivered, and now and then not."""

from __future__ import annotations

from random import Random
from typing import Final

from msc.lab.filling.county import County, Device, Session, base36
from msc.lab.filling.question import NCIC, STATE, Question, Questions
from msc.lab.filling.schedule import Asked, Kind, Numbered, Schedule, Steps
from msc.lab.world import PERSONS, VEHICLES, name_of, person, plate_of, scattered, vehicle
from msc.transit.event import NO_FACTS, Facts, Life

_SECOND: Final = 1_000_000
_SENT: Final = Life.SENT.value
_ACKNOWLEDGED: Final = Life.ACKNOWLEDGED.value
_LETTERS_ROUTE: Final = "administrative messages to the stations they name"
_TO_OPERATOR: Final = Life.OPERATOR_QUEUE.value
_CLOSED: Final = "the peer closed the connection"

_REFUSED_SHARE: Final = 0.02
_LETTER_SHARE: Final = 0.025
_UNSOLICITED_SHARE: Final = 0.02
_OUTAGE_SHARE: Final = 0.002
"""Of all hours, those in which a line is lost for a while."""

_LETTERS: Final = (
    "BRIEFING MOVED TO 1500 HOURS IN THE EXAMPLE ROOM. ALL UNITS OF THE SECOND WATCH ACKNOWLEDGE TO DISPATCH.",
    "BE ON THE LOOKOUT FOR VEHICLE {plate}, LAST SEEN NORTHBOUND ON SPECIMEN WAY. OCCUPANT {name} IS WANTED FOR "
    "QUESTIONING IN CASE {case}. STOP AND IDENTIFY, CONTACT DET EXAMPLE AT THE ENTERING AGENCY, ANY HOUR.",
    "ATTEMPT TO LOCATE {name}. FAMILY REPORTS THE SUBJECT LEFT EXAMPLE PARK ON FOOT AND DID NOT RETURN. IN NEED OF "
    "MEDICATION. IF FOUND PLEASE CHECK WELFARE AND ADVISE THIS OFFICE REFERENCE {case}.",
    "SYSTEM MAINTENANCE TONIGHT 0400 TO 0415 HOURS, EXPECT A SHORT INTERRUPTION. NO ACTION REQUIRED.",
    "PLEASE CANCEL OUR EARLIER MESSAGE REFERENCE {case}, VEHICLE {plate} WAS RECOVERED AND RELEASED TO ITS OWNER.",
)
_ALERTS: Final = (
    "$.H.DELAYED HIT ON {plate}\nMKE/STOLEN VEHICLE\n{described}\nINQUIRY OF YOUR AGENCY MATCHED A RECORD ENTERED "
    "SINCE THEN\nORI/CA0990500 OCA/{case}\nTHIS IS NOT PROBABLE CAUSE, CONFIRM WITH ORI BEFORE ACTING",
    "$.L.LOCATE NOTICE FOR YOUR RECORD\n{described}\nLOCATED BY ORI/NV0990000 OCA/{case}\nVEHICLE HELD AT EXAMPLE "
    "TOW, ADVISE OWNER {name} AND CLEAR YOUR ENTRY WITHIN THE HOUR",
    "$.A.TO ALL STATIONS FROM TEST STATE CONTROL. PURGE LIST OF THE MONTH IS AVAILABLE, VALIDATE BY THE TENTH. "
    "REFERENCE {case}",
)


class Transactions:
    """Plans them."""

    def __init__(self, rng: Random, county: County, schedule: Schedule) -> None:
        self._rng = rng
        self._random = rng.random
        self._county = county
        self._schedule = schedule
        self._questions = Questions(rng, county.requesters)
        self._down = {STATE: (0, 0), NCIC: (0, 0)}
        self._asked_by_hosts = 0

    def new_hour(self, at_us: int) -> None:
        """Decide whether a line is lost in an hour."""
        for line, share in ((STATE, _OUTAGE_SHARE), (NCIC, 2 * _OUTAGE_SHARE)):
            if self._random() < share and at_us > self._down[line][1]:
                begin = at_us + int(self._random() * 3600 * _SECOND)
                self._down[line] = begin, begin + int((120 + self._random() * 2400) * _SECOND)

    def plan(self, at_us: int, session: Session) -> None:
        """Plan one transaction of somebody who is signed on."""
        share = self._random()
        if share < _REFUSED_SHARE:
            self._refused(at_us, session)
        elif share < _REFUSED_SHARE + _LETTER_SHARE and not session.seat.device.host:
            self._letter(at_us, session)
        else:
            self._question(at_us, session)

    def plan_unsolicited(self, at_us: int) -> None:
        """Plan, now and then, a message of the state's own."""
        if self._random() >= _UNSOLICITED_SHARE:
            return
        county, random = self._county, self._random
        device: Device | None = None
        agency = county.agencies[int(len(county.agencies) * random() ** 2)]
        share = random()
        if share < 0.5 and agency.pool:
            # C-POOL: never to who holds it now.
            mnemonic, device = agency.pool[-1], agency.printer
        elif share < 0.97:
            device = county.printers[int(len(county.printers) * random() ** 2)]
            mnemonic = device.mnemonic or ""
        else:
            mnemonic = "EX99"  # nobody's
        text = _ALERTS[int(3 * random() ** 1.5)].format(**self._said())
        own = Numbered()
        line = NCIC if text.startswith("$.L") else STATE
        self._schedule.add(at_us, 1, Kind.UNSOLICITED, own, line, text, mnemonic, device)
        if device is not None:
            self._deliver(at_us, own, device.address, None)

    # --- to the state -----------------------------------------------------------------------------

    def _question(self, at_us: int, session: Session) -> None:
        seat = session.seat
        question = self._questions.ask(seat.device.agency.ori, seat.last_vehicle)
        if question.update and session.user.limited:
            self._refuse(at_us, session, question, "E301", _not_for_class(question))
            return
        if question.subject >= 0:
            seat.last_vehicle = question.subject
        asked = self._asked(session, question)
        asked.destinations = tuple(f"line:{line}" for line in question.lines)
        asked.route = question.route
        self._schedule.add(at_us, 1, Kind.ASK, asked)
        ended_us = at_us
        for number, line in enumerate(question.lines):
            ended_us = max(ended_us, self._leg(at_us + 1_200 + number * 30, asked, question, line))
        seat.free_us = ended_us + _SECOND

    def _leg(self, at_us: int, asked: Asked, question: Question, line: str) -> int:
        """Plan what becomes of an inquiry on one line; returns when that has ended."""
        random, address = self._random, f"line:{line}"
        down_us, up_us = self._down[line]
        if down_us <= at_us < up_us:
            return self._given_up(at_us, asked, line, f"E401 {line} is out of service; not sent", Life.NOT_SENT, [])
        steps: Steps = [(at_us, _SENT, address, NO_FACTS)]
        chance = random()
        if chance < 0.001:
            text = f"E405 {line} refused it: E502 overloaded, send again later"
            return self._given_up(at_us + 40_000, asked, line, text, Life.REFUSED_BY_PEER, steps)
        if chance < 0.002 and not question.update:
            # The line was lost before it took the message over, and came back.
            steps.append((at_us + 300_000, Life.RETURNED.value, address, {"why": _CLOSED}))
            at_us += int((2 + 8 * random()) * _SECOND)
            steps.append((at_us, _SENT, address, NO_FACTS))
        taken_us = at_us + 3_000 + int(40_000 * random())
        steps.append((taken_us, _ACKNOWLEDGED, address, NO_FACTS))
        if chance > 0.996:
            at_us += question.timeout_s * _SECOND
            if question.update:
                text = f"E404 {line} gave no answer; check before sending again"
                return self._given_up(at_us, asked, line, text, Life.OUTCOME_UNKNOWN, steps)
            text = f"E403 {line} gave no answer in {question.timeout_s} s"
            return self._given_up(at_us, asked, line, text, Life.EXPIRED, steps)
        session = asked.session
        assert session is not None
        answered_us = taken_us + int((0.08 if line == STATE else 0.15) * _SECOND * (1 + 12 * random() ** 4))
        ended_us = taken_us
        for source, text in question.answers:
            if source == line:
                own = Numbered()
                self._schedule.add(answered_us, 2, Kind.ANSWER, own, asked, line, text, session.address, steps)
                steps = []
                ended_us = self._deliver(answered_us, own, session.address, session)
                answered_us += 400 + int(300_000 * random())
        return ended_us

    def _given_up(self, at_us: int, asked: Asked, line: str, text: str, life: Life, steps: Steps) -> int:
        own, session = Numbered(), asked.session
        assert session is not None
        self._schedule.add(at_us, 2, Kind.STATUS, own, asked, line, text, session.address, life.value, steps)
        return self._deliver(at_us, own, session.address, session)

    def _deliver(self, at_us: int, own: Numbered, address: str, session: Session | None) -> int:
        """Plan that a station gets a message; returns when it has acknowledged it."""
        random, steps = self._random, Steps()
        car = address.startswith("user:")
        facts: Facts = {"device": session.seat.device.name} if car and session is not None else NO_FACTS
        at_us += 1_500 + int(1_500 * random())
        if (chance := random()) < 0.002:
            if chance < 0.0003:
                why = "too long for the station's frame"
                self._schedule.add(at_us, 1, Kind.STEPS, own, [(at_us, _TO_OPERATOR, address, {"why": why})])
                return at_us
            steps.append((at_us, _SENT, address, NO_FACTS))
            at_us += 5_000 + int(200_000 * random())
            why = "E502 overloaded, send again later"
            steps.append((at_us, Life.REFUSED_BY_PEER.value, address, {"why": why}))
            at_us += 300
        steps.append((at_us, _SENT, address, NO_FACTS))
        at_us += int((60_000 if car else 2_000) * (0.5 + 3 * random() ** 3))
        steps.append((at_us, _ACKNOWLEDGED, address, facts))
        self._schedule.add(at_us, 1, Kind.STEPS, own, steps)
        return at_us

    def _asked(self, session: Session, question: Question) -> Asked:
        asked = Asked(
            0, session, question.kind, question.key, question.system, question.database, question.text,
            requester=question.requester, secondary=question.secondary, reason=question.reason,
            priority="urgent" if self._random() < 0.03 else "routine",
        )  # fmt: skip
        if session.seat.device.host:
            self._asked_by_hosts += 1
            asked.own_header = session.mnemonic + base36(self._asked_by_hosts, 6)
            asked.ref = f"C{self._asked_by_hosts}"
        return asked

    # --- refused ----------------------------------------------------------------------------------

    def _refused(self, at_us: int, session: Session) -> None:
        """Plan a message that is not taken."""
        random, ori = self._random, session.seat.device.agency.ori
        while True:
            question = self._questions.ask(ori, session.seat.last_vehicle)
            if question.kind == "inquiry" and question.system:
                break
        code, why = "E206", f"{question.system}.{question.key} is malformed"
        choice = int(random() * 8)
        name = f"{question.system}.{question.key}"
        if choice == 0:
            text = f"IW.ZZ.{ori}.NAM/{name_of(scattered(int(random() * PERSONS), 1))}"
            question = question._replace(kind="unknown", key=None, system=None, database=None, text=text)
            code, why = "E205", "the message begins with no known key"
        elif choice <= 3:
            text = f"IA.QV.{ori}.LIC/{plate_of(int(VEHICLES * random() ** 3)).replace('ZZ', 'ZZ ')}"
            question = question._replace(key="QV", system="IA", database="SVS", text=text)
            why = "field LIC is malformed"
        elif choice == 4:
            agency = session.seat.device.agency
            question = question._replace(text=question.text.replace(ori, "CA0991900", 1))
            code, why = "E207", f"the ORI must be {ori}, or another of agency {agency.name}"
        elif choice == 5 and session.seat.device.mnemonic is None:
            text = f"IH.QH.{ori}.NAM/{person(int(PERSONS * random() ** 3)).name}.PUR/C"
            question = question._replace(key="QH", system="IH", database="ACHS", text=text)
            code, why = "E302", f"ACHS (inquiry) is not authorised for {session.mnemonic}"
        elif choice == 6:
            text = f"IH.QH.{ori}.NAM/{person(int(PERSONS * random() ** 3)).name}.PUR/X"
            question = question._replace(key="QH", system="IH", database="ACHS", text=text)
            code, why = "E303", "IH.QH needs PUR, one of C, F, J"
        elif choice == 7:
            text = f"IH.QH.{ori}.NAM/{person(int(PERSONS * random() ** 3)).name}.PUR/C"
            question = question._replace(key="QH", system="IH", database="ACHS", text=text, requester=None)
            code, why = "E304", "IH.QH needs a requester in the envelope"
        else:
            question = question._replace(text=f"{name}.{ori}.DOB/19801350")
            why = "field DOB is malformed"
        self._refuse(at_us, session, question, code, why)

    def _refuse(self, at_us: int, session: Session, question: Question, code: str, why: str) -> None:
        asked = self._asked(session, question)
        asked.code, asked.refusal = code, why
        self._schedule.add(at_us, 1, Kind.ASK, asked)

    # --- letters ----------------------------------------------------------------------------------

    def _letter(self, at_us: int, session: Session) -> None:
        """Plan an administrative message to printers."""
        printers, device = self._county.printers, session.seat.device
        count = len(printers) if self._random() < 0.1 else 1 + int(3 * self._random() ** 2)
        chosen = self._rng.sample(printers, min(count, len(printers)))
        names = ",".join(printer.mnemonic or "" for printer in chosen)
        said = _LETTERS[int(len(_LETTERS) * self._random())].format(**self._said())
        question = Question(
            "administrative",
            "",
            "AM",
            "ADMIN",
            _LETTERS_ROUTE,
            (),
            0,
            f"AM.{device.agency.ori}.{names}.TXT {said}",
            (),
        )
        asked = self._asked(session, question)
        asked.route = _LETTERS_ROUTE
        asked.destinations = tuple(printer.address for printer in chosen)
        self._schedule.add(at_us, 1, Kind.ASK, asked)
        for printer in chosen:
            self._deliver(at_us, asked, printer.address, None)

    def _said(self) -> dict[str, str]:
        number = int(VEHICLES * self._random() ** 3)
        car = vehicle(number)
        return {
            "plate": car.plate,
            "described": f"{car.plated} {car.described}",
            "name": person(car.owner).name.replace(",", ", "),
            "case": f"T{21 + car.chance % 6}-{1000 + car.chance // 6 % 9000}",
        }


def _not_for_class(question: Question) -> str:
    code = f"{question.system}.{question.key}" if question.system else question.key
    return f"{code} is not authorised for class less_than_full_access"
