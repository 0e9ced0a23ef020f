"""`make bench-journal`: journals of many records in both stores; how fast they grow, are searched and are verified.

What `ingest_per_s` counts, precisely. Records are synthetic (`msc journal fill`) and generated a round at a time,
with the clock stopped. Then the clock runs: this process enters the round in the ledger (canonical bytes, chain,
tree) and commits it durably, a batch at a time; the archivist, in a process of its own as beside a switch, packs and
indexes it. The clock stops when the archivist has told that all of the round stands in blocks and in the index. What
is too little for a run of the archivist (under 4 096 records) is packed at the very end, in the clock too.

`bare_insert_per_s`: the same records' canonical bytes, made beforehand, inserted into one bare SQLite table (WAL,
synchronous=FULL, batches of the same size), without chain or index, in the same rounds of the same run.

`text_bytes_per_record`: the records written out as text, their canonical bytes: what a table of them would take at
least. `bytes_per_record`: all that is stored, index, chain, checkpoints and the tail's free pages included.

`p95_ms`: from asking the search process until its answer of the first page of 50 has been read, as the daemon does;
every filter with many values, common, rare and absent. Each value is asked for once; others were before, so process
and caches are warm, answers are not kept. `verify_per_s`: all of it, against its checkpoints' signatures.

It ends by itself, talks to nobody but its own processes, and leaves nothing behind but the results. Compare ratios
within a run: machines differ and are noisy.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from loadtest.bench import commit_id
from loadtest.journal_search import Chosen, compare_with_scan, measure_searches
from msc import clock
from msc.journal.database.opening import open_archiving, open_reading, open_writing
from msc.journal.proof.canonical import encode
from msc.journal.proof.checkpoint import Signatories, Signer
from msc.journal.proof.finding import Severity
from msc.journal.proof.verification import verify
from msc.journal.record import Record
from msc.lab.filling.fill import Filling, begin, records_after
from msc.lab.filling.packing import Packing
from msc.transit.message import MessageRecord
from tests.support.postgres import PostgresServer

RESULTS: Final = Path(__file__).parent / "results" / "journal.json"
ROUND: Final = 500_000
"""Records generated at a time: they take some 200 MB."""
_DURABLE: Final = """
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 256MB
max_wal_size = 4GB
"""
"""A server as a county would run it, unlike that of the tests."""


class BareTable:
    """The same rows in a table of nothing else."""

    def __init__(self, file: Path) -> None:
        self._driver = sqlite3.connect(file, isolation_level=None)
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "CREATE TABLE record (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)",
        ):
            self._driver.execute(statement)
        self._seq = 0
        self.rows = 0
        self.seconds = 0.0

    def insert(self, chunks: list[list[Record]]) -> None:
        """Insert a round, a batch in a commit; only the inserting is timed."""
        for chunk in chunks:
            rows = []
            for record in chunk:
                self._seq += 1
                rows.append((self._seq, encode(self._seq, self._seq, None, record)))
            began = time.perf_counter()
            self._driver.execute("BEGIN IMMEDIATE")
            self._driver.executemany("INSERT INTO record VALUES (?, ?)", rows)
            self._driver.execute("COMMIT")
            self.seconds += time.perf_counter() - began
            self.rows += len(rows)

    def close(self) -> None:
        """Let go of it."""
        self._driver.close()


class Noted:
    """What is noted of the records that go by: sizes, and values to search for."""

    def __init__(self) -> None:
        self.records = 0
        self.messages = 0
        self.text_bytes = 0
        """Of all records, written out: their canonical bytes."""
        self.message_text_bytes = 0
        """Of the messages' texts alone."""
        self.chosen = Chosen()

    def take(self, chunk: list[Record]) -> None:
        """Note a batch."""
        for record in chunk:
            self.records += 1
            self.text_bytes += len(encode(self.records, 0, None, record))
            if type(record) is MessageRecord:
                self.messages += 1
                self.message_text_bytes += len(record.text.encode())
                self.chosen.take(record)


def rounds_of(chunks: Iterator[list[Record]], noted: Noted) -> Iterator[list[list[Record]]]:
    """Gather batches to rounds, and note what goes by."""
    waiting: list[list[Record]] = []
    size = 0
    for chunk in chunks:
        noted.take(chunk)
        waiting.append(chunk)
        size += len(chunk)
        if size >= ROUND:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


