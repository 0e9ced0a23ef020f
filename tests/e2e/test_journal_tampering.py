"""A stopped journal, tampered with by SQL and a hex editor: verifying names what was done, and where it begins."""

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
from tests.support.site import Site, run_msc
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
        """Return `seq` and MSN of the first message from a record on that a station sent, and that went somewhere."""
        for seq in range(after, max(self.rows)):
            row = self.rows[seq]
            if row[0] == "m" and row[6] != "inbound" and row[-1]:
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


def test_every_checkpoint_states_the_highest_msn_up_to_its_record(genuine: Genuine) -> None:
    # A verification takes from it which message is the first after what is proven.
    highest, msn = {0: 0}, 0
    for seq, row in sorted(genuine.rows.items()):
        msn = highest[seq] = row[4] if row[0] == "m" else msn
    journal = Tampering(genuine.site.folder / "data" / "journal.db")
    stated = [json.loads(body) for (body,) in journal.sql("SELECT body FROM checkpoint ORDER BY number")]
    assert {checkpoint["statement"] for checkpoint in stated} == {"held", "sealed"}
    assert [checkpoint["msn"] for checkpoint in stated] == [highest[checkpoint["seq"]] for checkpoint in stated]


# Each attack does what it does, and returns the first message it spoilt; None where it spoils none.
Attack = Callable[[Tampering, Genuine], int | None]


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
    seq, _ = genuine.message(genuine.in_tail[20])
    ((body,),) = journal.sql("SELECT body FROM tail WHERE seq = ?", seq)
    ((before,),) = journal.sql("SELECT link FROM tail WHERE seq = ?", seq - 1)
    changed = body.replace(b"RUN", b"FUN")
    journal.sql(
        "UPDATE tail SET body = ?, link = ? WHERE seq = ?", changed, link_after(before, leaf_of(changed)), seq
    )
    # Its own link fits: it is the next record's that does not.
    return genuine.msn_from(seq + 1)


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


def delete_in_tail_and_move(journal: Tampering, genuine: Genuine) -> int:
    msn = delete_in_tail(journal, genuine)
    ((gap,),) = journal.sql(
        "SELECT min(seq) + 1 FROM tail AS t WHERE NOT EXISTS (SELECT 1 FROM tail WHERE seq = t.seq + 1)"
    )
    for each in range(gap + 1, genuine.in_tail[-1] + 1):
        journal.sql("UPDATE tail SET seq = ? WHERE seq = ?", each - 1, each)
    return msn


