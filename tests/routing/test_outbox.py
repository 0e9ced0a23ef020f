"""The outbox: order, priority, what a loss puts back; and a model of it that is too simple to be wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from msc.routing.outbox import Outbox, Outgoing


def outgoing(msn: int, priority: str = "routine", **members: Any) -> Outgoing:
    return Outgoing(msn, "response", f"TEXT {msn}", "clets-a", 0, priority=priority, **members)


def filled(*messages: Outgoing, messages_max: int = 100) -> Outbox:
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


def test_a_message_counts_until_it_is_answered() -> None:
    box = filled(outgoing(1), outgoing(2), messages_max=2)
    assert box.full
    message = box.take()
    assert message is not None
    box.sent(7, message)
    assert len(box) == 2
    assert box.full
    assert box.answered(8) is None
    assert box.answered(7) is message
    assert box.answered(7) is None
    assert len(box) == 1
    assert not box.full


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


class OutboxModel(RuleBasedStateMachine):
    """An outbox beside two lists: what waits, kept sorted, and what is out, in the order it went."""

    messages_max = 8
    out = Bundle("out")

    def __init__(self) -> None:
        super().__init__()
        self.box = Outbox("line:clets-a", self.messages_max)
        self.waiting: list[tuple[str, int, bool]] = []
        self.sent: dict[int, tuple[str, int]] = {}
        self.msn = 0
        self.sequence = 0

    def in_order(self) -> list[tuple[str, int, bool]]:
        """What waits, as it must come out: urgent first, else as it stands."""
        return sorted(self.waiting, key=lambda message: message[0] != "urgent")

    @precondition(lambda self: not self.box.full)
    @rule(priority=st.sampled_from(["urgent", "routine"]))
    def push(self, priority: str) -> None:
        self.msn += 1
        self.box.push(outgoing(self.msn, priority))
        self.waiting.append((priority, self.msn, False))

    @rule(target=out)
    def send(self) -> int:
        message = self.box.take()
        if not self.waiting:
            assert message is None
            return 0
        assert message is not None
        expected = self.in_order()[0]
        assert (message.priority, message.msn, message.possible_duplicate) == expected
        self.waiting.remove(expected)
        self.sequence += 1
        self.box.sent(self.sequence, message)
        self.sent[self.sequence] = expected[:2]
        return self.sequence

    @rule(sequence=consumes(out))
    def answer(self, sequence: int) -> None:
        message = self.box.answered(sequence)
        expected = self.sent.pop(sequence, None)
        assert (message and (message.priority, message.msn)) == expected

    @rule()
    def lose(self) -> None:
        again = [(priority, msn, True) for priority, msn in self.sent.values()]
        assert [(m.priority, m.msn, m.possible_duplicate) for m in self.box.lose()] == again
        self.waiting = again + self.waiting
        self.sent.clear()

    @rule(pick=st.integers(1, 20))
    def remove(self, pick: int) -> None:
        message = self.box.remove(pick)
        expected = next((m for m in self.waiting if m[1] == pick), None)
        assert (message and (message.priority, message.msn, message.possible_duplicate)) == expected
        if expected:
            self.waiting.remove(expected)

    @invariant()
    def counts(self) -> None:
        assert len(self.box) == len(self.waiting) + len(self.sent)
        assert self.box.full == (len(self.box) >= self.messages_max)


class TestOutboxModel(OutboxModel.TestCase):
    """Run the model."""

    settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
