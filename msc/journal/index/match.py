"""The exact check: does a record match criteria? Reads the record itself, and knows nothing of the index.

What the index finds is held against it, and what is in no index yet (`follow`) is chosen by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msc.journal.criteria import AuditCriteria, Criteria
from msc.journal.index.term import AS_ON_AUDIT, AS_ON_MESSAGE, OPEN, is_refused, subjects_of
from msc.journal.index.tokenizer import query_words, words
from msc.journal.owed import Owed, follow
from msc.journal.record import AuditRecord
from msc.transit.event import Event, Life
from msc.transit.message import MessageRecord


def matches(criteria: Criteria, message: MessageRecord, events: Sequence[Event]) -> bool:
    """Tell whether a message matches.

    Args:
        criteria: What is looked for.
        message: A message.
        events: All events of its life, in their order; its receipt may be among them.

    Raises:
        BadCriteria: A word to look for holds no letter or digit.
    """
    return (
        _in_time(criteria, message.received)
        and criteria.msn in (None, message.msn)
        and criteria.scope in (None, message.agency)
        and all(getattr(criteria, name) in (None, getattr(message, name)) for name in AS_ON_MESSAGE)
        and criteria.key in (None, *_names_of_key(message))
        and (criteria.header is None or criteria.header in (message.header, message.own_header))
        and _was_at("device", criteria.device, message.device, events)
        and _was_at("line", criteria.line, message.line, events)
        and _came_to(criteria.outcome, events)
        and (not criteria.text or _holds(message.text, criteria.text))
    )


def matches_audit(criteria: AuditCriteria, record: AuditRecord) -> bool:
    """Tell whether an audit event matches.

    Raises:
        BadCriteria: A word to look for holds no letter or digit.
    """
    agency = getattr(record, "agency", None)
    return (
        _in_time(criteria, record.at)
        and criteria.scope in (None, agency)
        and all(getattr(criteria, name) in (None, getattr(record, name, None)) for name in AS_ON_AUDIT)
        and (criteria.event is None or record.event.startswith(criteria.event))
        and (
            criteria.subject is None
            or (record.subject is not None and criteria.subject in subjects_of(record.subject))
        )
        and (not criteria.refused or is_refused(record))
        and (not criteria.text or _holds(f"{record.detail or ''}\n{record.reason or ''}", criteria.text))
    )


def is_open(events: Iterable[Event]) -> bool:
    """Tell from the events of a message whether it has not ended everywhere, as the ledger keeps it."""
    owed: Owed = {}
    for event in events:
        follow(owed, event)
    return bool(owed)


def _in_time(criteria: Criteria | AuditCriteria, at: int) -> bool:
    return (criteria.since_us is None or at >= criteria.since_us) and (
        criteria.until_us is None or at < criteria.until_us
    )


def _names_of_key(message: MessageRecord) -> tuple[str, ...]:
    if message.key is None:
        return ()
    return (message.key, f"{message.system}.{message.key}") if message.system else (message.key,)


def _was_at(kind: str, wanted: str | None, own: str | None, events: Iterable[Event]) -> bool:
    if wanted in (None, own):
        return True
    return any(event.destination == f"{kind}:{wanted}" for event in events)


def _came_to(outcome: str | None, events: Iterable[Event]) -> bool:
    if outcome in (None, Life.RECEIVED):
        return True
    return is_open(events) if outcome == OPEN else any(event.event == outcome for event in events)


def _holds(text: str, wanted: Iterable[str]) -> bool:
    """Tell whether a text holds all the words."""
    held = set(words(text))
    return all(
        any(
            all(
                any(word.startswith(sought.term) for word in held) if sought.prefix else sought.term in held
                for sought in alternative
            )
            for alternative in query_words(query)
        )
        for query in wanted
    )
