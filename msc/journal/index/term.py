"""Terms: the one place that says which member of a record is found by which, and what criteria look up.

    WORD                   a word of a message's text (`tokenizer`)
    user:J40217            a member of a message as it stands; so are mnemonic, agency, ori, database, kind,
                           direction, code, requester, session, device and line
    key:QW  key:IW.QW      the key, alone and with its system
    header:CD01            the header, and a host's own
    transaction:4711
    device:T1  line:CLETS  also where the message went, by its events
    outcome:answered       an event of its life
    !WORD  !user:J40217    the same of audit events: words of detail and reason; event, subject, user, device,
                           mnemonic, session, source, code, agency
    !subject:J40217        the last word of a subject, besides the whole
    !is:refused            a refusal
    @0000000000004711      not searched for: where events of a message stand that are not in the message's block

The place of a message's terms, its events' too, is its MSN; of an audit event's its `seq`; of an `@` the `first` of a
block. A value that is too long for a term, or holds a line feed, stands as `~` and its BLAKE2b hash.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from msc.journal.criteria import AuditCriteria, Criteria
from msc.journal.index.tokenizer import Alternatives, Sought, query_words, words
from msc.journal.proof.canonical import Stored
from msc.journal.record import AuditRecord, StepsRecord
from msc.transit.event import Event, Life
from msc.transit.message import MessageRecord

VALUE_CHARS: Final = 64
"""Longer than any identifier of ours; a requester or a subject may be a sentence."""
OPEN: Final = "open"
"""The outcome of what has not ended everywhere; no term, as it comes to an end."""
AS_ON_MESSAGE: Final = (
    "user", "mnemonic", "agency", "ori", "database", "kind", "direction", "code", "requester", "session",
    "transaction",
)  # fmt: skip
"""What criteria ask of a message as it stands. The others are looked at more closely."""
AS_ON_AUDIT: Final = ("user", "device", "mnemonic", "session", "source", "code", "agency")
_HASH_BYTES: Final = 16
_REMEMBERED: Final = 8192
"""Combinations whose terms are kept: most messages have theirs in common with one before."""


def term_of(name: str, value: str) -> str:
    """Return the term of a value."""
    if len(value) > VALUE_CHARS or "\n" in value:
        value = "~" + blake2b(value.encode("utf-8", "backslashreplace"), digest_size=_HASH_BYTES).hexdigest()
    elif not value.isascii():
        value = value.encode("utf-8", "backslashreplace").decode()  # as the journal writes what UTF-8 cannot hold
    return f"{name}:{value}"


def events_term(msn: int) -> str:
    """Return the term that tells where events of a message stand, other than in its own block."""
    return f"@{msn:016d}"


def terms_of(stored: Stored) -> tuple[Collection[str], int]:
    """Return the terms of a record, each once, and their place; none of one that cannot be understood."""
    record = stored.record
    if isinstance(record, MessageRecord):
        return terms_of_message(record), record.msn
    if isinstance(record, StepsRecord):
        return terms_of_steps(record), record.msn
    return (terms_of_audit(record), stored.seq) if isinstance(record, AuditRecord) else ((), 0)


def terms_of_message(record: MessageRecord) -> list[str]:
    """Return the terms of a message, those of the events it was stored with too, each once."""
    terms = words(record.text)
    terms += _terms_of_sender(
        record.device, record.line, record.user, record.agency, record.ori, record.mnemonic, record.session
    )
    terms += _terms_of_kind(record.direction, record.kind, record.system, record.key, record.database, record.code)
    header, own_header = record.header, record.own_header
    if header is not None:
        terms.append(term_of("header", header))
    if own_header is not None and own_header != header:
        terms.append(term_of("header", own_header))
    if record.transaction is not None:
        terms.append(f"transaction:{record.transaction}")
    if record.requester is not None:
        terms.append(term_of("requester", record.requester))
    if record.events:
        # A line or device of its events may be the message's own.
        terms += [term for term in _terms_of_events(record.events) if term not in terms]
    return terms


def terms_of_steps(steps: StepsRecord) -> Collection[str]:
    """Return the terms that steps of its life add to a message, each once."""
    return _terms_of_events(steps.events)


def _terms_of_events(events: Sequence[Event]) -> Collection[str]:
    if len(events) == 1:
        return _terms_of_life(events[0].event, events[0].destination)
    return {term for event in events for term in _terms_of_life(event.event, event.destination)}


def terms_of_audit(record: AuditRecord) -> list[str]:
    """Return the terms of an audit event, each once."""
    terms = [f"!{word}" for word in words(f"{record.detail or ''}\n{record.reason or ''}")]
    terms.append(term_of("!event", record.event))
    for name in AS_ON_AUDIT:
        value = getattr(record, name, None)
        if value is not None:
            terms.append(term_of(f"!{name}", value))
    if record.subject is not None:
        terms += {term_of("!subject", named) for named in subjects_of(record.subject)}
    if is_refused(record):
        terms.append("!is:refused")
    return terms


def subjects_of(subject: str) -> tuple[str, str]:
    """Return what a subject is found by: the whole of it, and its last word."""
    return subject, subject.rpartition(" ")[2]


def is_refused(record: AuditRecord) -> bool:
    """Tell whether an audit event is a refusal. A handshake is refused before there is anybody to tell a code."""
    return record.code is not None or record.event.endswith("refused")


@lru_cache(_REMEMBERED)
def _terms_of_sender(
    device: str | None, line: str | None, user: str | None, agency: str | None, ori: str | None,
    mnemonic: str | None, session: str | None,
) -> tuple[str, ...]:  # fmt: skip
    values = {
        "device": device, "line": line, "user": user, "agency": agency, "ori": ori, "mnemonic": mnemonic,
        "session": session,
    }  # fmt: skip
    return tuple(term_of(name, value) for name, value in values.items() if value is not None)


@lru_cache(_REMEMBERED)
def _terms_of_kind(
    direction: str, kind: str, system: str | None, key: str | None, database: str | None, code: str | None
) -> tuple[str, ...]:
    values = {"direction": direction, "kind": kind, "key": key, "database": database, "code": code}
    terms = [term_of(name, value) for name, value in values.items() if value is not None]
    if key is not None and system:
        terms.append(term_of("key", f"{system}.{key}"))
    return tuple(terms)


@lru_cache(_REMEMBERED)
def _terms_of_life(event: str, destination: str | None) -> tuple[str, ...]:
    outcome = term_of("outcome", event)
    if destination is None:
        return (outcome,)
    kind, _, name = destination.partition(":")
    # Where it waits for a person it is found by the person's id, which stands on the message.
    return (outcome, term_of(kind, name)) if kind in ("device", "line") else (outcome,)


# --- looking up ---------------------------------------------------------------------------------

_ALL_MESSAGES: Final[Alternatives] = ((Sought("direction:", prefix=True),),)
_ALL_AUDIT: Final[Alternatives] = ((Sought("!event:", prefix=True),),)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to look up for criteria.

    Attributes:
        clauses: All of these must be found; one at least.
        whole: Nothing is asked that the index knows: what it gives is every record, and going by time is cheaper.
        msn: Only this message.
        since_us, until_us: Wall time; the end is not included. No term: the blocks know it (`search.in_time`).
        open: Only what has not ended everywhere. No term: the searcher has the list.
    """

    clauses: tuple[Alternatives, ...]
    whole: bool = False
    msn: int | None = None
    since_us: int | None = None
    until_us: int | None = None
    open: bool = False


