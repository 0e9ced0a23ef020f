"""What misuse looks like (PPP 1.6.4.B, 1.10.1): which accepted messages somebody should look at.

Pure: messages and their times come in, names of patterns go out. Nothing is ever blocked by it. What was asked before
is remembered as salted hashes alone, so that nobody can read from our memory who asked about whom.
"""

from __future__ import annotations

import unicodedata
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from msc.access.control_point import OperatorSession
from msc.directory.rows import Directory
from msc.errors import Fault, SettingsError
from msc.limits import MISUSE_REMEMBERED_MAX
from msc.protocol.catalog import Function, MessageKey
from msc.settings import MisuseSettings

_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_REPEATED_WITHIN_DAYS: Final = 7
_REPEATED_FIELDS: Final = ("LIC", "VIN", "NAM", "OLN")


class Pattern(StrEnum):
    """What a message shows."""

    OWN_NAME = "own_name"
    """It asks about whoever sends it."""
    OWN_SURNAME = "own_surname"
    """It asks about somebody of the same last name: family."""
    COLLEAGUE = "colleague"
    """It asks about another user of the directory."""
    HIGH_PROFILE = "high_profile"
    """It asks about somebody on the site's list."""
    REPEATED = "repeated"
    """The third time and another day within a week, without a reason: "a vehicle parked in front of your house"."""
    VOLUME = "volume"
    """More inquiries within an hour than one person has reason for."""


class Asked(NamedTuple):
    """An accepted message, as far as it matters here.

    Attributes:
        fields: Of its text; empty for free text.
        reason: Of its envelope.
    """

    msn: int
    at_us: int
    session: OperatorSession
    key: MessageKey
    fields: Mapping[str, str]
    reason: str | None


# --- names ----------------------------------------------------------------------------------------

_SUFFIXES: Final = frozenset({"JR", "SR", "II", "III", "IV"})


class Name(NamedTuple):
    """A person's name, taken apart.

    Attributes:
        text: As it was written.
        words: All of it, without an order.
        surnames: What the last name may be; several where the form does not tell.
        known_as: `LAST,FIRST`, for each last and first name it may be.
    """

    text: str
    words: frozenset[str]
    surnames: frozenset[str]
    known_as: frozenset[str]


def read_name(text: str) -> Name:
    """Read `LAST,FIRST MIDDLE` or `FIRST MIDDLE LAST`."""
    last, _, given = _plain(text).partition(",")
    words, first = _words(last), _words(given)
    if words and first:
        surname = " ".join(words)
        return Name(text, frozenset(words + first), frozenset([surname]), frozenset([f"{surname},{first[0]}"]))
    # Where the last name begins is not to be seen, nor whether the first word is a rank: every reading counts.
    ends = range(1, len(words))
    surnames = [" ".join(words[end:]) for end in ends]
    known_as = [f"{' '.join(words[end:])},{word}" for end in ends for word in words[:end]]
    return Name(text, frozenset(words), frozenset(surnames), frozenset(known_as))


def _plain(text: str) -> str:
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    # For every name asked for: `replace` takes an eighth of the time of `translate`.
    return text.upper().replace("-", " ").replace(".", "").replace("'", "").replace("’", "")


def _words(text: str) -> list[str]:
    words = text.split()
    return words[:-1] if words and words[-1] in _SUFFIXES else words


def load_high_profile(file: Path | None) -> frozenset[str]:
    """Read the names of a site's list, one a line; `#` begins a comment. Without a file there is none.

    Returns:
        What each is known as.

    Raises:
        SettingsError: The file cannot be read, or a line is not a name; it tells the line, never the name.
    """
    if file is None:
        return frozenset()
    try:
        lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError([Fault(file, "", f"cannot be read: {exc}")]) from exc
    names = {n: read_name(line).known_as for n, line in enumerate(lines, 1) if line and not line.startswith("#")}
    faults = [Fault(file, f"line {n}", "is not a name: LAST,FIRST") for n, known_as in names.items() if not known_as]
    if faults:
        raise SettingsError(faults)
    return frozenset().union(*names.values())


# --- the watch ------------------------------------------------------------------------------------


