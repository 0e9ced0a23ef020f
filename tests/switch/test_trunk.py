"""A destination and its two lines: who carries what, in what order, when one is lost and when it is back."""

from __future__ import annotations

import pytest

from msc.limits import SUBMISSION_ATTEMPTS_MAX, SUBMIT_AGAIN_S
from msc.protocol.line_state import LineState
from msc.switch.trunk import Trunk
from msc.transit.event import Event, Life
from msc.transit.message import Direction, MessageRecord
from msc.transit.transaction import Stay
from tests.support.port import FakeLine
from tests.support.running import on_its_way

FAILBACK_S = 5.0


def inquiry(msn: int) -> Stay:
    return on_its_way(MessageRecord(msn, 0, Direction.OUTBOUND, "inquiry"), "line:clets-a")


class Both:
    """A trunk with a primary and a backup, pumped as the switch does."""

    def __init__(self) -> None:
        self.primary, self.backup = FakeLine("clets-a"), FakeLine("clets-b")
        self.primary.is_open = self.backup.is_open = False
        self.trunk = Trunk([self.primary, self.backup], FAILBACK_S)
        self.msn = 0

    def open(self, line: FakeLine, now: float = 0.0) -> None:
        """Connect a line."""
        line.is_open = True
        self.trunk.opened(line, now)
        self.pump()

    def lose(self, line: FakeLine) -> list[int]:
        """Cut a line; returns the MSNs that it had not acknowledged."""
        line.is_open = False
        line.sent.clear()  # the next connection counts its frames from one
        again = [message.msn for message in self.trunk.lost(line)]
        self.pump()
        return again

    def submit(self, count: int = 1) -> None:
        """Queue messages and send what can be sent."""
        for _ in range(count):
            self.msn += 1
            self.trunk.outbox.push(inquiry(self.msn))
        self.pump()

    def pump(self) -> None:
        """Send what the trunk takes."""
        while self.trunk.room > 0 and (message := self.trunk.outbox.take()) is not None:
            line = self.trunk.active
            assert line is not None
            self.trunk.outbox.sent(line.send(str(message.msn).encode()), message, line.name)

    def acknowledge(self, line: FakeLine) -> None:
        """Let a line acknowledge all it was sent."""
        for sequence in range(1, len(line.sent) + 1):
            self.trunk.outbox.answered(sequence, line.name)


@pytest.fixture
def both() -> Both:
    return Both()


def test_traffic_goes_over_the_primary_while_it_is_there(both: Both) -> None:
    both.open(both.primary)
    both.open(both.backup)
    both.submit(2)
    assert (both.primary.sent, both.backup.sent) == ([b"1", b"2"], [])


def test_the_backup_takes_over_at_once_what_was_not_acknowledged_first_and_in_order(both: Both) -> None:
    both.open(both.primary)
    both.open(both.backup)
    both.submit(3)
    both.trunk.outbox.answered(2, "clets-a")
    assert both.lose(both.primary) == [1, 3]
    both.submit(1)
    assert both.backup.sent == [b"1", b"3", b"4"]


def test_the_backup_serves_where_the_primary_never_came(both: Both) -> None:
    both.open(both.backup)
    both.submit()
    assert both.backup.sent == [b"1"]


def test_traffic_returns_after_a_while_and_only_once_the_backup_owes_nothing(both: Both) -> None:
    both.open(both.backup)
    both.submit()
    both.open(both.primary, now=100.0)
    assert not both.trunk.tick(100.0 + FAILBACK_S - 0.1)
    both.submit()
    assert both.backup.sent == [b"1", b"2"], "it must have been back for a while"
    assert not both.trunk.tick(100.0 + FAILBACK_S)
    assert both.backup.state is LineState.DRAINING
    both.submit()
    assert both.primary.sent == [], "nothing overtakes what the backup has not acknowledged"
    both.acknowledge(both.backup)
    assert both.trunk.tick(110.0)
    both.pump()
    assert both.primary.sent == [b"3"]
    assert both.backup.state is LineState.OPEN, "it stands by again"


