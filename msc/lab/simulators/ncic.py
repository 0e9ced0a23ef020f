"""NCIC's stand-in: wanted persons, stolen vehicles, guns and articles, by its own keys and California's."""

from __future__ import annotations

from collections.abc import Mapping

from msc.lab.simulators.dataset import DataSet
from msc.lab.simulators.responder import Handler, Responder
from msc.lab.simulators.subject import Kind
from msc.protocol.catalog import Catalog, MessageKey
from msc.protocol.text import MessageText


class NcicResponder(Responder):
    """Answers as NCIC would. It has no updates: a state's file forwards those, and ours does not."""

    def __init__(self, catalog: Catalog, data: DataSet) -> None:
        super().__init__(catalog, data, ncic=True)

    def handlers(self) -> Mapping[str, Handler]:
        """Return what answers which message key."""
        wanted = self.persons("NCIC", Kind.WANTED)
        guns, articles = self.guns("NCIC"), self.articles("NCIC")
        return {
            "IW.QW": wanted,
            "QW": wanted,
            "IA.QV": self._stolen_vehicle,
            "QV": self._stolen_vehicle,
            "IG.QG": guns,
            "QG": guns,
            "IP.QA": articles,
            "QA": articles,
        }

    def _stolen_vehicle(self, _key: MessageKey, message: MessageText) -> list[str]:
        return self.stolen_vehicles("NCIC", message)
