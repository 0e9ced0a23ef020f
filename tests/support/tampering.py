"""What somebody may do to a journal's SQLite files who can write them but not sign: by hand, with SQL and bytes."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from msc.journal.proof.chain import FIRST_LINK, leaf_of, link_after

Bodies = list[bytes]


class Tampering:
    """Writes in the files of a journal that nobody has open.

    Args:
        main: The journal's main file.
    """

    def __init__(self, main: Path) -> None:
        self.main = main

    def file(self, month: int) -> Path:
        """Return a month's file."""
        return self.main.with_suffix("") / f"{month // 100}-{month % 100:02}.db"

    @contextmanager
    def _open(self, file: Path) -> Iterator[sqlite3.Connection]:
        assert file.exists()
        with closing(sqlite3.connect(file)) as driver, driver:
            yield driver

    def sql(self, statement: str, *values: Any, month: int = 0) -> list[tuple[Any, ...]]:
        """Run a statement on the main file, or a month's."""
        with self._open(self.file(month) if month else self.main) as driver:
            return driver.execute(statement, values).fetchall()

    def months(self) -> list[int]:
        """Return the months that have a file."""
        return sorted(int(file.stem.replace("-", "")) for file in self.main.with_suffix("").glob("*.db"))

    def blocks(self, month: int) -> list[tuple[int, int]]:
        """Return the first and last record of each block."""
        return [(a, b) for a, b in self.sql("SELECT first, last FROM block ORDER BY first", month=month)]

    def bodies(self, month: int, first: int) -> Bodies:
        """Return a block's records."""
        (packed,) = self.sql("SELECT body FROM block WHERE first = ?", first, month=month)[0]
        return zlib.decompress(packed).split(b"\n")[:-1]

    def put(self, month: int, first: int, bodies: Bodies, *, marks: bool = True) -> None:
        """Put other records into a block, and fit its marks to them or not."""
        packed = zlib.compress(b"\n".join(bodies) + b"\n")
        self.sql("UPDATE block SET body = ? WHERE first = ?", packed, first, month=month)
        if marks:
            fitting = b"".join(leaf_of(body)[:8] for body in bodies)
            self.sql("UPDATE block SET marks = ? WHERE first = ?", fitting, first, month=month)

    def edit(self, month: int, seq: int, change: Callable[[bytes], bytes], *, marks: bool = True) -> None:
        """Change one record in its block."""
        first = max(first for first, last in self.blocks(month) if first <= seq <= last)
        bodies = self.bodies(month, first)
        changed = change(bodies[seq - first])
        assert changed != bodies[seq - first]
        bodies[seq - first] = changed
        self.put(month, first, bodies, marks=marks)

    def chain_anew(self) -> None:
        """Compute all links anew, as if every record were genuine."""
        link = FIRST_LINK
        for month in self.months():
            for first, _ in self.blocks(month):
                for body in self.bodies(month, first):
                    link = link_after(link, leaf_of(body))
                self.sql("UPDATE block SET link = ? WHERE first = ?", link, first, month=month)
        for seq, body in self.sql("SELECT seq, body FROM tail ORDER BY seq"):
            link = link_after(link, leaf_of(body))
            self.sql("UPDATE tail SET link = ? WHERE seq = ?", link, seq)

    def damage(self, month: int, first: int, bit: int = 100) -> None:
        """Flip a bit in a block."""
        (packed,) = self.sql("SELECT body FROM block WHERE first = ?", first, month=month)[0]
        flipped = bytearray(packed)
        flipped[bit // 8] ^= 1 << bit % 8
        self.sql("UPDATE block SET body = ? WHERE first = ?", bytes(flipped), first, month=month)
