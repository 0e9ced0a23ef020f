"""`msc demo`: what a newcomer sees first ends as it should, and leaves a site that is in order."""

from __future__ import annotations

from pathlib import Path

from tests.support.site import run_msc


def test_every_step_of_the_demo_ends_as_it_should_and_its_site_can_be_kept(tmp_path: Path) -> None:
    site = tmp_path / "county"
    done = run_msc("demo", "--keep", site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == "" and "NOT as it should" not in done.stdout
    for told in (
        "receipts  = EXA1 acknowledged, EXA2 queued, EXPR acknowledged",
        "(for EXA2) AM.CA0990000.EXA2.TXT",
        "E402 clets-a is held by an operator",
        "hitconf list: T26-9, asked by NV0990000, urgent",
        "E404 clets-a was lost",
        "carried by clets-b",
        "Everything ended as it should.",
    ):
        assert told in done.stdout, told
    checked = run_msc("check", site / "msc.toml")
    assert checked.returncode == 0 and "no faults" in checked.stdout, checked.stdout + checked.stderr