def plan_of(criteria: Criteria | AuditCriteria) -> Plan:
    """Turn criteria into what is to be looked up.

    Raises:
        BadCriteria: A word to look for holds no letter or digit.
    """
    if isinstance(criteria, AuditCriteria):
        clauses = tuple(_audit_clauses(criteria))
        return Plan(clauses or (_ALL_AUDIT,), not clauses, since_us=criteria.since_us, until_us=criteria.until_us)
    clauses = tuple(_clauses(criteria))
    return Plan(
        clauses or (_ALL_MESSAGES,),
        not clauses,
        criteria.msn,
        criteria.since_us,
        criteria.until_us,
        criteria.outcome == OPEN,
    )


def _clauses(criteria: Criteria) -> Iterator[Alternatives]:
    for name in (*AS_ON_MESSAGE, "key", "header", "device", "line"):
        value = getattr(criteria, name)
        if value is not None:
            yield _exactly(term_of(name, str(value)))
    # Every message was received, and `open` comes to an end.
    if criteria.outcome not in (None, Life.RECEIVED, OPEN):
        yield _exactly(term_of("outcome", criteria.outcome))
    if criteria.scope is not None:
        yield _exactly(term_of("agency", criteria.scope))
    yield from map(query_words, criteria.text)


def _audit_clauses(criteria: AuditCriteria) -> Iterator[Alternatives]:
    for name in (*AS_ON_AUDIT, "subject"):
        value = getattr(criteria, name)
        if value is not None:
            yield _exactly(term_of(f"!{name}", value))
    if criteria.event is not None:
        yield ((Sought(term_of("!event", criteria.event), prefix=True),),)
    if criteria.refused:
        yield _exactly("!is:refused")
    if criteria.scope is not None:
        yield _exactly(term_of("!agency", criteria.scope))
    for query in criteria.text:
        yield tuple(
            tuple(Sought(f"!{sought.term}", sought.prefix) for sought in alternative)
            for alternative in query_words(query)
        )


def _exactly(term: str) -> Alternatives:
    return ((Sought(term),),)
