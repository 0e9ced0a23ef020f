"""Witnesses hear every checkpoint, in files and over real sockets; an outage on either side loses none."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from msc.journal.database.layout import CheckpointRow
from msc.journal.proof.sender import WitnessSender
from msc.journal.proof.testimony import Heard, Testimony, read_line, witness_line
from msc.journal.proof.witness import FileWitness, HttpWitness, SyslogWitness, Witness, WitnessLost, make_witness
from msc.metrics import Metrics
from msc.settings import FileWitnessSettings, HttpWitnessSettings, JournalSettings, SyslogWitnessSettings
from tests.support.journal_builder import SECOND, JournalBuilder
from tests.support.memory_journal import MemoryJournal

pytestmark = pytest.mark.requirement("F-AUPROT")


class Ear:
    """A witness that a test makes deaf and asks."""

    name, target = "ear", "nowhere"

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.deaf = 0
        self.hangs = False
        self.stirred = asyncio.Event()

    async def tell(self, rows: Sequence[CheckpointRow]) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.deaf:
            self.deaf -= 1
            raise WitnessLost("deaf")
        self.heard += [row.number for row in rows]
        self.stirred.set()

    async def last(self) -> Heard | None:
        return None

    async def until(self, number: int) -> None:
        while not self.heard or self.heard[-1] < number:
            self.stirred.clear()
            await self.stirred.wait()


@contextlib.asynccontextmanager
async def running(sender: WitnessSender) -> AsyncIterator[None]:
    task = asyncio.create_task(sender.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def builder() -> JournalBuilder:
    builder = JournalBuilder(MemoryJournal())
    await builder.fill("2026-11-01", per_day=4)
    return builder


def sender_of(builder: JournalBuilder, memory: Path, *witnesses: Witness) -> WitnessSender:
    return WitnessSender(witnesses, builder.database, memory, Metrics(), retry_first_s=0.0)


async def state(builder: JournalBuilder, sender: WitnessSender | None = None) -> int:
    builder.now += 60 * SECOND
    row = await builder.state()
    if sender is not None:
        sender.heard([row])
    return row.number


async def test_a_witness_hears_every_checkpoint_from_the_newest_on(builder: JournalBuilder, tmp_path: Path) -> None:
    ear, newest = Ear(), builder.ledger.number
    sender = sender_of(builder, tmp_path / "memory", ear)
    async with running(sender):
        await ear.until(newest)
        for _ in range(5):
            await ear.until(await state(builder, sender))
        assert sender.lag_s() == {"ear": 0.0}
    assert ear.heard == list(range(newest, newest + 6))


async def test_what_a_deaf_witness_missed_it_is_told_when_it_hears_again(
    builder: JournalBuilder, tmp_path: Path
) -> None:
    ear, newest = Ear(), builder.ledger.number
    sender = sender_of(builder, tmp_path / "memory", ear)
    async with running(sender):
        await ear.until(newest)
        ear.deaf = 3
        last = [await state(builder, sender) for _ in range(250)][-1]
        await ear.until(last)
    assert ear.heard == list(range(newest, last + 1))


async def test_a_witness_that_hangs_holds_up_neither_the_writer_nor_the_others(
    builder: JournalBuilder, tmp_path: Path
) -> None:
    ear, dead = Ear(), Ear()
    dead.name, dead.hangs = "dead", True
    sender = sender_of(builder, tmp_path / "memory", dead, ear)
    async with running(sender):
        await ear.until(await state(builder, sender))
        await asyncio.sleep(0)
        assert sender.lag_s()["dead"] > 0
        assert dead.heard == []


async def test_what_was_confirmed_is_remembered_over_a_restart(builder: JournalBuilder, tmp_path: Path) -> None:
    first, second = Ear(), Ear()
    async with running(sender := sender_of(builder, tmp_path / "memory", first)):
        await first.until(builder.ledger.number)
    missed = [await state(builder) for _ in range(3)]
    async with running(sender_of(builder, tmp_path / "memory", second)):
        await second.until(missed[-1])
    assert second.heard == missed
    assert not sender.contradicted


async def test_a_journal_that_was_put_back_raises_the_alarm_at_the_next_start(
    builder: JournalBuilder, tmp_path: Path
) -> None:
    journal = builder.database
    assert isinstance(journal, MemoryJournal)
    before, witness = dict(journal.statements), tmp_path / "witness"
    sender = sender_of(builder, tmp_path / "memory", FileWitness("file", witness))
    heard = await state(builder, sender)
    async with running(sender):
        while heard not in Testimony([witness] if witness.exists() else []).digests:
            await asyncio.sleep(0)
    journal.statements = before
    again = sender_of(builder, tmp_path / "memory", FileWitness("file", witness))
    async with running(again):
        while not again.contradicted:
            await asyncio.sleep(0)
    assert again.contradicted == {"file"}


async def test_a_new_journal_has_nothing_to_tell_until_its_first_checkpoint(tmp_path: Path) -> None:
    builder, ear = JournalBuilder(MemoryJournal()), Ear()
    sender = sender_of(builder, tmp_path / "memory", ear)
    async with running(sender):
        await asyncio.sleep(0)
        await ear.until(await state(builder, sender))
    assert ear.heard == [1]


# --- files --------------------------------------------------------------------------------------


async def test_a_file_gets_a_line_for_each_and_says_what_it_has(builder: JournalBuilder, tmp_path: Path) -> None:
    file = tmp_path / "witness"
    witness = FileWitness("file", file)
    rows = await builder.database.checkpoints()
    assert await witness.last() is None
    await witness.tell(rows[:2])
    with file.open("ab") as torn:
        torn.write(b'{"number":3,"bo')
    await witness.tell(rows[2:])
    last = await witness.last()
    assert last is not None
    assert (last.number, last.body, last.signature) == (rows[-1].number, rows[-1].body, rows[-1].signature)
    assert sorted(Testimony([file]).digests) == [row.number for row in rows]


async def test_a_file_that_cannot_be_written_is_lost_and_said_so(builder: JournalBuilder, tmp_path: Path) -> None:
    rows = await builder.database.checkpoints()
    with pytest.raises(WitnessLost, match="FileNotFoundError"):
        await FileWitness("file", tmp_path / "not" / "there").tell(rows)


def test_lines_that_are_none_are_passed_over() -> None:
    row = CheckpointRow(7, 1, "held", b'{"a":1}', b"\x01\x02")
    assert read_line(b"Nov  1 host msc: " + witness_line(row) + b"\n") == Heard(7, b'{"a":1}', b"\x01\x02")
    for line in (b"", b"{}", b'{"number":1}', b'{"number":"x","body":"","signature":""}', b'{"number":1,"body":2}'):
        assert read_line(line) is None


# --- syslog and HTTP ----------------------------------------------------------------------------


def content(message: bytes) -> Heard:
    head, _, rest = message.partition(b" - CHECKPOINT - ")
    assert head.startswith(b"<109>1 2")
    assert head.endswith(b" node-1 msc")
    heard = read_line(rest)
    assert heard is not None
    return heard


async def test_syslog_over_udp(builder: JournalBuilder) -> None:
    rows = await builder.database.checkpoints()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        witness = SyslogWitness("s", f"udp://127.0.0.1:{server.getsockname()[1]}", "node-1")
        await witness.tell(rows)
        loop = asyncio.get_running_loop()
        got = [content(await loop.sock_recv(server, 65_536)) for _ in rows]
    assert [(heard.number, heard.body) for heard in got] == [(row.number, row.body) for row in rows]


async def test_syslog_over_a_local_socket(builder: JournalBuilder, tmp_path: Path) -> None:
    rows = await builder.database.checkpoints()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        server.setblocking(False)
        witness = SyslogWitness("s", f"unix://{tmp_path / 'log'}", "node-1")
        await witness.tell(rows[:2])
        loop = asyncio.get_running_loop()
        assert [content(await loop.sock_recv(server, 65_536)).number for _ in range(2)] == [1, 2]
    with pytest.raises(WitnessLost):
        await SyslogWitness("s", f"unix://{tmp_path / 'none'}", "node-1").tell(rows[:1])


async def test_syslog_over_tcp_counts_octets(builder: JournalBuilder) -> None:
    rows, got = await builder.database.checkpoints(), asyncio.Queue[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                size = int(await reader.readuntil(b" "))
                got.put_nowait(await reader.readexactly(size))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await SyslogWitness("s", f"tcp://127.0.0.1:{port}", "node-1").tell(rows)
        assert [content(await got.get()).number for _ in rows] == [row.number for row in rows]
    with pytest.raises(WitnessLost):
        await SyslogWitness("s", f"tcp://127.0.0.1:{port}", "node-1").tell(rows)


@pytest.mark.parametrize(("status", "lost"), [(200, False), (204, False), (302, True), (500, True)])
async def test_a_web_server_confirms_with_its_answer(builder: JournalBuilder, status: int, lost: bool) -> None:
    rows, posted = await builder.database.checkpoints(), asyncio.Queue[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        posted.put_nowait(await reader.readexactly(size))
        writer.write(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        witness = HttpWitness("w", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/checkpoints")
        try:
            if lost:
                with pytest.raises(WitnessLost, match=str(status)):
                    await witness.tell(rows)
            else:
                await witness.tell(rows)
        finally:
            await witness.close()
        lines = (await posted.get()).splitlines()
    heard = [found for line in lines if (found := read_line(line)) is not None]
    assert [one.number for one in heard] == [row.number for row in rows]


# --- settings -----------------------------------------------------------------------------------


def test_witnesses_stand_in_the_settings() -> None:
    settings = JournalSettings.model_validate(
        {
            "url": "sqlite+aiosqlite:///journal.db",
            "witness": [
                {"kind": "file", "name": "mount", "path": "/mnt/witness"},
                {"kind": "syslog", "name": "log", "address": "tcp://log.example:601"},
                {"kind": "http", "name": "web", "url": "https://witness.example/msc"},
            ],
        }
    )
    assert [type(witness) for witness in settings.witness] == [
        FileWitnessSettings,
        SyslogWitnessSettings,
        HttpWitnessSettings,
    ]


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "pigeon", "name": "a"},
        {"kind": "syslog", "name": "a", "address": "log.example"},
        {"kind": "syslog", "name": "a", "address": "tcp://log.example"},
        {"kind": "http", "name": "a", "url": "ftp://x"},
        {"kind": "file", "name": "a"},
    ],
)
def test_a_witness_that_is_none_is_refused(bad: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="witness"):
        JournalSettings.model_validate({"url": "sqlite+aiosqlite:///journal.db", "witness": [bad]})


def test_each_kind_is_made(tmp_path: Path) -> None:
    for wanted, kind in (
        (FileWitnessSettings(kind="file", name="a", path=Path("w")), FileWitness),
        (SyslogWitnessSettings(kind="syslog", name="a", address="udp://h:514"), SyslogWitness),
        (HttpWitnessSettings(kind="http", name="a", url="https://h/"), HttpWitness),
    ):
        witness = make_witness(wanted, tmp_path, "node-1")
        assert type(witness) is kind
        assert witness.name == "a"
