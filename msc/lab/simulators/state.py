"""The state's stand-in: its hot files, DMV, criminal history, and the way to Nlets.

A stolen-vehicle inquiry that hits draws two answers, the entry and the registration, because a switch must
cope with several answers to one inquiry.
"""

from __future__ import annotations

from collections.abc import Mapping

from msc.lab.simulators import answer
from msc.lab.simulators.dataset import DataSet
from msc.lab.simulators.responder import Handler, Responder
from msc.lab.simulators.subject import Kind
from msc.protocol.catalog import Catalog, MessageKey
from msc.protocol.text import MessageText, is_ori


class StateResponder(Responder):
    """Answers as a state would. It takes entries of stolen vehicles, and forgets them when it stops."""

    def __init__(self, catalog: Catalog, data: DataSet) -> None:
        super().__init__(catalog, data, ncic=False)

    def handlers(self) -> Mapping[str, Handler]:
        """Return what answers which message key."""
        return {
            "IW.QW": self.persons("WPS", Kind.WANTED),
            "IM.QM": self.persons("MUPS", Kind.MISSING),
            "IB.QRR": self.persons("CARPOS", Kind.RESTRAINED),
            "IR.QR": self.persons("SRF", Kind.RELEASED),
            "IG.QG": self.guns("AFS"),
            "IP.QA": self.articles("APS"),
            "IH.QH": self._criminal_history,
            "IV.4": self._registration,
            "IN.L1": self._driver,
            "ID.L1": self._driver,
            "IA.QV": self._stolen_vehicle,
            # Routes may send NCIC's key to the state as well; what was entered here is found by both.
            "QV": self._stolen_vehicle,
            "IA.EV": self._enter,
            "IA.MV": self._modify,
            "IA.LV": self._locate,
            "IA.XV": self._remove,
            "IA.CV": self._remove,
            "RQ": self._nlets_registration,
            "DQ": self._nlets_driver,
            "YQ": self._hit_confirmation,
            "YR": self._hit_confirmation,
        }

    # --- inquiries ------------------------------------------------------------------------------

    def _criminal_history(self, _key: MessageKey, message: MessageText) -> list[str]:
        found = [p for p in self.data.find_persons(message.fields) if p.history]
        if not found:
            return [answer.no_record("ACHS", message.fields)]
        return [answer.joined(map(answer.criminal_history, found))]

    def _registration(self, _key: MessageKey, message: MessageText) -> list[str]:
        return [self._registrations(message.fields)]

    def _registrations(self, fields: Mapping[str, str]) -> str:
        found = self.data.find_vehicles(fields)
        return answer.joined(map(answer.registration, found)) if found else answer.no_record("DMV", fields)

    def _driver(self, _key: MessageKey, message: MessageText) -> list[str]:
        return [self._drivers(message.fields)]

    def _drivers(self, fields: Mapping[str, str], state: str | None = None) -> str:
        found = self.data.find_persons(fields)
        records = [answer.driver(p) for p in found if state is None or p.oln_state == state]
        return answer.joined(records) if records else answer.no_record("DMV", fields)

    def _stolen_vehicle(self, _key: MessageKey, message: MessageText) -> list[str]:
        answers = self.stolen_vehicles("SVS", message)
        records = self.vehicles.find(message.fields)
        registered = self.data.find_vehicles(records[0].fields) if records else ()
        if registered:
            answers.append(answer.joined(map(answer.registration, registered)))
        return answers

    # --- updates --------------------------------------------------------------------------------

    def _enter(self, key: MessageKey, message: MessageText) -> list[str]:
        return [answer.accepted(key, self.vehicles.enter(message))]

    def _modify(self, key: MessageKey, message: MessageText) -> list[str]:
        return [answer.accepted(key, self.vehicles.modify(message))]

    def _locate(self, key: MessageKey, message: MessageText) -> list[str]:
        return [answer.accepted(key, self.vehicles.locate(message))]

    def _remove(self, key: MessageKey, message: MessageText) -> list[str]:
        return [answer.accepted(key, self.vehicles.remove(message))]

    # --- Nlets ----------------------------------------------------------------------------------

    def _nlets_registration(self, _key: MessageKey, message: MessageText) -> list[str]:
        """Answer for each state asked: only vehicles that bear its plates are registered there."""
        return [
            _nlets(message, "RR", state, self._registrations({**message.fields, "LIS": state}))
            for state in message.destinations
        ]

    def _nlets_driver(self, _key: MessageKey, message: MessageText) -> list[str]:
        """Answer for each state asked: only its own drivers are on record there."""
        return [_nlets(message, "DR", state, self._drivers(message.fields, state)) for state in message.destinations]

    @staticmethod
    def _hit_confirmation(key: MessageKey, message: MessageText) -> list[str]:
        """Take a request or an answer over. The agency it is for is another; what that sends comes unsolicited."""
        if not all(map(is_ori, message.destinations)):
            return [answer.rejected("19", "a hit confirmation goes to ORIs")]
        control = f" CONTROL {message.control}" if message.control else ""
        return [f"ACCEPTED {key.name.upper()} FOR {','.join(message.destinations)}{control}"]


def _nlets(message: MessageText, key: str, state: str, body: str) -> str:
    """Put the head of an Nlets answer before a body; the control field comes back as it was sent."""
    if len(state) != 2 or not state.isalpha():
        return answer.rejected("19", "a destination is a state of two letters")
    control = f".{message.control}" if message.control else ""
    return f"{key}.{state}.{message.ori}{control}.TXT\n{body}"
