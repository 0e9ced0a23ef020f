"""What routes and rules look at in a message, and what they ask of it.

Each of a row's criteria names patterns, exact or with a trailing `*`, and is met if one of them fits. A row matches
when all of its criteria are met; what it leaves out, it does not look at. A message may name several destinations:
that one of them fits is enough. A pattern `*` for a field asks only that the message has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from msc.limits import PATTERN_CHARS_MAX, PATTERNS_MAX
from msc.protocol.catalog import Catalog, Function, MessageKey
from msc.protocol.text import MessageText

ANY: Final = "*"
"""Ends a pattern that only says how a value begins."""

_NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})
_SHOWN_MAX: Final = 5


class Subject(NamedTuple):
    """A message, as far as routing looks at it.

    Attributes:
        key: Its entry in the catalog.
        mnemonic, ori, agency: The sender's: the mnemonic, the ORI of the session, the agency of the person.
        destinations: As the text names them.
        fields: Code and value.
    """

    key: MessageKey
    mnemonic: str
    ori: str
    agency: str
    destinations: tuple[str, ...] = ()
    fields: Mapping[str, str] = _NO_FIELDS


Sight = Mapping[str, tuple[str, ...]]
"""A subject's values by what criteria call them: `keys`, `mnemonics`, and field codes (`LIS`)."""


def sight_of(subject: Subject) -> Sight:
    """Return what criteria see of a subject."""
    key, mnemonic, ori, agency, destinations, fields = subject
    sight: dict[str, tuple[str, ...]] = {
        "keys": (key.code,),
        "functions": (key.function,),
        "databases": (key.database,),
        "systems": (key.system,),
        "oris": (ori,),
        "agencies": (agency,),
        "mnemonics": (mnemonic,),
        "destinations": destinations,
    }
    for code, value in fields.items():
        sight[code] = (value,)
    return sight


Part = tuple[str, int | None, str]
"""A pattern: what it is about, how many characters of that it looks at (None is all), and what they must be."""


class Condition:
    """One of the criteria: what it looks at, and what it must find there.

    Two are equal only if they are the same one: rows of a table share theirs (see `condition`), and they are counted
    often while it is built.

    Attributes:
        about: A name of a `Sight`.
        patterns: As they were written.
        exact, beginnings: The same, parted.
        parts: The same, each once, as an index takes them.
    """

    __slots__ = ("about", "beginnings", "exact", "parts", "patterns")

    def __init__(self, about: str, patterns: tuple[str, ...]) -> None:
        self.about = about
        self.patterns = patterns
        exact = [each for each in patterns if each[-1] != ANY]
        beginnings = [each[:-1] for each in patterns if each[-1] == ANY]
        self.exact = frozenset(exact)
        self.beginnings = tuple(beginnings)
        self.parts: tuple[Part, ...] = (
            *[(about, None, each) for each in dict.fromkeys(exact)],
            *[(about, len(each), each) for each in dict.fromkeys(beginnings)],
        )

    def met_by(self, values: Iterable[str]) -> bool:
        """Tell whether one of these values fits."""
        exact, beginnings = self.exact, self.beginnings
        return any(value in exact or value.startswith(beginnings) for value in values)


Conditions = dict[tuple[str, tuple[str, ...]], Condition]
"""Conditions by what they are made of, so that rows of one table can share them."""


def condition(about: str, patterns: tuple[str, ...], shared: Conditions) -> Condition:
    """Return the condition of these patterns, the one there is if there is one."""
    found = shared.get((about, patterns))
    if found is None:
        found = shared[about, patterns] = Condition(about, patterns)
    return found


