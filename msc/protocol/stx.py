"""The driver `stx`: texts between two control characters, each answered by one byte; pure, as every session is.

    +-----+------ - - ------+-----+
    | STX | text            | ETX |     answered by ACK (taken over) or NAK (not now: send it again later)
    +-----+------ - - ------+-----+
     0x02                    0x03       0x06, 0x15

There is no greeting: a line is open as soon as it is connected. There is no sequence number either, so each end
has at most one text unanswered. Both may send at once: an answer may come between two texts, never within one.

What a peer does wrong, and what becomes of it:

    bytes between texts that are not STX, ACK or NAK      passed over, and counted
    STX within a text                                     begins it anew; what was begun is passed over, and counted
    another control character within a text               the text is answered by NAK, and counted
    more bytes counted than the longest text has,
    and no sound text among them                          the line ends: whatever that is, it is not this protocol
    an answer while nothing is unanswered                 the line ends: it would be taken for the next text's
    a text longer than the bound, or not whole in time    the line ends
    a second text before the first is answered            waits, and nothing more is read until then
"""

from __future__ import annotations

import math
import re
from typing import Final

from msc.errors import (
    BadCharacter,
    FrameTooLong,
    NoLineTest,
    Overloaded,
    Refusal,
    SequenceOutOfOrder,
    UnknownFrameKind,
)
from msc.limits import FRAME_BYTES_MAX, FRAME_COMPLETE_S
from msc.protocol.session import (
    Event,
    LineOpened,
    MessageAcknowledged,
    MessageReceived,
    MessageRefused,
    PeerLost,
    ProtocolFailed,
)

STX: Final = 0x02
ETX: Final = 0x03
ACK: Final = 0x06
NAK: Final = 0x15

TEXT_BYTES_MAX: Final = FRAME_BYTES_MAX
"""As long as a payload of MTP/1, so that a line and its backup can take the same messages, whatever their drivers."""

