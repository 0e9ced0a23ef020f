"""The outbox: order, priority, what a loss puts back; and a model of it that is too simple to be wrong."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from msc.protocol.catalog import MessageKey
from msc.transit.event import Event, Life
from msc.transit.message import MessageRecord
from msc.transit.outbox import Outbox
from msc.transit.precedence import Precedence
from msc.transit.transaction import Stay, Transaction

EXAMPLES = int(os.environ.get("MSC_QUEUE_EXAMPLES", "60"))


def outgoing(msn: int, priority: str = "routine") -> Stay:
    return of_kind(msn, "response", priority=priority)


def of_kind(
    msn: int, kind: str, *, priority: str = "routine", database: str | None = None, expires_us: int | None = None
) -> Stay:
    """Return a message that waits for a line; there it is of whatever kind it came as."""
    message = MessageRecord(msn, 0, "outbound", kind, text=f"TEXT {msn}", priority=priority)
    key = cast(MessageKey, SimpleNamespace(database=database, is_update=False))
    stay = Transaction(message, key=key).apply(Event(msn, 0, Life.ROUTED, "line:clets-a"))
    assert stay is not None
    stay.expires_us = expires_us
    return stay


def happens(life: Life, *stays: Stay) -> None:
    for stay in stays:
        stay.apply(Event(stay.msn, 1, life, stay.destination))


def filled(*messages: Stay, messages_max: int = 100) -> Outbox:
    box = Outbox("device:desk-1", messages_max)
    for message in messages:
        box.push(message)
    return box


def drain(box: Outbox) -> list[int]:
    taken = []
    while (message := box.take()) is not None:
        taken.append(message.msn)
    return taken


def test_messages_come_out_urgent_first_and_in_order() -> None:
    box = filled(outgoing(1), outgoing(2, "urgent"), outgoing(3), outgoing(4, "urgent"))
    assert len(box) == 4
    assert drain(box) == [2, 4, 1, 3]
    assert box.take() is None
    assert len(box) == 0


def test_what_waits_is_counted_by_class_without_what_is_on_its_way() -> None:
    box = filled(outgoing(1), outgoing(2, "urgent"), outgoing(3))
    before = box.by_class()
    assert (before[Precedence.URGENT], sum(before.values())) == (1, 3)
    message = box.take()
    assert message is not None
    box.sent(7, message)
    assert (box.by_class()[Precedence.URGENT], sum(box.by_class().values())) == (0, 2)


def test_a_message_counts_until_it_is_answered() -> None:
    box = filled(outgoing(1), outgoing(2), messages_max=2)
    assert box.full_for(outgoing(3))
    message = box.take()
    assert message is not None
    box.sent(7, message)
    assert len(box) == 2
    assert box.full_for(outgoing(3))
    assert box.answered(8) is None
    assert box.answered(7) is message
    assert box.answered(7) is None
    assert len(box) == 1
    assert not box.full_for(outgoing(3))


@pytest.mark.requirement("C-TRAFFIC")
def test_what_was_not_acknowledged_goes_back_to_the_front_in_its_old_order_as_possible_duplicates() -> None:
    box = filled(*(outgoing(n, "urgent" if n % 2 else "routine") for n in range(1, 9)))
    for sequence in range(1, 7):
        message = box.take()
        assert message is not None
        box.sent(sequence, message)
    assert box.answered(2) is not None  # MSN 3
    box.push(outgoing(9, "urgent"))
    again = box.lose()
    assert [message.msn for message in again] == [1, 5, 7, 2, 4]
    happens(Life.RETURNED, *again)
    assert all(message.possible_duplicate for message in again)
    assert len(box) == 8
    left = [box.take() for _ in range(8)]
    assert [(m.msn, m.possible_duplicate) for m in left if m] == [
        (1, True), (5, True), (7, True), (9, False), (2, True), (4, True), (6, False), (8, False),
    ]  # fmt: skip
    assert box.lose() == []


def test_an_answer_after_a_loss_takes_nothing() -> None:
    box = filled(outgoing(1))
    message = box.take()
    assert message is not None
    box.sent(1, message)
    box.lose()
    assert box.answered(1) is None
    assert len(box) == 1


def test_a_queued_message_is_removed_by_its_msn_and_a_sent_one_is_not() -> None:
    box = filled(outgoing(1), outgoing(2, "urgent"), outgoing(3))
    removed = box.remove(3)
    assert removed is not None and removed.msn == 3
    assert box.remove(3) is None
    urgent = box.take()
    assert urgent is not None
    box.sent(1, urgent)
    assert box.remove(2) is None
    assert drain(box) == [1]


def test_a_message_is_dropped_and_the_others_stay() -> None:
    message = outgoing(2)
    box = filled(outgoing(1), message, outgoing(3))
    box.drop(message)
    assert drain(box) == [1, 3]


def test_classes_go_out_in_their_order() -> None:
    kinds = ["broadcast", "unsolicited", "response", "inquiry", "status"]
    box = filled(
        *(of_kind(n, kind) for n, kind in enumerate(kinds)), of_kind(9, "hit_confirmation", priority="urgent")
    )
    assert drain(box) == [9, 4, 2, 3, 1, 0]


def test_a_flood_of_broadcasts_or_administrative_messages_keeps_no_answer_out() -> None:
    box = Outbox("device:desk-1", 8)
    for kind, room in (("broadcast", 2), ("administrative", 4)):
        for _ in range(room):
            assert not box.full_for(of_kind(1, kind))
            box.push(of_kind(1, kind))
        assert box.full_for(of_kind(1, kind))
    assert not box.full_for(of_kind(1, "response"))


@pytest.mark.parametrize(
    ("kind", "priority"),
    [("administrative", "urgent"), ("hit_confirmation", "urgent"), ("hit_confirmation", "routine")],
)
def test_whoever_calls_everything_urgent_keeps_no_answer_out_either(kind: str, priority: str) -> None:
    box = Outbox("device:desk-1", 80)
    for share, message in ((20, of_kind(1, "broadcast")), (40, of_kind(1, "administrative"))):
        for _ in range(share):
            box.push(of_kind(1, message.kind))
    while not box.full_for(of_kind(1, kind, priority=priority)):
        box.push(of_kind(1, kind, priority=priority))
    assert not box.full_for(of_kind(1, "response"))
    assert not box.full_for(of_kind(1, "status"))


def test_messages_of_a_database_that_is_out_wait_and_the_others_pass_them() -> None:
    box = filled(*(of_kind(n, "inquiry", database=name) for n, name in enumerate(["III", "DMV", "III", "WPS"])))
    box.blocked = frozenset({"III"})
    assert drain(box) == [1, 3]
    box.blocked = frozenset()
    assert drain(box) == [0, 2]


def test_what_is_of_no_use_any_more_is_taken_out_once() -> None:
    box = filled(of_kind(1, "inquiry", expires_us=10), of_kind(2, "inquiry"), of_kind(3, "inquiry", expires_us=20))
    assert box.expire(9) == []
    assert [message.msn for message in box.expire(10)] == [1]
    assert box.expire(19) == []
    assert [message.msn for message in box.expire(30)] == [3]
    assert drain(box) == [2]


KINDS = ["status", "response", "inquiry", "administrative", "broadcast"]


class OutboxModel(RuleBasedStateMachine):
    """An outbox beside two lists: what waits, in the order it came into its class, and what is out."""

    messages_max = 8
    out = Bundle("out")

    def __init__(self) -> None:
        super().__init__()
        self.box = Outbox("line:clets-a", self.messages_max)
        self.waiting: list[Stay] = []
        self.sent: dict[tuple[str, int], Stay] = {}
        self.msn = 0
        self.sequence = 0
        self.now_us = 0

    def in_order(self) -> list[Stay]:
        """What waits, as it must come out: by class, else as it stands."""
        return sorted(self.waiting, key=lambda message: message.precedence)

    @rule(
        kind=st.sampled_from(KINDS),
        urgent=st.booleans(),
        database=st.sampled_from([None, "III", "DMV"]),
        lasts=st.none() | st.integers(0, 30),
    )
    def push(self, kind: str, urgent: bool, database: str | None, lasts: int | None) -> None:
        self.msn += 1
        message = of_kind(self.msn, kind, priority="urgent" if urgent else "routine", database=database)
        message.expires_us = None if lasts is None else self.now_us + lasts
        unasked = 1 if kind in ("administrative", "broadcast") else self.messages_max
        share = {Precedence.ADMINISTRATIVE: 4, Precedence.BROADCAST: 2}.get(message.precedence, unasked)
        alike = sum(each.precedence is message.precedence for each in self.waiting)
        full = len(self.waiting) + len(self.sent) >= self.messages_max or alike >= share
        assert self.box.full_for(message) == full
        if not full:
            self.box.push(message)
            self.waiting.append(message)

    @rule(databases=st.sets(st.sampled_from(["III", "DMV"])))
    def block(self, databases: set[str]) -> None:
        self.box.blocked = frozenset(databases)

    @rule(target=out, connection=st.sampled_from(["clets-a", "clets-b"]), back=st.booleans())
    def take(self, connection: str, back: bool) -> tuple[str, int]:
        message = self.box.take()
        expected = next((each for each in self.in_order() if each.database not in self.box.blocked), None)
        assert message is expected
        if message is None:
            return connection, 0
        self.waiting.remove(message)
        if back:
            self.box.give_back(message)
            self.waiting.insert(0, message)
            return connection, 0
        self.sequence += 1
        self.box.sent(self.sequence, message, connection)
        self.sent[connection, self.sequence] = message
        return connection, self.sequence

    @rule(frame=consumes(out))
    def answer(self, frame: tuple[str, int]) -> None:
        connection, sequence = frame
        assert self.box.answered(sequence, connection) is self.sent.pop(frame, None)

    @rule(connection=st.sampled_from(["clets-a", "clets-b"]))
    def lose(self, connection: str) -> None:
        again = [message for key, message in self.sent.items() if key[0] == connection]
        assert self.box.in_flight(connection) == bool(again)
        assert self.box.lose(connection) == again
        self.waiting = again + self.waiting
        self.sent = {key: message for key, message in self.sent.items() if key[0] != connection}

    @rule(pick=st.integers(1, 20))
    def remove(self, pick: int) -> None:
        expected = next((each for each in self.waiting if each.msn == pick), None)
        assert self.box.find(pick) is expected
        assert self.box.remove(pick) is expected
        if expected is not None:
            self.waiting.remove(expected)

    @rule(pick=st.integers(1, 20), precedence=st.sampled_from(list(Precedence)))
    def reprioritise(self, pick: int, precedence: Precedence) -> None:
        message = self.box.find(pick)
        if message is not None:
            before, message.precedence = message.precedence, precedence
            self.box.reclassed(message, before)
            self.waiting.remove(message)
            self.waiting.append(message)

    @rule(later=st.integers(0, 20))
    def expire(self, later: int) -> None:
        self.now_us += later
        due = [each for each in self.in_order() if each.expires_us is not None and each.expires_us <= self.now_us]
        assert self.box.expire(self.now_us) == due
        for message in due:
            self.waiting.remove(message)

    @invariant()
    def holds_the_same(self) -> None:
        assert self.box.queued() == self.in_order()
        assert self.box.unacknowledged() == list(self.sent.values())
        assert (self.box.waiting, len(self.box)) == (len(self.waiting), len(self.waiting) + len(self.sent))


class TestOutboxModel(OutboxModel.TestCase):
    """Run the model."""

    settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)