class Criteria:
    """What a row asks of a message.

    Args:
        conditions: What must be met, each about something else.
    """

    __slots__ = ("conditions",)

    def __init__(self, conditions: Iterable[Condition] = ()) -> None:
        self.conditions = tuple(conditions)

    @classmethod
    def of(cls, *, fields: Mapping[str, Iterable[str]] = _NO_FIELDS, **about: Iterable[str]) -> Criteria:
        """Make criteria of patterns by name; what is empty is not looked at.

        Args:
            fields: Field code to patterns.
            about: Names of `ABOUT` to patterns.
        """
        assert about.keys() <= ABOUT.keys(), about.keys()
        every = {**about, **fields}
        return cls(Condition(name, tuple(patterns)) for name, patterns in every.items() if patterns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Criteria) and self.as_json() == other.as_json()

    def __hash__(self) -> int:
        return hash(frozenset([(each.about, each.patterns) for each in self.conditions]))

    def matches(self, subject: Subject) -> bool:
        """Tell whether a message is meant."""
        return self.met_by(sight_of(subject))

    def met_by(self, sight: Sight) -> bool:
        """Tell whether what is seen of a message meets every condition."""
        # The innermost loop of every decision: no calls.
        for each in self.conditions:
            exact, beginnings = each.exact, each.beginnings
            for value in sight.get(each.about, ()):
                if value in exact or value.startswith(beginnings):
                    break
            else:
                return False
        return True

    def objections(self, sight: Sight) -> Iterator[str]:
        """Say what a message does not meet, for people: `keys: QW is none of IW.*, IA.QV`."""
        for each in self.conditions:
            values = sight.get(each.about, ())
            if not each.met_by(values):
                shown = ", ".join(values) if values else "nothing"
                yield f"{each.about}: {shown} is none of {_shown(each.patterns)}"

    def takes(self, key: MessageKey) -> bool:
        """Tell whether messages of a key may be meant, whoever sends them and whatever else they hold."""
        values = {"keys": key.code, "functions": key.function, "databases": key.database, "systems": key.system}
        return all(each.about not in values or each.met_by((values[each.about],)) for each in self.conditions)

    @property
    def only_of_key(self) -> bool:
        """Whether nothing is looked at but what the message's key says."""
        return all(each.about in _OF_KEY for each in self.conditions)

    def as_json(self) -> dict[str, Any]:
        """Return the criteria by name, as a file has them."""
        found: dict[str, Any] = {}
        for each in self.conditions:
            into = found if each.about in ABOUT else found.setdefault("fields", {})
            into[each.about] = list(each.patterns)
        return found


ABOUT: Final[Mapping[str, str]] = {
    "keys": "message key",
    "functions": "function",
    "databases": "database",
    "systems": "system",
    "oris": "ORI",
    "agencies": "agency",
    "mnemonics": "mnemonic",
    "destinations": "destination",
}
"""What criteria can be about, besides fields, and what it is called."""

_OF_KEY: Final = frozenset({"keys", "functions", "databases", "systems"})


def _shown(patterns: tuple[str, ...]) -> str:
    more = len(patterns) - _SHOWN_MAX
    return ", ".join(patterns[:_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


# --- as rows of a file ----------------------------------------------------------------------------------------


_CHARS = PATTERN_CHARS_MAX
_Many = Field(max_length=PATTERNS_MAX)

# Exact, or a beginning and `*`.
Code = Annotated[str, Field(pattern=r"^[A-Z0-9]+(\.[A-Z0-9]*)?\*?$|^\*$", max_length=_CHARS)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+\*?$|^\*$", max_length=_CHARS)]
Word = Annotated[str, Field(pattern=r"^[A-Z0-9]+\*?$|^\*$", max_length=_CHARS)]
Value = Annotated[str, Field(pattern=r"^[\x20-\x7e]+$", max_length=_CHARS)]
FieldCode = Annotated[str, Field(pattern=r"^[A-Z]{2,4}$")]


class CriteriaRow(BaseModel):
    """The members of a row that say what it asks of a message; rows of every file that has criteria build on it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: Annotated[tuple[Code, ...], _Many] = ()
    functions: Annotated[tuple[Function, ...], _Many] = ()
    databases: Annotated[tuple[Word, ...], _Many] = ()
    systems: Annotated[tuple[Word, ...], _Many] = ()
    oris: Annotated[tuple[Word, ...], _Many] = ()
    agencies: Annotated[tuple[Name, ...], _Many] = ()
    mnemonics: Annotated[tuple[Word, ...], _Many] = ()
    destinations: Annotated[tuple[Word, ...], _Many] = ()
    fields: Annotated[dict[FieldCode, Annotated[tuple[Value, ...], _Many]], _Many] = {}

    def criteria(self, shared: Conditions | None = None) -> Criteria:
        """Return the criteria.

        Args:
            shared: Conditions of other rows of the same table, to be shared.
        """
        shared = {} if shared is None else shared
        found = [condition(about, patterns, shared) for about in ABOUT if (patterns := getattr(self, about))]
        found += [condition(code, patterns, shared) for code, patterns in self.fields.items() if patterns]
        return Criteria(found)


def unknown_keys(patterns: Iterable[str], catalog: Catalog) -> list[str]:
    """Return the patterns that no key of the catalog fits."""
    return [
        pattern
        for pattern in patterns
        if (pattern not in catalog and not (pattern.endswith(ANY) and _begins_a_key(pattern[:-1], catalog)))
    ]


def _begins_a_key(text: str, catalog: Catalog) -> bool:
    return any(key.code.startswith(text) for key in catalog)


def subject_of(key: MessageKey, text: MessageText, mnemonic: str, ori: str, agency: str) -> Subject:
    """Return the subject of a message that was taken apart.

    Args:
        ori: The session's, not the text's.
    """
    return Subject(key, mnemonic, ori, agency, text.destinations, text.fields)
