"""Messages that wait for an operator's eyes: which, and what happens to one that was edited or let go.

A message that a rule takes is accepted, journaled and acknowledged, and is then owed to `operator:intercept`. What an
operator makes of its text is another message with an MSN of its own, in the same transaction: what was journaled is
never changed.
"""

from __future__ import annotations

from collections.abc import Iterable

from msc import clock
from msc.protocol.catalog import Catalog
from msc.protocol.header import make_header, parse_head, write_head
from msc.protocol.text import check_characters
from msc.routing.criteria import ANY, Criteria, Subject
from msc.switch.intake import Incoming
from msc.switch.orders.in_force import InterceptRule
from msc.transit.message import Direction, MessageRecord


class Intercepts:
    """Holds what the rules say."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._rules: tuple[tuple[str, Criteria], ...] = ()
        self._mnemonics: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def use(self, rules: Iterable[InterceptRule]) -> None:
        """Hold by these rules from now on."""
        rules = tuple(rules)
        self._rules = tuple((rule.name, rule.compiled()) for rule in rules)
        self._mnemonics = tuple((rule.name, rule.criteria.mnemonics) for rule in rules if of_mnemonics_alone(rule))

    def rule_for(self, incoming: Incoming) -> str | None:
        """Name the rule by which a station's message waits; None is not a rule."""
        if not self._rules:
            return None
        operator, key, case = incoming.operator, incoming.key, incoming.case
        assert operator is not None and key is not None and case is not None and case.text is not None
        subject = Subject(
            key, operator.mnemonic, operator.ori, operator.agency, case.text.destinations, incoming.fields
        )
        return next((name for name, criteria in self._rules if criteria.matches(subject)), None)

    def rule_for_unsolicited(self, mnemonic: str) -> str | None:
        """Name the rule by which what comes unasked for a mnemonic waits; it has no key to go by."""
        for name, patterns in self._mnemonics:
            for pattern in patterns:
                if mnemonic == pattern or (pattern.endswith(ANY) and mnemonic.startswith(pattern[:-1])):
                    return name
        return None

    def edited(self, record: MessageRecord, text: str, msn: int) -> MessageRecord:
        """Make a message of another's text; it is not checked yet who may send it.

        Args:
            text: The whole text from its key on, without headers; of an unsolicited one, what follows its header.
            msn: The new message's.

        Raises:
            Refusal: The catalog does not know such a text, or it holds what no text may.
        """
        check_characters(text)
        head, key = "", None
        if record.direction == Direction.INBOUND:
            head = f"{record.header}."
        else:
            key, rest = self._catalog.find(text)
            body = key.parse(rest)
            key.check_purpose(body)
            key.check_destinations(body)
            if record.own_header is not None:
                head = write_head(parse_head(record.text)[0])
        changed = record._replace(
            msn=msn,
            received=clock.wall_us(),
            text=head + text,
            transaction=record.transaction or record.msn,
            events=(),
        )
        if key is None:
            return changed
        return changed._replace(
            kind=key.function.value, key=key.key, system=key.system, database=key.database,
            header=make_header(record.mnemonic or "", msn),
        )  # fmt: skip


def of_mnemonics_alone(rule: InterceptRule) -> bool:
    """Tell whether a rule looks at nothing but mnemonics, so that it can speak of what has no key."""
    return bool(rule.criteria.mnemonics) and set(rule.criteria.model_fields_set) <= {"mnemonics"}
