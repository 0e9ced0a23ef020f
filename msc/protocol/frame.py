"""The MTP/1 frame.

     0         4      5          9
     +---------+------+----------+------------ - -
     | length  | kind | sequence | payload
     +---------+------+----------+------------ - -
       u32 BE   1 byte   u32 BE

`length` counts the bytes after itself: 5 to `frame_bytes_max`.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from msc.errors import FrameTooLong, UnknownFrameKind
from msc.limits import FRAME_BYTES_MAX, FRAME_OVERHEAD_BYTES

CONTROL: Final = ord("C")
DATA: Final = ord("D")
ACK: Final = ord("A")
NAK: Final = ord("N")
PING: Final = ord("P")
PONG: Final = ord("Q")
KINDS: Final = frozenset((CONTROL, DATA, ACK, NAK, PING, PONG))

_PREFIX: Final = struct.Struct(">IBI")
_LENGTH_BYTES: Final = 4
_PREFIX_BYTES: Final = _PREFIX.size


class Frame(NamedTuple):
    """One frame: its kind (one of `KINDS`), sequence number and payload."""

    kind: int
    sequence: int
    payload: bytes


def encode_frame(kind: int, sequence: int, payload: bytes = b"") -> bytes:
    """Write a frame."""
    return _PREFIX.pack(FRAME_OVERHEAD_BYTES + len(payload), kind, sequence) + payload


class FrameDecoder:
    """Bytes in, frames out; a frame may arrive in any number of pieces.

    A frame is taken only when asked for, so a reader can stop in the middle of what has arrived.
    """

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.frame_bytes_max = frame_bytes_max
        # What came in one piece is read where it is; only what comes in several is put together.
        self._buffer: bytes | bytearray = b""
        self._at = 0

    def __len__(self) -> int:
        """Return how many bytes wait to be taken."""
        return len(self._buffer) - self._at

    def receive_data(self, data: bytes) -> None:
        """Add bytes as they came."""
        if self._at == len(self._buffer):
            self._buffer = data
        elif self._at or isinstance(self._buffer, bytes):
            self._buffer = bytearray(self._buffer[self._at :]) + data
        else:
            self._buffer += data
            return
        self._at = 0

    def _peek(self, at: int) -> tuple[int, int, int] | None:
        """Read the prefix at an offset once it is there: where the frame ends, its kind, its sequence.

        The faults of a prefix are told as early as its bytes show them.
        """
        have = len(self._buffer) - at
        if have < _LENGTH_BYTES + FRAME_OVERHEAD_BYTES:
            if have >= _LENGTH_BYTES:
                self._check_length(int.from_bytes(self._buffer[at : at + _LENGTH_BYTES], "big"))
                if have > _LENGTH_BYTES:
                    self._check_kind(self._buffer[at + _LENGTH_BYTES])
            return None
        length, kind, sequence = _PREFIX.unpack_from(self._buffer, at)
        if not FRAME_OVERHEAD_BYTES <= length <= self.frame_bytes_max:
            self._check_length(length)
        if kind not in KINDS:
            self._check_kind(kind)
        return at + _LENGTH_BYTES + length, kind, sequence

    def _check_length(self, length: int) -> None:
        if not FRAME_OVERHEAD_BYTES <= length <= self.frame_bytes_max:
            raise FrameTooLong(f"frame length {length} is outside 5 to {self.frame_bytes_max}")

    def _check_kind(self, kind: int) -> None:
        if kind not in KINDS:
            raise UnknownFrameKind(f"unknown frame kind 0x{kind:02x}")

    def peek_kind(self) -> int | None:
        """Return the kind of the next whole frame without taking it, or None.

        Raises:
            FrameTooLong, UnknownFrameKind: What waits is not a frame; nothing more can be read.
        """
        prefix = self._peek(self._at)
        if prefix is None or prefix[0] > len(self._buffer):
            return None
        return prefix[1]

    def take(self) -> Frame | None:
        """Take the next whole frame, or None if it is not all here.

        Raises:
            FrameTooLong, UnknownFrameKind: What waits is not a frame; nothing more can be read.
        """
        at, buffer = self._at, self._buffer
        start = at + _PREFIX_BYTES
        if start > len(buffer):
            if at < len(buffer):
                self._peek(at)  # a fault may show already
            return None
        length, kind, sequence = _PREFIX.unpack_from(buffer, at)
        if not FRAME_OVERHEAD_BYTES <= length <= self.frame_bytes_max:
            self._check_length(length)
        if kind not in KINDS:
            self._check_kind(kind)
        end = at + _LENGTH_BYTES + length
        if end > len(buffer):
            return None
        self._at = end
        return Frame(kind, sequence, bytes(buffer[start:end]))

    def count(self, kind: int, at_most: int) -> int:
        """Count the whole frames of a kind that wait, up to a bound."""
        found, at = 0, self._at
        while found < at_most:
            prefix = self._peek(at)
            if prefix is None or prefix[0] > len(self._buffer):
                break
            at = prefix[0]
            found += prefix[1] == kind
        return found
