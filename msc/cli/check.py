"""`msc check`."""

from __future__ import annotations

import typer

from msc.cli.common import Exit, Json, Site, err, out, run
from msc.site.check import check_site


def check(site: Site, json: Json = False) -> None:
    """Find every fault of a site's configuration at once."""
    report = run(check_site(site))
    if json:
        out.print_json(
            data={
                "faults": [{"file": str(f.file), "where": f.where, "problem": f.problem} for f in report.faults],
                "remarks": [{"file": str(f.file), "where": f.where, "problem": f.problem} for f in report.remarks],
                "counts": report.counts,
            }
        )
    else:
        for fault in report.faults:
            err.print(f"fault   {fault}", markup=False, style="red")
        for remark in report.remarks:
            err.print(f"remark  {remark}", markup=False, style="yellow")
        counts = ", ".join(f"{count} {what}" for what, count in report.counts.items())
        verdict = {0: "no faults", 1: "1 fault"}.get(len(report.faults), f"{len(report.faults)} faults")
        out.print(f"{site}: {verdict}; {counts}" if counts else f"{site}: {verdict}", markup=False)
    if report.faults:
        raise typer.Exit(Exit.REFUSED)
