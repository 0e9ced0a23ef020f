"""The benchmark runs, loses nothing, and writes what it promises. Its numbers prove nothing here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_short_benchmark_loses_nothing_and_writes_its_results(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    subprocess.run(
        [
            sys.executable, "-m", "loadtest.bench", "--connections", "3", "--window", "2", "--seconds", "0.5",
            "--warm-up", "0.2", "--out", str(out),
        ],
        cwd=ROOT, check=True, capture_output=True, timeout=90,
    )  # fmt: skip
    result = json.loads(out.read_text())
    assert {"machine", "commit", "echo", "msc", "ratio_to_echo"} <= result.keys()
    assert {"connections", "tps", "p50_ms", "p99_ms"} <= result["echo"].keys()
    (run,) = result["msc"]
    assert {"connections", "tps", "p50_ms", "p99_ms", "cpu_us_per_tx", "commits", "records_per_commit"} <= run.keys()
    assert run["connections"] == 3
    assert run["tps"] > 0
    assert run["commits"] > 0
    assert run["lost"] == 0
    assert run["refused"] == 0