async def ingest(
    url: str, signer: Signer, options: argparse.Namespace, bare: BareTable | None
) -> tuple[dict[str, Any], Noted]:
    """Fill a journal; what is in the clock stands in this module's docstring."""
    writing, reading = open_writing(url), open_reading(url)
    noted, seconds, commit_s = Noted(), 0.0, 0.0
    try:
        ledger, last_us = await begin(writing, reading, signer)
        chunks = records_after(
            last_us, ledger.msn, records=options.rows, years=options.years, seed=options.seed,
            end_us=clock.wall_us(), chunk=options.batch,
        )  # fmt: skip
        async with Packing(url) as packing:
            filling = Filling(writing, ledger, packing)
            for number, chunks_of_round in enumerate(rounds_of(chunks, noted), 1):
                if bare is not None:
                    bare.insert(chunks_of_round)
                # As in the switch: what lives long is not looked at again and again.
                gc.collect()
                gc.freeze()
                began = time.perf_counter()
                for chunk in chunks_of_round:
                    await filling.enter(chunk)
                    await filling.room()
                commit_s += time.perf_counter() - began
                await filling.settle()
                seconds += time.perf_counter() - began
                gc.unfreeze()
                say(f"  round {number}: {noted.records} records, {noted.records / seconds:.0f}/s so far")
            began = time.perf_counter()
            await packing.finish()
            seconds += time.perf_counter() - began
            await filling.finish()
    finally:
        await reading.close()
        await writing.close()
    return {
        "rows": noted.records,
        "messages": noted.messages,
        "ingest_per_s": round(noted.records / seconds),
        "commit_per_s": round(noted.records / commit_s),
    }, noted


async def measure(url: str, options: argparse.Namespace, bare: BareTable | None) -> dict[str, Any]:
    """Fill, search and verify one journal."""
    key = Ed25519PrivateKey.generate()
    figures, noted = await ingest(url, Signer(key), options, bare)
    archiving = open_archiving(url)
    size = await archiving.size()
    await archiving.close()
    figures["bytes_per_record"] = round(sum(size.values()) / noted.records, 1)
    figures["text_bytes_per_record"] = round(noted.text_bytes / noted.records, 1)
    figures["message_text_bytes_per_record"] = round(noted.message_text_bytes / noted.records, 1)
    figures["checkpoint_bytes_per_record"] = round(size["checkpoint"] / noted.records, 2)
    figures["tail_bytes_per_record"] = round(size["tail"] / noted.records, 2)
    say("  searching")
    figures |= await measure_searches(url, noted.chosen, options.values)
    say("  comparing with a full scan")
    figures["completeness"] = await compare_with_scan(url, noted.chosen)
    say("  verifying")
    reading = open_reading(url)
    began = time.perf_counter()
    report = await verify(reading, Signatories([key.public_key()]))
    figures["verify_per_s"] = round(noted.records / (time.perf_counter() - began))
    figures["verify_faults"] = sum(finding.severity is Severity.FAULT for finding in report.findings)
    await reading.close()
    return figures


@contextmanager
def store(name: str, folder: Path) -> Iterator[str]:
    """Make an empty database; yields its URL."""
    if name == "sqlite":
        yield f"sqlite+aiosqlite:///{folder / 'journal.db'}"
        return
    server = PostgresServer(_DURABLE)
    try:
        server.start()
        yield server.url(server.lend())
    finally:
        server.remove()


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, flush=True)


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.journal", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000, help="records of each journal")
    parser.add_argument("--years", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=2_000, help="records of a commit, about")
    parser.add_argument("--values", type=int, default=20, help="values that each filter is measured with")
    parser.add_argument("--stores", nargs="+", choices=("sqlite", "postgresql"), default=["sqlite", "postgresql"])
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()

    stores: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="msc-bench-") as name:
        folder = Path(name)
        with closing(BareTable(folder / "bare.db")) as bare:
            for number, chosen in enumerate(options.stores):
                say(chosen)
                with store(chosen, folder) as url:
                    stores[chosen] = uvloop.run(measure(url, options, None if number else bare))
            bare_per_s = round(bare.rows / bare.seconds)
    for figures in stores.values():
        figures["ratio_to_bare"] = round(figures["ingest_per_s"] / bare_per_s, 3)
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "commit": commit_id(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": options.rows,
        "years": options.years,
        "seed": options.seed,
        "batch": options.batch,
        "values": options.values,
        "bare_insert_per_s": bare_per_s,
        **stores,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    show(result, stores, options.out)


def show(result: dict[str, Any], stores: dict[str, Any], out: Path) -> None:
    """Print the results as a table."""
    print(f"{result['machine']}, commit {result['commit']}, {result['years']:g} years, batches of {result['batch']}")
    print(f"{'bare SQLite insert':32}{result['bare_insert_per_s']:>12}/s")
    print(" " * 32 + "".join(f"{name:>14}" for name in stores))
    names = (
        "rows", "messages", "ingest_per_s", "ratio_to_bare", "commit_per_s", "bytes_per_record",
        "text_bytes_per_record", "checkpoint_bytes_per_record", "tail_bytes_per_record", "verify_per_s",
        "verify_faults",
    )  # fmt: skip
    for name in names:
        print(f"{name:32}" + "".join(f"{figures[name]:>14}" for figures in stores.values()))
    for measured in ("p95_ms", "p50_ms"):
        first = next(iter(stores.values()))[measured]
        for name in first:
            values = "".join(f"{figures[measured][name]:>14}" for figures in stores.values())
            print(f"{f'{measured} {name}':32}{values}")
    for name, figures in stores.items():
        found = figures["completeness"]
        different = len(found["different"])
        print(f"{name}: {found['compared']} plates and VINs compared with a full scan, {different} different")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
