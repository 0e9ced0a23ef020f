"""Commands without a process of their own."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from unittest import mock

from msc.cli.main import main


def call_msc(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a short command in this process, where many are wanted: starting Python takes longer than they do."""
    words, code = list(map(str, args)), 0
    with (
        contextlib.redirect_stdout(io.StringIO()) as stdout,
        contextlib.redirect_stderr(io.StringIO()) as stderr,
        mock.patch.object(sys, "argv", ["msc", *words]),
    ):
        try:
            main()
        except SystemExit as exc:
            code = int(exc.code or 0)
    return subprocess.CompletedProcess(words, code, stdout.getvalue(), stderr.getvalue())