class MisuseWatch:
    """Looks at one message after the other and remembers what it must.

    Args:
        directory: Its users are the colleagues; `refresh` takes up their changes.
        high_profile: What the people on the site's list are known as.
        salt: Of the hashes; new for each start, kept nowhere.
    """

    def __init__(
        self, directory: Directory, settings: MisuseSettings, high_profile: frozenset[str], salt: bytes
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._high_profile = high_profile
        self._hash = blake2b(digest_size=8, key=salt)
        self._names: dict[str, Name] = {}
        self._users_known_as: dict[str, set[str]] = {}
        # Hash of user and thing: the days of the two inquiries before, and the day it was flagged.
        self._before: OrderedDict[bytes, tuple[int, int, int]] = OrderedDict()
        self._inquiries: dict[str, deque[int]] = {}
        self._volume_flagged: dict[str, int] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take up the users who are new, gone, or of another name; the rest costs a comparison each."""
        users, names = self._directory.users, self._names
        for user in names.keys() - users.keys():
            self._forget(user)
        for user, row in users.items():
            known = names.get(user)
            if known is not None and known.text == row.name:
                continue
            if known is not None:
                self._forget_name(user)
            names[user] = name = read_name(row.name)
            for known_as in name.known_as:
                self._users_known_as.setdefault(known_as, set()).add(user)

    def _forget(self, user: str) -> None:
        self._forget_name(user)
        self._inquiries.pop(user, None)
        self._volume_flagged.pop(user, None)

    def _forget_name(self, user: str) -> None:
        for known_as in self._names.pop(user).known_as:
            users = self._users_known_as[known_as]
            users.discard(user)
            if not users:
                del self._users_known_as[known_as]

    def look(self, asked: Asked) -> Sequence[Pattern]:
        """Say which patterns a message shows."""
        found: list[Pattern] = []
        name = asked.fields.get("NAM")
        if name is not None:
            self._of_name(asked.session.user, name, found)
        if asked.key.function is Function.INQUIRY:
            if self._settings.repeated and not asked.reason and self._is_repeated(asked):
                found.append(Pattern.REPEATED)
            if self._settings.inquiries_per_hour and self._is_too_many(asked.session.user, asked.at_us):
                found.append(Pattern.VOLUME)
        return found

    def _of_name(self, user: str, name: str, found: list[Pattern]) -> None:
        settings = self._settings
        last, _, given = _plain(name).partition(",")
        words, first = _words(last), _words(given)
        surname = " ".join(words)
        known_as = f"{surname},{first[0]}" if first else ""
        own = self._names.get(user)
        if own is not None and (known_as in own.known_as or _same(own.words, words + first)):
            if settings.own_name:
                found.append(Pattern.OWN_NAME)
        else:
            if settings.own_surname and own is not None and surname in own.surnames:
                found.append(Pattern.OWN_SURNAME)
            if settings.colleague and known_as in self._users_known_as:
                found.append(Pattern.COLLEAGUE)
        if known_as in self._high_profile:
            found.append(Pattern.HIGH_PROFILE)

    def _is_repeated(self, asked: Asked) -> bool:
        today, user, fields = asked.at_us // _DAY_US, asked.session.user, asked.fields
        found = False
        for code in _REPEATED_FIELDS:
            value = fields.get(code)
            if value is None:
                continue
            hashed = self._hash.copy()
            hashed.update(f"{user} {code} {value}".replace(", ", ",").encode())
            thing = hashed.digest()
            first, second, flagged = self._before.pop(thing, (0, 0, 0))
            # Three inquiries, not all of one day; once a day is enough to look at.
            if today - _REPEATED_WITHIN_DAYS < first < today and flagged != today:
                found, flagged = True, today
            self._before[thing] = (second, today, flagged)
            if len(self._before) > MISUSE_REMEMBERED_MAX:
                self._before.popitem(last=False)
        return found

    def _is_too_many(self, user: str, at_us: int) -> bool:
        times = self._inquiries.get(user)
        if times is None:
            times = self._inquiries[user] = deque(maxlen=self._settings.inquiries_per_hour)
        too_many = len(times) == times.maxlen and at_us - times[0] < _HOUR_US
        times.append(at_us)
        if not too_many or at_us - self._volume_flagged.get(user, at_us - _HOUR_US) < _HOUR_US:
            return False
        self._volume_flagged[user] = at_us
        return True


def _same(words: frozenset[str], others: list[str]) -> bool:
    """Tell whether two names may be one person's: one holds the other, and they share more than one word."""
    common = len(words.intersection(others))
    return common > 1 and common in (len(words), len(others))
