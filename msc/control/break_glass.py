"""Breaking the glass: an administrator reads the journal while no switch runs, and leaves a record of it.

    data/break_glass.jsonl      {"number": 7, "previous": …, "at": …, "event": "opened", "operator": …, "action": …,
                                 "asked": {…}, "reason": …, …, "certificate": …, "signature": …}

One line before anything is shown, one with the number of results after it. Each is signed with the operator's key,
is numbered, and names the digest of the line before it: what is changed, taken out or put in between shows. That
lines were cut off at the end would not; so each opening is also noted in the directory's log of changes, where that
can be written. The next switch that starts puts all of it into the journal, and leaves of the file only how far it
came: {"taken_up": 7, "previous": …}.

Whoever can read the database's files can read them without this. It is the way for those who want to be seen.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from msc import clock
from msc.audit import AuditEvent
from msc.control.access import Action, check_reason, permit
from msc.control.journal_desk import SUBJECT, VERBS, checked
from msc.control.operator_key import OperatorKey
from msc.control.sign_in import claimed_name, operator_of
from msc.control.signature import BadProof, is_signed, read_certificate, sign, write_certificate
from msc.directory.store import Actor, Change, DirectoryStore, DirectoryUnavailable, LoggedChange
from msc.errors import Fault, SiteError
from msc.lock import lock_site, owned_like_its_folder
from msc.pki.trust import Trust
from msc.settings import Settings

_PURPOSE: Final = b"MSC break glass 1\n"
_TABLE: Final = "break_glass"
_AHEAD_US: Final = 86_400_000_000
"""A line may be of a clock that went ahead, but not by more than a day."""
_DETAIL_CHARS_MAX: Final = 66_000
"""A question is at most this long."""
_START: Final = ""
"""What the first line of all names as the one before it."""


def glass_file(settings: Settings) -> Path:
    """Return where a site keeps the record."""
    return settings.data_folder / "break_glass.jsonl"


def _signed_text(record: Mapping[str, Any]) -> bytes:
    members = {name: value for name, value in record.items() if name != "signature"}
    return _PURPOSE + json.dumps(members, sort_keys=True, separators=(",", ":")).encode()


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


# --- the file ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file ends: the number of its last line, and that line's digest."""

    number: int = 0
    digest: str = _START


