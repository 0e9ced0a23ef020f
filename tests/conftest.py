"""Fixtures every room's tests may use."""

from __future__ import annotations

import pytest

from tests.support.wire import CUTS, Cut


@pytest.fixture(params=sorted(CUTS))
def cut(request: pytest.FixtureRequest) -> Cut:
    """How bytes arrive: whole, and byte by byte."""
    return CUTS[request.param]