def test_a_primary_that_is_lost_again_while_the_backup_is_drained_changes_nothing(both: Both) -> None:
    both.open(both.backup)
    both.submit()
    both.open(both.primary)
    both.trunk.tick(FAILBACK_S)
    both.lose(both.primary)
    both.submit()
    assert both.backup.sent == [b"1", b"2"]
    assert not both.trunk.tick(1000.0)
    assert both.trunk.active is both.backup


def test_a_backup_lost_while_it_is_drained_hands_over_what_it_owed(both: Both) -> None:
    both.open(both.backup)
    both.submit(2)
    both.open(both.primary)
    both.trunk.tick(FAILBACK_S)
    assert both.lose(both.backup) == [1, 2]
    assert both.primary.sent == [b"1", b"2"]
    both.open(both.backup)
    assert both.backup.state is LineState.OPEN


def test_a_primary_that_took_over_because_the_backup_was_lost_is_not_drained_for_its_own_return(both: Both) -> None:
    both.open(both.backup)
    both.open(both.primary)
    both.lose(both.backup)
    both.submit()
    assert not both.trunk.tick(FAILBACK_S)
    assert both.primary.state is LineState.OPEN
    both.submit()
    assert both.primary.sent == [b"1", b"2"]


def test_a_backup_that_is_held_while_it_is_drained_stays_held_when_it_was_lost_meanwhile(both: Both) -> None:
    both.open(both.backup)
    both.submit()
    both.open(both.primary)
    both.trunk.tick(FAILBACK_S)
    both.backup.hold()
    both.lose(both.backup)
    both.open(both.backup)
    assert both.backup.state is LineState.HELD, "an operator's order is undone by an operator alone"


def test_with_no_line_left_everything_waits_in_its_order(both: Both) -> None:
    both.open(both.primary)
    both.submit(2)
    both.lose(both.primary)
    both.submit()
    assert both.trunk.active is None
    both.open(both.backup)
    assert both.backup.sent == [b"1", b"2", b"3"]


def test_an_operator_moves_traffic_to_the_backup_and_back(both: Both) -> None:
    both.open(both.primary)
    both.open(both.backup)
    both.trunk.force("clets-b", 0.0)
    assert both.trunk.tick(0.0)
    both.submit()
    assert both.backup.sent == [b"1"]
    both.acknowledge(both.backup)
    both.trunk.force(None, 1.0)
    assert both.trunk.tick(1.0)
    both.submit()
    assert both.primary.sent == [b"2"]


def test_a_held_line_keeps_its_traffic(both: Both) -> None:
    both.open(both.primary)
    both.open(both.backup)
    assert both.trunk.waits(None) is None
    both.primary.hold()
    both.submit()
    assert "held" in (both.trunk.waits(None) or "")
    assert (both.primary.sent, both.backup.sent) == ([], [])


def test_what_a_host_cannot_take_now_rests_and_the_rest_goes_on(both: Both) -> None:
    both.open(both.primary)
    both.submit(2)
    message = both.trunk.outbox.answered(1, "clets-a")
    assert message is not None
    for attempt in range(1, SUBMISSION_ATTEMPTS_MAX):
        rests(both, message, "E502 overloaded", 10.0 * attempt)
        assert not both.trunk.tick(10.0 * attempt + SUBMIT_AGAIN_S / 2)
        assert both.trunk.tick(10.0 * attempt + SUBMIT_AGAIN_S)
        assert both.trunk.outbox.remove(1) is message
    assert not both.trunk.is_worth_another_try(message, "E502 overloaded")


def rests(both: Both, message: Stay, refused: str, now: float) -> None:
    """Let a host refuse a message for the moment, as the switch notes it."""
    assert both.trunk.is_worth_another_try(message, refused)
    code, _, why = refused.partition(" ")
    message.apply(Event(message.msn, 1, Life.RETURNED, message.destination, {"code": code, "why": why}))
    both.trunk.try_again(message, now)


def test_what_a_host_refuses_for_good_is_not_tried_again(both: Both) -> None:
    assert not both.trunk.is_worth_another_try(inquiry(1), "E206 required field missing")


def test_a_resting_message_can_be_taken_out(both: Both) -> None:
    message = inquiry(1)
    rests(both, message, "E503 shutting down", 0.0)
    assert len(both.trunk) == 1
    assert both.trunk.remove(1) is message
    assert not both.trunk.tick(100.0)
