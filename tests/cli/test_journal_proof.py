"""`msc journal verify` and `check-proof`: what they print, and how they exit."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives import serialization

from msc.cli.journal_proof import write_proof
from msc.journal.database.opening import open_reading
from msc.journal.proof.inclusion import prove
from msc.journal.proof.testimony import witness_line
from msc.lock import lock_site
from msc.settings import load_settings
from tests.support.both_ends import BothEnds
from tests.support.command import call_msc
from tests.support.journal_builder import JournalBuilder
from tests.support.site import Site
from tests.support.tampering import Tampering

pytestmark = pytest.mark.requirement("F-AUPROT", "C-JOURNAL")


class Filled(NamedTuple):
    """A site whose journal holds something."""

    site: Site
    journal: Tampering
    public: Path
    witness: Path
    proof: Path


async def fill(folder: Path) -> JournalBuilder:
    url = f"sqlite+aiosqlite:///{folder / 'journal.db'}"
    database = BothEnds(url)
    await database.open()
    builder = JournalBuilder(database)  # type: ignore[arg-type]
    await builder.fill("2026-10-30", days=4, per_day=5)
    await builder.archive(records=20, keep=20)
    lines = [witness_line(row) for row in await database.checkpoints()]
    (folder / "witness").write_bytes(b"\n".join(lines) + b"\n")
    await database.close()
    reading = open_reading(url)
    write_proof(await prove(reading, builder.signatories, 7), folder / "proof.json")
    await reading.close()
    return builder


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    site = Site.make(tmp_path / "site")
    data = site.folder / "data"
    for old in data.glob("journal*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    builder = asyncio.run(fill(data))
    public = site.folder / "certs" / "journal.pub"
    public.write_bytes(
        builder.signer.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return Filled(site, Tampering(data / "journal.db"), public, data / "witness", data / "proof.json")


def call(*words: str | Path) -> tuple[int, str]:
    result = call_msc("journal", *words)
    return result.returncode, result.stdout


def test_a_genuine_journal_verifies(filled: Filled) -> None:
    code, output = call("verify", filled.site.toml, "--witness", filled.witness)
    assert code == 0
    assert "the journal is what was signed" in output
    assert "proven: records 1 to" in output
    assert "last checkpoint:" in output
    code, output = call("verify", filled.site.toml, "--json", "--public-key", filled.public)
    assert code == 0
    assert json.loads(output)["ok"] is True


def test_a_falsified_journal_is_told_and_exits_with_1(filled: Filled) -> None:
    filled.journal.edit(202610, 30, lambda body: body.replace(b"2", b"3"), marks=False)
    code, output = call("verify", filled.site.toml)
    assert code == 1
    assert "fault: record 30" in output
    assert "first bad message: MSN" in output
    assert "proven: " in output
    code, output = call("verify", filled.site.toml, "--json")
    assert code == 1
    assert json.loads(output)["findings"][0]["kind"] == "record_changed"


def test_a_page_that_is_gone_is_told_and_the_index_is_made_anew(filled: Filled) -> None:
    filled.journal.sql("DELETE FROM page", month=202610)
    code, output = call("verify", filled.site.toml)
    assert code == 1
    assert "fault: the index of 202610 is damaged: page 0 of segment" in output
    assert "first bad message" not in output
    assert "the records are what was signed, but their index is not what they are: 1 faults" in output
    assert call("reindex", filled.site.toml, "--month", "2024-01")[0] == 2
    assert call("reindex", filled.site.toml, "--month", "tomorrow")[0] == 2
    with lock_site(load_settings(filled.site.toml)):
        assert call("reindex", filled.site.toml)[0] == 2
    code, output = call("reindex", filled.site.toml, "--month", "2026-10")
    assert code == 0
    assert "2026-10: " in output
    code, output = call("verify", filled.site.toml, "--index")
    assert code == 0
    assert "the journal is what was signed" in output
    code, output = call("reindex", filled.site.toml, "--json")
    assert code == 0
    assert [json.loads(line)["month"] for line in output.splitlines()] == ["2026-11", "2026-10"]


def test_a_message_that_searches_do_not_find_is_told_by_its_number(filled: Filled) -> None:
    filled.journal.sql("DELETE FROM segment", month=202610)
    filled.journal.sql("DELETE FROM page", month=202610)
    code, output = call("verify", filled.site.toml, "--index")
    assert code == 1
    assert "fault: the index of 202610 hides message 1: it is not found by words of its text (" in output


def test_records_that_cannot_be_read_are_counted_when_the_index_is_made(filled: Filled) -> None:
    first, last = filled.journal.blocks(202610)[0]
    filled.journal.damage(202610, first)
    code, output = call("reindex", filled.site.toml)
    assert code == 1
    assert f"{last - first + 1} records cannot be read" in output


def test_a_proof_is_for_its_owner_and_checks_without_a_site(filled: Filled, tmp_path: Path) -> None:
    assert stat.S_IMODE(filled.proof.stat().st_mode) == 0o600
    code, output = call("check-proof", filled.proof)
    assert code == 0
    assert "proven: message 7" in output
    assert "compare that key" in output
    code, output = call("check-proof", filled.proof, "--public-key", filled.public, "--json")
    assert code == 0
    assert json.loads(output)["known"] is True
    falsified = tmp_path / "falsified"
    falsified.write_text(filled.proof.read_text().replace("QV.CA", "QV.CB"))
    assert call("check-proof", falsified)[0] == 1
    code, output = call("check-proof", falsified, "--json")
    assert code == 1
    assert json.loads(output)["ok"] is False
    with pytest.raises(FileExistsError):
        write_proof({}, filled.proof)
