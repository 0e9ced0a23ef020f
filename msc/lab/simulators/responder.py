"""What both stand-ins share: read a message as the catalog says, find its handler, never fail on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from msc.errors import Refusal, UnknownMessageKey
from msc.lab.simulators import answer
from msc.lab.simulators.dataset import DataSet
from msc.lab.simulators.hot_file import EntryRefused, HotFile
from msc.lab.simulators.subject import Entry, Kind
from msc.protocol.catalog import Catalog, MessageKey
from msc.protocol.text import MessageText

Handler = Callable[[MessageKey, MessageText], list[str]]


class Responder(ABC):
    """Answers messages from one system's files.

    Args:
        catalog: Which messages there are; one it does not know is rejected.
        data: The records.
        ncic: Whether this is NCIC, which has the entries made at NCIC; else it is the state.
    """

    def __init__(self, catalog: Catalog, data: DataSet, *, ncic: bool) -> None:
        self.data = data
        self.vehicles = HotFile(data.vehicles, ncic=ncic)
        self._catalog = catalog
        self._ncic = ncic
        self._handlers = self.handlers()

    @abstractmethod
    def handlers(self) -> Mapping[str, Handler]:
        """Return what answers which message key, by the key's code."""

    def answer(self, text: str) -> list[str]:
        """Answer a message.

        Args:
            text: The message without header, OIF and TAF: `IW.QW.CA0990000.NAM/DOE,JOHN`.

        Returns:
            One body or more, each a message of its own. Whatever is wrong with the text, one says so.
        """
        try:
            key, rest = self._catalog.find(text)
            handler = self._handlers.get(key.code)
            if handler is None:
                raise UnknownMessageKey(f"{key.code} is not answered here")
            message = key.parse(rest)
            key.check_purpose(message)
            key.check_destinations(message)
            return handler(key, message)
        except Refusal as refusal:
            return [answer.refused(refusal)]
        except EntryRefused as refusal:
            return [answer.rejected(refusal.number, refusal.reason)]

    # --- inquiries both answer ------------------------------------------------------------------

    def _here(self, entry: Entry) -> bool:
        return entry.in_ncic if self._ncic else entry.in_state

    def persons(self, file: str, kind: Kind) -> Handler:
        """Make the handler of an inquiry into a file of people."""

        def handle(_key: MessageKey, message: MessageText) -> list[str]:
            hits = [
                answer.wanted_or_other(person, entry)
                for person in self.data.find_persons(message.fields)
                for entry in person.on_file
                if entry.kind is kind and self._here(entry)
            ]
            return [answer.joined(hits) if hits else answer.no_record(file, message.fields)]

        return handle

    def stolen_vehicles(self, file: str, message: MessageText) -> list[str]:
        """Answer an inquiry into the file of stolen vehicles."""
        records = self.vehicles.find(message.fields)
        if not records:
            return [answer.no_record(file, message.fields)]
        return [answer.joined(map(answer.stolen_vehicle, records))]

    def guns(self, file: str) -> Handler:
        """Make the handler of an inquiry into the file of guns."""

        def handle(_key: MessageKey, message: MessageText) -> list[str]:
            fields = message.fields
            gun = self.data.gun_by_nic.get(fields.get("NIC", ""))
            found = (gun,) if gun else self.data.by_gun_serial.get(fields.get("SER", ""), ())
            hits = [answer.stolen_or_lost_gun(g, e) for g in found for e in g.on_file if self._here(e)]
            return [answer.joined(hits) if hits else answer.no_record(file, fields)]

        return handle

    def articles(self, file: str) -> Handler:
        """Make the handler of an inquiry into the file of property; `TYP` counts where it is given."""

        def handle(_key: MessageKey, message: MessageText) -> list[str]:
            fields = message.fields
            article = self.data.article_by_nic.get(fields.get("NIC", ""))
            found = (article,) if article else self.data.by_article_serial.get(fields.get("SER", ""), ())
            hits = [
                answer.stolen_or_lost_article(a, e)
                for a in found
                if fields.get("TYP", a.type) == a.type
                for e in a.on_file
                if self._here(e)
            ]
            return [answer.joined(hits) if hits else answer.no_record(file, fields)]

        return handle
