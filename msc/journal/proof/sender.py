"""Tells witnesses every checkpoint, behind the traffic: nobody waits for a witness.

Each witness has a task. What it has confirmed is remembered in a small file, so that after an outage, ours or its, it
is told what it missed, from the database. A new witness begins with the newest checkpoint, which speaks for all.

If what a witness heard before is not in the journal any more, the journal was put back: that is an alarm.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from msc import clock
from msc.errors import JournalError
from msc.journal.database.layout import CheckpointRow, JournalReading
from msc.journal.proof.testimony import DIGEST_BYTES
from msc.journal.proof.witness import Witness, WitnessLost
from msc.limits import (
    WITNESS_LAG_S,
    WITNESS_QUEUE_MAX,
    WITNESS_RETRY_FIRST_S,
    WITNESS_RETRY_LAST_S,
    WITNESS_TELL_S,
)
from msc.log import get_logger
from msc.metrics import Metrics

log = get_logger("journal")

_AT_ONCE: Final = 100


class _Confirmed(NamedTuple):
    """The last a witness has."""

    number: int
    digest: bytes


class WitnessSender:
    """Tells witnesses what the writer has stated. `heard` goes to the writer, `run` is a task of the daemon.

    Args:
        witnesses: Whom to tell.
        reading: The journal, for what they missed.
        memory: The file that remembers what they confirmed.
        metrics: Shows how far behind each is.
        retry_first_s: The first pause after a failure; each is twice the one before, up to a minute.
    """

    def __init__(
        self,
        witnesses: Sequence[Witness],
        reading: JournalReading,
        memory: Path,
        metrics: Metrics,
        *,
        retry_first_s: float = WITNESS_RETRY_FIRST_S,
    ) -> None:
        self._witnesses = list(witnesses)
        self._reading = reading
        self._memory = memory
        self._retry_first_s = retry_first_s
        self._recent: deque[CheckpointRow] = deque(maxlen=WITNESS_QUEUE_MAX)
        self._newest = 0
        self._stirred = {witness.name: asyncio.Event() for witness in self._witnesses}
        self._behind_since: dict[str, float] = {}
        """When a witness was first found behind, monotonic."""
        self._alarmed: set[str] = set()
        self.contradicted: set[str] = set()
        """Witnesses that heard what is not in the journal any more."""
        self._remembered = self._recall()
        if self._witnesses:
            metrics.gauge(
                "msc_journal_witness_lag_seconds",
                "How long a checkpoint has been waiting for a witness to have it",
                "witness",
                self.lag_s,
            )
            metrics.gauge(
                "msc_journal_witness_contradicts",
                "Whether a witness heard checkpoints that are not in the journal any more",
                "witness",
                lambda: {witness.name: float(witness.name in self.contradicted) for witness in self._witnesses},
            )

    def heard(self, rows: Sequence[CheckpointRow]) -> None:
        """Take up checkpoints that are durable. It never waits."""
        for row in rows:
            self._recent.append(row)
            self._newest = max(self._newest, row.number)
        for witness in self._witnesses:
            self._behind_since.setdefault(witness.name, clock.monotonic())
            self._stirred[witness.name].set()

    def lag_s(self) -> dict[str, float]:
        """Return how long each witness has been behind, seconds."""
        now = clock.monotonic()
        return {
            witness.name: max(0.0, now - self._behind_since.get(witness.name, now)) for witness in self._witnesses
        }

    async def run(self) -> None:
        """Tell witnesses until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for witness in self._witnesses:
                    tasks.create_task(self._serve(witness), name=f"witness {witness.name}")
        finally:
            for witness in self._witnesses:
                close = getattr(witness, "close", None)
                if close is not None:
                    with contextlib.suppress(Exception):
                        await close()

    # --- one witness ----------------------------------------------------------------------------

    async def _serve(self, witness: Witness) -> None:
        confirmed: int | None = None
        pause = 0.0
        while True:
            try:
                if confirmed is None:
                    confirmed = await self._begin(witness)
                elif confirmed < self._newest:
                    confirmed = await self._tell(witness, confirmed)
                else:
                    self._caught_up(witness)
                    stirred = self._stirred[witness.name]
                    await stirred.wait()
                    stirred.clear()
                pause = 0.0
            except (WitnessLost, JournalError, TimeoutError) as exc:
                self._failed(witness, exc, first=pause == 0.0)
                pause = min(max(self._retry_first_s, pause * 2), WITNESS_RETRY_LAST_S)
                await asyncio.sleep(pause)

    async def _begin(self, witness: Witness) -> int:
        """Find what it has, and whether that is still in the journal; return the number it is told after."""
        newest = await self._reading.last_checkpoint()
        if newest is None:
            return 0
        self._newest = max(self._newest, newest.number)
        async with asyncio.timeout(WITNESS_TELL_S):
            heard = await witness.last()
        known = _Confirmed(heard.number, heard.digest) if heard is not None else self._known(witness)
        if known is None:
            return newest.number - 1
        here = await self._reading.checkpoints(known.number - 1, 1)
        if here and here[0].number == known.number and _digest(here[0]) == known.digest:
            return known.number
        self.contradicted.add(witness.name)
        log.error(
            "journal.witness_contradicts",
            witness=witness.name,
            heard=known.number,
            newest=newest.number,
            help="the journal was put back or replaced; `msc journal verify --witness` says more",
        )
        return newest.number - 1

    async def _tell(self, witness: Witness, confirmed: int) -> int:
        rows = [row for row in self._recent if row.number > confirmed][:_AT_ONCE]
        if not rows or rows[0].number != confirmed + 1:
            rows = await self._reading.checkpoints(confirmed, _AT_ONCE)
        if not rows:
            return self._newest  # the database has forgotten what it had: its next reader is told
        async with asyncio.timeout(WITNESS_TELL_S):
            await witness.tell(rows)
        self._remember(witness, rows[-1])
        if rows[-1].number >= self._newest:
            self._caught_up(witness)
        return rows[-1].number

    def _failed(self, witness: Witness, error: Exception, *, first: bool) -> None:
        if first:
            log.warning("journal.witness_lost", witness=witness.name, error=str(error) or type(error).__name__)
        since = self._behind_since.setdefault(witness.name, clock.monotonic())
        if clock.monotonic() - since > WITNESS_LAG_S and witness.name not in self._alarmed:
            self._alarmed.add(witness.name)
            log.error("journal.witness_lags", witness=witness.name, seconds=round(clock.monotonic() - since))

    def _caught_up(self, witness: Witness) -> None:
        self._behind_since.pop(witness.name, None)
        if witness.name in self._alarmed:
            self._alarmed.discard(witness.name)
            log.info("journal.witness_caught_up", witness=witness.name)

    # --- what they confirmed --------------------------------------------------------------------

    def _recall(self) -> dict[str, Any]:
        try:
            members = orjson.loads(self._memory.read_bytes())
        except (OSError, ValueError):
            return {}
        return members if isinstance(members, dict) else {}

    def _known(self, witness: Witness) -> _Confirmed | None:
        try:
            entry = self._remembered[witness.name]
            if entry["target"] != witness.target:
                return None
            return _Confirmed(int(entry["number"]), bytes.fromhex(entry["digest"]))
        except (KeyError, TypeError, ValueError):
            return None

    def _remember(self, witness: Witness, row: CheckpointRow) -> None:
        self._remembered[witness.name] = {
            "target": witness.target,
            "number": row.number,
            "digest": _digest(row).hex(),
        }
        beside = self._memory.with_name(f"{self._memory.name}.new")
        try:
            beside.write_bytes(orjson.dumps(self._remembered))
            beside.replace(self._memory)
        except OSError as exc:
            # It will be told again what it has: that does no harm.
            log.warning("journal.witness_memory", error=type(exc).__name__)


def _digest(row: CheckpointRow) -> bytes:
    return sha256(row.body).digest()[:DIGEST_BYTES]