def truncate_tail(journal: Tampering, genuine: Genuine) -> int:
    seq, msn = genuine.message(genuine.in_tail[len(genuine.in_tail) // 2])
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


def delete_last_checkpoint(journal: Tampering, genuine: Genuine) -> int:
    journal.sql("DELETE FROM checkpoint WHERE number = (SELECT max(number) FROM checkpoint)")
    ((seq,),) = journal.sql("SELECT max(seq) FROM checkpoint")
    return genuine.msn_from(seq + 1)


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


def delete_index_page(journal: Tampering, _genuine: Genuine) -> None:
    journal.sql("DELETE FROM page WHERE number = 0", month=a_month(journal))


def delete_index(journal: Tampering, _genuine: Genuine) -> None:
    for table in ("page", "segment"):
        journal.sql(f"DELETE FROM {table}", month=a_month(journal))


def overwrite_index(journal: Tampering, _genuine: Genuine) -> None:
    journal.sql("UPDATE page SET body = zeroblob(500)", month=a_month(journal))


def change_link(journal: Tampering, genuine: Genuine) -> None:
    journal.sql("UPDATE tail SET link = ? WHERE seq = ?", bytes(32), genuine.in_tail[12])


ATTACKS: dict[str, tuple[Attack, set[str]]] = {
    "a bit flipped in a block": (flip_in_block, {"block_unreadable"}),
    "a bit flipped in the tail": (flip_in_tail, {"record_changed"}),
    "a text changed in the tail, and its link made to fit": (rewrite_in_tail, {"record_changed"}),
    "a text changed in a block": (rewrite_in_block, {"record_changed"}),
    "a text changed in a block, chained anew": (rewrite_and_chain_anew, {"month_replaced", "records_changed"}),
    "a row of the tail deleted": (delete_in_tail, {"records_removed"}),
    "a row of the tail deleted, and the others moved": (delete_in_tail_and_move, {"records_removed"}),
    "a record of a block deleted": (delete_in_block, {"records_removed"}),
    "two rows of the tail swapped": (swap_in_tail, {"records_swapped"}),
    "two records of a block swapped": (swap_in_block, {"records_swapped"}),
    "a record put into a block": (insert_in_block, {"records_inserted"}),
    "a row put into the tail": (insert_in_tail, {"records_inserted"}),
    "the end of the tail cut off": (truncate_tail, {"tail_truncated"}),
    "the tail emptied": (empty_tail, {"tail_truncated"}),
    "a block deleted": (delete_block, {"records_removed"}),
    "the last block of a month deleted": (delete_last_block, {"records_removed"}),
    "a month's file deleted": (delete_month, {"month_removed"}),
    "a month's file and row deleted": (delete_month_and_its_row, {"month_removed", "records_removed"}),
    "a month called deleted": (call_month_deleted, {"deletion_unsigned", "month_removed"}),
    "a month's file replaced by another month's": (replace_month, {"month_replaced", "month_removed"}),
    "a checkpoint forged": (forge_checkpoint, {"checkpoint_forged"}),
    "a checkpoint deleted": (delete_checkpoint, {"checkpoint_missing"}),
    "the last checkpoint deleted": (delete_last_checkpoint, {"rolled_back"}),
    "two checkpoints swapped": (swap_checkpoints, {"checkpoint_order", "checkpoint_forged", "checkpoint_replaced"}),
    "a month's row changed": (change_month_row, {"month_row_changed"}),
    "the state changed": (change_state, {"state_changed"}),
    "a page of the index deleted": (delete_index_page, {"index_damaged"}),
    "the index of a month deleted": (delete_index, {"index_damaged"}),
    "the index of a month overwritten": (overwrite_index, {"index_damaged"}),
    "a link changed": (change_link, {"links_changed"}),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_found_and_named(copy: tuple[Site, Tampering], genuine: Genuine, attack: str) -> None:
    site, journal = copy
    attacked, kinds = ATTACKS[attack]
    msn = attacked(journal, genuine)
    report = verify(site)
    assert not report["ok"]
    assert faults(report) & kinds, faults(report)
    assert report["first_bad_msn"] == msn


@pytest.mark.parametrize("attacked", [delete_in_tail, forge_checkpoint])
def test_people_are_told_what_is_bad_and_what_can_still_be_relied_on(
    copy: tuple[Site, Tampering], genuine: Genuine, attacked: Attack
) -> None:
    site, journal = copy
    msn = attacked(journal, genuine)
    done = run_msc("journal", "verify", site.toml)
    assert done.returncode == 1 and "the journal was tampered with or damaged" in done.stdout
    assert (f"first bad message: MSN {msn}\n" in done.stdout) is (msn is not None)
    assert "fault: " in done.stdout and "proven: records 1 to" in done.stdout


def test_a_journal_that_was_put_back_is_found_out_by_its_witness(
    copy: tuple[Site, Tampering], genuine: Genuine
) -> None:
    site, _ = copy
    shutil.rmtree(site.folder / "data")
    shutil.copytree(genuine.yesterday, site.folder / "data")
    assert verify(site)["ok"], "yesterday's journal is whole, and by itself nothing tells that it is not today's"
    report = verify(site, "--witness", site.folder / "witness.log")
    assert faults(report) == {"rolled_back"}
    between = Tampering(genuine.yesterday / "journal.db").sql("SELECT max(seq) FROM checkpoint")[0][0]
    assert report["first_bad_msn"] == genuine.msn_from(between + 1)


def test_tails_of_yesterday_and_blocks_of_today_do_not_go_together(
    copy: tuple[Site, Tampering], genuine: Genuine
) -> None:
    site, journal = copy
    month = a_month(journal)
    journal.sql("UPDATE tail SET body = (SELECT body FROM tail ORDER BY seq LIMIT 1)")
    shutil.copy(
        genuine.yesterday / "journal" / journal.file(month).name, journal.file(month)
    )  # the same: it was sealed
    report = verify(site)
    assert not report["ok"]
    assert report["first_bad_msn"] == genuine.msn_from(genuine.in_tail[0])


# --- what a search says of it, and a starting switch ----------------------------------------------------


def search(site: Site, *words: str) -> tuple[list[dict[str, Any]], str]:
    """Search offline; returns the messages, and what the table says of how complete it is."""
    asking = ("--as", "admin", "--reason", "an audit", "--offline", *words)
    found = call_msc("journal", "search", site.toml, *asking, "--json")
    assert found.returncode == 0, found.stderr
    table = call_msc("journal", "search", site.toml, *asking, "--limit", "5000")
    return [json.loads(line) for line in found.stdout.splitlines()], table.stdout.splitlines()[-1]


@pytest.mark.parametrize("attacked", [
    flip_in_block, delete_block, delete_month, delete_index_page, delete_index, overwrite_index,
])  # fmt: skip
def test_a_search_names_the_month_that_cannot_be_read_and_shows_all_others(
    copy: tuple[Site, Tampering], genuine: Genuine, attacked: Attack
) -> None:
    site, journal = copy
    month = a_month(journal)
    name = f"{month // 100}-{month % 100:02}"
    ((first, last),) = journal.sql("SELECT first_msn, last_msn FROM month WHERE month = ?", month)
    attacked(journal, genuine)
    found, said = search(site, "--direction", "outbound")
    assert f"{name} could not be read" in said
    expected = {row[4] for row in genuine.rows.values() if row[0] == "m" and row[6] == "outbound"}
    seen = {message["msn"] for message in found}
    assert {msn for msn in expected if not first <= msn <= last} <= seen <= expected
    assert seen < expected


def test_a_search_of_a_whole_journal_says_that_it_is_complete(copy: tuple[Site, Tampering], genuine: Genuine) -> None:
    found, said = search(copy[0], "--direction", "outbound")
    assert {message["msn"] for message in found} == {
        row[4] for row in genuine.rows.values() if row[0] == "m" and row[6] == "outbound"
    }
    assert said.startswith("searched 4 months") or said.startswith("searched 5 months")
    assert "could not" not in said


@pytest.mark.parametrize("attacked", [empty_tail, truncate_tail, rewrite_in_tail, delete_in_tail, forge_checkpoint])
def test_a_switch_does_not_go_on_from_a_journal_whose_end_was_tampered_with(
    copy: tuple[Site, Tampering], genuine: Genuine, attacked: Attack
) -> None:
    site, journal = copy
    attacked(journal, genuine)
    done = run_msc("serve", site.toml)
    assert done.returncode not in (0, 70)
    said = done.stdout + done.stderr
    assert "msc journal verify" in said, said
