"""Fixtures every room's tests may use."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.support.wire import CUTS, Cut

# Machines are shared and noisy: how long an example takes proves nothing.
settings.register_profile("msc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("msc")


@pytest.fixture(params=sorted(CUTS))
def cut(request: pytest.FixtureRequest) -> Cut:
    """How bytes arrive: whole, and byte by byte."""
    return CUTS[request.param]
