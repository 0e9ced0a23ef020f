"""The operator's queue: what it says of what waits, and to whom."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from msc.journal.recall import Unfinished
from msc.journal.record import OPERATOR_QUEUE, EventRecord, Life
from msc.switch.operator_queue import OperatorQueue
from tests.switch.test_recovery import inquiry


@pytest.mark.requirement("C-JOURNAL")
def test_an_operators_own_words_come_back_from_the_journal_and_stay_out_of_the_log() -> None:
    why = "from device:desk-1 by roe: case 26-17, DOE JOHN"
    leg = Unfinished(inquiry(), OPERATOR_QUEUE, False, (EventRecord(17, 2, Life.ROUTED, OPERATOR_QUEUE, why),))
    queue = OperatorQueue()
    with capture_logs() as logged:
        queue.restore(leg)
        taken = queue.take(17)
        assert taken is not None and taken.why == why
        queue.add(taken.msn, taken.address, taken.why, taken.since_us)
    assert "DOE" not in str(logged)
