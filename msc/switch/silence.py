"""Who has waited too long for an answer, told to the log and to the auditors: once at the start, once at the end."""

from __future__ import annotations

from msc import clock
from msc.audit import Audit, AuditEvent
from msc.log import get_logger
from msc.transit.unanswered import Alarm, Unanswered, Waiting

log = get_logger("switch")


class SilenceWatch(Unanswered):
    """Watches lines and mnemonics, and says so; see `msc.transit.unanswered`."""

    def report(self, now: float, audit: Audit) -> None:
        """Tell what has begun or ended since the last time."""
        for alarm in self.tick(now):
            _report(alarm, now, audit)

    def counts(self) -> dict[str, float]:
        """Count the lines and mnemonics that have waited too long, for the monitor."""
        raised = [alarm.what for alarm in self.raised()]
        return {what.value: float(raised.count(what)) for what in Waiting}


def _report(alarm: Alarm, now: float, audit: Audit) -> None:
    event = "unanswered.raised" if alarm.raised else "unanswered.cleared"
    since_s = round(now - alarm.since, 1)
    (log.warning if alarm.raised else log.info)(event, **{alarm.what.value: alarm.name}, since_s=since_s)
    mnemonic = alarm.name if alarm.what is Waiting.MNEMONIC else None
    subject = f"line {alarm.name}" if mnemonic is None else None
    audit(AuditEvent(clock.wall_us(), event, mnemonic=mnemonic, subject=subject, detail=f"since {since_s} s"))