@contextmanager
def _locked(file: Path) -> Iterator[int]:
    """Open the file, alone."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        owned_like_its_folder(descriptor, file)
        yield descriptor
    finally:
        os.close(descriptor)


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _end_of(content: bytes) -> _Place:
    """Find where to go on; a damaged line counts as one, so that the numbers go on behind it."""
    place = _Place()
    for line in content.splitlines():
        record = _parsed(line)
        if record is not None and isinstance(record.get("taken_up"), int):
            place = _Place(record["taken_up"], str(record.get("previous")))
        else:
            number = record.get("number") if record is not None else None
            place = _Place(number if isinstance(number, int) else place.number + 1, _digest(line))
    return place


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _append(file: Path, key: OperatorKey, members: Mapping[str, Any]) -> _Place:
    """Sign a line and write it, durably.

    Raises:
        SiteError: It cannot be written.
    """
    try:
        with _locked(file) as descriptor:
            content = _content(descriptor)
            end = _end_of(content)
            record: dict[str, Any] = {
                "number": end.number + 1, "previous": end.digest, "at": clock.wall_us(), **members,
                "operator": key.name, "account": getpass.getuser(), "certificate": write_certificate(key.certificate),
            }  # fmt: skip
            record["signature"] = sign(key.key, _signed_text(record)).hex()
            line = json.dumps(record, separators=(",", ":")).encode()
            # A line that was torn by a power cut stays what it is, and this one begins anew.
            os.write(descriptor, (b"\n" if content and not content.endswith(b"\n") else b"") + line + b"\n")
            os.fsync(descriptor)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as exc:
        problem = f"cannot be written, so nothing is shown: {exc.strerror}"
        raise SiteError([Fault(file, "", problem)]) from exc
    return _Place(end.number + 1, _digest(line))


# --- breaking it ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Glass:
    """The journal, open to an administrator while no switch runs.

    Attributes:
        asked: What may be looked for, as a `JournalDesk` gets it.
        results: How many were shown; counted by who shows them.
        complete: Whether everything that was asked could be read.
    """

    asked: dict[str, Any]
    results: int = 0
    complete: bool = field(default=False)


@asynccontextmanager
async def break_glass(
    settings: Settings, key: OperatorKey, verb: str, content: Mapping[str, Any], reason: str | None
) -> AsyncIterator[Glass]:
    """Let an administrator read the journal while no switch runs.

    That it was opened is on disk before this yields, and how many results there were when it is left.

    Args:
        key: The administrator's; that it belongs to its certificate was seen when it was read.
        verb: A name of `VERBS`.
        content: What is asked, as it would be sent to the switch.

    Raises:
        SiteError: A switch runs, which is to be asked instead; or the record cannot be written.
        NotSignedIn, NotPermitted: It is not an administrator's key, or there is no reason.
        BadCriteria: It is not a question.
        FaultyInput, DirectoryUnavailable: Authorities, revocations or directory cannot be read.
    """
    lock = lock_site(settings, "a switch runs on this site: ask it, without --offline")
    try:
        trust = Trust.of(settings.path(settings.tls.ca), settings.path(settings.tls.crl))
        store = DirectoryStore(settings.database_url(settings.directory))
        try:
            directory = await store.load()
            operator = operator_of(directory, trust, key.certificate)
            scope = permit(operator, Action.BREAK_GLASS)
            permit(operator, VERBS[verb].action)
            why = check_reason(reason)
            asked = checked(VERBS[verb], content, scope, directory)
            told = {"session": secrets.token_hex(4), "action": verb, "reason": why}
            place = _append(glass_file(settings), key, {"event": "opened", "asked": asked, **told})
            await _witness(store, key.name, place, why)
        finally:
            await store.close()
    finally:
        # Given back before anything is shown: a switch that wants to start must not wait for a reader.
        lock.close()
    glass = Glass(asked)
    try:
        yield glass
    finally:
        facts = {"event": "closed", "results": glass.results, "complete": glass.complete}
        _append(glass_file(settings), key, {**facts, **told})


async def _witness(store: DirectoryStore, name: str, place: _Place, reason: str) -> None:
    change = Change(_TABLE, str(place.number), "opened", detail={"digest": place.digest})
    try:
        await store.change([change], Actor(name, f"cli:{getpass.getuser()}"), reason, clock.wall_us())
    except DirectoryUnavailable:
        return  # the line is written and signed; in an emergency that is enough


# --- taking it up -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakenUp:
    """What a starting switch finds.

    Attributes:
        events: For the journal.
        size: How much of the file they are of.
        end: Its last line.
    """

    events: list[AuditEvent]
    size: int
    end: _Place


def take_up(file: Path, trust: Trust, noted: Iterable[LoggedChange]) -> TakenUp:
    """Read and verify what was done while no switch ran. What is damaged or missing becomes an event as well.

    Args:
        trust: The site's.
        noted: The changes of the directory that are not journaled yet: some witness that a line must be there.
    """
    witnesses = {
        int(change.key): str(json.loads(change.detail).get("digest"))
        for change in noted
        if change.table == _TABLE and change.key.isdigit()
    }
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as exc:
        return TakenUp([_damaged(f"the record cannot be read: {exc.strerror}")], 0, _Place())
    events: list[AuditEvent] = []
    seen = _Place()
    digests: dict[int, str] = {}
    unended: dict[str, int] = {}
    first = 0
    for position, line in enumerate(content.splitlines(), 1):
        record = _parsed(line)
        if record is not None and isinstance(record.get("taken_up"), int) and position == 1:
            seen = _Place(record["taken_up"], str(record.get("previous")))
            first = seen.number
            continue
        before, seen = seen, _end_of(line) if record is not None else _Place(seen.number + 1, _digest(line))
        digests[seen.number] = seen.digest
        if record is None:
            events.append(_damaged(f"line {position} is damaged and cannot be read"))
            continue
        fault = _place_fault(record, before)
        if fault is not None:
            events.append(_damaged(f"line {position} {fault}"))
        fault = _signature_fault(record, trust)
        if fault is not None:
            events.append(_damaged(f"line {position} {fault}: {_told(record)}"))
            continue
        events.append(_used(record))
        if record.get("event") == "opened":
            unended[str(record.get("session"))] = seen.number
        else:
            unended.pop(str(record.get("session")), None)
    events += [_damaged(f"entry {number} does not say how it ended") for number in unended.values()]
    for number, digest in witnesses.items():
        if number > first and digests.get(number) != digest:
            events.append(_damaged(f"entry {number} is missing, and the directory says that it was made"))
    return TakenUp(events, len(content), seen)


def forget(file: Path, taken: TakenUp) -> None:
    """Take out of the file what stands in the journal now; what was written meanwhile stays.

    Raises:
        OSError: It cannot be written.
    """
    if not taken.size:
        return
    with _locked(file) as descriptor:
        rest = _content(descriptor)[taken.size :]
        marker = json.dumps({"taken_up": taken.end.number, "previous": taken.end.digest}).encode() + b"\n"
        new = file.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(marker + rest)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)


def _place_fault(record: Mapping[str, Any], before: _Place) -> str | None:
    """Say why a line cannot be the one after another, or None."""
    number = record.get("number")
    if not isinstance(number, int):
        return "has no number"
    if number > before.number + 1:
        return f"comes too soon: entries {before.number + 1} to {number - 1} are missing"
    if number != before.number + 1 or record.get("previous") != before.digest:
        return f"does not follow entry {before.number}: something was changed, taken out or put in"
    return None


def _signature_fault(record: Mapping[str, Any], trust: Trust) -> str | None:
    """Say why a line is not the operator's whom it names, or None."""
    at = record.get("at")
    try:
        certificate = read_certificate(str(record.get("certificate")))
        signature = bytes.fromhex(str(record.get("signature")))
    except (BadProof, ValueError):
        return "is not signed"
    if not isinstance(at, int) or not 0 <= at <= clock.wall_us() + _AHEAD_US:
        return "has no time that can be"
    if claimed_name(certificate) != record.get("operator"):
        return "is signed by somebody else than it names"
    if not is_signed(certificate, signature, _signed_text(record)):
        return "is not as it was signed: it was changed, or made up"
    faults = trust.operator_faults(certificate, datetime.fromtimestamp(at / 1e6, UTC))
    return f"is signed with a certificate that does not count ({'; '.join(faults)})" if faults else None


def _told(record: Mapping[str, Any]) -> str:
    """Write what a line says, as a detail."""
    names = ("number", "event", "operator", "action", "asked", "results", "complete")
    text = json.dumps({name: record[name] for name in names if name in record}, separators=(",", ":"))
    return text if len(text) <= _DETAIL_CHARS_MAX else f"{text[:_DETAIL_CHARS_MAX]}…"


def _used(record: Mapping[str, Any]) -> AuditEvent:
    """Write a line as an event."""
    who, account, session, reason = (_text(record.get(name)) for name in ("operator", "account", "session", "reason"))
    return AuditEvent(
        record["at"], "break_glass.used", user=who, source=f"cli:{account}", session=session, detail=_told(record),
        subject=SUBJECT, reason=reason,
    )  # fmt: skip


def _text(value: Any) -> str:
    """Return what any database takes as a text, whatever stood in the file."""
    return str(value)[:_DETAIL_CHARS_MAX].encode("utf-8", "replace").decode()


def _damaged(what: str) -> AuditEvent:
    return AuditEvent(clock.wall_us(), "break_glass.damaged", detail=what, subject=SUBJECT)
