"""The published verifier, which imports nothing of ours, comes to the same verdict as ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from msc.journal.proof.inclusion import prove
from msc.journal.proof.testimony import witness_line
from tests.journal.proof.conftest import OCTOBER, SEPTEMBER, Victim
from tests.journal.proof.test_verification import a_message, a_row, changed, delete, forge_content, forge_signature
from tests.support.both_ends import BothEnds
from tests.support.journal_builder import JournalBuilder, new_signer

pytestmark = pytest.mark.requirement("F-AUPROT", "C-JOURNAL")

VERIFIER = Path(__file__).parents[3] / "docs" / "verify_journal.py"


def pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip


def run(*words: str | Path, bare: bool = False) -> subprocess.CompletedProcess[str]:
    """Run it without our environment and folders on the path; bare, without any package: signatures take longer."""
    command = [sys.executable, "-I", *(["-S"] if bare else []), str(VERIFIER), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/", check=False)


@pytest.fixture
def keys(victim: Victim, tmp_path: Path) -> Path:
    file = tmp_path / "journal.pub"
    file.write_bytes(pem(new_signer().key) + pem(victim.made.signer.key))
    return file


def change_everywhere(victim: Victim) -> None:
    victim.edit(OCTOBER, a_message(victim)[0], changed)
    victim.chain_anew()


def change_tail(victim: Victim) -> None:
    seq, body = a_row(victim)
    victim.sql("UPDATE tail SET body = ? WHERE seq = ?", changed(body), seq)


def swap(victim: Victim) -> None:
    first, _ = victim.blocks(OCTOBER)[3]
    bodies = victim.bodies(OCTOBER, first)
    bodies[3], bodies[4] = bodies[4], bodies[3]
    victim.put(OCTOBER, first, bodies)
    victim.chain_anew()


TAMPERINGS: dict[str, Callable[[Victim], object]] = {
    "nothing": lambda victim: None,
    "a flipped bit": lambda victim: victim.damage(OCTOBER, victim.blocks(OCTOBER)[3][0]),
    "a changed record": lambda victim: victim.edit(OCTOBER, a_message(victim)[0], changed, marks=False),
    "a changed record, marks fitted": lambda victim: victim.edit(OCTOBER, a_message(victim)[0], changed),
    "a changed record, chain computed anew": change_everywhere,
    "swapped records": swap,
    "a removed block": lambda victim: victim.sql(
        "DELETE FROM block WHERE first = ?", victim.blocks(OCTOBER)[3][0], month=OCTOBER
    ),
    "a changed row of the tail": change_tail,
    "a removed row of the tail": lambda victim: victim.sql("DELETE FROM tail WHERE seq = ?", a_row(victim)[0]),
    "a tail cut off": lambda victim: victim.sql("DELETE FROM tail WHERE seq >= ?", a_row(victim)[0]),
    "a removed month": lambda victim: victim.file(OCTOBER).unlink(),
    "a removed month and its row": lambda victim: (
        victim.file(SEPTEMBER).unlink(),
        victim.sql("DELETE FROM month WHERE month = ?", SEPTEMBER),
    ),
    "a month marked as deleted": lambda victim: victim.sql("UPDATE month SET deleted = 7 WHERE month = ?", OCTOBER),
    "a forged signature": lambda victim: forge_signature(victim, 100),
    "a forged checkpoint": lambda victim: forge_content(victim, 100),
    "a missing checkpoint": lambda victim: victim.sql("DELETE FROM checkpoint WHERE number = 100"),
    "later checkpoints removed": lambda victim: victim.sql("DELETE FROM checkpoint WHERE number > 300"),
    "a changed link": lambda victim: victim.sql(
        "UPDATE block SET link = zeroblob(32) WHERE first = ?", victim.blocks(OCTOBER)[3][0], month=OCTOBER
    ),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
async def test_both_verifiers_agree(victim: Victim, keys: Path, tampering: str) -> None:
    TAMPERINGS[tampering](victim)
    ours, theirs = await victim.verify(), run(victim.main, keys, bare=tampering == "nothing")
    assert theirs.returncode == int(not ours.ok), theirs.stdout + theirs.stderr
    assert ours.ok == (tampering == "nothing")
    assert theirs.stderr == ""


async def test_the_page_of_the_format_explains_every_finding() -> None:
    from msc.journal.proof.finding import Kind

    page = (VERIFIER.parent / "journal-format.md").read_text()
    assert [kind.value for kind in Kind if f"`{kind.value}`" not in page] == []


async def test_it_follows_the_chain_across_a_deleted_month_and_hears_witnesses(tmp_path: Path) -> None:
    database = BothEnds(f"sqlite+aiosqlite:///{tmp_path / 'journal.db'}")
    await database.open()
    builder = JournalBuilder(database)  # type: ignore[arg-type]
    for day in ("2026-08-30", "2026-09-29"):
        await builder.fill(day, days=4, per_day=5)
    await builder.archive(records=20, keep=4)
    await delete(database, builder, 202609)  # type: ignore[arg-type]
    rows = await database.checkpoints()
    await database.close()
    keys, witness = tmp_path / "keys", tmp_path / "witness"
    keys.write_bytes(pem(builder.signer.key))
    witness.write_bytes(b"".join(witness_line(row) + b"\n" for row in rows))
    found = run(tmp_path / "journal.db", keys, "--witness", witness)
    assert found.returncode == 0, found.stdout + found.stderr
    await builder.database.open()
    more = builder.ledger.checkpoint(builder.now)
    with witness.open("ab") as file:
        file.write(witness_line(more) + b"\n")
    await builder.database.close()
    found = run(tmp_path / "journal.db", keys, "--witness", witness)
    assert found.returncode == 1
    assert "witness" in found.stdout


async def test_it_checks_proofs(victim: Victim, keys: Path, tmp_path: Path) -> None:
    reading = victim.reading()
    proof = await prove(reading, victim.made.signatories, 301)
    await reading.close()
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(proof))
    found = run("--proof", file)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "compare that key" in found.stdout
    assert run("--proof", file, keys, bare=True).returncode == 0
    strangers = tmp_path / "strangers"
    strangers.write_bytes(pem(new_signer().key))
    assert run("--proof", file, strangers).returncode == 1
    for bad in (
        {**proof, "msn": 302},
        {**proof, "records": []},
        {**proof, "records": [{**proof["records"][0], "body": proof["records"][0]["body"].replace("QV", "QW")}]},
        {**proof, "signature": "00" * 64},
        {},
    ):
        file.write_text(json.dumps(bad))
        assert run("--proof", file).returncode == 1


def test_what_cannot_be_read_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("no key")
    assert run(tmp_path / "journal.db", tmp_path / "keys").returncode == 2


@given(st.binary(max_size=40), st.integers(0, 511))
def test_its_own_ed25519_agrees_with_a_library(body: bytes, bit: int) -> None:
    space: dict[str, object] = {"__name__": "verify_journal"}
    exec(compile(VERIFIER.read_text(), str(VERIFIER), "exec"), space)
    signed = space["plain_signed"]
    assert callable(signed)
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    public, signature = key.public_key().public_bytes_raw(), key.sign(body)
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    assert signed(public, signature, body)
    assert not signed(public, bytes(flipped), body)
    assert not signed(public, signature, body + b"x")
