"""Golden vectors: cases in TOML files, so that a client in another language can be tested with the same."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parent.parent / "protocol" / "vectors"


def cases(file: str, table: str) -> list[Any]:
    """Return the rows of a table as pytest parameters, each named by its `name`."""
    rows = tomllib.loads((VECTORS / file).read_text("utf-8"))[table]
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names), f"{file}: a name stands twice in {table}"
    return [pytest.param(row, id=row["name"]) for row in rows]
