"""What `loadtest.journal` searches for: every filter and ten combinations, with values common, rare and absent."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from random import Random
from typing import Any, Final

from msc.journal.block import unpack
from msc.journal.criteria import Criteria
from msc.journal.database.opening import open_reading
from msc.journal.process import JournalProcess
from msc.journal.proof.canonical import decode
from msc.journal.reader import JournalReader
from msc.journal.search import Searcher
from msc.transit.message import MessageRecord

PAGE: Final = 50
_KEPT: Final = 4_000
"""Messages kept to take values from: a sample of all, so common values are common in it."""
_PLATE: Final = re.compile(r"\bZZ[0-9A-Z]{5}\b")
_SPACED_PLATE: Final = re.compile(r"\bZZ ?[0-9A-Z]{5}\b")
"""As some write it; a search for the plate finds that, too."""
_VIN: Final = re.compile(r"\bTESTV[0-9A-Z]{12}\b")
_NAME: Final = re.compile(r"NAM/([A-Z]+),\s?([A-Z]+)")
_OLN: Final = re.compile(r"OLN/([0-9A-Z]+)")
_SCANNED: Final = 300
"""Plates and VINs compared with a full scan, about."""
_BLOCKS: Final = 256
_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_OUTCOMES: Final = (
    "answered", "expired", "refused", "not_sent", "outcome_unknown", "operator_queue", "returned", "refused_by_peer",
    "acknowledged", "open",
)  # fmt: skip
_SINGLE: Final = (
    "user", "mnemonic", "agency", "ori", "database", "kind", "direction", "code", "requester", "session", "device",
    "line", "header", "msn", "transaction",
)  # fmt: skip


class Chosen:
    """A sample of the messages that went by, and how often each plate and VIN did."""

    def __init__(self) -> None:
        self._rng = Random(5)
        self._seen = 0
        self.sample: list[MessageRecord] = []
        self.special: dict[str, list[MessageRecord]] = defaultdict(list)
        """Of what few messages have, some that have it."""
        self.numbers: Counter[str] = Counter()

    def take(self, message: MessageRecord) -> None:
        """Look at a message."""
        self._seen += 1
        if len(self.sample) < _KEPT:
            self.sample.append(message)
        elif (place := int(self._rng.random() * self._seen)) < _KEPT:
            self.sample[place] = message
        for name in ("code", "requester", "session"):
            if getattr(message, name) is not None and len(self.special[name]) < _KEPT and self._rng.random() < 0.05:
                self.special[name].append(message)
        if message.kind == "inquiry":
            self.numbers.update(_PLATE.findall(message.text))
            self.numbers.update(_VIN.findall(message.text))


class Questions:
    """Makes criteria from what went by."""

    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen
        self._rng = Random(11)
        ranked = [number for number, _ in chosen.numbers.most_common()]
        plates = [number for number in ranked if number.startswith("ZZ")]
        vins = [number for number in ranked if not number.startswith("ZZ")]
        self._plates = plates[:200], plates[-2_000:]
        self._vins = vins[:200], vins[-2_000:]
        self.make: dict[str, Callable[[], Criteria]] = {
            "since_us": lambda: Criteria(since_us=self._message().received),
            "until_us": lambda: Criteria(until_us=self._message().received),
            "time range": lambda: self._during(Criteria(), 6 * _HOUR_US),
            **{name: self._single(name) for name in _SINGLE},
            "key": self._key,
            "outcome": lambda: Criteria(outcome=self._rng.choice(_OUTCOMES)),
            "scope": lambda: Criteria(scope=self._agency()),
            "text, a plate": lambda: Criteria(text=(self._number(self._plates),)),
            "text, a VIN": lambda: Criteria(text=(self._number(self._vins),)),
            "text, a name": lambda: Criteria(text=self._name()[:1]),
            "text, an OLN": lambda: Criteria(text=(self._oln(),)),
            "text, a beginning": lambda: Criteria(text=(self._beginning(),)),
            # Ten combinations.
            "plate + since": lambda: Criteria(text=(self._number(self._plates),), since_us=self._message().received),
            "name + first name": lambda: Criteria(text=self._name()),
            "user + key": lambda: self._with("user", key=self._message_of("inquiry").key),
            "user + time range": lambda: self._during(self._with("user"), 7 * _DAY_US),
            "agency + plate": lambda: Criteria(agency=self._agency(), text=(self._number(self._plates),)),
            "device + outcome": lambda: self._with("device", outcome=self._rng.choice(_OUTCOMES)),
            "database + code": lambda: Criteria(
                database=self._rng.choice(("SVS", "WPS", "ACHS", "DMV")), code=self._rng.choice(("E206", "E301"))
            ),
            "requester + time range": lambda: self._during(
                Criteria(requester=self._special("requester").requester), 90 * _DAY_US
            ),
            "line + kind + outcome": lambda: Criteria(
                line=self._rng.choice(("clets-a", "ncic-a")), kind=self._rng.choice(("inquiry", "entry", "clear")),
                outcome=self._rng.choice(_OUTCOMES),
            ),
            "scope + beginning + key + month": lambda: self._during(
                Criteria(scope=self._agency(), text=(self._beginning(),), key="QV"), 30 * _DAY_US
            ),
        }  # fmt: skip

    def _message(self) -> MessageRecord:
        return self._rng.choice(self._chosen.sample)

    def _message_of(self, kind: str) -> MessageRecord:
        while (message := self._message()).kind != kind:
            pass
        return message

    def _special(self, name: str) -> MessageRecord:
        return self._rng.choice(self._chosen.special[name] or self._chosen.sample)

    def _single(self, name: str) -> Callable[[], Criteria]:
        def make() -> Criteria:
            if self._rng.random() < 0.15:
                absent: Any = 10**12 if name in ("msn", "transaction") else f"NO{self._rng.randint(10, 99)}"
                return Criteria(**{name: absent})
            while (value := getattr(self._any(name), name)) is None:
                pass
            return Criteria(**{name: value})

        return make

    def _any(self, name: str) -> MessageRecord:
        return self._special(name) if name in self._chosen.special else self._message()

    def _with(self, name: str, **more: Any) -> Criteria:
        while (value := getattr(self._message(), name)) is None:
            pass
        return Criteria(**{name: value}, **more)

    def _during(self, criteria: Criteria, span_us: int) -> Criteria:
        since_us = self._message().received - int(self._rng.random() * span_us)
        return Criteria.from_json({**criteria.as_json(), "since_us": since_us, "until_us": since_us + span_us})

    def _agency(self) -> str:
        return self._message_of("inquiry").agency or ""

    def _key(self) -> Criteria:
        message = self._message_of("inquiry")
        full = message.system and self._rng.random() < 0.5
        return Criteria(key=f"{message.system}.{message.key}" if full else message.key)

    def _number(self, ranked: tuple[list[str], list[str]]) -> str:
        share = self._rng.random()
        if share < 0.15 or not ranked[0]:
            return f"ZX{self._rng.randint(10_000, 99_999)}"  # nobody's
        return self._rng.choice(ranked[0] if share < 0.5 else ranked[1])

    def _beginning(self) -> str:
        return f"{self._number(self._plates)[: self._rng.randint(4, 6)]}*"

    def _name(self) -> tuple[str, ...]:
        while not (found := _NAME.search(self._message().text)):
            pass
        return found.groups()

    def _oln(self) -> str:
        while not (found := _OLN.search(self._message().text)):
            pass
        return found[1]


async def measure_searches(url: str, chosen: Chosen, values: int) -> dict[str, Any]:
    """Ask the search process for the first page of every kind of question; returns `p95_ms`, `p50_ms`."""
    process = JournalProcess("search", {"url": url, "public_key": os.devnull})
    running = asyncio.ensure_future(process.run())
    questions = Questions(chosen)
    try:
        for make in questions.make.values():
            for _ in range(max(2, values // 4)):
                await _first_page(process, make())
        times = {}
        for name, make in questions.make.items():
            asked = [make() for _ in range(values)]
            times[name] = sorted([await _first_page(process, criteria) for criteria in asked])
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return {
        "p95_ms": {name: round(found[max(0, -(-len(found) * 95 // 100) - 1)], 2) for name, found in times.items()},
        "p50_ms": {name: round(found[len(found) // 2], 2) for name, found in times.items()},
    }


async def _first_page(process: JournalProcess, criteria: Criteria) -> float:
    """Return how many milliseconds a first page takes."""
    began = time.perf_counter()
    async for _ in process.ask("search", {"criteria": criteria.as_json(), "limit": PAGE}):
        pass
    return (time.perf_counter() - began) * 1e3


async def compare_with_scan(url: str, chosen: Chosen) -> dict[str, Any]:
    """Search for plates and VINs, and hold what is found against a scan of every message.

    Returns:
        How many were `compared`, how many `messages` hold them, and where search and scan are `different`.
    """
    ranked = [number for number, _ in chosen.numbers.most_common()]
    step = max(1, len(ranked) // _SCANNED)
    wanted = {*ranked[:50], *ranked[::step]}
    scanned: dict[str, list[int]] = {number: [] for number in wanted}
    reading = open_reading(url)
    try:
        for month in await reading.months():
            after = 0
            while month.last and (blocks := await reading.blocks_after(month.month, after, _BLOCKS)):
                after = blocks[-1].key.first
                for block in blocks:
                    for body in unpack(block):
                        if body.startswith(b'["m"'):
                            _note(scanned, body)
        for row in await reading.tail():
            if row.body.startswith(b'["m"'):
                _note(scanned, row.body)
        searcher = Searcher(JournalReader(reading))
        different = {}
        for number, msns in scanned.items():
            found = await searcher.search(Criteria(text=(number,))).all_msns()
            if found != msns:
                different[number] = {"missed": sorted(set(msns) - set(found)), "more": sorted(set(found) - set(msns))}
    finally:
        await reading.close()
    # All of it is synthetic: it can be shown.
    return {"compared": len(wanted), "messages": sum(map(len, scanned.values())), "different": different}


def _note(scanned: dict[str, list[int]], body: bytes) -> None:
    message = decode(body).record
    assert isinstance(message, MessageRecord)
    plates = {written.replace(" ", "") for written in _SPACED_PLATE.findall(message.text)}
    for number in {*plates, *_VIN.findall(message.text)}:
        if number in scanned:
            scanned[number].append(message.msn)