_BETWEEN: Final = re.compile(b"[\x02\x06\x15]")
_WITHIN: Final = re.compile(b"[\x02\x03]")
_NOT_IN_TEXT: Final = re.compile(b"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Control characters other than tab, line feed and carriage return."""


def encode_text(text: bytes) -> bytes:
    """Write a text.

    Raises:
        FrameTooLong: It is longer than `TEXT_BYTES_MAX`.
        BadCharacter: It holds a control character other than tab, line feed and carriage return.
    """
    if len(text) > TEXT_BYTES_MAX:
        raise FrameTooLong(f"the message is longer than {TEXT_BYTES_MAX} bytes")
    if _NOT_IN_TEXT.search(text):
        raise BadCharacter("a control character in the message")
    return b"\x02%b\x03" % text


class StxSession:
    """What both ends have in common. Messages are numbered from 1 in each direction, as they come and go."""

    def __init__(self, now: float) -> None:
        self.closed = False
        self.holding = False
        self.passed_over = 0
        """Bytes passed over since the last sound text."""
        self._buffer = bytearray()
        self._searched = 0
        """So far the text at the buffer's beginning has been searched for its end."""
        self._events: list[Event] = [LineOpened(1)]
        self._out: list[bytes] = []
        self._sent_last = 0
        self._awaiting: int | None = None
        self._received_last = 0
        self._unanswered: int | None = None
        self._partial_since: float | None = None

    # --- in -------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes as they came. What they mean is in `events` afterwards."""
        if not self.closed:
            self._buffer += data
            self._take(now)

    def receive_eof(self) -> None:
        """The peer has closed its side."""
        if not self.closed:
            self.closed = True
            self._events.append(PeerLost("the peer closed the connection"))

    def resume(self, now: float) -> None:
        """Decode what was held back; to be called after an answer was given."""
        if self.holding and self._unanswered is None and not self.closed:
            self._take(now)

    def _take(self, now: float) -> None:
        self.holding = False
        try:
            while self._buffer and not self.closed and self._take_one():
                pass
        except Refusal as refusal:
            self._fail(refusal)
        # A text begun must be whole in time; one we hold back ourselves does not count.
        if self.holding or not self._buffer:
            self._partial_since = None
        elif self._partial_since is None:
            self._partial_since = now

    def _take_one(self) -> bool:
        """Take what the buffer begins with: garbage, an answer or a text. False if more must come first."""
        buffer = self._buffer
        first = buffer[0]
        if first == STX:
            return self._take_text()
        if first in (ACK, NAK):
            self._take_answer(first)
            del buffer[:1]
        else:
            found = _BETWEEN.search(buffer)
            self._pass_over(found.start() if found else len(buffer))
        return True

    def _take_text(self) -> bool:
        buffer = self._buffer
        found = _WITHIN.search(buffer, max(self._searched, 1))
        end = found.start() if found else len(buffer)
        self._searched = end
        if end - 1 > TEXT_BYTES_MAX:
            raise FrameTooLong(f"a text longer than {TEXT_BYTES_MAX} bytes")
        if not found:
            return False
        if buffer[end] == STX:
            self._pass_over(end)
            return True
        if self._unanswered is not None:
            self.holding = True
            return False
        text = bytes(buffer[1:end])
        if _NOT_IN_TEXT.search(text):
            self._pass_over(end + 1)
            self._out.append(bytes((NAK,)))
            return True
        self._forget(end + 1)
        self.passed_over = 0
        self._received_last += 1
        self._unanswered = self._received_last
        self._events.append(MessageReceived(self._received_last, text))
        return True

    def _take_answer(self, answer: int) -> None:
        sequence, self._awaiting = self._awaiting, None
        if sequence is None:
            raise SequenceOutOfOrder("an answer to a text that was never sent")
        if answer == ACK:
            self._events.append(MessageAcknowledged(sequence, b""))
        else:
            self._events.append(MessageRefused(sequence, Overloaded.code, "NAK"))

    def _pass_over(self, count: int) -> None:
        self._forget(count)
        self.passed_over += count
        if self.passed_over > TEXT_BYTES_MAX:
            raise UnknownFrameKind(f"{self.passed_over} bytes with no text among them")

    def _forget(self, count: int) -> None:
        """Take bytes out of the buffer: whatever was begun there has ended."""
        del self._buffer[:count]
        self._searched = 0
        self._partial_since = None

    def _fail(self, refusal: Refusal) -> None:
        # There is nothing to tell the peer with; the connection just ends.
        self.closed = True
        self._events.append(ProtocolFailed(refusal.code, refusal.reason))

    # --- out ------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many more messages the peer will take now."""
        return int(not self.closed and self._awaiting is None)

    @property
    def sent_last(self) -> int:
        """The sequence of the last message we sent; 0 before the first."""
        return self._sent_last

    @property
    def unacknowledged_first(self) -> int | None:
        """The sequence of the message of ours that the peer has not answered."""
        return self._awaiting

    def send_message(self, payload: bytes) -> int:
        """Send a message; there must be `room`.

        Returns:
            Its sequence number.

        Raises:
            FrameTooLong, BadCharacter: It cannot be sent; nothing is.
        """
        assert self.room > 0
        self._out.append(encode_text(payload))
        self._sent_last += 1
        self._awaiting = self._sent_last
        return self._sent_last

    def acknowledge(self, sequence: int, payload: bytes = b"") -> None:
        """Answer a message: taken over. There is no room for a payload."""
        self._answer(sequence, ACK)

    def refuse(self, sequence: int, refusal: Refusal) -> None:
        """Answer a message: not now."""
        self._answer(sequence, NAK)

    def _answer(self, sequence: int, answer: int) -> None:
        assert sequence == self._unanswered
        self._unanswered = None
        if not self.closed:
            self._out.append(bytes((answer,)))

    def ping(self, number: int) -> None:
        """Raise `NoLineTest`: there is nothing to ask the peer that it would not take for a message."""
        raise NoLineTest(
            "the driver stx has no test; TCP keep-alive and acknowledgements tell whether the host is there"
        )

    # --- time -----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Look at the clock: give up a text that does not end."""
        if not self.closed and now >= self.deadline():
            self._fail(FrameTooLong(f"a text was not complete after {FRAME_COMPLETE_S:.0f} s"))

    def deadline(self) -> float:
        """When `tick` next has something to do, in monotonic seconds."""
        return math.inf if self._partial_since is None else self._partial_since + FRAME_COMPLETE_S

    # --- to the connection ----------------------------------------------------------------------

    def events(self) -> list[Event]:
        """Take the events so far, in order."""
        events, self._events = self._events, []
        return events

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would give anything."""
        return bool(self._out)

    def data_to_send(self) -> bytes:
        """Take the bytes to send so far."""
        data = b"".join(self._out)
        self._out.clear()
        return data


class StxLineSession(StxSession):
    """The switch's end of a line."""

    def refuse(self, sequence: int, refusal: Refusal) -> None:
        """Answer a message that is refused.

        NAK makes the host send it again, so it is only for what may be taken later (E5xx). What is refused for good
        stands in the journal with its code by now: it is taken over.
        """
        self._answer(sequence, NAK if refusal.code.startswith("E5") else ACK)


class StxHostSession(StxSession):
    """The state host's end of a line, for simulators and tests. No switch asks it to open a line: it is open."""

    def accept(self) -> None:
        """Never called: `LineRequested` does not occur."""
        raise AssertionError("nobody asked to open a line")

    def decline(self, refusal: Refusal) -> None:
        """Never called: `LineRequested` does not occur."""
        raise AssertionError("nobody asked to open a line")
