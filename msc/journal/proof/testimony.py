"""What a witness heard: checkpoints, a line each, outside the reach of whoever holds the journal.

A line is a JSON object, wherever in a line of a log it stands:

    {"number":17,"body":"{...the checkpoint's canonical bytes...}","signature":"5b3f..."}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from msc.errors import JournalError
from msc.journal.database.layout import CheckpointRow

DIGEST_BYTES: Final = 16
"""Of a checkpoint's digest, kept of every line: three years of them fit in memory, and nobody finds two alike."""
_LINE_BYTES_MAX: Final = 65_536
_BEGINNING: Final = b'{"number":'


class Heard(NamedTuple):
    """A checkpoint as a witness heard it."""

    number: int
    body: bytes
    signature: bytes

    @property
    def digest(self) -> bytes:
        """The beginning of its hash."""
        return sha256(self.body).digest()[:DIGEST_BYTES]


def witness_line(row: CheckpointRow) -> bytes:
    """Write a checkpoint as witnesses get it; without a line feed."""
    return orjson.dumps({"number": row.number, "body": row.body.decode(), "signature": row.signature.hex()})


def read_line(line: bytes) -> Heard | None:
    """Read a line of a witness; None if it holds no checkpoint."""
    begin = line.find(_BEGINNING)
    if begin < 0:
        return None
    try:
        members = orjson.loads(line[begin:])
        heard = Heard(members["number"], members["body"].encode(), bytes.fromhex(members["signature"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return heard if type(heard.number) is int else None


class Testimony:
    """All that one or more witnesses heard.

    Args:
        files: What they wrote down; lines that are no checkpoints are passed over.

    Raises:
        JournalError: One cannot be read.
    """

    __test__ = False  # no test, whatever pytest makes of the name

    def __init__(self, files: Iterable[Path] = ()) -> None:
        self._files = list(files)
        self.digests: dict[int, bytes] = {}
        """By number, the beginning of the first digest that was heard."""
        self.contradictions: list[int] = []
        """Numbers under which different things were heard."""
        for heard in self._lines():
            if self.digests.setdefault(heard.number, heard.digest) != heard.digest:
                self.contradictions.append(heard.number)

    def _lines(self) -> Iterator[Heard]:
        for path in self._files:
            try:
                with path.open("rb") as file:
                    while line := file.readline(_LINE_BYTES_MAX):
                        heard = read_line(line)
                        if heard is not None:
                            yield heard
            except OSError as exc:
                raise JournalError(f"{path}: what the witness wrote cannot be read ({type(exc).__name__})") from exc

    def of(self, numbers: Iterable[int]) -> Iterator[Heard]:
        """Return all that was heard under some numbers."""
        wanted = set(numbers)
        if wanted:
            yield from (heard for heard in self._lines() if heard.number in wanted)

    @property
    def last(self) -> int:
        """The highest number that was heard; 0 if none was."""
        return max(self.digests, default=0)
