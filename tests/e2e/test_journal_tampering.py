"""A stopped site's journal, tampered with by SQL and a hex editor: verifying names what was done, and where it begins."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from msc.journal.proof.chain import leaf_of, link_after
from tests.e2e.conftest import assert_quiet
from tests.support.command import call_msc
from tests.support.site import Site
from tests.support.tampering import Tampering

pytestmark = pytest.mark.requirement("F-AUPROT", "C-JOURNAL")

FILLED = ("--records", "6000", "--years", "0.3", "--until", "36 hours ago")
WITNESS = """
[[journal.witness]]
name = "mount"
kind = "file"
path = "witness.log"
"""


@dataclass(frozen=True)
class Genuine:
    """A site that ran twice, and was stopped.

    Attributes:
        yesterday: Its data folder as it was between the two runs.
        rows: Every record, decoded, by `seq`.
    """

    site: Site
    yesterday: Path
    rows: dict[int, list[Any]] = field(default_factory=dict)
    in_tail: list[int] = field(default_factory=list)

    def message(self, after: int) -> tuple[int, int]:
        """Return `seq` and MSN of the first message from a record on, that is followed by an event of its own."""
        for seq in range(after, max(self.rows)):
            row, following = self.rows[seq], self.rows[seq + 1]
            if row[0] == "m" and following[0] == "e" and following[4] == row[4]:
                return seq, row[4]
        raise AssertionError("there is none")

    def msn_from(self, seq: int) -> int:
        """Return the MSN of the first message from a record on."""
        return min(row[4] for at, row in self.rows.items() if at >= seq and row[0] == "m")


async def _talk(site: Site, words: str) -> None:
    async with site.signed_on("DISPATCH1") as station:
        texts = [f"AM.CA0990000.EXA2.TXT {words} {number}" for number in range(15)]
        await asyncio.gather(*[await station.post(text) for text in texts])


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Genuine]:
    folder = tmp_path_factory.mktemp("tampering")
    site = Site.make(folder / "site")
    try:
        site.edit("msc.toml", (r"^\[directory\]", WITNESS + "\n[directory]"), (r"^drain_s = \d+", "drain_s = 1"))
        assert call_msc("journal", "fill", site.toml, *FILLED).returncode == 0
        for words in ("FIRST RUN", "SECOND RUN"):
            if site.processes:
                shutil.copytree(site.folder / "data", folder / "yesterday")
            process = site.serve()
            asyncio.run(_talk(site, words))
            process.terminate()
            assert process.wait() == 0
        made = Genuine(site, folder / "yesterday")
        journal = Tampering(site.folder / "data" / "journal.db")
        for month in journal.months():
            for first, _ in journal.blocks(month):
                made.rows.update(enumerate(map(json.loads, journal.bodies(month, first)), first))
        for seq, body in journal.sql("SELECT seq, body FROM tail ORDER BY seq"):
            made.rows[seq] = json.loads(body)
            made.in_tail.append(seq)
        assert sorted(made.rows) == list(range(1, max(made.rows) + 1))
        yield made
    finally:
        site.stop()
    assert_quiet(site)


@pytest.fixture
def copy(genuine: Genuine, tmp_path: Path) -> tuple[Site, Tampering]:
    """A copy of the site, to be tampered with."""
    shutil.copytree(genuine.site.folder, tmp_path / "site")
    site = Site(tmp_path / "site")
    return site, Tampering(site.folder / "data" / "journal.db")


def verify(site: Site, *words: str | Path) -> dict[str, Any]:
    done = call_msc("journal", "verify", site.toml, "--json", *words)
    assert "Traceback" not in done.stderr and not done.stderr, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if report["ok"] else 1)
    return report


def faults(report: dict[str, Any]) -> set[str]:
    return {finding["kind"] for finding in report["findings"] if finding["severity"] == "fault"}


def test_the_untouched_journal_is_what_was_signed(copy: tuple[Site, Tampering], genuine: Genuine) -> None:
    site, _ = copy
    report = verify(site, "--witness", site.folder / "witness.log")
    assert report["ok"] and report["first_bad_msn"] is None and not faults(report)
    assert report["records"] == len(genuine.rows) and report["not_stated"] == 0
    done = call_msc("journal", "verify", site.toml)
    assert done.returncode == 0 and "the journal is what was signed" in done.stdout


# Each attack does what it does, and returns the first message it spoilt; None where it spoils none.
Attack = Callable[[Tampering, Genuine], int | None]
OCTOBER = 0


def a_month(journal: Tampering) -> int:
    """Return a month that is sealed, neither the first nor the last."""
    return journal.months()[1]


def flip_in_block(journal: Tampering, genuine: Genuine) -> int:
    month = a_month(journal)
    first, _ = journal.blocks(month)[2]
    journal.damage(month, first, 4_000)
    return genuine.msn_from(first)


def flip_in_tail(journal: Tampering, genuine: Genuine) -> int:
    seq, msn = genuine.message(genuine.in_tail[20])
    ((body,),) = journal.sql("SELECT body FROM tail WHERE seq = ?", seq)
    flipped = bytearray(body)
    flipped[body.index(b"RUN")] ^= 1
    journal.sql("UPDATE tail SET body = ? WHERE seq = ?", bytes(flipped), seq)
    return msn


def rewrite_in_tail(journal: Tampering, genuine: Genuine) -> int:
    seq, msn = genuine.message(genuine.in_tail[20])
    ((body,),) = journal.sql("SELECT body FROM tail WHERE seq = ?", seq)
    ((before,),) = journal.sql("SELECT link FROM tail WHERE seq = ?", seq - 1)
    changed = body.replace(b"RUN", b"FUN")
    journal.sql(
        "UPDATE tail SET body = ?, link = ? WHERE seq = ?", changed, link_after(before, leaf_of(changed)), seq
    )
    return msn


def rewrite_in_block(journal: Tampering, genuine: Genuine) -> int:
    month = a_month(journal)
    seq, msn = genuine.message(journal.blocks(month)[1][0])
    journal.edit(
        month, seq, lambda body: body.replace(b'"inquiry"', b'"response"').replace(b"CA099", b"CA098"), marks=False
    )
    return msn


def rewrite_and_chain_anew(journal: Tampering, genuine: Genuine) -> int:
    month = a_month(journal)
    seq, _ = genuine.message(journal.blocks(month)[1][0])
    journal.edit(month, seq, lambda body: body.replace(b"CA099", b"CA098"))
    journal.chain_anew()
    # All that is known is that the month's seal does not agree: none of its messages is vouched for.
    return genuine.msn_from(journal.blocks(month)[0][0])


def delete_in_tail(journal: Tampering, genuine: Genuine) -> int:
    seq, msn = genuine.message(genuine.in_tail[20])
    journal.sql("DELETE FROM tail WHERE seq = ?", seq)
    return msn


def delete_in_block(journal: Tampering, genuine: Genuine) -> int:
    month = a_month(journal)
    first, _ = journal.blocks(month)[1]
    seq, msn = genuine.message(first + 9)
    bodies = journal.bodies(month, first)
    del bodies[seq - first]
    journal.put(month, first, bodies)
    return msn


def swap_in_tail(journal: Tampering, genuine: Genuine) -> int:
    one, msn = genuine.message(genuine.in_tail[10])
    other, _ = genuine.message(one + 5)
    ((a,),), ((b,),) = (journal.sql("SELECT body FROM tail WHERE seq = ?", seq) for seq in (one, other))
    for seq, body in ((one, b), (other, a)):
        journal.sql("UPDATE tail SET body = ? WHERE seq = ?", body, seq)
    return msn


def swap_in_block(journal: Tampering, genuine: Genuine) -> int:
    month = a_month(journal)
    first, _ = journal.blocks(month)[1]
    one, msn = genuine.message(first + 3)
    other, _ = genuine.message(one + 5)
    bodies = journal.bodies(month, first)
    bodies[one - first], bodies[other - first] = bodies[other - first], bodies[one - first]
    journal.put(month, first, bodies)
    return msn


def insert_in_block(journal: Tampering, genuine: Genuine) -> int:
    month = a_month(journal)
    first, _ = journal.blocks(month)[1]
    seq, msn = genuine.message(first + 3)
    bodies = journal.bodies(month, first)
    bodies.insert(seq - first, bodies[seq - first].replace(b"CA099", b"CA098"))
    journal.put(month, first, bodies)
    return msn


def insert_in_tail(journal: Tampering, genuine: Genuine) -> int:
    seq, msn = genuine.message(genuine.in_tail[20])
    last = genuine.in_tail[-1]
    for each in range(last, seq - 1, -1):
        journal.sql("UPDATE tail SET seq = ? WHERE seq = ?", each + 1, each)
    ((body, link),) = journal.sql("SELECT body, link FROM tail WHERE seq = ?", seq + 1)
    journal.sql("INSERT INTO tail (seq, body, link) VALUES (?, ?, ?)", seq, body.replace(b"RUN", b"FUN"), link)
    return msn


def truncate_tail(journal: Tampering, genuine: Genuine) -> int:
    seq, msn = genuine.message(genuine.in_tail[-30])
    journal.sql("DELETE FROM tail WHERE seq >= ?", seq)
    return msn


def empty_tail(journal: Tampering, genuine: Genuine) -> int:
    journal.sql("DELETE FROM tail")
    return genuine.msn_from(genuine.in_tail[0])


def delete_block(journal: Tampering, genuine: Genuine) -> int:
    month = a_month(journal)
    first, _ = journal.blocks(month)[2]
    journal.sql("DELETE FROM block WHERE first = ?", first, month=month)
    return genuine.msn_from(first)


def delete_last_block(journal: Tampering, genuine: Genuine) -> int:
    month = a_month(journal)
    first, _ = journal.blocks(month)[-1]
    journal.sql("DELETE FROM block WHERE first = ?", first, month=month)
    return genuine.msn_from(first)


def delete_month(journal: Tampering, genuine: Genuine) -> int:
    month = a_month(journal)
    first, _ = journal.blocks(month)[0]
    journal.file(month).unlink()
    return genuine.msn_from(first)


def delete_month_and_its_row(journal: Tampering, genuine: Genuine) -> int:
    month = a_month(journal)
    msn = delete_month(journal, genuine)
    journal.sql("DELETE FROM month WHERE month = ?", month)
    return msn


def call_month_deleted(journal: Tampering, genuine: Genuine) -> int:
    month = a_month(journal)
    msn = delete_month(journal, genuine)
    journal.sql("UPDATE month SET deleted = sealed WHERE month = ?", month)
    return msn


def replace_month(journal: Tampering, genuine: Genuine) -> int:
    one, other = journal.months()[1:3]
    first, _ = journal.blocks(one)[0]
    shutil.copy(journal.file(other), journal.file(one))
    return genuine.msn_from(first)


def forge_checkpoint(journal: Tampering, _genuine: Genuine) -> None:
    ((number, body),) = journal.sql("SELECT number, body FROM checkpoint ORDER BY number DESC LIMIT 1")
    forged = json.loads(body)
    forged["at"] += 1
    text = json.dumps(forged, separators=(",", ":")).encode()
    signature = Ed25519PrivateKey.generate().sign(text)
    journal.sql("UPDATE checkpoint SET body = ?, signature = ? WHERE number = ?", text, signature, number)


def delete_checkpoint(journal: Tampering, _genuine: Genuine) -> None:
    journal.sql("DELETE FROM checkpoint WHERE number = 3")


def delete_last_checkpoint(journal: Tampering, _genuine: Genuine) -> None:
    journal.sql("DELETE FROM checkpoint WHERE number = (SELECT max(number) FROM checkpoint)")


def swap_checkpoints(journal: Tampering, _genuine: Genuine) -> None:
    two, three = (
        journal.sql("SELECT seq, statement, body, signature FROM checkpoint WHERE number = ?", n)[0] for n in (2, 3)
    )
    for number, row in ((2, three), (3, two)):
        journal.sql("UPDATE checkpoint SET seq=?, statement=?, body=?, signature=? WHERE number = ?", *row, number)


def change_month_row(journal: Tampering, _genuine: Genuine) -> None:
    journal.sql("UPDATE month SET last_msn = last_msn - 5 WHERE month = ?", a_month(journal))


def change_state(journal: Tampering, _genuine: Genuine) -> None:
    ((body,),) = journal.sql("SELECT body FROM state")
    state = json.loads(body)
    state["seq"] -= 1
    journal.sql("UPDATE state SET body = ?", json.dumps(state).encode())


def change_link(journal: Tampering, genuine: Genuine) -> None:
    journal.sql("UPDATE tail SET link = ? WHERE seq = ?", bytes(32), genuine.in_tail[12])


ATTACKS: dict[str, tuple[Attack, set[str]]] = {
    "a bit flipped in a block": (flip_in_block, {"block_unreadable"}),
    "a bit flipped in the tail": (flip_in_tail, {"record_changed"}),
    "a text changed in the tail, and its link made to fit": (rewrite_in_tail, {"record_changed"}),
    "a text changed in a block": (rewrite_in_block, {"record_changed"}),
    "a text changed in a block, and everything chained anew": (rewrite_and_chain_anew, {"month_replaced", "records_changed"}),
    "a row of the tail deleted": (delete_in_tail, {"records_removed"}),
    "a record of a block deleted": (delete_in_block, {"records_removed"}),
    "two rows of the tail swapped": (swap_in_tail, {"records_swapped"}),
    "two records of a block swapped": (swap_in_block, {"records_swapped"}),
    "a record put into a block": (insert_in_block, {"records_inserted"}),
    "a row put into the tail": (insert_in_tail, {"record_changed", "records_inserted", "records_changed"}),
    "the end of the tail cut off": (truncate_tail, {"tail_truncated"}),
    "the tail emptied": (empty_tail, {"tail_truncated"}),
    "a block deleted": (delete_block, {"records_removed"}),
    "the last block of a month deleted": (delete_last_block, {"records_removed"}),
    "a month's file deleted": (delete_month, {"month_removed"}),
    "a month's file and row deleted": (delete_month_and_its_row, {"month_removed", "records_removed"}),
    "a month called deleted": (call_month_deleted, {"deletion_unsigned", "month_removed"}),
    "a month's file replaced by another month's": (replace_month, {"month_replaced", "month_removed", "records_removed"}),
    "a checkpoint forged": (forge_checkpoint, {"checkpoint_forged"}),
    "a checkpoint deleted": (delete_checkpoint, {"checkpoint_missing"}),
    "the last checkpoint deleted": (delete_last_checkpoint, {"state_changed", "checkpoint_missing"}),
    "two checkpoints swapped": (swap_checkpoints, {"checkpoint_order", "checkpoint_forged", "checkpoint_replaced"}),
    "a month's row changed": (change_month_row, {"month_row_changed"}),
    "the state changed": (change_state, {"state_changed"}),
    "a link changed": (change_link, {"links_changed"}),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_found_and_named(copy: tuple[Site, Tampering], genuine: Genuine, attack: str) -> None:
    site, journal = copy
    attacked, kinds = ATTACKS[attack]
    msn = attacked(journal, genuine)
    report = verify(site)
    assert not report["ok"]
    print(
        attack,
        msn,
        report["first_bad_msn"],
        [f["kind"] + ":" + f["text"] for f in report["findings"] if f["severity"] == "fault"],
    )
    assert faults(report) & kinds, faults(report)
    assert report["first_bad_msn"] == msn
    done = call_msc("journal", "verify", site.toml)
    assert done.returncode == 1 and "the journal was tampered with or damaged" in done.stdout
    if msn is not None:
        assert f"first bad message: MSN {msn}\n" in done.stdout
        # What is older than the damage can still be relied on.
        assert msn < 10 or "proven: records 1 to" in done.stdout
